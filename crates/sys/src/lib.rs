//! The wall between the project and the kernel.
//!
//! *Architecture invariant: every `unsafe` block of the project is in this crate, or in `rt`, which
//! stands in for libc in programs that have none.* The functions
//! here are thin: one system call each, with Rust types for what goes in and comes out, and
//! [`Errno`] for what the kernel says. Nothing here decides anything; fallbacks for older kernels
//! live with the code that knows what they mean.
//!
//! The crate is `no_std` and does not use libc: `tare-runtime` starts in a tenth of the time that
//! libc needs, and a child that shares or has copied a process's memory can call any
//! function here, because none of them takes a lock or allocates behind the caller's back except
//! where it returns a `Vec`.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod arch;
pub mod bpf;
mod cstr;
pub mod entry;
pub mod errno;
mod fd;
pub mod fs;
pub mod ids;
pub mod inet;
pub mod memory;
pub mod mount;
pub mod process;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod time;
pub mod tty;
pub mod wait;
pub mod xattr;

pub use cstr::CStrings;
pub use errno::{Errno, Result};
pub use fd::{AsFd, BorrowedFd, CWD, Fd};
