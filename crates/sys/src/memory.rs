//! Pages of memory.

use crate::arch::call;

const MAP_PRIVATE_ANONYMOUS: u32 = 0x22;
const MAP_POPULATE: u32 = 0x8000;

/// Maps fresh zeroed memory; null where there is none.
pub fn map(bytes: usize) -> *mut u8 {
    map_with(bytes, MAP_PRIVATE_ANONYMOUS)
}

/// [`map`] of memory that will be used at once: its pages are there without a fault for each.
pub fn map_populated(bytes: usize) -> *mut u8 {
    map_with(bytes, MAP_PRIVATE_ANONYMOUS | MAP_POPULATE)
}

fn map_with(bytes: usize, flags: u32) -> *mut u8 {
    const PROT_READ_WRITE: u32 = 3;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    unsafe { call!(__NR_mmap, 0, bytes, PROT_READ_WRITE, flags, -1isize, 0) }
        .map_or(core::ptr::null_mut(), |address| address as *mut u8)
}

/// Gives a mapping back.
///
/// # Safety
/// The range must come from [`map`] or [`remap`], and nothing may use it any more.
pub unsafe fn unmap(address: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    let _ = unsafe { call!(__NR_munmap, address, bytes) };
}

/// Changes the size of a mapping, which may move; null, and nothing changed, where it cannot.
///
/// # Safety
/// The range must come from [`map`] or [`remap`]; the old address is not valid afterwards.
pub unsafe fn remap(address: *mut u8, old_bytes: usize, new_bytes: usize) -> *mut u8 {
    const MREMAP_MAYMOVE: u32 = 1;
    // SAFETY: the caller's promise.
    unsafe { call!(__NR_mremap, address, old_bytes, new_bytes, MREMAP_MAYMOVE) }
        .map_or(core::ptr::null_mut(), |address| address as *mut u8)
}
