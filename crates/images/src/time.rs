//! Times as images have them: RFC 3339.

const DAY_S: i64 = 86_400;

/// `2024-05-01T12:00:00Z` of seconds since 1970.
pub fn rfc3339(time_s: i64) -> String {
    let (days, second) = (time_s.div_euclid(DAY_S), time_s.rem_euclid(DAY_S));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Seconds since 1970 of a time in RFC 3339; parts of a second are left out.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let at = |index: usize| text.as_bytes().get(index).map(u8::to_ascii_uppercase);
    let fixed = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if fixed.iter().any(|(index, byte)| at(*index) != Some(*byte))
        || !matches!(at(10), Some(b'T' | b' '))
    {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let rest = text.get(19..)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|it: char| it.is_ascii_digit()),
        None => rest,
    };
    let offset_s = match rest {
        "Z" | "z" => 0,
        _ => {
            let (sign, rest) = rest.split_at_checked(1)?;
            let (hours, minutes) = rest.split_once(':')?;
            let offset = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            match sign {
                "+" => offset,
                "-" => -offset,
                _ => return None,
            }
        }
    };
    let seconds = days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
    Some(seconds - offset_s)
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar: years are counted from
/// March, so that the leap day is the last one.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Days since the first of March of the year 0.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        let check = |time_s: i64, text: &str| {
            assert_eq!(rfc3339(time_s), text);
            assert_eq!(parse_rfc3339(text), Some(time_s), "{text}");
        };
        check(0, "1970-01-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_709_251_199, "2024-02-29T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
        check(1_764_142_464, "2025-11-26T07:34:24Z");
        assert_eq!(parse_rfc3339("2024-03-01T01:00:00.123456789+01:00"), Some(1_709_251_200));
        assert_eq!(parse_rfc3339("2024-02-29 19:30:00-04:30"), Some(1_709_251_200));
        for text in ["", "2024-02-29", "2024-13-01T00:00:00Z", "2024-01-01T00:00:00", "x"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
