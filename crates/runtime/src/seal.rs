//! Protection of the program's own file.
//!
//! A process in a container can reach the program that entered it as `/proc/PID/exe`, and a
//! program that the container executes by `#!/proc/self/exe` *is* that file (CVE-2019-5736). The
//! verbs that enter containers therefore run from a read-only clone of the mount that the program
//! lies on: it is detached, so nobody can make it writable again.

use crate::error::{Attempt, Error, Result};
use alloc::vec::Vec;
use sys::mount::{self, Attributes, MOUNT_ATTR_RDONLY};
use sys::{CStrings, CWD, fs};

/// `ST_RDONLY`.
const READ_ONLY: u64 = 1;

/// Starts the program again from a sealed copy, unless it already runs from one. Without the
/// rights or the kernel for a clone, a sealed copy in memory serves. Root goes no further without
/// either; another caller's file is protected by its owner.
pub fn ensure<S: AsRef<[u8]>>(args: &[S], env: &[S]) -> Result<()> {
    if sys::ids::euid() != 0 {
        return Ok(());
    }
    let attempt = || "protecting the program's own file from the container";
    let own = fs::open_at(CWD, "/proc/self/exe", fs::O_PATH, 0).attempt(attempt)?;
    if fs::statfs(&own).attempt(attempt)?.f_flags as u64 & READ_ONLY != 0 {
        return Ok(());
    }
    let (args, env) = (CStrings::new(args).attempt(attempt)?, CStrings::new(env).attempt(attempt)?);
    if let Ok(clone) = mount::clone_tree(&own, "", false) {
        let change = Attributes { set: u64::from(MOUNT_ATTR_RDONLY), ..Attributes::default() };
        if mount::set_attributes(&clone, change, false).is_ok() {
            execute(&clone, &args, &env);
        }
    }
    if is_memory_file(&own) {
        return Ok(());
    }
    let errno = match copy_to_memory() {
        Ok(copy) => execute(&copy, &args, &env),
        Err(errno) => errno,
    };
    Err(Error::os(attempt(), errno)
        .with_hint("it needs open_tree and mount_setattr, or memfd_create; or a read-only mount"))
}

/// Returns only on error.
fn execute(file: &sys::Fd, args: &CStrings, env: &CStrings) -> sys::Errno {
    match sys::process::exec_fd(file, args, env) {
        // Without execveat.
        sys::Errno::ENOSYS | sys::Errno::EPERM => {
            sys::process::exec(crate::procfs::fd_path(file), args, env)
        }
        errno => errno,
    }
}

/// Whether the program already is the copy in memory.
fn is_memory_file(own: &sys::Fd) -> bool {
    let path = alloc::format!("/proc/self/fd/{}", own.raw());
    fs::read_link(CWD, path).is_ok_and(|name| name.starts_with(b"/memfd:"))
}

fn copy_to_memory() -> sys::Result<sys::Fd> {
    let own = fs::open_read("/proc/self/exe")?;
    let copy = fs::memory_file("tare", true)?;
    let mut buffer: Vec<u8> = alloc::vec![0; 1 << 16];
    loop {
        match fs::read(&own, &mut buffer)? {
            0 => break,
            count => fs::write_all(&copy, &buffer[..count])?,
        }
    }
    fs::seal(&copy)?;
    Ok(copy)
}
