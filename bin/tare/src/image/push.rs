//! `tare push`.

use super::from_store::FromStore;
use super::packing::{Level, ManifestFormat, Packing};
use super::{print, write_digest};
use crate::failure::{Failure, Result};
use crate::progress::Shown;
use crate::settings::{Global, RegistryArgs, Settings, open_sink};
use clap::Args;
use images::{CopyOptions, Instances};
use std::path::PathBuf;
use transport::place::Place;

/// Send images of the store to a registry or another place
///
/// Without a destination, the image goes where its name says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare push registry.example.com/team/app:1.2\n  \
                        tare push app:1.2 oci:/srv/images:app")]
pub(crate) struct Push {
    /// Of an index, push all images that are here
    #[arg(long)]
    all: bool,
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
    registry: RegistryArgs,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where it goes
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &Push) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("pushing {}", arguments.image));
    push(global, arguments).map_err(during)
}

fn push(global: &Global, arguments: &Push) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let image = FromStore::open(&settings, &store, &arguments.image)?;
    let place = destination(arguments.destination.as_deref(), &image.found)?;
    let access = arguments.registry.access()?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let instances = match arguments.all {
        true => Instances::All,
        false => Instances::One(settings.wanted()),
    };
    let origin = || image.open_origin(&settings, &place);
    let sink = open_sink(&settings, &place, &access)?;
    let options = CopyOptions {
        format: arguments.format.map(ManifestFormat::format).transpose()?,
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
