//! What is mirrored: skopeo's YAML files, and which tags of a repository are meant.

mod file;
mod filter;
mod version;

pub use file::{Read, Registry, Repository, Wanted};
pub use filter::Filter;
