//! Reading the values of options.

use crate::failure::Failure;
use std::path::Path;

/// A larger file is none of variables.
const ENV_FILE_LIMIT_BYTES: u64 = 1 << 20;

/// Bytes: a number, perhaps with a fraction, and b, k, m, g or t (powers of 1024).
pub(super) fn size(text: &str) -> Result<i64, Failure> {
    let bad = || Failure::new(format!("{text:?} is not a size")).hint("write 512k, 64m or 1.5g");
    let lower = text.to_ascii_lowercase();
    let plain = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let units = [("k", 10), ("m", 20), ("g", 30), ("t", 40)];
    let found = units.iter().find_map(|(unit, shift)| Some((plain.strip_suffix(unit)?, *shift)));
    let (number, shift) = found.unwrap_or((plain, 0));
    let value: f64 = number.parse().map_err(|_| bad())?;
    let bytes = value * f64::from(shift).exp2();
    if !(1.0..9e18).contains(&bytes) { Err(bad()) } else { Ok(bytes as i64) }
}

/// CPU time in microseconds of each 100,000.
pub(super) fn cpu_quota(text: &str) -> Result<i64, Failure> {
    let value: f64 = text.parse().unwrap_or(f64::NAN);
    if !(0.01..=10_000.0).contains(&value) {
        return Err(Failure::new(format!("--cpus: {text:?} is not a number of CPUs")));
    }
    Ok((value * 100_000.0) as i64)
}

/// An entry point: a program, or words as JSON has them (podman).
pub(super) fn entrypoint(text: &str) -> Result<Vec<String>, Failure> {
    match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text).map_err(|error| {
            Failure::new(format!("--entrypoint: {error}"))
                .hint("write PROGRAM, or [\"PROGRAM\", \"ARG\"]")
        }),
        false => Ok(Some(text.to_owned()).into_iter().filter(|text| !text.is_empty()).collect()),
    }
}

/// The variables of a file: one a line, as options have them.
pub(super) fn env_file(path: &Path) -> Result<Vec<String>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(format!("--env-file: {}: {why}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > ENV_FILE_LIMIT_BYTES {
        return Err(failed(&"it is larger than 1 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let mut variables = Vec::new();
    // Editors of Windows put a mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    for line in text.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(failed(&format_args!("{name:?} is no name of a variable")));
        }
        match line.contains('=') {
            true => variables.push(line.to_owned()),
            false => variables.extend(std::env::var(line).ok().map(|it| format!("{line}={it}"))),
        }
    }
    Ok(variables)
}

/// `NAME=VALUE`; without a value it is empty.
pub(super) fn pair(text: &str) -> (String, String) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text.to_owned(), String::new()),
    }
}

/// The fields of a list, where quotes hold commas (as CSV).
pub(super) fn fields(text: &str) -> Vec<String> {
    let (mut fields, mut is_quoted) = (vec![String::new()], false);
    for it in text.chars() {
        match it {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            it => fields.last_mut().into_iter().for_each(|field| field.push(it)),
        }
    }
    fields
}

/// The lines of a file of labels.
pub(super) fn label_file(path: &Path) -> Result<Vec<String>, Failure> {
    env_file(path)
        .map_err(|failure| Failure::new(failure.message().replace("--env-file", "--label-file")))
}

/// Nanoseconds of a time as Go writes it: `1h30m`, `1.5s`, `300ms`.
pub(super) fn duration(text: &str) -> Result<i64, Failure> {
    let bad = || Failure::new(format!("{text:?} is not a time")).hint("write 500ms, 30s or 1m30s");
    if text == "0" {
        return Ok(0);
    }
    let units = [
        ("ns", 1.0),
        ("us", 1e3),
        ("\u{b5}s", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 6e10),
        ("h", 3.6e12),
    ];
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let value: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = units.iter().find(|(name, _)| *name == &rest[..end]).ok_or_else(bad)?;
        total += value * unit.1;
        rest = &rest[end..];
    }
    if text.is_empty() || total > 9e18 { Err(bad()) } else { Ok(total as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("512", 512), ("64m", 64 << 20), ("1g", 1 << 30), ("1.5K", 1536), ("2GiB", 2 << 30)]
        {
            assert_eq!(size(text).ok(), Some(bytes), "{text}");
        }
        for bad in ["", "m", "-1", "0", "1x", "nan", "inf", "1e300"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn entry_points() {
        assert_eq!(entrypoint("/bin/x").unwrap(), ["/bin/x"]);
        assert_eq!(entrypoint("").unwrap(), Vec::<String>::new());
        assert_eq!(entrypoint("[\"a\", \"b\"]").unwrap(), ["a", "b"]);
        assert!(entrypoint("[1]").is_err());
    }

    #[test]
    fn times() {
        for (text, ns) in
            [("0", 0), ("30s", 30_000_000_000), ("1m1.5s", 61_500_000_000), ("300ms", 300_000_000)]
        {
            assert_eq!(duration(text).ok(), Some(ns), "{text}");
        }
        for bad in ["", "5", "s", "1x", "-1s", "1.2.3s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cpus() {
        assert_eq!(cpu_quota("1.5").ok(), Some(150_000));
        for bad in ["0", "-1", "x", "1e9", "nan"] {
            assert!(cpu_quota(bad).is_err(), "{bad}");
        }
    }
}
