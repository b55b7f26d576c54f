//! Pages of memory.

use crate::arch::call;

/// Maps fresh zeroed memory; null where there is none.
pub fn map(bytes: usize) -> *mut u8 {
    const PROT_READ_WRITE: u32 = 3;
    const MAP_PRIVATE_ANONYMOUS: u32 = 0x22;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    unsafe { call!(__NR_mmap, 0, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1isize, 0) }
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
