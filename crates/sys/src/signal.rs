//! Signals.

use crate::arch::call;
use crate::errno::Result;
use crate::fd::Fd;
use linux_raw_sys::general::{SIG_BLOCK, SIG_SETMASK};

/// A set of signals, bit n-1 being signal n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);

    /// The set of these signals.
    pub fn of(signals: &[i32]) -> Self {
        Self(signals.iter().fold(0, |set, signal| set | 1 << (signal - 1)))
    }
}

fn change_mask(how: u32, set: SignalSet) -> Result<SignalSet> {
    let mut old = 0u64;
    // SAFETY: both sets are words of the size given.
    unsafe { call!(__NR_rt_sigprocmask, how, &raw const set.0, &raw mut old, 8)? };
    Ok(SignalSet(old))
}

/// Blocks signals; returns the mask that was.
pub fn block(set: SignalSet) -> Result<SignalSet> {
    change_mask(SIG_BLOCK, set)
}

/// Sets the mask; returns the mask that was.
pub fn set_mask(set: SignalSet) -> Result<SignalSet> {
    change_mask(SIG_SETMASK, set)
}

/// A descriptor that becomes readable when one of the (blocked) signals is pending.
pub fn signal_fd(set: SignalSet) -> Result<Fd> {
    const SFD_CLOEXEC: u32 = 0o2000000;
    const SFD_NONBLOCK: u32 = 0o4000;
    // SAFETY: the set is a word of the size given.
    unsafe { call!(__NR_signalfd4, -1i32, &raw const set.0, 8, SFD_CLOEXEC | SFD_NONBLOCK) }
        .map(|raw| Fd::from_raw(raw as i32))
}

/// What happened, and who caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The signal's number.
    pub signal: i32,
    /// Its sender, or the child that a SIGCHLD is about.
    pub pid: i32,
}

/// Reads one pending signal; `EAGAIN` when there is none.
pub fn read_signal(signal_fd: &Fd) -> Result<Received> {
    // `struct signalfd_siginfo` is 128 bytes: signo, errno, code, pid, ...
    let mut info = [0u32; 32];
    // SAFETY: the buffer is writable for the length given.
    unsafe { call!(__NR_read, signal_fd.raw(), info.as_mut_ptr(), size_of_val(&info))? };
    Ok(Received { signal: info[0] as i32, pid: info[3] as i32 })
}

/// Gives every signal its default action, ignored ones included: they would stay ignored over
/// an exec.
pub fn reset_all() {
    // `struct sigaction` of the kernel: handler, flags, restorer, mask. Zero is `SIG_DFL`.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the structure is readable and has the kernel's size; SIGKILL and SIGSTOP are
        // refused by the kernel, which is as it should be.
        let _ = unsafe { call!(__NR_rt_sigaction, signal, default.as_ptr(), 0, 8) };
    }
}

/// Ignores a signal.
pub fn ignore(signal: i32) -> Result<()> {
    const SIG_IGN: u64 = 1;
    let action = [SIG_IGN, 0, 0, 0];
    // SAFETY: the structure is readable and has the kernel's size.
    unsafe { call!(__NR_rt_sigaction, signal, action.as_ptr(), 0, 8) }.map(drop)
}

/// Lets signals end this process by a handler, which a pid namespace's first process needs: it gets
/// no signal that it has not asked for. An exec takes the handlers away.
pub fn exit_on(signals: &[i32]) {
    extern "C" fn exit(signal: i32) {
        crate::process::exit(128 + signal)
    }
    const SA_RESTORER: u64 = 0x0400_0000;
    let handler = exit as extern "C" fn(i32) as usize as u64;
    // x86-64 wants a restorer. It is never called, because the handler does not return.
    let action = [handler, SA_RESTORER, handler, 0];
    for &signal in signals {
        // SAFETY: the structure is readable and has the kernel's size; the handler only makes a
        // system call, which it may at any time, and does not return.
        let _ = unsafe { call!(__NR_rt_sigaction, signal, action.as_ptr(), 0, 8) };
    }
}

/// Signal names without `SIG`, from 1 on, with the aliases that the kernel's headers define.
const NAMES: [(&str, i32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// Number of the signal that a user wrote: `15`, `TERM`, `SIGTERM`, `sigterm`, `RTMIN+3`.
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(&(_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(number);
    }
    // glibc keeps the first two real-time signals for itself, so RTMIN is 34.
    let real_time = match name {
        "RTMIN" => 34,
        "RTMAX" => 64,
        _ => match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
            (Some(offset), _) => 34 + offset.parse::<u8>().ok().map(i32::from)?,
            (_, Some(offset)) => 64 - offset.parse::<u8>().ok().map(i32::from)?,
            _ => return None,
        },
    };
    (34..=64).contains(&real_time).then_some(real_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_named_in_every_usual_way() {
        for text in ["15", "TERM", "SIGTERM", "sigterm", "term"] {
            assert_eq!(parse(text), Some(15), "{text}");
        }
        assert_eq!(parse("RTMIN+3"), Some(37));
        assert_eq!(parse("SIGRTMAX-1"), Some(63));
        for text in ["0", "65", "-1", "", "SIG", "TERMS", "RTMIN+31", "RTMAX-31", "+"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
