//! Calls that only cgroups need: eBPF for the device rules of cgroup v2, and the event counter
//! through which cgroup v1 tells of memory running out.

use crate::arch::call;
use crate::errno::{Errno, Result};
use crate::fd::{AsFd, Fd};
use alloc::vec::Vec;

/// One eBPF instruction (`struct bpf_insn`): `registers` has the source in its upper four bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of struct bpf_insn")]
pub struct Instruction {
    pub code: u8,
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

const PROG_LOAD: u32 = 5;
const PROG_ATTACH: u32 = 8;
const PROG_DETACH: u32 = 9;
const PROG_GET_FD_BY_ID: u32 = 13;
const PROG_QUERY: u32 = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Several programs may be attached; all must allow.
pub const ALLOW_MULTI: u32 = 2;
/// Replaces the program named by `replace`.
const F_REPLACE: u32 = 4;

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replace: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    /// Linux 6.17 to 7.1 write this field however small the structure that they were given.
    revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct GetAttr {
    id: u32,
    next_id: u32,
    flags: u32,
}

fn bpf<T>(command: u32, attr: &mut T) -> Result<usize> {
    // SAFETY: `attr` is a `repr(C)` prefix of union bpf_attr for the command, of the size given;
    // pointers in it were made by this module from slices that outlive the call.
    unsafe { call!(__NR_bpf, command, core::ptr::from_mut(attr), size_of::<T>()) }
}

/// Loads a device cgroup program.
pub fn load_device_program(instructions: &[Instruction], name: &str) -> Result<Fd> {
    let mut attr = LoadAttr {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache".as_ptr() as u64,
        ..LoadAttr::default()
    };
    let length = name.len().min(attr.name.len() - 1);
    attr.name[..length].copy_from_slice(&name.as_bytes()[..length]);
    bpf(PROG_LOAD, &mut attr).map(|raw| Fd::from_raw(raw as i32))
}

/// Attaches a device program to a cgroup directory, in the place of `replace` if given.
pub fn attach_device_program(
    cgroup: impl AsFd,
    program: impl AsFd,
    replace: Option<&Fd>,
) -> Result<()> {
    let mut attr = AttachAttr {
        target: cgroup.fd() as u32,
        program: program.fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI | if replace.is_some() { F_REPLACE } else { 0 },
        replace: replace.map_or(0, |fd| fd.raw() as u32),
    };
    bpf(PROG_ATTACH, &mut attr).map(drop)
}

/// Detaches a device program from a cgroup directory.
pub fn detach_device_program(cgroup: impl AsFd, program: impl AsFd) -> Result<()> {
    let mut attr = AttachAttr {
        target: cgroup.fd() as u32,
        program: program.fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        ..AttachAttr::default()
    };
    bpf(PROG_DETACH, &mut attr).map(drop)
}

/// The device programs attached to a cgroup directory itself (at most 64), without those that a
/// security module keeps from the caller.
pub fn device_programs(cgroup: impl AsFd) -> Result<Vec<Fd>> {
    let mut ids = [0u32; 64];
    let mut attr = QueryAttr {
        target: cgroup.fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        ..QueryAttr::default()
    };
    bpf(PROG_QUERY, &mut attr)?;
    let count = (attr.count as usize).min(ids.len());
    let open = |&id: &u32| match bpf(PROG_GET_FD_BY_ID, &mut GetAttr { id, ..GetAttr::default() }) {
        Ok(raw) => Some(Ok(Fd::from_raw(raw as i32))),
        Err(Errno::EPERM | Errno::EACCES) => None,
        Err(errno) => Some(Err(errno)),
    };
    ids[..count].iter().filter_map(open).collect()
}

/// An event counter (`eventfd2(2)`): readable (8 bytes, the count) when something has counted.
pub fn event_counter() -> Result<Fd> {
    const EFD_CLOEXEC: u32 = 0o2000000;
    const EFD_NONBLOCK: u32 = 0o4000;
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK) }
        .map(|raw| Fd::from_raw(raw as i32))
}
