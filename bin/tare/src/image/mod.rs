//! Verbs about images.

pub(crate) mod copy;
pub(crate) mod delete;
mod from_store;
pub(crate) mod inspect_place;
pub(crate) mod list_tags;
pub(crate) mod manifest_digest;
mod packing;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod signing;

use crate::failure::{Failure, Result};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}

/// Writes a line of what was asked for.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.write_all(b"\n")?)
}

/// Writes a value as JSON for people and scripts, as skopeo does: four blanks a level, and nothing that a
/// web page could take for a tag. Those characters are in texts only.
fn print_json(value: &template::Value) -> Result<()> {
    const INDENT: usize = 4;
    let mut text = Vec::new();
    for byte in value.json_indented(INDENT) {
        match byte {
            b'<' => text.extend_from_slice(b"\\u003c"),
            b'>' => text.extend_from_slice(b"\\u003e"),
            b'&' => text.extend_from_slice(b"\\u0026"),
            other => text.push(other),
        }
    }
    text.push(b'\n');
    write_out(&text)
}

/// Writes what was asked for as it is.
fn write_out(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Tells something on standard error.
fn note(text: &str) {
    // With standard error closed there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Writes a digest into a file, for scripts.
fn write_digest(path: &Path, digest: &oci::Digest) -> Result<()> {
    let failed = |error| Failure::new(format!("writing {}: {error}", path.display()));
    std::fs::write(path, digest.to_string()).map_err(failed)
}
