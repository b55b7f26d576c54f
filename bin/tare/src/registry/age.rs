//! Times as people write them: `90s`, `30m`, `2h`, `7d`.

use std::time::Duration;

/// Longest time: beyond it nobody means what was written.
const LIMIT: u64 = 100 * 365 * 24 * 60 * 60;

/// Reads a number with a unit; without one it is seconds.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        unit => return Err(format!("unit `{unit}` is none of s, m, h, d")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("`{digits}` is not a number"))?;
    let seconds = count.checked_mul(seconds).filter(|seconds| *seconds <= LIMIT);
    seconds.map(Duration::from_secs).ok_or_else(|| "more than a hundred years".into())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_have_units() {
        let check = |text: &str, seconds: u64| {
            assert_eq!(parse(text).map(|it| it.as_secs()), Ok(seconds), "{text}");
        };
        check("0", 0);
        check("90", 90);
        check("90s", 90);
        check("2h", 7200);
        check("7d", 604_800);
        for bad in ["", "h", "-1h", "1.5h", "1w", "1hh", "99999999999999999999s", "36501d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
