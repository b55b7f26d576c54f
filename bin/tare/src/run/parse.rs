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

/// `UID[:GID]` or a name of the packed `/etc/passwd`.
pub(super) fn user(text: &str) -> Result<(u32, u32), Failure> {
    let bad = || {
        Failure::new(format!("--user: {text:?} is not a user of the container"))
            .hint("write UID[:GID], root or nobody")
    };
    let known = |name: &str| match name {
        "root" => Some(0),
        "nobody" | "nogroup" => Some(65534),
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            number.parse().ok().filter(|&id: &u32| id != u32::MAX)
        }
        _ => None,
    };
    match text.split_once(':') {
        Some((uid, gid)) => known(uid).zip(known(gid)).ok_or_else(bad),
        None => {
            let uid = known(text).ok_or_else(bad)?;
            Ok((uid, if text == "nobody" { 65534 } else { 0 }))
        }
    }
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

/// A bind mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) read_only: bool,
}

/// `SOURCE:TARGET[:ro|rw]`.
pub(super) fn volume(text: &str) -> Result<Volume, Failure> {
    let bad = |why: &str| {
        Failure::new(format!("--volume: {text:?}: {why}"))
            .hint("write SOURCE:TARGET or SOURCE:TARGET:ro")
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [source, target] => (source, target, "rw"),
        [source, target, mode] => (source, target, mode),
        _ => return Err(bad("it has no target")),
    };
    if !target.starts_with('/') {
        return Err(bad("the target is not an absolute path"));
    }
    let read_only = match mode {
        "ro" => true,
        "rw" => false,
        _ => return Err(bad("the mode is neither ro nor rw")),
    };
    let source =
        std::fs::canonicalize(source).map_err(|error| bad(&format!("the source: {error}")))?;
    let source = source.to_str().ok_or_else(|| bad("the source is not UTF-8"))?.to_string();
    Ok(Volume { source, target: target.into(), read_only })
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
    fn users() {
        for (text, ids) in
            [("0", (0, 0)), ("7:8", (7, 8)), ("nobody", (65534, 65534)), ("root:5", (0, 5))]
        {
            assert_eq!(user(text).ok(), Some(ids), "{text}");
        }
        for bad in ["", "x", "-1", "+1", "1:", ":1", "4294967295", "99999999999"] {
            assert!(user(bad).is_err(), "{bad}");
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
    fn volumes() {
        let made = |read_only| Volume { source: "/".into(), target: "/x".into(), read_only };
        assert_eq!(volume("/:/x").ok(), Some(made(false)));
        assert_eq!(volume("/:/x:ro").ok(), Some(made(true)));
        for bad in ["", "/", "/:x", "/:/x:rx", "/:/x:ro:z", "/nowhere:/x"] {
            assert!(volume(bad).is_err(), "{bad}");
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
