//! Installing system call filters.

use crate::arch::call;
use crate::errno::{Errno, Result};
use crate::fd::Fd;

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
