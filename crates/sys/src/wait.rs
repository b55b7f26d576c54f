//! Waiting: for children, and for descriptors.

use crate::arch::call;
use crate::errno::{Errno, Result};
use crate::fd::AsFd;
pub use linux_raw_sys::general::{POLLERR, POLLHUP, POLLIN, POLLOUT};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// From what the kernel reports of an ended process.
    fn from_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) & 0xff),
            signal => Self::Signal(signal),
        }
    }

    /// The code that a shell reports: a signal is 128 plus its number.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Waits for child `pid` (-1: any) to end; returns which one did. `None`: `block` is false and
/// none has.
pub fn child(pid: i32, block: bool) -> Result<Option<(i32, Exit)>> {
    const WNOHANG: u32 = 1;
    /// Children with another exit signal than SIGCHLD, such as siblings, are waited for too.
    const WALL: u32 = 0x4000_0000;
    let options = WALL | if block { 0 } else { WNOHANG };
    let mut status = 0i32;
    loop {
        // SAFETY: `status` is writable; NULL usage is not filled.
        match unsafe { call!(__NR_wait4, pid, &raw mut status, options, 0) } {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(0) => return Ok(None),
            Ok(ended) => return Ok(Some((ended as i32, Exit::from_status(status)))),
        }
    }
}

/// Which child has ended, and how, without taking notice: it stays to be waited for. `None`: none.
pub fn peek() -> Result<Option<(i32, Exit)>> {
    const P_ALL: u32 = 0;
    /// `WNOHANG | WEXITED | WNOWAIT | __WALL`.
    const OPTIONS: u32 = 1 | 4 | 0x0100_0000 | 0x4000_0000;
    const CLD_EXITED: i32 = 1;
    // `siginfo_t`: 128 bytes with si_code, si_pid and si_status at 8, 16 and 24 bytes.
    let mut info = [0i32; 32];
    // SAFETY: `info` is writable and as large as `siginfo_t`; NULL usage is not filled.
    unsafe { call!(__NR_waitid, P_ALL, 0, info.as_mut_ptr(), OPTIONS, 0)? };
    let (code, ended, status) = (info[2], info[4], info[6]);
    Ok(match code {
        _ if ended == 0 => None,
        CLD_EXITED => Some((ended, Exit::Code(status))),
        _ => Some((ended, Exit::Signal(status))),
    })
}

/// How the process of a pidfd ended, once somebody has waited for it. `None`: nobody has, or the
/// kernel (before 6.15) does not remember.
pub fn ended(pidfd: impl AsFd) -> Option<Exit> {
    /// `PIDFD_GET_INFO` with a `struct pidfd_info` of 64 bytes.
    const GET_INFO: u32 = 0xc040_ff0b;
    /// `PIDFD_INFO_EXIT`
    const EXIT: u64 = 1 << 3;
    let mut info = [EXIT, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: `info` is writable and as large as the request's number says.
    unsafe { call!(__NR_ioctl, pidfd.fd(), GET_INFO, info.as_mut_ptr()) }.ok()?;
    // The kernel says which fields it has filled; the exit's is the last word.
    (info[0] & EXIT != 0).then(|| Exit::from_status((info[7] >> 32) as i32))
}

/// What a child and those of its descendants that were waited for have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time, in microseconds.
    pub cpu_us: u64,
    /// Peak resident memory of the largest of them, in KiB.
    pub peak_kib: u64,
}

/// Waits for child `pid` to end; returns how it did and what it used.
pub fn child_usage(pid: i32) -> Result<(Exit, Usage)> {
    let mut status = 0i32;
    // `struct rusage`: two `timeval`s, then maxrss and 13 more numbers.
    let mut usage = [0i64; 18];
    loop {
        // SAFETY: both are writable, the second as large as `struct rusage`.
        match unsafe { call!(__NR_wait4, pid, &raw mut status, 0, usage.as_mut_ptr()) } {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => break,
        }
    }
    let cpu_us = (usage[0] + usage[2]) as u64 * 1_000_000 + (usage[1] + usage[3]) as u64;
    Ok((Exit::from_status(status), Usage { cpu_us, peak_kib: usage[4] as u64 }))
}

/// One descriptor to wait for (`struct pollfd`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PollFd {
    fd: i32,
    events: i16,
    ready: i16,
}

impl PollFd {
    /// Waits for `POLL*` events.
    pub fn new(fd: impl AsFd, events: u32) -> Self {
        Self { fd: fd.fd(), events: events as i16, ready: 0 }
    }

    /// Waits for nothing; keeps an array's shape.
    pub fn none() -> Self {
        Self { fd: -1, events: 0, ready: 0 }
    }

    /// The events that came, `POLLERR` and `POLLHUP` included.
    pub fn ready(&self) -> u32 {
        self.ready as u16 as u32
    }
}

/// Waits until a descriptor is ready or the time is over; returns how many are.
/// `None` waits for ever. A signal is not an error, and may end the wait early with 0.
pub fn poll(fds: &mut [PollFd], timeout_ms: Option<u64>) -> Result<usize> {
    let time = timeout_ms.map(|ms| [(ms / 1000) as i64, (ms % 1000 * 1_000_000) as i64]);
    let pointer = time.as_ref().map_or(core::ptr::null(), |time| time.as_ptr());
    // SAFETY: the array is writable for the count given; the time is NULL or a `timespec`.
    match unsafe { call!(__NR_ppoll, fds.as_mut_ptr(), fds.len(), pointer, 0, 0) } {
        Err(Errno::EINTR) => {
            fds.iter_mut().for_each(|fd| fd.ready = 0);
            Ok(0)
        }
        result => result,
    }
}
