//! A program without libc: entry point, heap, memory functions, panic handler.
//!
//! Static glibc needs 0.6 ms to start on a virtual machine, nearly all of it in CPUID traps. A
//! container runtime starts on every `exec` probe, so it starts by itself: the kernel enters
//! [`entry!`]'s `_start`, the program relocates itself and calls its `main`.
//!
//! The features that this takes are on only in the program that wants them (feature `rt`); a
//! program with libc must not enable it.

mod heap;
mod memory;
mod start;

pub use heap::Heap;
pub use start::Arguments;

#[doc(hidden)]
pub use start::begin;

use core::fmt::Write;

/// Declares the entry point, allocator and panic handler of a program without libc. `$main` is a
/// `fn(Arguments) -> i32`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[global_allocator]
        static HEAP: $crate::rt::Heap = $crate::rt::Heap::new();

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "C" fn tare_main(stack: *const usize) -> ! {
            $crate::process::exit($main($crate::rt::begin(stack)))
        }

        #[panic_handler]
        fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::rt::panic(info)
        }
    };
}

/// Writes the panic's message to standard error and ends the process with status 134, which is
/// what a shell shows for an abort.
pub fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Stderr, "internal error: {info}");
    crate::process::exit(134)
}

struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        crate::fs::write_all(crate::BorrowedFd::from_raw(2), text.as_bytes())
            .map_err(|_| core::fmt::Error)
    }
}
