//! Scheduling, priorities, resource limits, memory policy.

use crate::arch::call;
use crate::errno::Result;
use linux_raw_sys::general::rlimit64;

/// Argument of `sched_setattr(2)` (`struct sched_attr`, version 0).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "sched_setattr(2) documents each field")]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `sched_setattr(2)` for the calling thread; `size` is filled in.
pub fn set_scheduler(attr: SchedAttr) -> Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..attr };
    // SAFETY: `attr` is a structure that carries its own size.
    unsafe { call!(__NR_sched_setattr, 0, &raw const attr, 0) }.map(drop)
}

/// Binds the calling thread to the CPUs whose bits are set.
pub fn set_affinity(mask: &[u64]) -> Result<()> {
    // SAFETY: the mask is readable for the length given.
    unsafe { call!(__NR_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) }.map(drop)
}

/// Fills `mask` with the CPUs that the calling thread may use; returns the bytes written.
pub fn affinity(mask: &mut [u64]) -> Result<usize> {
    // SAFETY: the mask is writable for the length given.
    unsafe { call!(__NR_sched_getaffinity, 0, size_of_val(mask), mask.as_mut_ptr()) }
}

/// `ioprio_set(2)` for the calling process; `value` has the class in bits 13 to 15.
pub fn set_io_priority(value: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: u32 = 1;
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) }.map(drop)
}

/// `prlimit64(2)` for the calling process.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    set_limit_of(0, resource, soft, hard)
}

/// `prlimit64(2)` for process `pid` (0: the caller).
pub fn set_limit_of(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is readable; a NULL old limit is not filled.
    unsafe { call!(__NR_prlimit64, pid, resource, &raw const limit, 0) }.map(drop)
}

/// The (soft, hard) limit of the calling process.
pub fn limit(resource: u32) -> Result<(u64, u64)> {
    let mut limit = rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable; a NULL new limit changes nothing.
    unsafe { call!(__NR_prlimit64, 0, resource, 0, &raw mut limit)? };
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// `set_mempolicy(2)`; an empty mask is passed as NULL.
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> Result<()> {
    let pointer = if nodes.is_empty() { core::ptr::null() } else { nodes.as_ptr() };
    // The kernel wants the number of bits plus one.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    // SAFETY: the mask is NULL or readable for the bits given (rounded up to whole words).
    unsafe { call!(__NR_set_mempolicy, mode, pointer, bits) }.map(drop)
}
