//! Images on their way: into the store, out of it, and from one place to another.
//!
//! - [`pull()`] brings an image from any [`transport::Source`] into the store, each layer in one pass.
//! - [`Stored`] is an image of the store as a source: whatever copies images can copy it from there.
//! - [`copy()`] brings an image from a source to a [`transport::Sink`], in another form if need be.
//! - [`list`] says which images there are, [`View`] what is known of one.
//! - [`Draft`] is an image that is being made in the store: changes, layers, another base.
//! - [`List`] is an index that is being put together, [`Scattered`] one as a source.
//! - [`NewArtifact`] is files that become an artifact, [`extract()`] writes them again.
//! - [`find`] is how users name an image of the store; [`layer_keys`] says what its layers are there.
//!
//! *Invariants: nothing of an image is used before the caller's [`Gate`] has let it through; what has a
//! digest is verified before anybody can find it; a digest is never changed without saying why.*

mod artifact;
mod change;
mod chunked;
mod configuration;
mod copy;
mod diff;
mod draft;
mod error;
mod extract;
mod find;
mod flatten;
mod gate;
mod instances;
mod keys;
mod list;
mod merged;
mod mount;
mod mutate;
mod overview;
mod pipe;
mod progress;
mod pull;
mod referrers;
mod rewrite;
mod scattered;
mod schema1;
mod similar;
mod spool;
mod stored;
#[cfg(test)]
mod tests;
mod time;
mod unpack;
mod view;

pub use artifact::{Artifact, NewArtifact, Part, TITLE, UNKNOWN_ARTIFACT, UNKNOWN_CONFIG};
pub use change::{Change, apply_changes};
pub use configuration::Configuration;
pub use copy::{
    Compression, Copied, CopyOptions, GZIP_LEVEL, Layers, OpenOrigin, copy, copy_beside,
};
pub use diff::{ChangeKind, Differing, Times, diff};
pub use draft::{Draft, Made, Naming};
pub use error::{Error, Kind, Result};
pub use extract::{ArtifactFile, Existing, Which, artifact_files, extract, extract_to};
pub use find::{By, Found, anonymous_name, find};
pub use gate::Gate;
pub use instances::Instances;
pub use keys::layer_keys;
pub use list::{List, Said};
pub use mount::mount;
pub use mutate::{
    BASE_DIGEST, BASE_NAME, annotate, flatten_layers, open_document, open_image, rebase,
};
pub use overview::{LayerFacts, Overview};
pub use progress::{Bar, End, Progress, Silent, Step};
pub use pull::{PullOptions, Pulled, pull};
pub use referrers::{Beside, Referrer};
pub use scattered::{OpenPlace, Scattered};
pub use schema1::OpenTemporary;
pub use stored::{Stored, rebuild_layer};
pub use time::{parse_rfc3339, rfc3339};
pub use unpack::Rights;
pub use view::{Listed, View, facts, list};
