//! Taking images away.
//!
//! A tag and a manifest are two things: other tags, indexes and people may still know the manifest. The
//! distribution specification lets a registry take away a tag alone; those before 1.1 mostly cannot.

use super::Registry;
use super::http::Request;
use super::session::Access;
use crate::error::{Error, ErrorKind, Result};
use oci::Digest;

/// Most tags of a repository that are looked at before a manifest is taken away for one of them.
const TAGS_LIMIT: usize = 1000;

/// What went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The tag alone.
    Tag,
    /// The manifest, which nothing else led to.
    Manifest(Digest),
}

impl Registry {
    /// Removes a manifest, with all the tags that stand for it.
    pub fn delete(&self, digest: &Digest) -> Result<()> {
        let digest = digest.to_string();
        let request = Request::delete(self.address(&format!("manifests/{digest}")));
        let answer = self.session.send(&request, &Access::delete(&self.repository))?;
        match answer.status {
            404 => Err(self.not_found(&format!("manifest {digest}"))),
            405 => {
                let text = format!("{}: the registry does not let anybody delete", self.name);
                Err(Error::new(ErrorKind::Unsupported, text).with_hint(
                    "its administrator can allow it: docker's registry by \
                     `storage.delete.enabled: true`",
                ))
            }
            _ => answer.expect(&[202, 200, 204], "delete the manifest").map(drop),
        }
    }

    /// Takes a tag away. Where the registry cannot do that, the manifest is removed, if nothing else that
    /// has a tag leads to it.
    pub fn untag(&self, tag: &str) -> Result<Deleted> {
        let request = Request::delete(self.address(&format!("manifests/{tag}")));
        let answer = self.session.send(&request, &Access::delete(&self.repository))?;
        match answer.status {
            404 => return Err(self.not_found(&format!("tag {tag}"))),
            // Docker's registry: "provided digest did not match", as a tag is none.
            400 | 405 | 501 => {}
            _ => {
                answer.expect(&[202, 200, 204], "take the tag away")?;
                return Ok(Deleted::Tag);
            }
        }
        let found = self.resolve(tag)?.ok_or_else(|| self.not_found(&format!("tag {tag}")))?;
        let digest = *found.verifiable()?;
        let others = self.leading_to(&digest, tag)?;
        if !others.is_empty() {
            let text = format!(
                "{}: the registry cannot take away a tag alone, and {} would lose its image, too",
                self.name,
                others.join(", ")
            );
            return Err(Error::new(ErrorKind::Unsupported, text)
                .with_hint("`--digest` removes the image with all that leads to it"));
        }
        self.delete(&digest)?;
        Ok(Deleted::Manifest(digest))
    }

    /// The other tags that a manifest goes with: its own, and those of indexes that name it.
    fn leading_to(&self, digest: &Digest, besides: &str) -> Result<Vec<String>> {
        let tags = self.tags()?;
        if tags.len() > TAGS_LIMIT {
            let text = format!(
                "{}: the registry cannot take away a tag alone, and there are {} tags, too many to see \
                 what would go with it",
                self.name,
                tags.len()
            );
            return Err(Error::new(ErrorKind::Unsupported, text)
                .with_hint("`--digest` removes the image with all that leads to it"));
        }
        let mut others = Vec::new();
        for tag in tags.into_iter().filter(|tag| tag != besides) {
            // Somebody else may have taken it away by now.
            let Some(found) = self.resolve(&tag)? else { continue };
            let is_same = found.digest == (*digest).into();
            let names = || -> Result<bool> {
                if !matches!(found.kind(), oci::image::MediaType::Index(_)) {
                    return Ok(false);
                }
                let index = self.manifest(&tag, None)?;
                let children = index.index().map(|it| &it.manifests[..]).unwrap_or_default();
                Ok(children.iter().any(|child| child.digest == (*digest).into()))
            };
            if is_same || names()? {
                others.push(tag);
            }
        }
        Ok(others)
    }
}
