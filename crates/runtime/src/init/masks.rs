//! Masked and read-only paths.
//!
//! What covers a masked path comes from the host, never from the container's tree: its
//! `/dev/null` may be a link to anything (CVE-2025-31133).

use super::{Job, mounts};
use crate::error::{Attempt, Error, Result};
use crate::procfs::fd_path;
use crate::rootdir::RootDir;
use alloc::format;
use sys::mount::{self as m, Attributes};
use sys::{CWD, Errno, Fd, fs};

pub(super) fn apply(job: &Job, root: &RootDir) -> Result<()> {
    let Some(linux) = &job.spec.linux else { return Ok(()) };
    for (index, path) in linux.readonly_paths.iter().enumerate() {
        make_read_only(root, path)
            .map_err(|error| error.context(format!("linux.readonlyPaths[{index}] ({path})")))?;
    }
    let mut masks = Masks::default();
    for (index, path) in linux.masked_paths.iter().enumerate() {
        // Once is enough: callers join lists of their own and of an image.
        if linux.masked_paths[..index].contains(path) {
            continue;
        }
        masks
            .cover(root, path)
            .map_err(|error| error.context(format!("linux.maskedPaths[{index}] ({path})")))?;
    }
    Ok(())
}

/// Opens what is to be covered; what is not there needs no cover.
fn open(root: &RootDir, path: &str) -> Result<Option<Fd>> {
    match root.open(path, fs::O_PATH) {
        Ok(fd) => Ok(Some(fd)),
        // EACCES: a path that not even container root may reach.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => Ok(None),
        Err(errno) => Err(Error::os("opening it", errno)),
    }
}

fn make_read_only(root: &RootDir, path: &str) -> Result<()> {
    let Some(target) = open(root, path)? else { return Ok(()) };
    let set = u64::from(m::MOUNT_ATTR_RDONLY);
    let change = Attributes { set, ..Attributes::default() };
    match m::clone_tree(&target, "", true) {
        Ok(tree) => mounts::attach_with(&tree, &target, change, false),
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let here = fd_path(&target);
            m::mount(&here, &here, "", m::MS_BIND | m::MS_REC, "").attempt(|| "binding it")?;
            let mounted = mounts::reopen(&target)?;
            mounts::remount(&fd_path(&mounted), change).attempt(|| "making it read-only")
        }
        Err(errno) => Err(Error::os("cloning it", errno)),
    }
}

/// The two things that paths are covered with; each is made once.
#[derive(Default)]
struct Masks {
    null: Option<Fd>,
    empty: Option<Fd>,
}

impl Masks {
    fn cover(&mut self, root: &RootDir, path: &str) -> Result<()> {
        let Some(target) = open(root, path)? else { return Ok(()) };
        let stat = fs::stat_fd(&target).attempt(|| "looking at it")?;
        if stat.st_mode & fs::S_IFMT == fs::S_IFDIR {
            self.cover_dir(&target)
        } else {
            self.cover_file(&target)
        }
    }

    fn cover_file(&mut self, target: &Fd) -> Result<()> {
        let null = match &self.null {
            Some(null) => null,
            None => self.null.insert(host_null()?),
        };
        match m::clone_tree(null, "", false) {
            Ok(tree) => mounts::attach(&tree, target),
            Err(Errno::ENOSYS | Errno::EPERM) => {
                m::mount(fd_path(null), fd_path(target), "", m::MS_BIND, "")
                    .attempt(|| "binding /dev/null over it")
            }
            Err(errno) => Err(Error::os("cloning /dev/null", errno)),
        }
    }

    /// One empty read-only tmpfs covers every masked directory: each instance would cost a
    /// superblock (runc#5275).
    fn cover_dir(&mut self, target: &Fd) -> Result<()> {
        const OPTIONS: [&str; 2] = ["nr_blocks=1", "nr_inodes=1"];
        if let Some(Ok(tree)) = self.empty.as_ref().map(|empty| m::clone_tree(empty, "", false)) {
            return mounts::attach(&tree, target);
        }
        let attributes = m::MOUNT_ATTR_RDONLY
            | m::MOUNT_ATTR_NOSUID
            | m::MOUNT_ATTR_NODEV
            | m::MOUNT_ATTR_NOEXEC;
        match mounts::new_file_system("tmpfs", "tmpfs", &OPTIONS, attributes) {
            Ok(tree) => {
                mounts::attach(&tree, target)?;
                self.empty = Some(tree);
                Ok(())
            }
            Err(_) => {
                let flags = m::MS_RDONLY | m::MS_NOSUID | m::MS_NODEV | m::MS_NOEXEC;
                m::mount("tmpfs", fd_path(target), "tmpfs", flags, OPTIONS.join(","))
                    .attempt(|| "mounting an empty tmpfs over it")
            }
        }
    }
}

/// The host's null device, after a look that it is one.
fn host_null() -> Result<Fd> {
    let null = fs::open_at(CWD, "/dev/null", fs::O_PATH | fs::O_NOFOLLOW, 0)
        .attempt(|| "opening the host's /dev/null")?;
    let stat = fs::stat_fd(&null).attempt(|| "looking at the host's /dev/null")?;
    if stat.st_mode & fs::S_IFMT != fs::S_IFCHR || stat.st_rdev != fs::makedev(1, 3) {
        return Err(Error::invalid("the host's /dev/null is not the null device"));
    }
    Ok(null)
}
