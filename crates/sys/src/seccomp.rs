//! Installing system call filters.

use crate::arch::call;
use crate::errno::{Errno, Result};
use crate::fd::{AsFd, Fd};

/// One instruction of a filter (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of struct sock_filter")]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    filter: *const Instruction,
}

const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAIL: u32 = 2;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
pub const FLAG_NEW_LISTENER: u32 = 1 << 3;

/// `seccomp(SECCOMP_SET_MODE_FILTER)`. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` among the flags the
/// listener is returned.
pub fn install(instructions: &[Instruction], flags: u32) -> Result<Option<Fd>> {
    let length = u16::try_from(instructions.len()).map_err(|_| Errno::EINVAL)?;
    let program = Program { length, filter: instructions.as_ptr() };
    // SAFETY: `program` points at `length` instructions; the kernel checks what they do.
    let value = unsafe { call!(__NR_seccomp, SET_MODE_FILTER, flags, &raw const program)? };
    let listener = flags & FLAG_NEW_LISTENER != 0;
    Ok(listener.then(|| Fd::from_raw(value as i32)))
}

/// Whether the kernel knows filter flags `flags`.
pub fn flags_supported(flags: u32) -> bool {
    // SAFETY: NULL instead of a program: the kernel checks the flags first, then fails with
    // EFAULT where they are known.
    let result = unsafe { call!(__NR_seccomp, SET_MODE_FILTER, flags, 0) };
    result == Err(Errno::EFAULT)
}

/// Whether the kernel knows the filter action `action` (`SECCOMP_RET_*`).
pub fn action_supported(action: u32) -> bool {
    // SAFETY: the call reads one number.
    unsafe { call!(__NR_seccomp, GET_ACTION_AVAIL, 0, &raw const action) }.is_ok()
}

/// A system call that waits for a listener's answer (`struct seccomp_notif`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// Names this call in the answer.
    pub id: u64,
    /// The thread that makes it, as the listener's process sees it.
    pub pid: u32,
    flags: u32,
    /// Its number.
    pub number: i32,
    /// `AUDIT_ARCH_*` of the caller.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What becomes of a call that waits for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel carries it out.
    Continue,
    /// It fails.
    Fail(Errno),
}

/// Waits for the next call that a filter hands to `listener`. `ENOENT`: its caller is gone again.
pub fn receive(listener: impl AsFd) -> Result<Notice> {
    /// `SECCOMP_IOCTL_NOTIF_RECV`.
    const RECEIVE: u32 = 0xc050_2100;
    // The kernel wants to see zeros.
    let mut notice = Notice::default();
    // SAFETY: `notice` is a structure of the 80 bytes that the request's number says.
    unsafe { call!(__NR_ioctl, listener.fd(), RECEIVE, &raw mut notice)? };
    Ok(notice)
}

/// Answers the call that a [`Notice`] named. `ENOENT`: its caller is gone.
pub fn answer(listener: impl AsFd, id: u64, answer: Answer) -> Result<()> {
    /// `SECCOMP_IOCTL_NOTIF_SEND`.
    const SEND: u32 = 0xc018_2101;
    const FLAG_CONTINUE: u64 = 1;
    // id, value, then error and flags in one word.
    let error_and_flags = match answer {
        Answer::Continue => FLAG_CONTINUE << 32,
        Answer::Fail(errno) => u64::from((-errno.0) as u32),
    };
    let response = [id, 0, error_and_flags];
    // SAFETY: `response` has the 24 bytes of struct seccomp_notif_resp.
    unsafe { call!(__NR_ioctl, listener.fd(), SEND, response.as_ptr()) }.map(drop)
}
