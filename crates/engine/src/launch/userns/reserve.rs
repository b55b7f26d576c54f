//! Ids that no two containers have at the same time.
//!
//! All stores of a machine share its ids, so what is taken is in one directory for all of them:
//!
//! ```text
//! DIR/lock           held while somebody looks for ids
//! DIR/FIRST-COUNT    its flock: a container of these ids lives
//! ```
//!
//! Whoever is killed leaves a file without a lock, and perhaps processes with the ids. As long as there is one, the
//! ids stay taken.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use sys::fs::Lock;
use sys::{BorrowedFd, Errno};

/// Whose ranges in /etc/subuid and /etc/subgid are for containers: podman's name, and the own one.
const OWNERS: [&str; 2] = ["containers", "tare"];
/// What is used where nobody has set any aside: what systemd's table of ids (UIDS-GIDS) calls unused.
const USUAL: Range = Range { first: 0x7000_0000, end: 0x7FFE_0000 };
/// As kubelet gives each pod, and what ids of images fit into.
pub(super) const USUAL_COUNT: u32 = 65_536;
/// How long others may look for ids: it takes them milliseconds.
const WAIT_MS: u64 = 10_000;
const PAUSE_MS: u64 = 2;

/// Ids from `first` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) end: u32,
}

/// Ids that are taken until this is dropped, and the process or its children are gone.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) first: u32,
    path: PathBuf,
    _file: File,
}

impl Reservation {
    /// Takes the lowest ids of some ranges that are free.
    pub(super) fn take(dir: &Path, ranges: &[Range], count: u32) -> Result<Self> {
        let failed = |what: &str, error: io::Error| {
            Error::invalid(format!("taking ids: {what} {}: {error}", dir.display()))
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(|it| failed("making", it))?;
        let _lock = lock(&dir.join("lock")).map_err(|error| failed("locking", error))?;
        let used = used(dir).map_err(|error| failed("reading", error))?;
        let Some(first) = find(&subtract(ranges, &used), count) else {
            let all: u64 = ranges.iter().map(|range| u64::from(range.end - range.first)).sum();
            let text = format!(
                "--userns auto: there are no {count} ids in a row free, of {all} for containers"
            );
            return Err(Error::invalid(text).with_hint(
                "auto:size=NUMBER takes fewer; /etc/subuid and /etc/subgid have those of `containers`",
            ));
        };
        let path = dir.join(format!("{first}-{count}"));
        let file = open(&path).map_err(|error| failed("writing to", error))?;
        // Nobody else looks at it while the directory is locked.
        try_lock(&file)
            .map_err(|errno| failed("locking a file of", io::Error::from_raw_os_error(errno.0)))?;
        Ok(Self { first, path, _file: file })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Before the lock goes: whoever finds the file finds it locked. What stays is looked at by the next.
        let _ = fs::remove_file(&self.path);
    }
}

/// The ranges that the administrator has set aside for containers, or the usual one without those that are
/// somebody's.
pub(super) fn ranges(users: &str, groups: &str) -> Result<Vec<Range>> {
    let of = |table: &str| entries(table, |owner| OWNERS.contains(&owner));
    let (uids, gids) = (of(users), of(groups));
    if uids.is_empty() && gids.is_empty() {
        let everybodys: Vec<Range> =
            [users, groups].iter().flat_map(|table| entries(table, |_| true)).collect();
        return Ok(subtract(&[USUAL], &everybodys));
    }
    // The same numbers for users and groups.
    let common = intersect(&uids, &gids);
    match common.is_empty() {
        true => Err(Error::invalid(
            "--userns auto: /etc/subuid and /etc/subgid have no range of `containers` in common",
        )
        .with_hint("give it the same numbers in both")),
        false => Ok(common),
    }
}

/// The ranges of subuid(5) whose owners are wanted.
pub(super) fn entries(table: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<Range> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [owner, first, count] = fields[..] else { return None };
        let first: u32 = first.parse().ok()?;
        let end = first.checked_add(count.parse().ok()?)?;
        (is_wanted(owner) && end > first).then_some(Range { first, end })
    };
    table.lines().filter_map(read).collect()
}

/// What is in the first and not in the second.
fn subtract(from: &[Range], what: &[Range]) -> Vec<Range> {
    let mut left = from.to_vec();
    for hole in what {
        let around = |range: Range| {
            let below = Range { first: range.first, end: range.end.min(hole.first) };
            let above = Range { first: range.first.max(hole.end), end: range.end };
            [below, above].into_iter().filter(|part| part.first < part.end)
        };
        left = left.into_iter().flat_map(around).collect();
    }
    left.sort_unstable();
    left
}

fn intersect(one: &[Range], other: &[Range]) -> Vec<Range> {
    let both = |a: &Range, b: &Range| {
        let range = Range { first: a.first.max(b.first), end: a.end.min(b.end) };
        (range.first < range.end).then_some(range)
    };
    one.iter().flat_map(|a| other.iter().filter_map(move |b| both(a, b))).collect()
}

fn find(free: &[Range], count: u32) -> Option<u32> {
    free.iter().find(|range| range.end - range.first >= count).map(|range| range.first)
}

/// What lives, with the files of what does not removed. The directory is locked.
fn used(dir: &Path) -> io::Result<Vec<Range>> {
    let mut used = Vec::new();
    let mut of_processes = None;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(range) = path.file_name().and_then(|name| parse(name.to_str()?)) else { continue };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            result => result?,
        };
        if try_lock(&file).is_ok() {
            let of_processes = of_processes.get_or_insert_with(mapped);
            let overlaps = |it: &Range| it.first < range.end && range.first < it.end;
            if !of_processes.iter().any(overlaps) {
                fs::remove_file(&path)?;
                continue;
            }
        }
        used.push(range);
    }
    Ok(used)
}

fn parse(name: &str) -> Option<Range> {
    let (first, count) = name.split_once('-')?;
    let first: u32 = first.parse().ok()?;
    Some(Range { first, end: first.checked_add(count.parse().ok()?)? })
}

/// The ids that processes in other user namespaces have.
fn mapped() -> Vec<Range> {
    let number = |name: &std::ffi::OsStr| name.to_str()?.parse::<u32>().ok();
    let mut mapped = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = number(&entry.file_name()) else { continue };
        // One that ends meanwhile has none.
        let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap_or_default();
        for line in map.lines() {
            let numbers: Vec<u32> = line.split_whitespace().flat_map(str::parse).collect();
            let &[inside, first, count] = &numbers[..] else { continue };
            // The caller's own namespace, or one like it.
            if inside != first {
                mapped.push(Range { first, end: first.saturating_add(count) });
            }
        }
    }
    mapped
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

fn try_lock(file: &File) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    sys::fs::lock(BorrowedFd::from_raw(file.as_raw_fd()), Lock::TryExclusive)
}

fn lock(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let start = sys::time::monotonic_ms();
    loop {
        match try_lock(&file) {
            Ok(()) => return Ok(file),
            Err(Errno::EAGAIN) if sys::time::monotonic_ms() - start < WAIT_MS => {
                sys::time::sleep_ms(PAUSE_MS);
            }
            Err(errno) => return Err(io::Error::from_raw_os_error(errno.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, Reservation, find, ranges, subtract};

    fn range(first: u32, end: u32) -> Range {
        Range { first, end }
    }

    #[test]
    fn ranges_are_those_of_containers() {
        let table = "me:100000:65536\ncontainers:200000:1000\ntare:300000:1000\nx:bad:1\n";
        let own = [range(200_000, 201_000), range(300_000, 301_000)];
        assert_eq!(ranges(table, table).unwrap(), own);
        let less = "containers:200500:1000\n";
        assert_eq!(ranges(table, less).unwrap(), [range(200_500, 201_000)]);
        assert!(ranges(table, "").is_err());
        // Without any, what is nobody's.
        let usual = range(0x7000_0000, 0x7FFE_0000);
        assert_eq!(ranges("me:100000:65536", "").unwrap(), [usual]);
        let inside = "me:1879048192:65536\n";
        assert_eq!(ranges(inside, "").unwrap(), [range(0x7001_0000, usual.end)]);
        let last = "me:4294967294:1\nyou:4294967295:1\n";
        assert_eq!(ranges(last, "").unwrap(), [usual]);
    }

    #[test]
    fn the_lowest_that_are_free_are_found() {
        let all = [range(0, 100), range(200, 300)];
        let used = [range(0, 10), range(20, 30), range(90, 210), range(400, 500)];
        let free = subtract(&all, &used);
        assert_eq!(free, [range(10, 20), range(30, 90), range(210, 300)]);
        for (count, first) in [(1, Some(10)), (11, Some(30)), (61, Some(210)), (91, None)] {
            assert_eq!(find(&free, count), first, "{count}");
        }
    }

    #[test]
    fn ids_are_taken_once_until_they_are_given_back() {
        let dir = std::env::temp_dir().join(format!("tare-ids-{}", std::process::id()));
        let all = [range(3_000_000_000, 3_000_000_250)];
        let take = |count| Reservation::take(&dir, &all, count);
        let (one, two) = (take(100).unwrap(), take(100).unwrap());
        assert_eq!((one.first, two.first), (3_000_000_000, 3_000_000_100));
        let text = take(100).unwrap_err().to_string();
        assert!(text.contains("no 100 ids in a row free, of 250"), "{text}");
        drop(one);
        // What a killed process has left, and nobody's.
        std::fs::write(dir.join("3000000000-50"), "").unwrap();
        std::fs::write(dir.join("x"), "").unwrap();
        assert_eq!(take(100).unwrap().first, 3_000_000_000);
        drop(two);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
