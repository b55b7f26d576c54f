//! Layers: what is in them, how they are packed, and how they become a tree and a tree becomes one.
//!
//! - [`tar`] reads archives entry by entry.
//! - [`apply`] makes a tree of them, [`pack`] entries of a tree or of what has changed in it.
//! - [`compression`] unpacks what comes and packs what goes.
//! - [`pass()`] does everything that is to be done with a stream at once.
//! - [`index`] keeps what an archive was besides its files' contents, so that it can be had again.
//!
//! *Invariants: every byte that comes in is untrusted; every size, count and depth has a named
//! [`limits`]; a refusal is an [`Error`] that names the entry; nothing is written outside of the
//! directory that was given, whatever an archive says.*

mod acl;
pub mod apply;
pub mod compression;
mod digest;
mod error;
pub mod index;
pub mod limits;
pub mod pack;
mod pass;
mod path;
pub mod tar;

pub use digest::{Sum, Summary, Summing};
pub use error::{Error, Kind, Result};
pub use limits::Limits;
pub use pass::{Blocks, Passed, Sums, pass};
pub use path::TreePath;
