//! Calls that write: what each of them changes, and how it fails on a disk that is full or broken.

use std::os::unix::fs::FileExt;
use sys::Errno;
use sys::seccomp::Notice;

/// Longest sentence: two paths with a digest in each.
const SENTENCE_LIMIT_BYTES: usize = 700;

const FULL: &[Errno] = &[Errno::ENOSPC, Errno::EDQUOT, Errno::EIO];
const BROKEN: &[Errno] = &[Errno::EIO];

/// How a call names what it changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Its first argument is an open file.
    File,
    /// Its first two arguments are a directory and a path.
    Path,
    /// So it is with the flags of `open`, where it makes a file.
    Opened,
}

/// (system call, its number on x86-64, what it is about, how it fails)
const CALLS: &[(&str, i32, About, &[Errno])] = {
    use About::{File, Opened, Path};
    &[
        ("write", 1, File, FULL),
        ("pwrite64", 18, File, FULL),
        ("writev", 20, File, FULL),
        ("sendfile", 40, File, FULL),
        ("fsync", 74, File, FULL),
        ("fdatasync", 75, File, FULL),
        ("ftruncate", 77, File, FULL),
        ("fchmod", 91, File, BROKEN),
        ("fchown", 93, File, BROKEN),
        ("fsetxattr", 190, File, FULL),
        ("openat", 257, Opened, FULL),
        ("mkdirat", 258, Path, FULL),
        ("mknodat", 259, Path, FULL),
        ("fchownat", 260, Path, FULL),
        ("unlinkat", 263, Path, BROKEN),
        ("renameat", 264, Path, FULL),
        ("linkat", 265, Path, FULL),
        ("symlinkat", 266, Path, FULL),
        ("fchmodat", 268, Path, BROKEN),
        ("splice", 275, File, FULL),
        ("utimensat", 280, Path, BROKEN),
        ("fallocate", 285, File, FULL),
        ("syncfs", 306, File, FULL),
        ("renameat2", 316, Path, FULL),
        ("copy_file_range", 326, File, FULL),
        ("openat2", 437, Opened, FULL),
        // What has no directory, of libraries that are older.
        ("open", 2, Path, FULL),
        ("rename", 82, Path, FULL),
        ("mkdir", 83, Path, FULL),
        ("rmdir", 84, Path, BROKEN),
        ("link", 86, Path, FULL),
        ("unlink", 87, Path, BROKEN),
        ("symlink", 88, Path, FULL),
        ("chmod", 90, Path, BROKEN),
        ("chown", 92, Path, BROKEN),
        ("lsetxattr", 189, Path, FULL),
    ]
};
/// The last of them have no descriptor of a directory in front of the path.
const WITHOUT_DIRECTORY: [i32; 10] = [2, 82, 83, 84, 86, 87, 88, 90, 92, 189];
const OPENAT2: i32 = 437;
const CREATES: u64 =
    (sys::fs::O_CREAT | sys::fs::O_TMPFILE) as u64 & !(sys::fs::O_DIRECTORY as u64);

/// The call of a watched program that a failure is about: (number, how many of that number came before).
pub type Point = (i32, usize);

/// A failure that was brought about.
#[derive(Debug)]
pub struct Fault {
    /// The call's name.
    pub call: &'static str,
    /// What it was told.
    pub errno: Errno,
    /// What it would have changed.
    pub path: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of {}: {}", self.call, self.path, self.errno)
    }
}

/// How a call of this number fails.
pub fn failures(number: i32) -> &'static [Errno] {
    CALLS.iter().find(|call| call.1 == number).map_or(FULL, |call| call.3)
}

/// The name of a call and the path that it changes, when that is below `dir`.
pub fn changed(notice: &Notice, dir: &str) -> Option<(&'static str, String)> {
    let (name, _, about, _) = CALLS.iter().find(|call| call.1 == notice.number)?;
    let link = |number: u64| {
        let link = match number as i32 {
            // AT_FDCWD
            -100 => format!("/proc/{}/cwd", notice.pid),
            number => format!("/proc/{}/fd/{number}", notice.pid),
        };
        std::fs::read_link(link).unwrap_or_default().to_string_lossy().into_owned()
    };
    let path = match about {
        About::File => link(notice.args[0]),
        About::Opened if flags(notice) & CREATES == 0 => return None,
        _ => {
            let is_bare = WITHOUT_DIRECTORY.contains(&notice.number);
            let (start, at) = if is_bare { (-100i32 as u64, 0) } else { (notice.args[0], 1) };
            let bytes = memory(notice, notice.args[at], 256);
            let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            if text.starts_with('/') { text } else { format!("{}/{text}", link(start)) }
        }
    };
    path.starts_with(dir.trim_end_matches('/')).then_some((*name, path))
}

fn flags(notice: &Notice) -> u64 {
    match notice.number {
        OPENAT2 => {
            let how = memory(notice, notice.args[2], 8);
            how.try_into().map_or(0, u64::from_ne_bytes)
        }
        _ => notice.args[2],
    }
}

fn memory(notice: &Notice, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; length];
    let memory = std::fs::File::open(format!("/proc/{}/mem", notice.pid));
    let read = memory.and_then(|memory| memory.read_at(&mut bytes, address)).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// One sentence that names what was attempted, and why it failed; perhaps a hint.
pub fn what_is_wrong_with(said: &str, errno: Errno) -> Option<String> {
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    let Some(sentence) = first.strip_prefix("tare: ") else {
        return Some("no sentence".into());
    };
    let why = sentence.to_lowercase();
    let cause = errno.to_string();
    if !why.contains(&cause) {
        return Some("the sentence has no cause".into());
    }
    // Before the cause there is what it is about.
    if why.find(&cause).is_none_or(|at| at < 10) || sentence.len() > SENTENCE_LIMIT_BYTES {
        return Some("the sentence names nothing".into());
    }
    let rest: Vec<&str> = lines.filter(|line| !line.starts_with("hint: ")).collect();
    (!rest.is_empty()).then(|| "more than one sentence".into())
}
