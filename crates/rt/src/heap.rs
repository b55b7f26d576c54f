//! The heap of a program without libc.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use sys::memory;

/// Memory is taken from the kernel in pieces of this size, with their pages: a run of a container
/// needs three, and a fault for each page would take longer than the system calls.
const PIECE_BYTES: usize = 32 * 1024;
/// The first piece is part of the program: what starts only to start itself again from a sealed
/// copy needs no more, and pays for the pages that it touches.
const FIRST_BYTES: usize = 16 * 1024;
/// Freed blocks of up to this size are kept for reuse; larger ones come from the kernel and go
/// back to it, so that a program that runs for days does not grow.
const LARGEST_CLASS: usize = 16 * 1024;
const SMALLEST_CLASS: usize = 16;
const CLASSES: usize = (LARGEST_CLASS / SMALLEST_CLASS).ilog2() as usize + 1;

struct Inner {
    next: usize,
    end: usize,
    free: [*mut u8; CLASSES],
}

#[repr(align(16))]
#[expect(dead_code, reason = "used by address")]
struct First([u8; FIRST_BYTES]);

/// Blocks of powers of two, cut from the front of a piece; freed blocks are chained by size.
pub struct Heap {
    inner: UnsafeCell<Inner>,
    /// Apart from the rest: its blocks are handed out.
    first: UnsafeCell<First>,
}

// SAFETY: a program without libc has no way to start a thread (nothing in this crate makes one),
// so there is never a second user. A forked child has its own copy.
unsafe impl Sync for Heap {}

impl Heap {
    /// An empty heap.
    #[allow(clippy::new_without_default, reason = "it is only ever a static")]
    pub const fn new() -> Self {
        let inner = Inner { next: 0, end: 0, free: [null_mut(); CLASSES] };
        Self { inner: UnsafeCell::new(inner), first: UnsafeCell::new(First([0; FIRST_BYTES])) }
    }
}

/// Nobody here can go on without memory: the process ends with a sentence instead of a panic.
fn or_exhausted(block: *mut u8, bytes: usize) -> *mut u8 {
    if block.is_null() {
        crate::exhausted(bytes);
    }
    block
}

fn class_of(size: usize) -> usize {
    (size.max(SMALLEST_CLASS).next_power_of_two() / SMALLEST_CLASS).ilog2() as usize
}

// SAFETY: blocks are disjoint: each is cut once from a piece, or mapped for itself, and is handed
// out again only after it was freed. A class's block size is a power of two and pieces are
// page-aligned, so a block is aligned to its size where the cursor is rounded up to it.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size().max(layout.align());
        if size > LARGEST_CLASS {
            return or_exhausted(memory::map(size), size);
        }
        // SAFETY: there is one thread, and no reference outlives a call.
        let inner = unsafe { &mut *self.inner.get() };
        let class = class_of(size);
        let block = inner.free[class];
        if !block.is_null() {
            // SAFETY: a free block holds the address of the next one of its class.
            inner.free[class] = unsafe { block.cast::<*mut u8>().read() };
            return block;
        }
        let bytes = SMALLEST_CLASS << class;
        if inner.next == 0 {
            inner.next = self.first.get() as usize;
            inner.end = inner.next + FIRST_BYTES;
        }
        let align = layout.align().max(SMALLEST_CLASS);
        let start = inner.next.next_multiple_of(align);
        if start + bytes > inner.end {
            let piece = or_exhausted(memory::map_populated(PIECE_BYTES), PIECE_BYTES);
            inner.next = piece as usize + bytes;
            inner.end = piece as usize + PIECE_BYTES;
            return piece;
        }
        inner.next = start + bytes;
        start as *mut u8
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let size = layout.size().max(layout.align());
        if size > LARGEST_CLASS {
            // Fresh from the kernel: zeroed, and without pages until they are used.
            return or_exhausted(memory::map(size), size);
        }
        // SAFETY: the caller's promise about the layout; a block is at least as large as asked for.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let size = layout.size().max(layout.align());
        if size > LARGEST_CLASS {
            // SAFETY: the block was mapped for itself with this size.
            unsafe { memory::unmap(block, size) };
            return;
        }
        // SAFETY: there is one thread; the block is at least a pointer large and nobody's now.
        unsafe {
            let inner = &mut *self.inner.get();
            let class = class_of(size);
            block.cast::<*mut u8>().write(inner.free[class]);
            inner.free[class] = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let old = layout.size().max(layout.align());
        let new = new_size.max(layout.align());
        if old <= LARGEST_CLASS && new <= LARGEST_CLASS && class_of(old) == class_of(new) {
            return block;
        }
        if old > LARGEST_CLASS && new > LARGEST_CLASS && layout.align() <= 4096 {
            // SAFETY: the block was mapped for itself with this size.
            return or_exhausted(unsafe { memory::remap(block, old, new) }, new);
        }
        // SAFETY: the alignment was valid before, and the size is the caller's.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
