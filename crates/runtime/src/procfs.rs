//! Access to `/proc` that a container cannot redirect.
//!
//! A process that sets labels or sysctls by path can be made to write elsewhere by somebody who
//! mounts over parts of `/proc` (CVE-2019-16884, CVE-2025-52881). [`Proc`] is opened once, before
//! the container's mounts exist, is checked to be the root of a procfs, and is then walked
//! without crossing into another mount or following a link.

use crate::error::{Attempt, Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use sys::{AsFd, CWD, Errno, Fd, fs};

/// `PROC_SUPER_MAGIC`.
const MAGIC: i64 = 0x9fa0;
/// Files of procfs that are read here have a few lines.
const LIMIT_BYTES: usize = 1 << 20;

/// The host's procfs.
#[derive(Debug)]
pub struct Proc(Fd);

impl Proc {
    /// Opens it.
    pub fn open() -> Result<Self> {
        let proc = fs::open_at(CWD, "/proc", fs::O_PATH | fs::O_DIRECTORY, 0)
            .attempt(|| "opening /proc")?;
        let kind = fs::statfs(&proc).attempt(|| "opening /proc")?.f_type;
        if kind as i64 != MAGIC {
            return Err(Error::new(Kind::Unsupported, "/proc is not a proc file system"));
        }
        Ok(Self(proc))
    }

    /// Opens a file below it.
    pub fn open_file(&self, path: &str, flags: u32) -> Result<Fd> {
        let rules = fs::RESOLVE_BENEATH | fs::RESOLVE_NO_XDEV | fs::RESOLVE_NO_MAGICLINKS;
        match fs::open_at2(&self.0, path, flags, 0, rules) {
            // "self" is an ordinary link and allowed; an over-mount is EXDEV.
            Err(Errno::ENOSYS | Errno::EPERM) => self.open_checked(path, flags),
            result => result.attempt(|| format!("opening /proc/{path}")),
        }
    }

    /// For kernels before 5.6: opens by path and checks that it lies on the same file system.
    fn open_checked(&self, path: &str, flags: u32) -> Result<Fd> {
        let attempt = || format!("opening /proc/{path}");
        let file = fs::open_at(&self.0, path, flags | fs::O_NOFOLLOW, 0).attempt(attempt)?;
        let device = |fd: &Fd| fs::stat_fd(fd).map(|stat| stat.st_dev);
        if device(&file).attempt(attempt)? != device(&self.0).attempt(attempt)? {
            return Err(Error::os(attempt(), Errno::EXDEV));
        }
        Ok(file)
    }

    /// Whether this process is in the machine's first cgroup namespace. Unknown counts as yes.
    pub(crate) fn is_first_cgroup(&self) -> bool {
        /// `PROC_CGROUP_INIT_INO` (include/linux/proc_ns.h).
        const FIRST: &[u8] = b"cgroup:[4026531835]";
        !fs::read_link(&self.0, "self/ns/cgroup").is_ok_and(|link| link != FIRST)
    }

    /// Whose a file below it is.
    pub(crate) fn owner(&self, path: &str) -> Result<u32> {
        let file = self.open_file(path, fs::O_PATH)?;
        fs::stat_fd(&file).map(|stat| stat.st_uid).attempt(|| format!("looking at /proc/{path}"))
    }

    /// Reads a file below it.
    pub fn read(&self, path: &str) -> Result<String> {
        let file = self.open_file(path, fs::O_RDONLY)?;
        let bytes =
            fs::read_to_end(&file, LIMIT_BYTES).attempt(|| format!("reading /proc/{path}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes to a file below it, in one call.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let file = self.open_file(path, fs::O_WRONLY)?;
        fs::write(&file, text.as_bytes())
            .map(drop)
            .attempt(|| format!("writing {text:?} to /proc/{path}"))
    }

    /// A copy that shares nothing but the open file.
    pub fn fd(&self) -> &Fd {
        &self.0
    }
}

impl AsFd for Proc {
    fn fd(&self) -> i32 {
        self.0.fd()
    }
}

/// Path that names an open descriptor of this process, for calls that only take paths.
pub fn fd_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.fd())
}

/// Id of the mount that an open file is on.
pub(crate) fn mount_id(fd: impl AsFd) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", fd.fd());
    let attempt = || format!("reading {path}");
    let text = fs::read_file(CWD, &path, LIMIT_BYTES).attempt(attempt)?;
    let text = String::from_utf8_lossy(&text);
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    id.and_then(|id| id.trim().parse().ok()).ok_or(sys::Errno::EINVAL).attempt(attempt)
}

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// `R`, `S`, `D`, `T`, `Z`, `X`...
    pub state: u8,
    /// Clock ticks since boot at which it started.
    pub start_ticks: u64,
    /// Its parent.
    pub parent: i32,
    /// `PF_*`.
    pub flags: u32,
}

impl ProcessStat {
    /// Whether it has ended and only waits for its parent to notice.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Whether it has executed a program since it was forked.
    pub fn has_executed(&self) -> bool {
        /// include/linux/sched.h
        const PF_FORKNOEXEC: u32 = 0x40;
        self.flags & PF_FORKNOEXEC == 0
    }
}

/// Reads `/proc/PID/stat`. `None`: there is no such process.
pub fn process_stat(pid: i32) -> Option<ProcessStat> {
    read_stat(pid).ok()
}

/// As [`process_stat`], with the reason where it cannot be read.
pub(crate) fn read_stat(pid: i32) -> sys::Result<ProcessStat> {
    let text = fs::read_file(CWD, format!("/proc/{pid}/stat"), 4096)?;
    core::str::from_utf8(&text).ok().and_then(parse_stat).ok_or(sys::Errno::EINVAL)
}

fn parse_stat(text: &str) -> Option<ProcessStat> {
    // The name, in parentheses, may hold anything; the last one closes it.
    let fields = &text[text.rfind(')')? + 1..];
    let mut fields = fields.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    // Fields 9 and 22 of proc_pid_stat(5); the state is field 3.
    let flags = fields.nth(9 - 5)?.parse().ok()?;
    let start_ticks = fields.nth(22 - 10)?.parse().ok()?;
    Some(ProcessStat { state, start_ticks, parent, flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_spaces_do_not_confuse() {
        let text = "7 (a) R b) Z 1 7 7 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4242 99 0";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.start_ticks), (b'Z', 1, 4242));
        assert_eq!((stat.flags, stat.has_executed()), (4, true));
        assert!(stat.is_dead());
        assert_eq!(parse_stat("7 (a) R 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn links_out_of_procfs_are_refused() {
        let proc = Proc::open().unwrap();
        assert!(proc.read("self/status").unwrap().contains("Name:"));
        assert!(proc.open_file("self/cwd/x", fs::O_RDONLY).is_err());
        assert!(proc.open_file("self/root/etc/passwd", fs::O_RDONLY).is_err());
        assert!(proc.open_file("../etc/passwd", fs::O_RDONLY).is_err());
    }
}
