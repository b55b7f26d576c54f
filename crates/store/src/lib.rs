//! Images and layers on disk.
//!
//! A store is a directory that any number of processes share through file locks alone. Kill any of
//! them at any time: nothing that was said to be done is lost, and what was half done is removed by
//! the next command.
//!
//! ```text
//! ROOT/store.json      format, feature flags, uuid; written last when a store is made
//! ROOT/gate, lock      the store's lock ([`lock`] has the order)
//! ROOT/names/HH/HASH   a name of an image; the file is called by the name's SHA-256
//! ROOT/blobs/ALGORITHM/HH/HEX
//!                      manifests, configurations, signatures: the bytes as they came
//! ROOT/layers/ALGORITHM-HEX[-PARENTS]/
//!                      meta.json, index, diff/
//! ROOT/containers/ID/  meta.json, upper/, work/
//! ROOT/staging/RANDOM/ work in flight; its flock says that somebody is at work, `needs` what the
//!                      garbage collector has to leave alone
//! ROOT/claims/DIGEST   who holds its flock fetches the digest
//! ROOT/trash/RANDOM/   to be unlinked; whoever holds its flock is at it
//! RUNROOT/UUID/mounts/ID/
//!                      record, and the place of a mount that nobody gave one
//! ```
//!
//! Content has its digest for a name, so it is never changed: it appears by a rename, and goes by one.
//! A layer is called by the digest of its tar, not of the chain of layers: the same layer on two
//! images is stored once.
//!
//! The whole argument is in `docs/internals/store.md`.

mod blob;
mod claim;
mod container;
mod error;
mod fault;
mod files;
mod fsck;
mod gc;
mod layer;
mod layout;
pub mod limits;
mod lock;
mod mark;
mod mounts;
mod name;
mod probe;
mod store;
mod trash;
mod work;

#[cfg(test)]
mod tests;

pub use blob::{Expected, digest_of};
pub use container::{Container, ContainerRecord, MountedImage};
pub use error::{Error, Kind, Result};
pub use files::{Durability, File};
pub use fsck::{Check, Finding, Problem, Rebuild};
pub use gc::{Amount, Collected, Usage};
pub use layer::{Layer, LayerFacts, LayerMeta, StagedLayer};
pub use layout::LayerKey;
pub use mounts::{Form, HeldMount, Mapping, MountRecord, Mounted, View};
pub use name::{ImageFacts, NameRecord};
pub use store::{Abilities, FORMAT, Options, Store, StoreRecord};
pub use trash::Garbage;
pub use work::Work;
