//! What docker before 1.10 reads of an archive: a directory for each layer, with a configuration that
//! names the one below, and `repositories` with the names.
//!
//! The layers in the directories are links to those that newer versions read. Newer versions do not
//! look at any of this.

use super::write::layer_name;
use crate::archives::Output;
use crate::error::Result;
use crate::hash::digest_of;
use oci::image::ImageConfig;
use oci::json::{Object, Raw, ToJson, Writer};
use oci::{Algorithm, Digest, Map, Reference, document};
use std::collections::BTreeMap;

/// The version of the directories.
const VERSION: &[u8] = b"1.0";

/// The names so far: repository, tag, directory.
#[derive(Default)]
pub(super) struct Legacy {
    repositories: BTreeMap<String, Map>,
}

document! {
    /// What the configuration of the uppermost layer takes from the image's.
    Top(snake) {
        architecture: Raw,
        config: Raw,
        container: Raw,
        container_config: Raw,
        created: Raw,
        docker_version: Raw,
        os: Raw,
    }
}

impl Legacy {
    /// Writes the directories of an image.
    pub fn add(
        &mut self,
        output: &mut Output,
        config: &[u8],
        layers: &[Digest],
        names: &[Reference],
    ) -> Result<()> {
        let diff_ids = ImageConfig::read(config)?.rootfs.diff_ids;
        let top = oci::json::read::<Top>(config).unwrap_or_default();
        let none = Top::default();
        let mut chain = String::new();
        let mut parent = String::new();
        for (index, (layer, diff_id)) in layers.iter().zip(&diff_ids).enumerate() {
            chain = match chain.is_empty() {
                true => diff_id.to_string(),
                false => sha256(&format!("{chain} {diff_id}")).to_string(),
            };
            let top = if index + 1 == layers.len() { &top } else { &none };
            // An ID is the digest of everything that is below it and with it.
            let id = sha256(&layer_config(top, "layer_id", &chain, &parent)).hex();
            if !output.has(&format!("{id}/VERSION")) {
                output.link(&format!("{id}/layer.tar"), &format!("../{}", layer_name(layer)))?;
                let config = layer_config(top, "id", &id, &parent);
                output.bytes(&format!("{id}/json"), config.as_bytes())?;
                output.bytes(&format!("{id}/VERSION"), VERSION)?;
            }
            parent = id;
        }
        if !parent.is_empty() {
            for name in names {
                let tags = self.repositories.entry(name.name().to_owned()).or_default();
                tags.insert(name.tag().unwrap_or_default().to_owned(), parent.clone());
            }
        }
        Ok(())
    }

    /// Writes the names.
    pub fn finish(&self, output: &mut Output) -> Result<()> {
        let mut writer = Writer::compact();
        writer.open('{');
        for (name, tags) in &self.repositories {
            writer.key(name);
            tags.write(&mut writer);
        }
        writer.close('}');
        output.bytes("repositories", writer.finish().as_bytes())
    }
}

fn sha256(text: &str) -> Digest {
    digest_of(Algorithm::Sha256, text.as_bytes())
}

fn layer_config(top: &Top, id_key: &str, id: &str, parent: &str) -> String {
    let (id, parent) = (id.to_owned(), parent.to_owned());
    oci::json::write(&Object(&[
        ("architecture", &top.architecture),
        ("config", &top.config),
        ("container", &top.container),
        ("container_config", &top.container_config),
        ("created", &top.created),
        ("docker_version", &top.docker_version),
        (id_key, &id),
        ("os", &top.os),
        ("parent", &parent),
    ]))
}
