//! Images made of others: on another base, with one layer, with other annotations.

use crate::configuration::{Configuration, is_empty_layer};
use crate::draft::{Draft, DraftLayer, Naming, put_named, read_document, read_image};
use crate::error::{Error, Kind, Result};
use crate::find::Found;
use crate::flatten::flatten;
use crate::instances::Instances;
use crate::keys::layer_keys;
use crate::pipe::piped;
use crate::rewrite;
use crate::unpack::Rights;
use oci::Map;
use oci::image::{Document, History, Wanted};
use oci::json::Raw;
use store::{LayerKey, Store};

/// Indexes in indexes: real ones have one level.
const INDEX_DEPTH: usize = 4;
/// The annotation with the name of the image that another one was made upon.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The annotation with its digest.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Reads what was found: a manifest or index.
pub fn open_document(store: &Store, found: &Found) -> Result<Document> {
    read_document(store, &found.digest, &found.media_type)
}

/// Reads what was found; of an index the image for a platform.
pub fn open_image(store: &Store, found: &Found, wanted: &Wanted) -> Result<Document> {
    let mut document = open_document(store, found)?;
    for _ in 0..INDEX_DEPTH {
        let Some(index) = document.index() else { return Ok(document) };
        let chosen = Instances::One(wanted.clone()).choose(index)?;
        let none = || Error::new(Kind::NotFound, "an empty index");
        let descriptor = *chosen.first().ok_or_else(none)?;
        let read = read_document(store, descriptor.verifiable()?, &descriptor.media_type);
        document = read.map_err(|error| match error.kind() {
            Kind::NotFound => error.with_hint("this platform was not pulled: choose another one"),
            _ => error,
        })?;
    }
    Err(Error::new(Kind::Invalid, "indexes in indexes in indexes"))
}

/// Puts the layers that an image has upon its base on another base. Says how many layers went over.
///
/// The image keeps its own configuration; what it took over from its old base stays as it was there.
pub fn rebase(
    store: &Store,
    image: &mut Draft<'_>,
    old_base: &Document,
    new_base: &Document,
    rights: Rights,
) -> Result<usize> {
    let (_, old) = read_image(store, old_base)?;
    let old_ids = old.view()?.rootfs.diff_ids;
    let own = image.layers();
    let fits = own.len() >= old_ids.len()
        && own.iter().zip(&old_ids).all(|(layer, id)| id.verifiable() == Ok(&layer.diff_id));
    if !fits {
        let text = format!("the image was not made upon {}", old_base.digest());
        return Err(Error::new(Kind::Invalid, text)
            .with_hint("its first layers have to be those of the old base"));
    }
    let upper: Vec<DraftLayer> = own[old_ids.len()..].to_vec();
    let moved = upper.len();
    let (manifest, new) = read_image(store, new_base)?;
    let view = new.view()?;
    view.check_layers(manifest)?;
    check_platform(&image.configuration, &new)?;
    let mut layers = Vec::new();
    let keys = layer_keys(store, &view, rights)?;
    for ((descriptor, diff_id), key) in manifest.layers.iter().zip(&view.rootfs.diff_ids).zip(keys)
    {
        let diff_id = *diff_id.verifiable()?;
        let missing = || Error::new(Kind::NotFound, format!("layer {diff_id} is not in the store"));
        layers.push(DraftLayer {
            descriptor: descriptor.clone(),
            diff_id,
            key: key.ok_or_else(missing)?,
        });
    }
    let steps = image.configuration.history()?;
    let steps = new.history()?.into_iter().chain(behind(&steps, old_ids.len())).collect::<Vec<_>>();
    image.configuration.set_history(&steps)?;
    image.set_layers(layers)?;
    for layer in upper {
        image.move_layer(layer)?;
    }
    Ok(moved)
}

/// The steps behind so many layers, and the empty ones right behind these.
fn behind(steps: &[Raw], layers: usize) -> Vec<Raw> {
    let mut left = layers;
    let mut rest = steps.iter();
    while left > 0 {
        match rest.next() {
            Some(step) if !is_empty_layer(step) => left -= 1,
            Some(_) => {}
            None => break,
        }
    }
    rest.cloned().collect()
}

fn check_platform(image: &Configuration, base: &Configuration) -> Result<()> {
    let (image, base) = (image.platform()?, base.platform()?);
    match (&image.os, &image.architecture) == (&base.os, &base.architecture) {
        true => Ok(()),
        false => {
            let text = format!(
                "the image is for {}/{}, the new base for {}/{}",
                image.os, image.architecture, base.os, base.architecture
            );
            Err(Error::new(Kind::Invalid, text).with_hint("choose the base's by --platform"))
        }
    }
}

/// Puts one layer in the place of all.
pub fn flatten_layers(store: &Store, image: &mut Draft<'_>, step: &History) -> Result<()> {
    let keys: Vec<LayerKey> = image.layers().iter().map(|layer| layer.key).collect();
    image.set_layers(Vec::new())?;
    image.configuration.set_history(&[])?;
    piped(
        |writer| flatten(store, &keys, writer),
        |reader| image.add_archive(reader, step).map(drop),
    )
}

/// Changes the annotations of a manifest or index, and nothing else of it.
pub fn annotate(
    store: &Store,
    document: &Document,
    change: &dyn Fn(&mut Map),
    naming: &Naming<'_>,
) -> Result<Document> {
    let new = rewrite::annotated(document, change)?;
    let mut work = store.begin()?;
    // What it names stays until the new one names it.
    work.has_blob(*document.digest())?;
    put_named(store, &mut work, &new, naming, None)?;
    work.finish()?;
    Ok(new)
}
