//! Blobs as files: read with care, written whole or not at all.

use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Hashed, Verified};
use crate::transfer::{Blob, copy, pour};
use oci::Digest;
use oci::image::{Descriptor, SIZE_LIMIT_BYTES};
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// `O_NONBLOCK`: a fifo in the place of a file is opened, seen, and refused. The same number on every
/// architecture that Linux has but alpha, mips, parisc and sparc.
const NONBLOCKING: i32 = 0o4000;

/// How often a file is made anew that somebody sweeps away.
const TEMPORARY_ATTEMPTS: u32 = 10;
/// Most entries of a directory that are looked at for what was left.
const SWEEP_LIMIT: usize = 1_000_000;

/// Opens a plain file.
pub(crate) fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCKING).open(path);
    let file = file.map_err(|error| Error::os("open", path, &error))?;
    let metadata = file.metadata().map_err(|error| Error::os("look at", path, &error))?;
    match metadata.is_file() {
        true => Ok(file),
        false => Err(Error::in_file(path, "is no plain file")),
    }
}

/// Opens the file of a blob.
pub(crate) fn open_blob(path: &Path, descriptor: &Descriptor) -> Result<Blob> {
    let file = open(path)?;
    let digest = *descriptor.verifiable()?;
    Ok(Box::new(Verified::new(BufReader::new(file), digest, Some(descriptor.size))))
}

/// Reads a manifest or another document.
pub(crate) fn read_document(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?
        .take(SIZE_LIMIT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::os("read", path, &error))?;
    match bytes.len() > SIZE_LIMIT_BYTES {
        true => Err(Error::in_file(path, "larger than 4 MiB")),
        false => Ok(bytes),
    }
}

/// A name that nobody else has, in the directory of a file to come.
fn temporary(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}-{count}", std::process::id()))
}

/// Makes a file with a name of its own until it is complete. It is locked: [`sweep`] removes those that
/// nobody holds.
fn open_temporary(path: &Path) -> Result<(File, PathBuf)> {
    let mut last = None;
    for _ in 0..TEMPORARY_ATTEMPTS {
        let temporary = temporary(path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary);
        let file = file.map_err(|error| Error::os("create", &temporary, &error))?;
        // Without locks, as on some networks, nobody can sweep either.
        let _ = file.lock();
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| Error::os("look at", &temporary, &error))?;
        if metadata.nlink() > 0 {
            return Ok((file, temporary));
        }
        // Somebody has swept it away between the two calls.
        last = Some(temporary);
    }
    let text = format!("create {}: others remove it", last.unwrap_or_default().display());
    Err(Error::new(ErrorKind::Os, text))
}

/// Whether a name is one of [`temporary`]'s, for a file of a name if one is given.
fn is_temporary(name: &str, of: Option<&str>) -> bool {
    let Some((rest, number)) = name.strip_prefix('.').and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    of.is_none_or(|of| of == rest)
        && number.split_once('-').is_some_and(|(one, two)| is_number(one) && is_number(two))
}

/// Removes what killed programs have left in a directory: unfinished files that nobody holds. What cannot
/// be removed stays, and harms nobody.
pub(crate) fn sweep(directory: &Path, of: Option<&str>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.take(SWEEP_LIMIT).map_while(|entry| entry.ok()) {
        if !entry.file_name().to_str().is_some_and(|name| is_temporary(name, of)) {
            continue;
        }
        if let Ok(file) = open(&entry.path())
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Makes a file: a reader sees all of it or none. `fill` writes it, and its failure leaves nothing.
pub(crate) fn create(path: &Path, fill: &mut dyn FnMut(&mut File) -> Result<()>) -> Result<()> {
    let (file, temporary) = open_temporary(path)?;
    let made = make(file, &temporary, path, fill);
    if made.is_err() {
        // The failure before this one is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    made
}

/// Makes a file that gets its name with [`finish`], and its name until then.
pub(crate) fn create_unfinished(path: &Path) -> Result<(File, PathBuf)> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = path.file_name().and_then(|name| name.to_str());
    sweep(directory.unwrap_or(Path::new(".")), name);
    open_temporary(path)
}

/// Gives a complete file its name, and makes both last.
pub(crate) fn finish(file: &File, unfinished: &Path, path: &Path) -> Result<()> {
    let done = file.sync_all().and_then(|()| std::fs::rename(unfinished, path));
    if let Err(error) = done {
        // The failure before this one is the one to tell.
        let _ = std::fs::remove_file(unfinished);
        return Err(Error::os("create", path, &error));
    }
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_directory(parent),
        None => sync_directory(Path::new(".")),
    }
}

fn make(
    mut file: File,
    temporary: &Path,
    path: &Path,
    fill: &mut dyn FnMut(&mut File) -> Result<()>,
) -> Result<()> {
    fill(&mut file)?;
    file.sync_all().map_err(|error| Error::os("write", temporary, &error))?;
    std::fs::rename(temporary, path).map_err(|error| Error::os("create", path, &error))
}

/// Writes a blob, which has to be what its descriptor says.
pub(crate) fn write_blob(
    path: &Path,
    descriptor: &Descriptor,
    content: &mut dyn Read,
) -> Result<()> {
    let digest = *descriptor.verifiable()?;
    create(path, &mut |file| {
        let mut verified = Verified::new(&mut *content, digest, Some(descriptor.size));
        copy(descriptor, &mut verified, file)
    })
}

/// Writes content into a directory, and gives it the name that `path` has for what it was.
pub(crate) fn write_new(
    directory: &Path,
    media_type: &str,
    content: &mut dyn Read,
    path: &dyn Fn(&Descriptor) -> Result<PathBuf>,
) -> Result<Descriptor> {
    let (mut file, temporary) = open_temporary(&directory.join("new"))?;
    let mut hashed = Hashed::new(content);
    let copied = pour(&"a blob", &mut hashed, &mut |bytes| {
        file.write_all(bytes).map_err(|error| Error::os("write", &temporary, &error))
    });
    let done = copied.and_then(|()| {
        let found = hashed.finish(media_type);
        let path = path(&found)?;
        file.sync_all().map_err(|error| Error::os("write", &temporary, &error))?;
        std::fs::rename(&temporary, &path).map_err(|error| Error::os("create", &path, &error))?;
        Ok(found)
    });
    if done.is_err() {
        // The failure before this one is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    done
}

/// Writes a small file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    create(path, &mut |file| {
        file.write_all(bytes).map_err(|error| Error::os("write", path, &error))
    })
}

/// Makes what was renamed in a directory last.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::os("write directory", directory, &error))
}

/// Makes a directory with its parents.
pub(crate) fn create_directory(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Error::os("create directory", directory, &error))
}

/// Whether a file is there.
pub(crate) fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|error| Error::os("look at", path, &error))
}

/// The size of a file.
pub(crate) fn size(path: &Path) -> Result<u64> {
    let metadata = path.metadata().map_err(|error| Error::os("look at", path, &error))?;
    Ok(metadata.len())
}

/// Refuses content that nobody can find.
pub(crate) fn not_found(what: &str, digest: &Digest, place: &Path) -> Error {
    let text = format!("{}: there is no {what} {digest}", place.display());
    Error::new(ErrorKind::NotFound, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::test_directory;

    #[test]
    fn what_was_left_is_swept_and_what_is_held_is_not() {
        let directory = test_directory("sweep");
        let left = directory.join(".x.1-0");
        std::fs::write(&left, "half").unwrap();
        for name in [".x.1", ".x.a-0", "x.1-0", ".1-0", ".y.2-0"] {
            std::fs::write(directory.join(name), "").unwrap();
        }
        let (held, unfinished) = create_unfinished(&directory.join("x")).unwrap();
        assert!(!left.exists() && directory.join(".y.2-0").exists());
        sweep(&directory, None);
        assert!(unfinished.exists() && !directory.join(".y.2-0").exists());
        for name in [".x.1", ".x.a-0", "x.1-0", ".1-0"] {
            assert!(directory.join(name).exists(), "{name}");
        }
        finish(&held, &unfinished, &directory.join("x")).unwrap();
        sweep(&directory, None);
        assert!(directory.join("x").exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
