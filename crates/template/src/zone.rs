//! Time zones: files as tzdata has them (RFC 8536), with the rule for times after their last change.
//!
//! Without libc, which would read its locale, too. Files come from the system; they are small, and
//! what is not as it should be is refused.

use crate::time::{Time, days_before};

/// Largest file that is read. The largest of tzdata has 4 KB, without the slim form.
pub const ZONE_LIMIT_BYTES: usize = 1 << 20;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Points in time, and the kind of time from there on.
    changes: Vec<(i64, Kind)>,
    first: Kind,
    rule: Option<Rule>,
}

/// A kind of time: seconds east of Greenwich, and an abbreviation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    offset: i32,
    name: String,
}

/// The rule at the end of a file.
#[derive(Clone, Debug)]
struct Rule {
    standard: Kind,
    summer: Option<Summer>,
}

#[derive(Clone, Debug)]
struct Summer {
    kind: Kind,
    start: Day,
    end: Day,
}

/// A day of any year, and a second of it (negative, or past the day, where rules are odd).
#[derive(Clone, Copy, Debug)]
struct Day {
    form: DayForm,
    second: i64,
}

#[derive(Clone, Copy, Debug)]
enum DayForm {
    /// 1 to 365, where 29 February never counts.
    Julian(i64),
    /// 0 to 365.
    Zero(i64),
    /// Month, week (5 is the last) and weekday.
    Month(i64, i64, i64),
}

impl Zone {
    /// Greenwich.
    pub fn utc() -> Self {
        let first = Kind { offset: 0, name: "UTC".into() };
        Self { changes: Vec::new(), first, rule: None }
    }

    /// Reads a file of tzdata.
    pub fn parse(file: &[u8]) -> Option<Self> {
        let first = Header::parse(file)?;
        if first.version == 0 {
            return first.zone(file, 4, None);
        }
        // The same again with 64 bits, and then the rule between two ends of lines.
        let rest = file.get(first.length(4)..)?;
        let header = Header::parse(rest)?;
        let footer = rest.get(header.length(8)..)?.strip_prefix(b"\n")?;
        let footer = &footer[..footer.iter().position(|&byte| byte == b'\n')?];
        let rule = Rule::parse(std::str::from_utf8(footer).ok()?);
        header.zone(rest, 8, rule)
    }

    /// A point in time as this zone shows it.
    pub fn show(&self, time: Time) -> Time {
        let kind = self.kind(time.seconds());
        time.in_zone(kind.offset, &kind.name)
    }

    fn kind(&self, seconds: i64) -> &Kind {
        let after = self.changes.partition_point(|(at, _)| *at <= seconds);
        match (after, &self.rule) {
            (count, Some(rule)) if count == self.changes.len() => rule.kind(seconds),
            (0, _) => &self.first,
            (count, _) => &self.changes[count - 1].1,
        }
    }
}

struct Header {
    version: u8,
    utc_marks: usize,
    standard_marks: usize,
    leaps: usize,
    changes: usize,
    kinds: usize,
    names: usize,
}

const HEADER: usize = 44;

fn number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
}

impl Header {
    fn parse(file: &[u8]) -> Option<Self> {
        let rest = file.strip_prefix(b"TZif").filter(|_| file.len() <= ZONE_LIMIT_BYTES)?;
        let field = |at: usize| number(rest.get(16 + at * 4..20 + at * 4)?);
        let header = Self {
            version: *rest.first()?,
            utc_marks: field(0)?,
            standard_marks: field(1)?,
            leaps: field(2)?,
            changes: field(3)?,
            kinds: field(4)?,
            names: field(5)?,
        };
        let counts = [header.utc_marks, header.standard_marks, header.leaps, header.changes];
        let sane = counts.iter().chain([&header.kinds, &header.names]).all(|&n| n <= file.len());
        sane.then_some(header)
    }

    /// The length of header and data.
    fn length(&self, width: usize) -> usize {
        HEADER
            + self.changes * (width + 1)
            + self.kinds * 6
            + self.names
            + self.leaps * (width + 4)
            + self.standard_marks
            + self.utc_marks
    }

    fn zone(&self, file: &[u8], width: usize, rule: Option<Rule>) -> Option<Zone> {
        let data = file.get(HEADER..self.length(width))?;
        let (times, data) = data.split_at_checked(self.changes * width)?;
        let (indexes, data) = data.split_at_checked(self.changes)?;
        let (kinds, data) = data.split_at_checked(self.kinds * 6)?;
        let names = data.get(..self.names)?;
        let kind = |at: usize| -> Option<Kind> {
            let record = kinds.get(at * 6..at * 6 + 6)?;
            let name = names.get(usize::from(record[5])..)?.split(|&byte| byte == 0).next()?;
            let offset = i32::from_be_bytes(record[..4].try_into().ok()?);
            Some(Kind { offset, name: std::str::from_utf8(name).ok()?.into() })
        };
        let mut changes = Vec::with_capacity(self.changes);
        for (time, &index) in times.chunks_exact(width).zip(indexes) {
            let at = match width {
                4 => i64::from(i32::from_be_bytes(time.try_into().ok()?)),
                _ => i64::from_be_bytes(time.try_into().ok()?),
            };
            changes.push((at, kind(usize::from(index))?));
        }
        changes.is_sorted_by_key(|(at, _)| *at).then_some(())?;
        Some(Zone { changes, first: kind(0)?, rule })
    }
}

impl Rule {
    /// `CET-1CEST,M3.5.0,M10.5.0/3`.
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let standard = Kind { name: take_name(&mut rest)?, offset: -take_offset(&mut rest)? };
        if rest.is_empty() {
            return Some(Self { standard, summer: None });
        }
        let name = take_name(&mut rest)?;
        let offset = match rest.starts_with(',') {
            true => standard.offset.checked_add(3600)?,
            false => -take_offset(&mut rest)?,
        };
        let (start, end) = rest.strip_prefix(',')?.split_once(',')?;
        let summer = Summer {
            kind: Kind { name, offset },
            start: Day::parse(start)?,
            end: Day::parse(end)?,
        };
        Some(Self { standard, summer: Some(summer) })
    }

    fn kind(&self, seconds: i64) -> &Kind {
        let Some(summer) = &self.summer else { return &self.standard };
        let local = seconds + i64::from(self.standard.offset);
        let year = Time::unix(local, 0).civil().year;
        let start = summer.start.seconds(year) - i64::from(self.standard.offset);
        let end = summer.end.seconds(year) - i64::from(summer.kind.offset);
        let is_summer = match start <= end {
            true => (start..end).contains(&seconds),
            // South of the equator summer is at both ends of a year.
            false => !(end..start).contains(&seconds),
        };
        if is_summer { &summer.kind } else { &self.standard }
    }
}

fn take_name(rest: &mut &str) -> Option<String> {
    let (name, after) = match rest.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?,
        None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())),
    };
    *rest = after;
    (name.len() >= 3).then(|| name.to_string())
}

/// `-1`, `3:30`, `12:45:30`: seconds, west of Greenwich for offsets.
fn take_offset(rest: &mut &str) -> Option<i32> {
    let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-:".contains(c))).unwrap_or(rest.len());
    let (text, after) = rest.split_at(end);
    *rest = after;
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds: i32 = 0;
    let mut unit = 3600;
    for part in text.split(':') {
        // RFC 8536: hours up to 167.
        let part: i32 = part.parse().ok().filter(|part| (0..=167).contains(part))?;
        seconds += part * unit;
        unit /= 60;
        if unit == 0 && text.split(':').count() > 3 {
            return None;
        }
    }
    Some(if negative { -seconds } else { seconds })
}

impl Day {
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = text.split_once('/').unwrap_or((text, "2"));
        let mut time = time;
        let second = i64::from(take_offset(&mut time).filter(|_| time.is_empty())?);
        let within = |text: &str, least: i64, most: i64| {
            text.parse::<i64>().ok().filter(|number| (least..=most).contains(number))
        };
        let form = if let Some(month) = day.strip_prefix('M') {
            let mut parts = month.split('.');
            let (month, week) = (within(parts.next()?, 1, 12)?, within(parts.next()?, 1, 5)?);
            DayForm::Month(month, week, within(parts.next()?, 0, 6)?)
        } else if let Some(day) = day.strip_prefix('J') {
            DayForm::Julian(within(day, 1, 365)?)
        } else {
            DayForm::Zero(within(day, 0, 365)?)
        };
        Some(Self { form, second })
    }

    /// The second of this day in a year, in its local time, counted from 1970.
    fn seconds(self, year: i64) -> i64 {
        let first = days_before(year, 1, 1);
        let day = match self.form {
            DayForm::Zero(day) => first + day,
            DayForm::Julian(day) => {
                let leap = days_before(year, 3, 1) - days_before(year, 2, 28) == 2;
                first + day - 1 + i64::from(leap && day >= 60)
            }
            DayForm::Month(month, week, weekday) => {
                let first = days_before(year, month, 1);
                let next = match month {
                    12 => days_before(year + 1, 1, 1),
                    _ => days_before(year, month + 1, 1),
                };
                // 1970 began on a Thursday.
                let shift = (weekday - (first + 4)).rem_euclid(7);
                let day = first + shift + (week - 1) * 7;
                if day >= next { day - 7 } else { day }
            }
        };
        day * 86_400 + self.second
    }
}
