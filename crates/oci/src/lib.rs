//! OCI documents as plain values.
//!
//! [`runtime`] holds what the [runtime specification] 1.3 defines for Linux: the configuration of
//! a bundle, the state a runtime reports and the features it announces. [`json`] reads them and
//! says *where* in the document a value is wrong.
//!
//! The crate is `no_std` so that the runtime, which starts without libc, can use it.
//!
//! [runtime specification]: https://github.com/opencontainers/runtime-spec
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod json;
mod map;
pub mod runtime;

pub use map::sort_by;
