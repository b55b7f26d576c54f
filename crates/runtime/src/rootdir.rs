//! Paths inside a container's root file system.
//!
//! The tree below may belong to an attacker, who may also change it while it is walked. Every
//! path is therefore resolved below an open root directory: links in it are followed as the
//! container itself would follow them, `..` stops at the root, and what is made or mounted on is
//! a descriptor, never a name that could mean something else a moment later (CVE-2021-30465,
//! CVE-2024-45310 and their kin).

use crate::error::{Error, Result};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use sys::{Errno, Fd, fs};

/// The kernel's own limit on links in one path.
const LINKS_LIMIT: u32 = 40;

/// What [`RootDir::ensure`] makes when the path ends in nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// A directory with these permissions (before the umask).
    Dir(u32),
    /// An empty file.
    File,
    /// Nothing: only what exists is opened.
    Nothing,
}

/// The root directory of a container.
#[derive(Debug)]
pub struct RootDir(Fd);

impl RootDir {
    /// `root` is open on the root directory (`O_PATH` is enough).
    pub fn new(root: Fd) -> Self {
        Self(root)
    }

    /// The directory.
    pub fn fd(&self) -> &Fd {
        &self.0
    }

    /// Opens an existing object. `flags` decide whether a link at the end is followed.
    pub fn open(&self, path: &str, flags: u32) -> sys::Result<Fd> {
        let rules = fs::RESOLVE_IN_ROOT | fs::RESOLVE_NO_MAGICLINKS;
        let relative = match path.trim_start_matches('/') {
            "" => ".",
            path => path,
        };
        match fs::open_at2(&self.0, relative, flags, 0, rules) {
            // EPERM is what outer filters answer to calls that they do not know. The walk follows
            // the same rules, one part after the other.
            Err(Errno::ENOSYS | Errno::EPERM) => {
                let found = self.walk(path, Make::Nothing, flags & fs::O_NOFOLLOW != 0)?;
                if flags & fs::O_PATH != 0 {
                    return Ok(found);
                }
                // A magic link of our own: it names exactly the object that was found.
                let path = crate::procfs::fd_path(&found);
                fs::open_at(sys::CWD, path, flags & !fs::O_NOFOLLOW, 0)
            }
            result => result,
        }
    }

    /// Opens an object as `O_PATH`, making it and the directories on the way when it is missing.
    pub fn ensure(&self, path: &str, make: Make) -> Result<Fd> {
        match self.open(path, fs::O_PATH) {
            Err(Errno::ENOENT) => match self.make_last(path, make) {
                Err(Errno::ENOENT | Errno::EEXIST) => self.walk(path, make, false),
                result => result,
            },
            result => result,
        }
        .map_err(|errno| match errno {
            Errno::ENOTDIR => Error::invalid(format!("{path} in the container: {errno}")),
            errno => Error::os(format!("making {path} in the container"), errno),
        })
    }

    /// As [`RootDir::ensure`], but a link at the end is opened itself.
    pub fn ensure_itself(&self, path: &str, make: Make) -> Result<Fd> {
        let (dir, name) = self.parent(path)?;
        open_or_make(&dir, name.as_bytes(), make)
            .map_err(|errno| Error::os(format!("making {path} in the container"), errno))
    }

    /// The usual case of [`RootDir::ensure`]: only the last part is missing. `EEXIST`: something is
    /// there after all, a link perhaps.
    fn make_last(&self, path: &str, make: Make) -> sys::Result<Fd> {
        let path = path.trim_end_matches('/');
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "" | "." | "..") {
            return Err(Errno::ENOENT);
        }
        let dir = self.open(dir, fs::O_PATH | fs::O_DIRECTORY)?;
        make_new(&dir, name.as_bytes(), make)?;
        let made = open_one(&dir, name.as_bytes())?;
        match fs::stat_fd(&made)?.st_mode & fs::S_IFMT {
            // Swapped already.
            fs::S_IFLNK => Err(Errno::EEXIST),
            _ => Ok(made),
        }
    }

    /// Opens the directory that holds the last part of `path`, making it when it is missing;
    /// returns that part too. A link at the end is not followed: it is what is to be replaced.
    pub fn parent<'a>(&self, path: &'a str) -> Result<(Fd, &'a str)> {
        let path = path.trim_end_matches('/');
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "" | "." | "..") {
            return Err(Error::invalid(format!("{path:?} does not name a file")));
        }
        let dir = if dir.is_empty() { "/" } else { dir };
        Ok((self.ensure(dir, Make::Dir(0o755))?, name))
    }

    fn walk(&self, path: &str, make: Make, keep_last_link: bool) -> sys::Result<Fd> {
        let mut rest: VecDeque<Vec<u8>> = parts(path.as_bytes()).collect();
        // The directories above the current one: `..` goes back to one that was really walked.
        let mut above: Vec<Fd> = Vec::new();
        let mut here = fs::open_at(&self.0, ".", fs::O_PATH | fs::O_DIRECTORY, 0)?;
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == b".." {
                here = above.pop().unwrap_or(here);
                continue;
            }
            let last = rest.is_empty();
            let next = open_or_make(&here, &part, if last { make } else { directory(make) })?;
            let kind = fs::stat_fd(&next)?.st_mode & fs::S_IFMT;
            if kind != fs::S_IFLNK || (last && keep_last_link) {
                above.push(core::mem::replace(&mut here, next));
                continue;
            }
            links += 1;
            if links > LINKS_LIMIT {
                return Err(Errno::ELOOP);
            }
            let target = fs::read_link(&next, "")?;
            if target.starts_with(b"/") && !above.is_empty() {
                here = above.swap_remove(0);
                above.clear();
            }
            let mut longer: VecDeque<Vec<u8>> = parts(&target).collect();
            longer.append(&mut rest);
            rest = longer;
        }
        Ok(here)
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
}

fn directory(make: Make) -> Make {
    match make {
        Make::Nothing => Make::Nothing,
        Make::Dir(_) | Make::File => Make::Dir(0o755),
    }
}

fn open_or_make(dir: &Fd, name: &[u8], make: Make) -> sys::Result<Fd> {
    match open_one(dir, name) {
        Err(Errno::ENOENT) => {}
        result => return result,
    }
    match make_new(dir, name, make) {
        // Somebody else made it: what it is decides the caller's next step.
        Ok(()) | Err(Errno::EEXIST) => open_one(dir, name),
        Err(errno) => Err(errno),
    }
}

fn open_one(dir: &Fd, name: &[u8]) -> sys::Result<Fd> {
    fs::open_at(dir, name, fs::O_PATH | fs::O_NOFOLLOW, 0)
}

fn make_new(dir: &Fd, name: &[u8], make: Make) -> sys::Result<()> {
    match make {
        Make::Nothing => Err(Errno::ENOENT),
        Make::Dir(mode) => fs::mkdir(dir, name, mode),
        Make::File => {
            let flags = fs::O_CREAT | fs::O_EXCL | fs::O_NOFOLLOW | fs::O_WRONLY;
            fs::open_at(dir, name, flags, 0o644).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("tare-root-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("root/usr")).unwrap();
            std::fs::create_dir(path.join("outside")).unwrap();
            Self(path)
        }

        fn root(&self) -> RootDir {
            let path = self.0.join("root").to_str().unwrap().to_string();
            RootDir(fs::open_at(sys::CWD, path, fs::O_PATH | fs::O_DIRECTORY, 0).unwrap())
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn links_never_lead_out() {
        let tree = Tree::new("links");
        let root = tree.0.join("root");
        symlink("/outside", root.join("absolute")).unwrap();
        symlink("../../outside", root.join("usr/up")).unwrap();
        symlink(tree.0.join("outside"), root.join("host")).unwrap();
        for path in ["/absolute/x", "/usr/up/y", "/host/z", "/../outside/w"] {
            tree.root().ensure(path, Make::Dir(0o755)).unwrap();
            tree.root().ensure(&format!("{path}/file"), Make::File).unwrap();
        }
        assert_eq!(std::fs::read_dir(tree.0.join("outside")).unwrap().count(), 0);
        for path in ["outside/x/file", "outside/y/file", "outside/w/file"] {
            assert!(root.join(path).is_file(), "{path}");
        }
    }

    #[test]
    fn the_walk_and_the_kernel_agree() {
        let tree = Tree::new("agree");
        let root = tree.0.join("root");
        std::fs::write(root.join("usr/file"), "x").unwrap();
        symlink("usr/file", root.join("link")).unwrap();
        symlink("/usr", root.join("dir")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("missing/target", root.join("dangling")).unwrap();
        let dir = tree.root();
        for path in [
            "/",
            "",
            "usr",
            "/usr/",
            "/usr/file",
            "link",
            "dir/file",
            "/dir/../link",
            "loop",
            "dangling",
            "usr/file/x",
            "/nothing",
            "..//..//usr/.",
        ] {
            let by_kernel = dir.open(path, fs::O_PATH).and_then(fs::stat_fd);
            let by_walk = dir.walk(path, Make::Nothing, false).and_then(fs::stat_fd);
            assert_eq!(by_kernel.map(|s| s.st_ino), by_walk.map(|s| s.st_ino), "{path}");
        }
        dir.ensure("dangling/x", Make::File).unwrap();
        assert!(root.join("missing/target/x").is_file());
    }
}
