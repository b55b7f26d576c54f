//! Streams that have to be on disk before they can be read in any order.

use super::refused;
use crate::error::{Error, Result};
use crate::transfer::pour;
use archive::Limits;
use archive::compression::{Format, Unpacked};
use archive::limits::PLAIN_BYTES;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a file without a name in a directory: whatever happens, nothing is left of it.
pub(crate) fn unnamed_file(directory: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let flags = sys::fs::O_TMPFILE as i32;
    if let Ok(file) = options.clone().custom_flags(flags).open(directory) {
        return Ok(file);
    }
    // Some file systems (NFS, old overlayfs) cannot do that.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = directory.join(format!(".spool.{}-{count}", std::process::id()));
    let file = options.create_new(true).open(&path);
    let file = file.map_err(|error| Error::os("create", &path, &error))?;
    std::fs::remove_file(&path).map_err(|error| Error::os("remove", &path, &error))?;
    Ok(file)
}

/// Unpacks a stream into a file without a name. `path` is what messages call it.
pub(crate) fn unpacked(input: &mut dyn Read, path: &Path, temporary: &Path) -> Result<File> {
    let (_, mut plain) = unpack(input, path)?;
    spool(&mut plain, path, temporary)
}

/// Puts a stream into a file without a name, as it is. `path` is what messages call it.
pub(crate) fn kept(input: &mut dyn Read, path: &Path, temporary: &Path) -> Result<File> {
    let mut limited = input.take(PLAIN_BYTES + 1);
    let file = spool(&mut limited, path, temporary)?;
    match limited.limit() {
        0 => Err(Error::in_file(path, "has more than 1 TiB")),
        _ => Ok(file),
    }
}

fn spool(input: &mut dyn Read, path: &Path, temporary: &Path) -> Result<File> {
    let mut file = unnamed_file(temporary)?;
    pour(&path.display(), input, &mut |bytes| {
        let written = file.write_all(bytes);
        written.map_err(|error| Error::os("write a temporary file in", temporary, &error))
    })?;
    Ok(file)
}

/// A stream that is unpacked by what its first bytes say.
pub(crate) fn unpack<R: Read>(input: R, path: &Path) -> Result<(Format, Unpacked<R>)> {
    Unpacked::of(input, &Limits::default()).map_err(|error| refused(path, &error))
}
