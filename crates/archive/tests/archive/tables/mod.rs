//! The cases of the hostile corpus.

pub mod bombs;
pub mod headers;
pub mod links;
pub mod names;
pub mod peers;

use crate::craft::Craft;
use archive::Kind;

/// What has to become of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Refused(Kind),
    /// Taken; the file is in the tree.
    Has(&'static str),
    /// Taken; the file is not in the tree.
    Lacks(&'static str),
    /// Refused, for a reason that depends on the form.
    AnyRefusal,
}

pub use Fate::{AnyRefusal, Has, Lacks, Refused};

pub const CORRUPT: Fate = Refused(Kind::Corrupt);
pub const AMBIGUOUS: Fate = Refused(Kind::Ambiguous);
pub const UNSUPPORTED: Fate = Refused(Kind::Unsupported);
pub const LIMIT: Fate = Refused(Kind::Limit);
pub const DENIED: Fate = Refused(Kind::Denied);

pub type Case = (&'static str, Craft, Fate);

/// Where `outside` lies, seen from the root.
pub const OUT: &str = "../outside";

pub fn new() -> Craft {
    Craft::new()
}
