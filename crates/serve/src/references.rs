//! What a manifest names.

use oci::Digest;
use oci::image::{Content, Descriptor, Document, MediaType};
use oci::json::{Failed, FromJson, Reader};

/// What a manifest needs and refers to.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Configuration and layers that a registry keeps.
    pub(crate) blobs: Vec<Digest>,
    /// What an index leads to.
    pub(crate) children: Vec<Digest>,
    /// What it refers to, and what the list of referrers says of it.
    pub(crate) referrer: Option<(Digest, Descriptor)>,
}

/// What a manifest needs. One of a kind that is not kept here is refused.
pub(crate) fn of(document: &Document) -> Result<References, oci::Error> {
    let mut found = References::default();
    let mut entry = document.descriptor();
    let subject = match document.content() {
        Content::Manifest(manifest) => {
            found.blobs.push(*manifest.config.verifiable()?);
            for layer in manifest.layers.iter().filter(|layer| is_kept_here(layer)) {
                found.blobs.push(*layer.verifiable()?);
            }
            entry.annotations = manifest.annotations.clone();
            entry.artifact_type = match manifest.artifact_type.is_empty() {
                true => manifest.config.media_type.clone(),
                false => manifest.artifact_type.clone(),
            };
            manifest.subject.as_ref()
        }
        Content::Index(index) => {
            for child in &index.manifests {
                found.children.push(*child.verifiable()?);
            }
            entry.annotations = index.annotations.clone();
            entry.artifact_type = index.artifact_type.clone();
            index.subject.as_ref()
        }
        Content::Schema1(_) | Content::Other => None,
    };
    found.blobs.sort_unstable();
    found.blobs.dedup();
    if let Some(subject) = subject {
        found.referrer = Some((*subject.verifiable()?, entry));
    }
    Ok(found)
}

/// Layers that registries may not keep, or that are somewhere else, need not be here.
fn is_kept_here(layer: &Descriptor) -> bool {
    let foreign = matches!(layer.kind(), MediaType::Layer(kind) if !kind.distributable);
    !foreign && layer.urls.is_empty()
}

/// Every digest in a manifest's text, whatever it means: what a collector keeps. `None` when it is not
/// JSON.
pub(crate) fn all(text: &[u8]) -> Option<Vec<Digest>> {
    oci::json::read::<Digests>(text).ok().map(|found| found.0)
}

/// The strings of a document that are digests.
#[derive(Default)]
struct Digests(Vec<Digest>);

impl FromJson for Digests {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        match reader.peek() {
            b'{' => {
                reader.open(b'{')?;
                while reader.next_key()?.is_some() {
                    self.read(reader)?;
                }
            }
            b'[' => {
                reader.open(b'[')?;
                while reader.next_element()? {
                    self.read(reader)?;
                }
            }
            b'"' => self.0.extend(Digest::parse(&reader.string()?).ok()),
            _ => drop(reader.skip()?),
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_is_found_however_it_is_written() {
        let hex = "ab".repeat(32);
        let text = format!(
            r#"{{"a":"sha256:{hex}","b":[1,null,{{"c":["\u0073ha512:{hex}{hex}"]}},"x","sha256:{hex} "],"sha256:{hex}":true}}"#
        );
        let found = all(text.as_bytes()).unwrap();
        let short: Digest = format!("sha256:{hex}").parse().unwrap();
        let long: Digest = format!("sha512:{hex}{hex}").parse().unwrap();
        assert_eq!(found, [short, long]);
        assert_eq!(all(b"{"), None);
        assert_eq!(all(b"\"x\""), Some(Vec::new()));
        assert_eq!(all("[".repeat(100_000).as_bytes()), None);
    }
}
