//! Layers: what is in them, how they are packed, and how they become a tree and a tree becomes one.
//!
//! - [`tar`] reads archives entry by entry.
//! - [`apply`] makes a tree of them.
//!
//! *Invariants: every byte that comes in is untrusted; every size, count and depth has a named
//! [`limits`]; a refusal is an [`Error`] that names the entry; nothing is written outside of the
//! directory that was given, whatever an archive says.*

mod acl;
pub mod apply;
mod error;
pub mod limits;
mod path;
pub mod tar;

pub use error::{Error, Kind, Result};
pub use limits::Limits;
pub use path::TreePath;
