//! Reading a bundle's configuration and checking it before anything is made.

mod bounds;
mod mounts;
mod names;
mod validate;

pub(crate) use mounts::clean;
pub use mounts::{AccessTime, Idmap, Links, MountPlan, OPTION_NAMES, What, plan as plan_mount};
pub use names::{
    CAPABILITIES, capability_number, io_class, limit_number, memory_mode, memory_policy_flags,
    personality_value, scheduler_flags, scheduler_policy,
};
pub(crate) use validate::sysctl_path;
pub use validate::{validate, validate_process};

use crate::error::{Attempt, Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Mount, Process, Resources, Spec};
use sys::{AsFd, fs};

/// Largest document that is read: the biggest real configurations (thousands of mounts) have
/// about 1 MiB.
pub const DOCUMENT_LIMIT_BYTES: usize = 16 << 20;

/// Reads and checks the configuration of the bundle that `bundle` is open on; `file` is usually
/// `config.json`.
pub fn load(bundle: impl AsFd, shown: &str, file: Option<&str>) -> Result<Spec> {
    let file = file.unwrap_or("config.json");
    let text = read_regular(bundle, file).map_err(|error| {
        let error = error.context(format!("bundle {shown}"));
        if error.kind() != Kind::NotFound {
            return error;
        }
        error.with_hint(
            "a bundle is a directory with config.json and a root file system; \
             `tare-runtime spec` writes a config.json to begin with",
        )
    })?;
    read(&text).map_err(|error| error.context(file))
}

/// Reads and checks the text of a `config.json`.
pub fn read(text: &[u8]) -> Result<Spec> {
    let spec: Spec = oci::json::read(text).map_err(Error::invalid)?;
    validate(&spec)?;
    Ok(spec)
}

/// Reads a process document (`exec --process`).
pub fn load_process(path: &str) -> Result<Process> {
    read_process(&read_given(path)?).map_err(|error| error.context(path))
}

/// Reads and checks the text of a process document.
pub fn read_process(text: &[u8]) -> Result<Process> {
    let process: Process = oci::json::read(text).map_err(Error::invalid)?;
    validate_process(&process, "process")?;
    Ok(process)
}

/// Reads the limits that `update` sets: a file, or `-` for standard input.
pub fn load_resources(path: &str) -> Result<Resources> {
    let text = match path {
        "-" => fs::read_to_end(sys::BorrowedFd::from_raw(0), DOCUMENT_LIMIT_BYTES)
            .map_err(|errno| too_large_or("standard input", errno))?,
        path => read_given(path)?,
    };
    read_resources(&text).map_err(|error| error.context(path))
}

/// Reads the text of a document with limits. What they are worth depends on the container's
/// cgroup ([`crate::cgroup::check_resources`]).
pub fn read_resources(text: &[u8]) -> Result<Resources> {
    oci::json::read(text).map_err(Error::invalid)
}

/// Reads a list of mounts (`mounts add`): the `mounts` of a configuration. Each is checked by
/// [`plan_mount`].
pub fn load_mounts(path: &str) -> Result<Vec<Mount>> {
    let mounts = oci::json::read(&read_given(path)?).map_err(Error::invalid);
    mounts
        .and_then(|mounts: Vec<Mount>| bounds::check_mounts(&mounts).map(|()| mounts))
        .map_err(|error| error.context(path))
}

fn too_large_or(name: &str, errno: sys::Errno) -> Error {
    match errno {
        sys::Errno::EFBIG => Error::invalid(format!(
            "{name} has more than {} MiB, which no configuration needs",
            DOCUMENT_LIMIT_BYTES >> 20
        )),
        errno => Error::os(format!("reading {name}"), errno),
    }
}

/// Reads a regular file of bounded size. Anything else is refused without blocking on it.
pub fn read_regular(dir: impl AsFd, path: &str) -> Result<Vec<u8>> {
    let attempt = || format!("opening {path}");
    let file = fs::open_at(dir, path, fs::O_RDONLY | fs::O_NONBLOCK, 0).attempt(attempt)?;
    let stat = fs::stat_fd(&file).attempt(attempt)?;
    if stat.st_mode & fs::S_IFMT != fs::S_IFREG {
        return Err(Error::invalid(format!("{path} is not a regular file")));
    }
    let size = usize::try_from(stat.st_size).unwrap_or(0);
    if size > DOCUMENT_LIMIT_BYTES {
        return Err(too_large_or(path, sys::Errno::EFBIG));
    }
    fs::read_about(&file, size, DOCUMENT_LIMIT_BYTES).map_err(|errno| too_large_or(path, errno))
}

/// Reads what the user names on the command line, which may be a pipe (`<(...)`).
fn read_given(path: &str) -> Result<Vec<u8>> {
    let file = fs::open_read(path).attempt(|| format!("opening {path}"))?;
    read_limited(&file, path)
}

fn read_limited(file: &sys::Fd, path: &str) -> Result<Vec<u8>> {
    fs::read_to_end(file, DOCUMENT_LIMIT_BYTES).map_err(|errno| too_large_or(path, errno))
}

/// A container's name: 1 to 255 of `[A-Za-z0-9_+,.-]`, but not `.` and `..`. It is used as a file
/// name, so nothing else in the program may take an unchecked string for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId(String);

impl ContainerId {
    /// Longest name that is a file name on every file system.
    const LIMIT_BYTES: usize = 255;

    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self> {
        // runc's pattern has a range from + to the dot, in which the comma lies.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+,-.".contains(c);
        if text.is_empty() {
            return Err(Error::invalid("container id: cannot be empty"));
        }
        if text.len() > Self::LIMIT_BYTES {
            let limit = Self::LIMIT_BYTES;
            return Err(Error::invalid(format!("container id: has more than {limit} bytes")));
        }
        // The first one that cannot stand where it stands.
        let bad = match text {
            "." | ".." => Some('.'),
            text => text.chars().find(|c| !allowed(*c)),
        };
        if let Some(bad) = bad {
            let what =
                format!("invalid container ID format: invalid character {bad:?} in {text:?}");
            return Err(Error::invalid(what).with_hint(
                "an id has letters, digits and any of _ + , - . only, and is neither . nor ..",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_are_file_names() {
        for id in ["a", "A-b_c.d+e", "0", "a..", "-x", ".a", "...", "a,b", &"x".repeat(255)] {
            assert!(ContainerId::parse(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "./a", "/", "a b", "ä", "a\0", "a\n", &"x".repeat(256)] {
            assert!(ContainerId::parse(id).is_err(), "{id:?}");
        }
    }
}
