//! Go's layouts for times: parts of the reference time stand for those of another one.

use crate::time::{Civil, Time};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Month,
    MonthShort,
    MonthNumber,
    MonthTwo,
    Weekday,
    WeekdayShort,
    Day,
    DaySpaced,
    DayTwo,
    DayOfYear,
    DayOfYearSpaced,
    Hour24,
    Hour,
    HourTwo,
    Minute,
    MinuteTwo,
    Second,
    SecondTwo,
    Year,
    YearTwo,
    HalfUpper,
    HalfLower,
    Zone,
    Offset { zulu: bool, colons: bool, seconds: bool, minutes: bool },
}

const fn offset(zulu: bool, colons: bool, seconds: bool, minutes: bool) -> Part {
    Part::Offset { zulu, colons, seconds, minutes }
}

/// Longer ones stand before their beginnings.
const PARTS: [(&str, Part); 33] = [
    ("January", Part::Month),
    ("Jan", Part::MonthShort),
    ("Monday", Part::Weekday),
    ("Mon", Part::WeekdayShort),
    ("MST", Part::Zone),
    ("002", Part::DayOfYear),
    ("01", Part::MonthTwo),
    ("02", Part::DayTwo),
    ("03", Part::HourTwo),
    ("04", Part::MinuteTwo),
    ("05", Part::SecondTwo),
    ("06", Part::YearTwo),
    ("15", Part::Hour24),
    ("1", Part::MonthNumber),
    ("2006", Part::Year),
    ("2", Part::Day),
    ("__2", Part::DayOfYearSpaced),
    ("_2", Part::DaySpaced),
    ("3", Part::Hour),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::HalfUpper),
    ("pm", Part::HalfLower),
    ("-070000", offset(false, false, true, true)),
    ("-07:00:00", offset(false, true, true, true)),
    ("-0700", offset(false, false, false, true)),
    ("-07:00", offset(false, true, false, true)),
    ("-07", offset(false, false, false, false)),
    ("Z070000", offset(true, false, true, true)),
    ("Z07:00:00", offset(true, true, true, true)),
    ("Z0700", offset(true, false, false, true)),
    ("Z07:00", offset(true, true, false, true)),
    ("Z07", offset(true, false, false, false)),
];

/// A name of a month.
pub(crate) fn month_name(month: u8) -> &'static str {
    MONTHS.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or("")
}

/// A name of a day.
pub(crate) fn day_name(weekday: u8) -> &'static str {
    DAYS.get(usize::from(weekday)).copied().unwrap_or("")
}

pub(crate) fn format(time: &Time, layout: &str) -> String {
    let civil = time.civil();
    let mut out = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some((length, digits, trim)) = fraction(rest) {
            push_fraction(&mut out, time.nanoseconds(), &rest[..1], digits, trim);
            rest = &rest[length..];
            continue;
        }
        match part(rest) {
            Some((text, part)) => {
                out.push_str(&shown(time, &civil, part));
                rest = &rest[text.len()..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

fn part(rest: &str) -> Option<(&'static str, Part)> {
    // The two is that of the year.
    if rest.starts_with("_2006") {
        return None;
    }
    let (text, part) = *PARTS.iter().find(|(text, part)| {
        // A short name that goes on is a word.
        let is_short = matches!(part, Part::MonthShort | Part::WeekdayShort);
        rest.strip_prefix(text)
            .is_some_and(|after| !is_short || !after.starts_with(|c: char| c.is_ascii_lowercase()))
    })?;
    Some((text, part))
}

/// `.000` or `.999`: length, digits, and whether zeros at the end are left out.
fn fraction(rest: &str) -> Option<(usize, usize, bool)> {
    let digits = rest.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let after = digits.trim_start_matches(digit);
    let count = digits.len() - after.len();
    (!after.starts_with(|c: char| c.is_ascii_digit())).then_some((1 + count, count, digit == '9'))
}

fn push_fraction(out: &mut String, nanoseconds: u32, point: &str, digits: usize, trim: bool) {
    let text = format!("{nanoseconds:09}");
    let mut kept = text[..digits.min(9)].to_string();
    if trim {
        kept.truncate(kept.trim_end_matches('0').len());
        if kept.is_empty() {
            return;
        }
    }
    out.push_str(point);
    out.push_str(&kept);
}

fn shown(time: &Time, civil: &Civil, part: Part) -> String {
    let hour12 = match civil.hour % 12 {
        0 => 12,
        hour => hour,
    };
    match part {
        Part::Month => month_name(civil.month).into(),
        Part::MonthShort => month_name(civil.month)[..3].into(),
        Part::MonthNumber => civil.month.to_string(),
        Part::MonthTwo => format!("{:02}", civil.month),
        Part::Weekday => day_name(civil.weekday).into(),
        Part::WeekdayShort => day_name(civil.weekday)[..3].into(),
        Part::Day => civil.day.to_string(),
        Part::DaySpaced => format!("{:2}", civil.day),
        Part::DayTwo => format!("{:02}", civil.day),
        Part::DayOfYear => format!("{:03}", civil.day_of_year),
        Part::DayOfYearSpaced => format!("{:3}", civil.day_of_year),
        Part::Hour24 => format!("{:02}", civil.hour),
        Part::Hour => hour12.to_string(),
        Part::HourTwo => format!("{hour12:02}"),
        Part::Minute => civil.minute.to_string(),
        Part::MinuteTwo => format!("{:02}", civil.minute),
        Part::Second => civil.second.to_string(),
        Part::SecondTwo => format!("{:02}", civil.second),
        Part::Year if civil.year < 0 => format!("-{:04}", -civil.year),
        Part::Year => format!("{:04}", civil.year),
        Part::YearTwo => format!("{:02}", civil.year.abs() % 100),
        Part::HalfUpper => if civil.hour >= 12 { "PM" } else { "AM" }.into(),
        Part::HalfLower => if civil.hour >= 12 { "pm" } else { "am" }.into(),
        Part::Zone if !time.zone().is_empty() => time.zone().into(),
        // No abbreviation is known, but something has to be shown.
        Part::Zone => shown_offset(time.offset(), false, false, true),
        Part::Offset { zulu: true, .. } if time.offset() == 0 => "Z".into(),
        Part::Offset { colons, seconds, minutes, .. } => {
            shown_offset(time.offset(), colons, seconds, minutes)
        }
    }
}

fn shown_offset(offset: i32, colons: bool, seconds: bool, minutes: bool) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let size = offset.abs();
    let colon = if colons { ":" } else { "" };
    let mut text = format!("{sign}{:02}", size / 3600);
    if minutes {
        text.push_str(&format!("{colon}{:02}", size / 60 % 60));
    }
    if seconds {
        text.push_str(&format!("{colon}{:02}", size % 60));
    }
    text
}
