//! Points in time: RFC 3339, Go's own form, and Go's layouts.

use crate::layout;
use std::fmt;

/// Furthest zone that Go reads, in seconds: a day, and its minutes.
const OFFSET_LIMIT: i32 = 24 * 3600 + 59 * 60;
const DAY: i64 = 86_400;
/// 1 January of year 0, and the first second of year 10000: what RFC 3339 can write.
const FIRST: i64 = -62_167_219_200;
const AFTER: i64 = 253_402_300_800;
/// Go's zero time: 1 January of year 1.
const ZERO: i64 = -62_135_596_800;

/// A point in time, with the zone in which it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    seconds: i64,
    nanoseconds: u32,
    offset: i32,
    zone: String,
}

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    /// 1 to 366.
    pub day_of_year: u16,
}

impl Time {
    /// A point in time by its seconds since 1970 and nanoseconds after them, in UTC. What RFC 3339
    /// cannot write becomes the first or last that it can.
    pub fn unix(seconds: i64, nanoseconds: u32) -> Self {
        let seconds = seconds.clamp(FIRST, AFTER - 1);
        let nanoseconds = nanoseconds.min(999_999_999);
        Self { seconds, nanoseconds, offset: 0, zone: "UTC".into() }
    }

    /// The same point in a zone: seconds east of Greenwich, and its abbreviation (or nothing).
    pub fn in_zone(self, offset: i32, zone: &str) -> Self {
        let offset = offset.clamp(-OFFSET_LIMIT, OFFSET_LIMIT);
        Self { offset, zone: zone.into(), ..self }
    }

    /// Reads RFC 3339 with any number of digits behind the second.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, length: usize| -> Option<i64> {
            let digits = bytes.get(from..from + length)?;
            let all = digits.iter().all(u8::is_ascii_digit);
            all.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
        };
        let is = |at: usize, expected: u8| bytes.get(at) == Some(&expected);
        let marks = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        let valid = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !marks || !valid {
            return None;
        }
        let mut at = 19;
        let mut nanoseconds = 0;
        if is(at, b'.') {
            let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let kept = digits.min(9);
            let value = u32::try_from(number(at + 1, kept).filter(|_| kept > 0)?).ok()?;
            nanoseconds = value * 10u32.pow(9 - u32::try_from(kept).ok()?);
            at += 1 + digits;
        }
        let (offset, zone) = match &bytes[at..] {
            b"Z" => (0, "UTC"),
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
                let offset = hours * 3600 + minutes * 60;
                (if *sign == b'-' { -offset } else { offset }, "")
            }
            _ => return None,
        };
        let days = days_before(year, month, day);
        let seconds = days * DAY + hour * 3600 + minute * 60 + second - offset;
        let offset = i32::try_from(offset).ok().filter(|offset| offset.abs() <= OFFSET_LIMIT)?;
        (FIRST..AFTER).contains(&seconds).then(|| Self {
            seconds,
            nanoseconds,
            offset,
            zone: zone.into(),
        })
    }

    /// Seconds since 1970.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after those.
    pub fn nanoseconds(&self) -> u32 {
        self.nanoseconds
    }

    /// Seconds east of Greenwich.
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// The abbreviation of the zone, or nothing.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Whether it is Go's zero time, which stands for none.
    pub fn is_zero(&self) -> bool {
        self.seconds == ZERO && self.nanoseconds == 0
    }

    /// Date and time of day in its zone.
    pub fn civil(&self) -> Civil {
        let local = self.seconds + i64::from(self.offset);
        let (days, rest) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = date_of(days);
        // All of them are small by construction.
        let small = |value: i64| u8::try_from(value).unwrap_or(0);
        Civil {
            year,
            month: small(month),
            day: small(day),
            hour: small(rest / 3600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
            weekday: small((days + 4).rem_euclid(7)),
            day_of_year: u16::try_from(days - days_before(year, 1, 1) + 1).unwrap_or(0),
        }
    }

    /// RFC 3339 with as many digits behind the second as there are.
    pub fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    /// By one of Go's layouts: the reference time `Mon Jan 2 15:04:05 MST 2006`, written as wanted.
    pub fn format(&self, layout: &str) -> String {
        layout::format(self, layout)
    }
}

/// As Go's `String`.
impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to a date. Years begin in March, so that the leap day is the last one.
pub(crate) fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}
