//! Users, groups, capabilities.

use crate::arch::call;
use crate::errno::Result;
use linux_raw_sys::prctl::{
    PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAP_AMBIENT_RAISE, PR_CAPBSET_DROP,
    PR_CAPBSET_READ, PR_SET_KEEPCAPS,
};

macro_rules! id_calls {
    ($( $(#[$meta:meta])* fn $name:ident = $nr:ident; )*) => { $(
        $(#[$meta])*
        pub fn $name() -> u32 {
            // SAFETY: no pointer is passed; the call cannot fail.
            unsafe { call!($nr) }.unwrap_or(0) as u32
        }
    )* };
}

id_calls! {
    /// The real user id.
    fn uid = __NR_getuid;
    /// The effective user id.
    fn euid = __NR_geteuid;
    /// The real group id.
    fn gid = __NR_getgid;
    /// The effective group id.
    fn egid = __NR_getegid;
}

/// Sets the real, effective and saved user id.
pub fn set_uid(uid: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_setresuid, uid, uid, uid) }.map(drop)
}

/// Sets the real, effective and saved group id.
pub fn set_gid(gid: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_setresgid, gid, gid, gid) }.map(drop)
}

/// Sets the user and group that files are made for, of the calling thread only. The kernel says nothing of a
/// failure (setfsuid(2)), so the caller's right to do it is the caller's to know.
pub fn set_file_owner(uid: u32, gid: u32) {
    // SAFETY: no pointer is passed; neither call fails.
    let _ = unsafe { call!(__NR_setfsgid, gid) };
    // SAFETY: as above.
    let _ = unsafe { call!(__NR_setfsuid, uid) };
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the array is readable for the count given.
    unsafe { call!(__NR_setgroups, groups.len(), groups.as_ptr()) }.map(drop)
}

/// The effective, permitted and inheritable sets, bit n being capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "capabilities(7) documents the sets")]
pub struct CapSets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two 32-bit words a set.
const CAP_HEADER: [u32; 2] = [0x2008_0522, 0];

/// `capset(2)` for the calling thread.
pub fn set_capabilities(sets: CapSets) -> Result<()> {
    let words = |shift: u32| {
        [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> shift) as u32)
    };
    let data = [words(0), words(32)];
    // SAFETY: the header has two words and the data two triples, as version 3 demands.
    unsafe { call!(__NR_capset, CAP_HEADER.as_ptr(), data.as_ptr()) }.map(drop)
}

/// `capget(2)` for the calling thread.
pub fn capabilities() -> Result<CapSets> {
    let mut data = [[0u32; 3]; 2];
    // SAFETY: the header has two words and the data two writable triples.
    unsafe { call!(__NR_capget, CAP_HEADER.as_ptr(), data.as_mut_ptr())? };
    let set = |index: usize| u64::from(data[0][index]) | u64::from(data[1][index]) << 32;
    Ok(CapSets { effective: set(0), permitted: set(1), inheritable: set(2) })
}

/// Whether this is root with root's rights over mounts and namespaces: in a container it has not
/// always got them.
pub fn is_administrator() -> bool {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    euid() == 0 && capabilities().is_ok_and(|sets| sets.effective & CAP_SYS_ADMIN != 0)
}

/// Keeps the permitted set over a change from root to another user.
pub fn set_keep_capabilities(on: bool) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_prctl, PR_SET_KEEPCAPS, usize::from(on), 0, 0, 0) }.map(drop)
}

/// Whether capability `number` is in the bounding set; `EINVAL` when the kernel does not know it.
pub fn bounding_has(number: u32) -> Result<bool> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_prctl, PR_CAPBSET_READ, number, 0, 0, 0) }.map(|value| value == 1)
}

/// Removes a capability from the bounding set.
pub fn bounding_drop(number: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_prctl, PR_CAPBSET_DROP, number, 0, 0, 0) }.map(drop)
}

/// Empties the ambient set.
pub fn ambient_clear() -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) }.map(drop)
}

/// Adds a capability to the ambient set.
pub fn ambient_raise(number: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) }.map(drop)
}
