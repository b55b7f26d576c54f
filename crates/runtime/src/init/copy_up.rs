//! `tmpcopyup`: a tmpfs that begins with what the directory below it holds.

use crate::error::{Attempt, Error, Result};
use alloc::format;
use alloc::string::String;
use sys::{Fd, fs};

/// Deeper trees than this are not what anybody covers with a tmpfs.
const DEPTH_LIMIT: u32 = 64;
/// One read and write.
const BUFFER_BYTES: usize = 64 * 1024;

/// Copies everything in directory `from` to directory `to`: contents, owners, permissions, links.
pub(super) fn copy(from: &Fd, to: &Fd) -> Result<()> {
    let flags = fs::O_RDONLY | fs::O_DIRECTORY;
    let from = fs::open_at(from, ".", flags, 0).attempt(|| "opening the directory")?;
    copy_dir(&from, to, 0)
}

fn copy_dir(from: &Fd, to: &Fd, depth: u32) -> Result<()> {
    if depth > DEPTH_LIMIT {
        return Err(Error::invalid(format!("the tree is deeper than {DEPTH_LIMIT} directories")));
    }
    for entry in fs::read_dir(from.borrow()).attempt(|| "reading a directory")? {
        let shown = || format!("copying {:?}", String::from_utf8_lossy(&entry.name));
        copy_entry(from, to, &entry.name, depth).map_err(|error| error.context(shown()))?;
    }
    Ok(())
}

fn copy_entry(from: &Fd, to: &Fd, name: &[u8], depth: u32) -> Result<()> {
    let stat = fs::stat_at(from, name, fs::AT_SYMLINK_NOFOLLOW).attempt(|| "looking at it")?;
    let mode = stat.st_mode & 0o7777;
    match stat.st_mode & fs::S_IFMT {
        fs::S_IFDIR => {
            let flags = fs::O_RDONLY | fs::O_DIRECTORY | fs::O_NOFOLLOW;
            let source = fs::open_at(from, name, flags, 0).attempt(|| "opening it")?;
            fs::mkdir(to, name, mode).attempt(|| "making it")?;
            let target = fs::open_at(to, name, flags, 0).attempt(|| "opening the copy")?;
            copy_dir(&source, &target, depth + 1)?;
        }
        fs::S_IFREG => {
            let flags = fs::O_RDONLY | fs::O_NOFOLLOW | fs::O_NONBLOCK;
            let source = fs::open_at(from, name, flags, 0).attempt(|| "opening it")?;
            let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_EXCL;
            let target = fs::open_at(to, name, flags, mode).attempt(|| "making it")?;
            copy_bytes(&source, &target)?;
        }
        fs::S_IFLNK => {
            let target = fs::read_link(from, name).attempt(|| "reading the link")?;
            fs::symlink(target, to, name).attempt(|| "making the link")?;
        }
        kind => fs::mknod(to, name, kind | mode, stat.st_rdev).attempt(|| "making the node")?,
    }
    fs::chown(to, name, stat.st_uid, stat.st_gid, fs::AT_SYMLINK_NOFOLLOW)
        .attempt(|| "changing the owner")?;
    match stat.st_mode & fs::S_IFMT {
        fs::S_IFLNK => Ok(()),
        // A change of owner clears set-id bits.
        _ if mode & 0o6000 != 0 => fs::chmod(to, name, mode).attempt(|| "changing the mode"),
        _ => Ok(()),
    }
}

fn copy_bytes(from: &Fd, to: &Fd) -> Result<()> {
    let mut buffer = alloc::vec![0u8; BUFFER_BYTES];
    loop {
        match fs::read(from, &mut buffer).attempt(|| "reading")? {
            0 => return Ok(()),
            count => fs::write_all(to, &buffer[..count]).attempt(|| "writing")?,
        }
    }
}
