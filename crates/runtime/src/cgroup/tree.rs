//! One cgroup directory and its files.

use super::plan::Directory;
use crate::error::{Attempt, Error, Result};
use alloc::format;
use alloc::string::String;
use sys::fs;
use sys::{AsFd, Errno, Fd};

/// `pid_max` is at most 4,194,304, of 8 bytes each in `cgroup.procs`.
const FILE_LIMIT: usize = 32 << 20;

/// An open cgroup directory.
#[derive(Debug)]
pub(super) struct Dir {
    fd: Fd,
    path: String,
}

impl AsFd for Dir {
    fn fd(&self) -> i32 {
        self.fd.raw()
    }
}

impl Dir {
    /// Opens the directory that `directory` names.
    pub(super) fn open(directory: &Directory) -> sys::Result<Self> {
        Self::open_path(directory.full_path())
    }

    pub(super) fn open_path(path: String) -> sys::Result<Self> {
        let fd = fs::open_at(sys::CWD, &path, fs::O_PATH | fs::O_DIRECTORY, 0)?;
        Ok(Self { fd, path })
    }

    /// The directory, where it exists; a cgroup that is being removed counts as gone.
    pub(super) fn find(directory: &Directory) -> Result<Option<Self>> {
        match Self::open(directory) {
            Ok(dir) => Ok(Some(dir)),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => {
                Err(Error::os(format!("opening cgroup {}", directory.full_path()), errno))
            }
        }
    }

    /// Opens a directory below this one.
    pub(super) fn child(&self, name: &[u8]) -> sys::Result<Self> {
        let fd = fs::open_at(self, name, fs::O_PATH | fs::O_DIRECTORY | fs::O_NOFOLLOW, 0)?;
        Ok(Self { fd, path: format!("{}/{}", self.path, String::from_utf8_lossy(name)) })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn into_fd(self) -> Fd {
        self.fd
    }

    /// Whether the directory has this file.
    pub(super) fn has(&self, file: &str) -> bool {
        fs::exists(self, file)
    }

    /// Opens a file for writing.
    pub(super) fn open_write(&self, file: &str) -> sys::Result<Fd> {
        fs::open_at(self, file, fs::O_WRONLY, 0)
    }

    /// Writes a value in one `write(2)`.
    pub(super) fn try_write(&self, file: &str, value: &str) -> sys::Result<()> {
        fs::write_file(self, file, value)
    }

    /// Writes a value; the error names the file and the value.
    pub(super) fn write(&self, file: &str, value: &str) -> Result<()> {
        self.try_write(file, value).map_err(|errno| self.refused(file, value, errno))
    }

    /// The error for a write that the kernel refused.
    pub(super) fn refused(&self, file: &str, value: &str, errno: Errno) -> Error {
        Error::os(format!("writing \"{}\" to {}/{file}", value.escape_debug(), self.path), errno)
    }

    /// Reads a file as text.
    pub(super) fn try_read(&self, file: &str) -> sys::Result<String> {
        let bytes = fs::read_file(self, file, FILE_LIMIT)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into()))
    }

    /// Reads a file as text; the error names it.
    pub(super) fn read(&self, file: &str) -> Result<String> {
        self.try_read(file).attempt(|| format!("reading {}/{file}", self.path))
    }

    /// Reads a file where there is one.
    pub(super) fn read_optional(&self, file: &str) -> Result<Option<String>> {
        match self.try_read(file) {
            Ok(text) => Ok(Some(text)),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(Error::os(format!("reading {}/{file}", self.path), errno)),
        }
    }

    /// The number in a file; `max` is `u64::MAX`.
    pub(super) fn number(&self, file: &str) -> Result<Option<u64>> {
        let Some(text) = self.read_optional(file)? else { return Ok(None) };
        self.parsed(file, &text, number(text.trim())).map(Some)
    }

    /// The value, or an error that shows the text that has none.
    pub(super) fn parsed<T>(&self, file: &str, text: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| {
            let start: String = text.chars().take(80).collect();
            let start = start.escape_debug();
            Error::new(
                crate::error::Kind::Corrupt,
                format!("{}/{file}: unreadable \"{start}\"", self.path),
            )
        })
    }
}

/// Whether the error means that the file or its cgroup is not there (any more).
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENODEV)
}

/// A number as cgroup files have it: `max` is the largest, and what is negative through the
/// kernel's races counts as 0.
pub(super) fn number(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        _ => text.parse().ok().or_else(|| {
            let digits = text.strip_prefix('-')?;
            (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(0)
        }),
    }
}

/// The value of `key` in lines of `key value`.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    pairs(text).find(|(name, _)| *name == key).and_then(|(_, value)| number(value))
}

/// Lines of `key value`.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_cgroup_files_are_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("max", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-5", Some(0)),
            ("-99999999999999999999999", Some(0)),
            ("-", None),
            ("", None),
            ("1 2", None),
            ("0x10", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
        assert_eq!(value_of("a 1\nab 2\n", "ab"), Some(2));
        assert_eq!(value_of("a 1\nab 2\n", "b"), None);
    }
}
