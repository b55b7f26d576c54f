//! What the file system of a new store can do, by trying.

use crate::error::{During, Result};
use crate::files;
use crate::layout::STAGING;
use crate::store::Abilities;
use sys::mount::FsContext;
use sys::{CWD, Errno, Fd, fs};

/// Longest release of a kernel.
const RELEASE_LIMIT_BYTES: usize = 256;

/// Tries everything in a directory of staging, where a killed process's is swept.
pub(crate) fn abilities(root: &Fd) -> Result<Abilities> {
    let path = format!("{STAGING}/{}", files::make_random_dir(root, STAGING)?);
    let kernel = fs::read_file(CWD, "/proc/sys/kernel/osrelease", RELEASE_LIMIT_BYTES);
    let kernel = String::from_utf8_lossy(&kernel.unwrap_or_default()).trim().to_owned();
    let file = files::create(root, &format!("{path}/from"))?;
    let abilities = Abilities {
        kernel,
        reflink: can_reflink(root, &path, &file)?,
        overlay: can_overlay(root, &path)?,
        xattrs: is_able(sys::xattr::set(&file, "user.tare", b"1"), "setting an attribute of")?,
    };
    files::remove_tree(root, &path)?;
    Ok(abilities)
}

fn can_reflink(root: &Fd, path: &str, from: &Fd) -> Result<bool> {
    let to = files::create(root, &format!("{path}/to"))?;
    fs::write_all(from, &[1; 4096]).during(|| "writing to a file of the new store".into())?;
    is_able(fs::clone_contents(from, &to), "cloning")
}

/// A disk that is full or broken says nothing about what it could do otherwise.
fn is_able(result: sys::Result<()>, what: &str) -> Result<bool> {
    match result {
        Err(Errno::ENOSPC | Errno::EDQUOT | Errno::EIO) => {
            result.during(|| format!("{what} a file of the new store")).map(|()| false)
        }
        result => Ok(result.is_ok()),
    }
}

fn can_overlay(root: &Fd, path: &str) -> Result<bool> {
    let make = |name: &str| {
        let path = format!("{path}/{name}");
        files::make_dir(root, &path)?;
        files::open_dir(root, &path)
    };
    let (lower, other) = (make("lower")?, make("other")?);
    let mount = || {
        let context = FsContext::open("overlay")?;
        let lowers = format!("/proc/self/fd/{}:/proc/self/fd/{}", lower.raw(), other.raw());
        context.set("lowerdir", lowers)?;
        context.mount(0)
    };
    Ok(mount().is_ok())
}
