//! Who uses images: containers, and mounts.

use crate::failure::Result;
use images::{By, Found, Listed, View};
use oci::image::{Document, media_type};
use oci::{AnyDigest, Digest};
use std::collections::HashSet;
use store::{LayerKey, MountRecord, Store};

/// The users of the images of a store.
pub(crate) struct Users {
    /// Containers, the manifests and IDs of images that they were made from or mount, and the layers that they need.
    containers: Vec<(String, Vec<AnyDigest>, Vec<LayerKey>)>,
    mounts: Vec<MountRecord>,
}

impl Users {
    /// Reads the records. Those that cannot be read are the checker's to find.
    pub(crate) fn of(store: &Store) -> Result<Self> {
        let mut containers = Vec::new();
        let mut ids: Vec<(AnyDigest, Option<AnyDigest>)> = Vec::new();
        for id in store.containers()? {
            if let Ok(container) = store.container(&id) {
                let record = &container.record;
                let mut keys = record.keys().unwrap_or_default();
                keys.extend(record.mounted_keys().unwrap_or_default());
                let mounted = record.mounted.iter().map(|it| it.image.clone());
                let mut images: Vec<AnyDigest> = mounted.chain([record.image.clone()]).collect();
                // The same image may have come another way, with another manifest.
                for image in images.clone() {
                    if !ids.iter().any(|(known, _)| *known == image) {
                        ids.push((image.clone(), id_of(store, &image)));
                    }
                    let found = ids.iter().find(|(known, _)| *known == image);
                    images.extend(found.and_then(|(_, id)| id.clone()));
                }
                containers.push((id, images, keys));
            }
        }
        Ok(Self { containers, mounts: store.mounts()? })
    }

    /// The containers that were made from an image, or mount it.
    pub(crate) fn containers_of(&self, image: &Listed) -> Vec<&str> {
        let own =
            [AnyDigest::from(image.root), image.facts.manifest.clone(), image.facts.id.clone()];
        let all =
            self.containers.iter().filter(|(_, all, _)| all.iter().any(|it| own.contains(it)));
        all.map(|(id, _, _)| id.as_str()).collect()
    }

    /// Whether containers were made from the manifest of a digest, or mount it.
    pub(crate) fn has_containers_of(&self, manifest: &AnyDigest) -> bool {
        self.containers.iter().any(|(_, all, _)| all.contains(manifest))
    }

    /// The layers that containers need.
    pub(crate) fn layers(&self) -> HashSet<LayerKey> {
        self.containers.iter().flat_map(|(_, _, keys)| keys).copied().collect()
    }

    /// The mounts of an image, of no container: the newest last.
    pub(crate) fn mounts_of(&self, view: &View) -> Vec<&MountRecord> {
        let Ok(layers) = view.all_layers() else { return Vec::new() };
        let names: Vec<String> = layers.iter().map(ToString::to_string).collect();
        let own = |mount: &&MountRecord| mount.container.is_empty() && mount.layers == names;
        self.mounts.iter().filter(own).collect()
    }

    /// All mounts of images.
    pub(crate) fn image_mounts(&self) -> impl Iterator<Item = &MountRecord> {
        self.mounts.iter().filter(|mount| mount.container.is_empty())
    }
}

/// The image of a manifest, which containers keep in the store.
pub(crate) fn document_of(store: &Store, manifest: Digest) -> Result<Document> {
    let of_type = |media_type: &str| {
        let media_type = media_type.to_owned();
        let found = Found { digest: manifest, media_type, names: Vec::new(), by: By::Digest };
        images::open_document(store, &found)
    };
    let found = of_type(media_type::OCI_MANIFEST)
        .or_else(|error| of_type(media_type::DOCKER_MANIFEST).map_err(|_| error));
    Ok(found?)
}

fn id_of(store: &Store, manifest: &AnyDigest) -> Option<AnyDigest> {
    let AnyDigest::Known(digest) = manifest else { return None };
    let document = document_of(store, *digest).ok()?;
    Some(document.manifest()?.config.digest.clone())
}
