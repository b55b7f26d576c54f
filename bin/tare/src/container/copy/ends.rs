//! Where files come from and where they go to: docker's meaning of paths.

use engine::{Error, Inside, Kind, Result};
use sys::fs::{
    AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_PATH, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, open_at,
    read_link, stat_at, stat_fd,
};
use sys::{CWD, Errno, Fd};

/// As the kernel.
const LINKS_LIMIT: usize = 40;

/// Whose paths they are.
pub(super) enum Side<'s> {
    /// This machine's, as the caller sees them.
    Host,
    /// The container's.
    Container { inside: &'s Inside, name: &'s str },
}

impl Side<'_> {
    fn is_host(&self) -> bool {
        matches!(self, Self::Host)
    }

    /// Opens a path, links followed.
    fn open(&self, path: &[u8], flags: u32) -> sys::Result<Fd> {
        match self {
            Self::Host => open_at(CWD, if path.is_empty() { b"." } else { path }, flags, 0),
            Self::Container { inside, .. } => inside.open(path, flags),
        }
    }

    /// docker's words.
    fn failed(&self, path: &[u8], errno: Errno) -> Error {
        let shown = String::from_utf8_lossy(path);
        match (self, errno) {
            (_, Errno::ENOTDIR) => Error::new(Kind::Invalid, format!("{shown}: not a directory")),
            (Self::Container { name, .. }, Errno::ENOENT) => Error::new(
                Kind::NotFound,
                format!("Could not find the file {shown} in container {name}"),
            ),
            (_, Errno::ENOENT) => Error::new(Kind::NotFound, format!("lstat {shown}: {errno}")),
            (_, errno) => Error::new(Kind::Invalid, format!("lstat {shown}: {errno}")),
        }
    }
}

/// Whether a directory is another one, or lies in it. Only directories are gone up through, so nobody leads astray.
pub(super) fn is_within(dir: &Fd, other: &Source) -> Result<bool> {
    /// As many as the longest path can have.
    const DEPTH_LIMIT: usize = 4096;
    const WHAT: &str = "comparing source and destination";
    let failed = |errno: Errno| Error::new(Kind::Os, format!("{WHAT}: {errno}"));
    let number = |fd: &Fd| stat_fd(fd).map(|stat| (stat.st_dev, stat.st_ino)).map_err(failed);
    let flags = O_PATH | O_DIRECTORY;
    let wanted = number(&open_at(&other.dir, &other.name, flags, 0).map_err(failed)?)?;
    let mut dir = open_at(dir, ".", flags, 0).map_err(failed)?;
    for _ in 0..DEPTH_LIMIT {
        let own = number(&dir)?;
        if own == wanted {
            return Ok(true);
        }
        dir = open_at(&dir, "..", flags, 0).map_err(failed)?;
        if number(&dir)? == own {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Whether a source is the file of a name in a directory. What is not there is no other.
pub(super) fn is_same(source: &Source, dir: &Fd, name: &[u8]) -> Result<bool> {
    let number = |dir: &Fd, name: &[u8]| {
        stat_at(dir, name, AT_SYMLINK_NOFOLLOW).map(|stat| (stat.st_dev, stat.st_ino))
    };
    match (number(&source.dir, &source.name), number(dir, name)) {
        (Ok(one), Ok(other)) => Ok(one == other),
        (_, Err(Errno::ENOENT)) => Ok(false),
        (Err(errno), _) | (_, Err(errno)) => {
            Err(Error::new(Kind::Os, format!("comparing source and destination: {errno}")))
        }
    }
}

/// Something to be copied.
pub(super) struct Source {
    /// The directory that it is in.
    pub(super) dir: Fd,
    /// Its name there.
    pub(super) name: Vec<u8>,
    /// Its name in an archive; `.` has none.
    pub(super) base: Vec<u8>,
    pub(super) is_dir: bool,
}

/// A path without what is at its end, which is told apart.
struct Parts<'p> {
    parent: &'p [u8],
    /// The last component; empty for the root directory, and where the path ends with `.` or `..`.
    name: &'p [u8],
    /// It ends with a slash: what is meant is a directory.
    is_dir: bool,
}

fn parts(path: &[u8]) -> Parts<'_> {
    let trimmed = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let (rest, is_dir) = (&path[..trimmed], trimmed < path.len());
    let (parent, name) = match rest.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&rest[..=at], &rest[at + 1..]),
        None => (&rest[..0], rest),
    };
    match name {
        b"" | b"." | b".." => Parts { parent: path, name: b"", is_dir: true },
        name => Parts { parent, name, is_dir },
    }
}

fn is_regular(found: &Fd) -> bool {
    stat_fd(found).is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFREG)
}

fn is_directory(mode: u32) -> bool {
    mode & S_IFMT == S_IFDIR
}

/// Finds what is to be copied. A link is copied as such, unless it is to be followed.
pub(super) fn source(side: &Side<'_>, path: &[u8], follows: bool) -> Result<Source> {
    let base = parts(path).name.to_vec();
    let mut path = path.to_vec();
    for _ in 0..LINKS_LIMIT {
        let Parts { parent, name, is_dir } = parts(&path);
        let failed = |errno| side.failed(&path, errno);
        if name.is_empty() || is_dir {
            let dir = side.open(&path, O_PATH | O_DIRECTORY).map_err(failed)?;
            let base = if base.is_empty() { b".".to_vec() } else { base };
            return Ok(Source { dir, name: b".".to_vec(), base, is_dir: true });
        }
        let dir = side.open(parent, O_PATH | O_DIRECTORY).map_err(failed)?;
        let stat = stat_at(&dir, name, AT_SYMLINK_NOFOLLOW).map_err(failed)?;
        if follows && stat.st_mode & S_IFMT == S_IFLNK {
            let to = read_link(&dir, name).map_err(failed)?;
            path = joined(parent, &to);
            continue;
        }
        let base = if base.is_empty() { name.to_vec() } else { base };
        let name = name.to_vec();
        return Ok(Source { dir, name, base, is_dir: is_directory(stat.st_mode) });
    }
    Err(side.failed(&path, Errno::ELOOP))
}

/// The path that a link in a directory leads to.
fn joined(parent: &[u8], to: &[u8]) -> Vec<u8> {
    if to.starts_with(b"/") { to.to_vec() } else { [parent, to].concat() }
}

/// Where it goes.
pub(super) enum Target {
    /// Into a directory.
    Directory { dir: Fd },
    /// In the place of a file.
    File { dir: Fd, name: Vec<u8> },
    /// There is nothing yet; `wants_dir` says that the path is a directory's.
    New { dir: Fd, name: Vec<u8>, wants_dir: bool },
}

/// Finds where something goes. Links are followed.
pub(super) fn target(side: &Side<'_>, path: &[u8]) -> Result<Target> {
    let mut path = path.to_vec();
    let mut wants_dir = false;
    for _ in 0..LINKS_LIMIT {
        let Parts { parent, name, is_dir } = parts(&path);
        wants_dir |= is_dir;
        let failed = |errno| side.failed(&path, errno);
        match side.open(&path, O_PATH) {
            Ok(found) if is_directory(stat_fd(&found).map_err(failed)?.st_mode) => {
                return Ok(Target::Directory { dir: found });
            }
            Ok(found) if side.is_host() && !is_regular(&found) => {
                let shown = String::from_utf8_lossy(&path);
                let text =
                    format!("invalid output path: {shown:?} must be a directory or a regular file");
                return Err(Error::new(Kind::Invalid, text));
            }
            Ok(_) | Err(Errno::ENOENT) if !name.is_empty() => {}
            Ok(_) => return Err(failed(Errno::ENOTDIR)),
            Err(errno) => return Err(failed(errno)),
        }
        let dir = side.open(parent, O_PATH | O_DIRECTORY);
        let dir = dir.map_err(|errno| side.failed(parent, errno))?;
        let name = name.to_vec();
        match stat_at(&dir, &name, AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if stat.st_mode & S_IFMT == S_IFLNK => {
                let to = read_link(&dir, &name).map_err(failed)?;
                path = joined(parent, &to);
            }
            // It was made at this moment: what is written into it is confined to it.
            Ok(stat) if is_directory(stat.st_mode) => {}
            Ok(_) => return Ok(Target::File { dir, name }),
            Err(Errno::ENOENT) => return Ok(Target::New { dir, name, wants_dir }),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(side.failed(&path, Errno::ELOOP))
}

impl Target {
    /// The directory that an archive is unpacked in.
    pub(super) fn dir(&self) -> &Fd {
        match self {
            Self::Directory { dir } | Self::File { dir, .. } | Self::New { dir, .. } => dir,
        }
    }

    /// What a source of some name is called there.
    pub(super) fn name_for(&self, base: &[u8], is_dir: bool) -> Result<Vec<u8>> {
        let refused = |kind, text: &str| Err(Error::new(kind, text));
        match self {
            Self::Directory { .. } => Ok(base.to_vec()),
            Self::File { .. } if is_dir => refused(Kind::Invalid, "cannot copy directory"),
            Self::New { wants_dir: true, .. } if !is_dir => {
                refused(Kind::NotFound, "no such directory")
            }
            Self::File { name, .. } | Self::New { name, .. } => Ok(name.clone()),
        }
    }
}

#[test]
fn paths_are_taken_apart() {
    for (path, parent, name, is_dir) in [
        ("/a/b", "/a/", "b", false),
        ("a", "", "a", false),
        ("/a/", "/", "a", true),
        ("a//", "", "a", true),
        ("/", "/", "", true),
        ("a/.", "a/.", "", true),
        ("..", "..", "", true),
        ("", "", "", true),
    ] {
        let found = parts(path.as_bytes());
        assert_eq!(
            (found.parent, found.name, found.is_dir),
            (parent.as_bytes(), name.as_bytes(), is_dir),
            "{path}"
        );
    }
}
