//! Sizes and durations for people, as docker and podman write them.

use crate::print::float;

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// A size in thousands: `7.38MB` with three digits, which lists of images show; most others show
/// four.
pub fn decimal_size(bytes: u64, digits: usize) -> String {
    scaled(bytes as f64, 1000.0, &DECIMAL, digits)
}

/// A size in powers of 1024, with four digits: `7.036MiB`.
pub fn binary_size(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, &BINARY, 4)
}

fn scaled(bytes: f64, base: f64, units: &[&str; 9], digits: usize) -> String {
    let mut size = bytes;
    let mut unit = 0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    float(size, 'g', Some(digits)) + units[unit]
}

/// Reads a size such as `32`, `32 kB`, `0.5g` or `1.5GiB`; `thousands` are 1000 or 1024.
pub fn read_size(text: &str, thousands: u32) -> Option<u64> {
    let (number, unit) = match text.split_once(' ') {
        Some(parts) => parts,
        None => {
            let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
            text.split_at(end)
        }
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || b".e+-".contains(&byte));
    let size: f64 = number.parse().ok().filter(|size| plain && *size >= 0.0)?;
    let unit = unit.to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" => 0,
        _ => 1 + "kmgtp".find(unit.chars().next()?)?,
    };
    let known = power == 0 || matches!(&unit[1..], "" | "b" | "ib");
    let factor = f64::from(thousands).powi(i32::try_from(power).ok()?);
    let size = size * factor;
    // What is larger is no size of anything.
    (known && size < u64::MAX as f64).then_some(size as u64)
}

/// About how long a number of seconds is: `3 weeks`.
pub fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Rounded to the next hour, and no further rounding above.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}
