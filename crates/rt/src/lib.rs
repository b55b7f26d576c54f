//! A program without libc: entry point, heap, memory functions, panic handler.
//!
//! Static glibc needs 0.6 ms to start on a virtual machine, nearly all of it in CPUID traps. A
//! container runtime starts on every `exec` probe, so it starts by itself: the kernel enters
//! [`entry!`]'s `_start`, the program relocates itself and calls its `main`.
//!
//! It is a crate of its own because its symbols are libc's: a program with libc must not link it,
//! and cargo features would reach every program that is built at the same time.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod heap;
#[cfg_attr(test, expect(dead_code, reason = "some are only called by name"))]
mod memory;
#[cfg(not(test))]
mod start;

pub use heap::Heap;
#[cfg(not(test))]
pub use start::Arguments;

#[cfg(not(test))]
#[doc(hidden)]
pub use start::begin;
#[doc(hidden)]
pub use sys::process::exit;

use core::fmt::Write;

/// Declares the entry point, allocator and panic handler of a program without libc. `$main` is a
/// `fn(Arguments) -> i32`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[global_allocator]
        static HEAP: $crate::Heap = $crate::Heap::new();

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "C" fn tare_main(stack: *const usize) -> ! {
            // SAFETY: only `_start` calls this, with the stack pointer that it was entered with.
            let arguments = unsafe { $crate::begin(stack) };
            $crate::exit($main(arguments))
        }

        #[panic_handler]
        fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::panic(info)
        }
    };
}

/// Writes the panic's message to standard error and ends the process with status 134, which is
/// what a shell shows for an abort.
pub fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Stderr, "internal error: {info}");
    exit(134)
}

/// Says that the kernel has no more memory, and ends the process with status 1.
fn exhausted(bytes: usize) -> ! {
    let _ = writeln!(Stderr, "error: out of memory: the kernel refused {bytes} more bytes");
    exit(1)
}

struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        sys::fs::write_all(sys::BorrowedFd::from_raw(2), text.as_bytes())
            .map_err(|_| core::fmt::Error)
    }
}
