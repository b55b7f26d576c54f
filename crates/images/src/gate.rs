//! Who is asked before anything of an image is used.

use crate::error::Result;
use oci::image::Document;
use transport::policy::Scopes;

/// Decides which images are let through: `policy.json`, and what else a caller knows.
///
/// It is asked once for each manifest that is used, before anything that the manifest names is read.
pub trait Gate: Sync {
    /// Lets an image through or says why not.
    fn check(&self, scopes: &Scopes, manifest: &Document) -> Result<()>;
}

impl Gate for transport::policy::Policy {
    fn check(&self, scopes: &Scopes, _manifest: &Document) -> Result<()> {
        Ok(Self::check(self, scopes)?)
    }
}
