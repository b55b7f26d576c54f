//! `tare tag`, `tare untag` and `tare image exists`.

use super::{full_name, now};
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::settings::{Global, Settings};
use clap::Args;
use images::anonymous_name;
use oci::{AnyDigest, Reference};
use store::{NameRecord, Store};

/// Give an image more names
///
/// A name without a registry becomes one of `localhost/`, as with podman.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare tag debian:13 registry.example.com/base:1")]
pub(crate) struct Tag {
    /// Image: name, ID or digest
    #[arg(value_name = "IMAGE")]
    image: String,
    /// New names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Take names from an image
///
/// Without NAME all of them. The image stays, and is found by its ID.
#[derive(Debug, Args)]
pub(crate) struct Untag {
    /// Image: name, ID or digest
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Names of it
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Say by the exit status whether an image is in the store: 0, or 1
#[derive(Debug, Args)]
pub(crate) struct Exists {
    /// Image: name, ID or digest
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(crate) fn tag(global: &Global, arguments: &Tag) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let names: Vec<String> =
        arguments.names.iter().map(|name| full_name(name)).collect::<Result<_>>()?;
    let found = images::find(&store, &arguments.image)?;
    let known = found.names.first().cloned().unwrap_or_default();
    let mut work = store.begin()?;
    for reference in &names {
        let reference = reference.clone();
        work.tag(&NameRecord { reference, time_s: now(), ..known.clone() })?;
    }
    work.finish()?;
    let id = found.digest.to_string();
    names.iter().for_each(|name| settings.tell_image("tag", &id, name));
    // It has names now: the one that kept it is nobody's.
    forget(&store, &anonymous_name(&found.digest))
}

pub(crate) fn untag(global: &Global, arguments: &Untag) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let found = images::find(&store, &arguments.image)?;
    let digest = AnyDigest::from(found.digest);
    let (names, _) = store.names()?;
    let own: Vec<NameRecord> = names
        .into_iter()
        .filter(|name| name.digest == digest && Reference::parse(&name.reference).is_ok())
        .collect();
    let mut taken: Vec<NameRecord> = Vec::new();
    for text in &arguments.names {
        let unknown = || match Called::is_podman() {
            true => Failure::new(format!("{text}: tag not known")),
            false => Failure::new(format!("{text}: is no name of {}", arguments.image)),
        };
        let wanted = match images::find(&store, text) {
            Err(error) if error.kind() == images::Kind::NotFound && Called::is_podman() => {
                return Err(unknown());
            }
            result => result?,
        };
        let of_image =
            wanted.names.iter().find(|name| wanted.by == images::By::Name && own.contains(name));
        let name = of_image.ok_or_else(unknown)?;
        taken.push(name.clone());
    }
    if arguments.names.is_empty() {
        taken = own.clone();
    }
    if taken.len() == own.len()
        && let Some(first) = own.first()
    {
        // Before it loses its last name: in between nothing would keep it.
        let mut work = store.begin()?;
        let reference = anonymous_name(&found.digest);
        work.tag(&NameRecord { reference, time_s: now(), ..first.clone() })?;
        work.finish()?;
    }
    for name in &taken {
        store.untag(&name.reference, Some(&found.digest))?;
        settings.tell_image("untag", &found.digest.to_string(), &name.reference);
    }
    Ok(())
}

pub(crate) fn exists(global: &Global, arguments: &Exists) -> Result<u8> {
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    match images::find(&store, &arguments.image) {
        Ok(_) => Ok(0),
        Err(error) if error.kind() == images::Kind::NotFound => Ok(1),
        Err(error) => Err(error.into()),
    }
}

fn forget(store: &Store, name: &str) -> Result<()> {
    match store.untag(name, None) {
        Err(error) if error.kind() != store::Kind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
