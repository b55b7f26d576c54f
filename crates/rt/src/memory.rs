//! The memory functions that the compiler calls by name.
//!
//! Most calls are for a few dozen bytes, where `rep movsb` takes longer to start than to copy:
//! those go through registers, loading everything before storing anything, so that overlap does
//! not matter. Long ones are left to the microcode. Neither needs a look at the CPU's features,
//! which costs a trap on virtual machines. The loops are written in assembly, because the
//! compiler would turn them into calls of these very functions.

use core::arch::asm;

/// From here on `rep movsb` and `rep stosb` win over a loop of 16 bytes.
const LONG: usize = 512;

/// Copies at most 32 bytes, loading all of them before the first is stored.
///
/// # Safety
/// Both ranges are valid for `count` bytes; they may overlap.
#[inline(always)]
unsafe fn copy_short(to: *mut u8, from: *const u8, count: usize) {
    /// The first and the last `size_of::<T>()` bytes, which overlap or touch.
    ///
    /// # Safety
    /// `count` is at least the size of `T` and at most twice that, the ranges are valid.
    #[inline(always)]
    unsafe fn ends<T>(to: *mut u8, from: *const u8, count: usize) {
        let last = count - size_of::<T>();
        // SAFETY: both reads and writes are within the `count` bytes.
        unsafe {
            let head = from.cast::<T>().read_unaligned();
            let tail = from.add(last).cast::<T>().read_unaligned();
            to.cast::<T>().write_unaligned(head);
            to.add(last).cast::<T>().write_unaligned(tail);
        }
    }
    // SAFETY: each arm's count fits the type that it names; the ranges are the caller's promise.
    unsafe {
        match count {
            0 => {}
            1 => to.write(from.read()),
            2..=3 => ends::<u16>(to, from, count),
            4..=7 => ends::<u32>(to, from, count),
            8..=15 => ends::<u64>(to, from, count),
            _ => ends::<u128>(to, from, count),
        }
    }
}

/// # Safety
/// As `memcpy(3)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: both ranges are valid for `count` bytes (the caller's promise). The loop copies
    // pieces of 16 bytes in ascending order and the last 16 bytes, loaded first, again (so that it
    // also serves `memmove` to a lower address); the direction flag is clear by the ABI.
    unsafe {
        if count <= 32 {
            copy_short(to, from, count);
        } else if count < LONG {
            asm!(
                "movups {tail}, [{from} + {last}]",
                "2:",
                "movups {piece}, [{from} + {at}]",
                "movups [{to} + {at}], {piece}",
                "add {at}, 16",
                "cmp {at}, {last}",
                "jb 2b",
                "movups [{to} + {last}], {tail}",
                tail = out(xmm_reg) _,
                piece = out(xmm_reg) _, at = inout(reg) 0usize => _, last = in(reg) count - 16,
                from = in(reg) from, to = in(reg) to, options(nostack),
            );
        } else {
            asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _,
                 inout("rsi") from => _, options(nostack, preserves_flags));
        }
    }
    to
}

/// # Safety
/// As `memmove(3)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: both ranges are valid for `count` bytes (the caller's promise). Where the target
    // starts inside the source, copying goes from the end down to the first 16 bytes, which are
    // loaded before anything is stored.
    unsafe {
        if count <= 32 {
            copy_short(to, from, count);
        } else if (to as usize).wrapping_sub(from as usize) >= count {
            return memcpy(to, from, count);
        } else {
            asm!(
                "movups {first}, [{from}]",
                "2:",
                "movups {piece}, [{from} + {at} - 16]",
                "movups [{to} + {at} - 16], {piece}",
                "sub {at}, 16",
                "cmp {at}, 16",
                "ja 2b",
                "movups [{to}], {first}",
                first = out(xmm_reg) _, piece = out(xmm_reg) _, at = inout(reg) count => _,
                from = in(reg) from, to = in(reg) to, options(nostack),
            );
        }
    }
    to
}

/// # Safety
/// As `memset(3)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    let bytes = u64::from(value as u8) * 0x0101_0101_0101_0101;
    // SAFETY: the range is valid for `count` bytes (the caller's promise); each arm writes its
    // first and last bytes, which overlap or touch.
    unsafe {
        match count {
            0 => {}
            1..=7 => {
                let mut at = 0;
                while at < count {
                    to.add(at).write_volatile(value as u8);
                    at += 1;
                }
            }
            8..=16 => {
                to.cast::<u64>().write_unaligned(bytes);
                to.add(count - 8).cast::<u64>().write_unaligned(bytes);
            }
            17..LONG => {
                asm!(
                    "2:",
                    "mov [{to} + {at}], {bytes}",
                    "mov [{to} + {at} + 8], {bytes}",
                    "add {at}, 16",
                    "cmp {at}, {last}",
                    "jb 2b",
                    "mov [{to} + {last}], {bytes}",
                    "mov [{to} + {last} + 8], {bytes}",
                    at = inout(reg) 0usize => _, last = in(reg) count - 16,
                    to = in(reg) to, bytes = in(reg) bytes, options(nostack),
                );
            }
            _ => {
                asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _,
                     in("al") value as u8, options(nostack, preserves_flags));
            }
        }
    }
    to
}

/// # Safety
/// As `memcmp(3)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    let mut at = 0;
    // SAFETY: every read is within the `count` bytes, for which both ranges are valid (the caller's
    // promise). Single bytes are read volatile so that their loop stays a loop.
    unsafe {
        while at + 8 <= count {
            let a = left.add(at).cast::<u64>().read_unaligned();
            let b = right.add(at).cast::<u64>().read_unaligned();
            if a != b {
                // The lowest address counts most.
                return if a.swap_bytes() < b.swap_bytes() { -1 } else { 1 };
            }
            at += 8;
        }
        while at < count {
            let (a, b) = (left.add(at).read_volatile(), right.add(at).read_volatile());
            if a != b {
                return i32::from(a) - i32::from(b);
            }
            at += 1;
        }
    }
    0
}

/// # Safety
/// As `bcmp(3)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the same conditions.
    unsafe { memcmp(left, right, count) }
}

/// # Safety
/// As `strlen(3)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: `text` is a C string (the caller's promise), so the loop ends inside it.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

// The precompiled core library names these although nothing unwinds with `panic = "abort"`.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    sys::process::exit(134)
}

#[cfg(test)]
mod tests {
    /// Every length around the borders of the ways to copy, at every distance of overlap.
    #[test]
    fn copies_are_exact_at_every_length_and_overlap() {
        let lengths = (0..100).chain(super::LONG - 20..super::LONG + 20);
        for length in lengths {
            for distance in [0, 1, 2, 7, 8, 15, 16, 17, 31, 33, length / 2, length] {
                for forward in [true, false] {
                    let mut ours: Vec<u8> = (0..length + distance + 2).map(|at| at as u8).collect();
                    let mut expected = ours.clone();
                    let (from, to) = if forward { (1 + distance, 1) } else { (1, 1 + distance) };
                    expected.copy_within(from..from + length, to);
                    let base = ours.as_mut_ptr();
                    // SAFETY: both ranges lie in the vector.
                    unsafe { super::memmove(base.add(to), base.add(from), length) };
                    assert_eq!(ours, expected, "{length} {distance} {forward}");
                }
            }
        }
    }

    #[test]
    fn fills_are_exact() {
        for length in (0..100).chain(super::LONG - 20..super::LONG + 20) {
            let mut bytes = vec![1u8; length + 2];
            // SAFETY: the range lies in the vector.
            unsafe { super::memset(bytes.as_mut_ptr().add(1), 0x1a5, length) };
            assert!(bytes[1..=length].iter().all(|&byte| byte == 0xa5), "{length}");
            assert_eq!((bytes[0], bytes[length + 1]), (1, 1));
        }
    }

    #[test]
    fn comparisons_are_of_unsigned_bytes_from_the_first() {
        let compare = |left: &[u8], right: &[u8]| {
            assert_eq!(left.len(), right.len());
            // SAFETY: both have this length.
            let order = unsafe { super::memcmp(left.as_ptr(), right.as_ptr(), left.len()) };
            assert_eq!(order.signum(), left.cmp(right) as i32, "{left:?} {right:?}");
        };
        for length in 0..40 {
            let left = vec![7u8; length];
            compare(&left, &left);
            for at in 0..length {
                for byte in [0, 6, 8, 0x80, 0xff] {
                    let mut right = left.clone();
                    right[at] = byte;
                    if at + 1 < length {
                        right[at + 1] = 255 - byte;
                    }
                    compare(&left, &right);
                }
            }
        }
    }

    #[test]
    fn heap_blocks_are_aligned_apart_and_reused() {
        use core::alloc::{GlobalAlloc, Layout};
        let heap = crate::Heap::new();
        let mut blocks: Vec<(*mut u8, Layout)> = Vec::new();
        for round in 0..3 {
            for size in [1, 16, 17, 100, 4096, 32 * 1024, 32 * 1024 + 1, 200_000] {
                for align in [1, 8, 64, 4096] {
                    let layout = Layout::from_size_align(size, align).unwrap();
                    // SAFETY: the size is not zero.
                    let block = unsafe { heap.alloc_zeroed(layout) };
                    assert!(block.addr().is_multiple_of(align));
                    // SAFETY: the block is that large and zeroed.
                    let bytes = unsafe { core::slice::from_raw_parts_mut(block, size) };
                    assert!(bytes.iter().all(|&byte| byte == 0));
                    bytes.fill(round + 1);
                    blocks.push((block, layout));
                }
            }
            for (block, layout) in blocks.drain(..) {
                // SAFETY: it was allocated with this layout and nobody has written to it since.
                unsafe {
                    let bytes = core::slice::from_raw_parts(block, layout.size());
                    assert!(bytes.iter().all(|&byte| byte == round + 1));
                    heap.dealloc(block, layout);
                }
            }
        }
    }
}
