//! `tare push`.

use super::from_store::FromStore;
use super::packing::{Level, ManifestFormat, Packing};
use super::signing::{KeysArgs, SigningArgs};
use super::{print, write_digest};
use crate::failure::{Failure, Result};
use crate::progress::Shown;
use crate::settings::{Global, PlatformArgs, RegistryArgs, Settings, open_sink};
use clap::Args;
use images::{CopyOptions, Instances, Layers};
use oci::Reference;
use std::path::PathBuf;
use store::Store;
use transport::place::Place;

/// Send images of the store to a registry or another place
///
/// Without a destination, the image goes where its name says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare push registry.example.com/team/app:1.2\n  \
                        tare push app:1.2 oci:/srv/images:app")]
pub(crate) struct Push {
    /// Of an index, push all images that are here
    #[arg(long, conflicts_with_all = ["platform", "arch", "os", "variant"])]
    all: bool,
    /// Push every tag of the repository that is here
    #[arg(short, long, conflicts_with_all = ["destination", "digestfile"])]
    all_tags: bool,
    /// Pack the layers where the destination leaves them as they are (dir:)
    #[arg(long, conflicts_with = "disable_compression")]
    compress: bool,
    /// Compression of layers that are packed
    #[arg(long, value_enum, value_name = "FORMAT")]
    compression_format: Option<Packing>,
    /// Its level: gzip 1 to 9, zstd 1 to 19
    #[arg(long, value_name = "NUMBER")]
    compression_level: Option<Level>,
    /// Pack every layer so, also those that are packed otherwise
    #[arg(long)]
    force_compression: bool,
    /// Write the digest of the manifest into a file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Leave layers unpacked
    #[arg(short = 'D', long, conflicts_with_all = ["compression_format", "force_compression"])]
    disable_compression: bool,
    /// Format of the manifest
    #[arg(short, long, value_enum)]
    format: Option<ManifestFormat>,
    /// Fail where a digest would change
    #[arg(long)]
    preserve_digests: bool,
    /// Tell nothing
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    keys: KeysArgs,
    /// Accepted: the store keeps no signatures that could be pushed
    #[arg(long, hide = true)]
    remove_signatures: bool,
    /// Accepted for docker's sake: signatures are the policy's business
    #[arg(long, num_args = 0..=1, default_missing_value = "true", hide = true)]
    disable_content_trust: Option<bool>,
    /// Refused: an index is removed by `tare manifest push --rm`
    #[arg(long, hide = true)]
    rm: bool,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where it goes
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &Push) -> Result<()> {
    let during = |image: &str, failure: Failure| failure.during(format_args!("pushing {image}"));
    refuse(arguments).map_err(|failure| during(&arguments.image, failure))?;
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let images = match arguments.all_tags {
        true => tags_of(&store, &arguments.image)?,
        false => vec![arguments.image.clone()],
    };
    for image in &images {
        push(&settings, &store, image, arguments).map_err(|failure| during(image, failure))?;
    }
    Ok(())
}

fn refuse(arguments: &Push) -> Result<()> {
    arguments.signing.refuse()?;
    arguments.keys.refuse()?;
    match arguments.rm {
        false => Ok(()),
        true => Err(Failure::new("--rm: it is for indexes")
            .hint("`tare manifest push --rm`; `tare rmi` removes images")),
    }
}

/// The names of a repository that are in the store.
fn tags_of(store: &Store, text: &str) -> Result<Vec<String>> {
    let named = Reference::parse(text)?;
    if named.tag().is_some() || named.digest().is_some() {
        return Err(
            Failure::new(format!("--all-tags: {text} names one image")).hint("leave the tag out")
        );
    }
    let local = Reference::parse(&format!("localhost/{text}"));
    let own = [Some(named), local.ok().filter(|_| transport::registries::is_short(text))];
    let (names, _) = store.names()?;
    let names = names.into_iter().map(|record| record.reference);
    let is_own = |name: &String| {
        let repository = Reference::parse(name).map(|reference| reference.repository());
        repository.is_ok_and(|repository| own.iter().flatten().any(|own| *own == repository))
    };
    let mut names: Vec<String> = names.filter(is_own).collect();
    names.sort();
    match names.is_empty() {
        true => Err(Failure::new(format!("--all-tags: no image of {text} is in the store"))
            .hint("`tare images` lists those that are")),
        false => Ok(names),
    }
}

fn push(settings: &Settings<'_>, store: &Store, name: &str, arguments: &Push) -> Result<()> {
    let image = FromStore::open(settings, store, name)?;
    let place = destination(arguments.destination.as_deref(), &image.found)?;
    let access = arguments.registry.access()?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let instances = match arguments.all {
        true => Instances::All,
        false => Instances::One(arguments.platform.wanted(settings.wanted())?),
    };
    let origin = || image.open_origin(settings, &place);
    let sink = open_sink(settings, &place, &access)?;
    let options = CopyOptions {
        format: arguments.format.map(ManifestFormat::format).transpose()?,
        layers: match (arguments.compress, arguments.disable_compression) {
            (true, _) => Layers::Packed,
            (_, true) => Layers::Plain,
            _ => Layers::AsUsual,
        },
        compression: Packing::compression(
            arguments.compression_format,
            arguments.compression_level,
        )?,
        force_compression: arguments.force_compression,
        preserve_digests: arguments.preserve_digests,
        origin: Some(&origin),
        mount_from: image.mount_from(),
        ..CopyOptions::new(instances, &*gate, &shown)
    };
    let copied = images::copy(&image.source, &*sink, &options)?;
    let digest = copied.root.digest();
    settings.tell_image("push", &image.found.digest.to_string(), name);
    if let Some(path) = &arguments.digestfile {
        write_digest(path, digest)?;
    }
    if arguments.quiet { Ok(()) } else { print(&digest.to_string()) }
}

/// Where an image goes: as the user says, or where it is called.
pub(crate) fn destination(text: Option<&str>, found: &images::Found) -> Result<Place> {
    if let Some(text) = text {
        return Ok(match Place::parse_unless_name(text)? {
            Some(place) => place,
            None => Place::parse(&format!("docker://{text}"))?,
        });
    }
    let named = found.names.first().map(|record| record.reference.as_str());
    match named.filter(|name| !name.starts_with('@')) {
        Some(name) => Ok(Place::parse(&format!("docker://{name}"))?),
        None => Err(Failure::new("the image has no name that says where it goes")
            .hint("name the destination: `tare push ID docker://NAME`")),
    }
}
