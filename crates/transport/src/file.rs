//! Configuration files.

use crate::error::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest configuration file. The largest in use (all short names that distributions know) has 20 KB.
pub(crate) const SIZE_LIMIT_BYTES: u64 = 4 << 20;
/// Most files of a drop-in directory.
const FILES_LIMIT: usize = 1000;

/// The content of a file; `None` when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::os("open", path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::os("read", path, &error))?;
    match bytes.len() as u64 > SIZE_LIMIT_BYTES {
        true => Err(Error::in_file(path, "larger than 4 MiB")),
        false => Ok(Some(bytes)),
    }
}

/// As [`read`], for text.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>> {
    let bytes = read(path)?;
    bytes
        .map(|bytes| String::from_utf8(bytes).map_err(|error| Error::in_file(path, error)))
        .transpose()
}

/// The files of a directory whose names have an ending, sorted; none when there is no directory.
pub(crate) fn list(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::os("read directory", directory, &error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::os("read directory", directory, &error))?;
        let path = entry.path();
        if path.extension().is_some_and(|found| found == extension) && !path.is_dir() {
            paths.push(path);
        }
        if paths.len() > FILES_LIMIT {
            let text = format!("{}: more than 1000 files", directory.display());
            return Err(Error::new(ErrorKind::Invalid, text));
        }
    }
    paths.sort();
    Ok(paths)
}
