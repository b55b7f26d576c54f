//! Verbs about images.

pub(crate) mod copy;
pub(crate) mod pull;
pub(crate) mod push;

use crate::failure::Result;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}

/// Writes a line of what was asked for.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.write_all(b"\n")?)
}
