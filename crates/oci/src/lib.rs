//! OCI documents as plain values.
//!
//! [`runtime`] holds what the [runtime specification] 1.3 defines for Linux: the configuration of
//! a bundle, the state a runtime reports and the features it announces. [`image`] holds the
//! documents of images, OCI's and docker's; [`Reference`] and [`Digest`] are what images are called
//! by. [`json`] reads documents and says *where* in one of them a value is wrong.
//!
//! The crate is `no_std` so that the runtime, which starts without libc, can use it. It does no I/O
//! and does not hash.
//!
//! [runtime specification]: https://github.com/opencontainers/runtime-spec
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod base64;
pub mod digest;
mod error;
pub mod image;
pub mod json;
mod map;
pub mod reference;
pub mod runtime;

pub use digest::{Algorithm, AnyDigest, Digest};
pub use error::{Error, ErrorKind};
pub use map::{Map, sort_by};
pub use reference::Reference;
