//! Work inside of a network namespace, while the caller stays where it is.

use crate::error::{During, Error, Kind, Result};
use sys::{Errno, Fd, process};

/// The work is some system calls and buffers.
const STACK_BYTES: usize = 256 << 10;

/// Calls `work` in a network namespace, on a thread that ends with it: a thread that cannot return is no danger to
/// anybody, then.
pub(crate) fn inside<T: Send>(netns: &Fd, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let enter = move || {
            process::set_namespace(netns, process::CLONE_NEWNET)
                .during(|| "entering a network namespace".into())?;
            work()
        };
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, enter).during(|| "starting a thread".into())?;
        let broken = || Error::new(Kind::Os(Errno::EIO), "work in a network namespace was cut off");
        thread.join().unwrap_or_else(|_| Err(broken()))
    })
}

/// Whether this process may work in a network namespace: it has to have the rights of root over it.
pub fn may_enter(netns: &Fd) -> bool {
    inside(netns, || Ok(())).is_ok()
}

/// Sets a value of the calling thread's network namespace, below `/proc/sys/net`.
pub(crate) fn set_sysctl(path: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{path}");
    sys::fs::write_file(sys::CWD, &path, value).during(|| format!("writing {value} to {path}"))
}

/// Reads such a value; `None`: the kernel has no such thing.
pub(crate) fn sysctl(path: &str) -> Option<String> {
    let path = format!("/proc/sys/net/{path}");
    let text = sys::fs::read_file(sys::CWD, &path, 4096).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// Whether the kernel has IPv6.
pub(crate) fn has_v6() -> bool {
    sysctl("ipv6/conf/all/disable_ipv6").is_some_and(|value| value == "0")
}
