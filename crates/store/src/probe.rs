//! What the file system of a new store can do, by trying.

use crate::error::Result;
use crate::files;
use crate::layout::STAGING;
use crate::store::Abilities;
use sys::mount::FsContext;
use sys::{CWD, Fd, fs};

/// Longest release of a kernel.
const RELEASE_LIMIT_BYTES: usize = 256;

/// Tries everything in a directory of staging, where a killed process's is swept.
pub(crate) fn abilities(root: &Fd) -> Result<Abilities> {
    let path = format!("{STAGING}/{}", files::make_random_dir(root, STAGING)?);
    let dir = files::open_dir(root, &path)?;
    let kernel = fs::read_file(CWD, "/proc/sys/kernel/osrelease", RELEASE_LIMIT_BYTES);
    let kernel = String::from_utf8_lossy(&kernel.unwrap_or_default()).trim().to_owned();
    let file = files::create(&dir, "from")?;
    let abilities = Abilities {
        kernel,
        reflink: can_reflink(&dir, &file)?,
        overlay: can_overlay(&dir)?,
        xattrs: sys::xattr::set(&file, "user.tare", b"1").is_ok(),
    };
    files::remove_tree(root, &path)?;
    Ok(abilities)
}

fn can_reflink(dir: &Fd, from: &Fd) -> Result<bool> {
    let to = files::create(dir, "to")?;
    Ok(fs::write_all(from, &[1; 4096]).is_ok() && fs::clone_contents(from, &to).is_ok())
}

fn can_overlay(dir: &Fd) -> Result<bool> {
    for name in ["lower", "other"] {
        files::make_dir(dir, name)?;
    }
    let lower = files::open_dir(dir, "lower")?;
    let other = files::open_dir(dir, "other")?;
    let mount = || {
        let context = FsContext::open("overlay")?;
        let lowers = format!("/proc/self/fd/{}:/proc/self/fd/{}", lower.raw(), other.raw());
        context.set("lowerdir", lowers)?;
        context.mount(0)
    };
    Ok(mount().is_ok())
}
