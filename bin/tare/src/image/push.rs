//! `tare push`.

use super::print;
use crate::failure::{Failure, Result};
use crate::progress::Shown;
use crate::settings::{Global, RegistryArgs, Settings, open_sink, open_source};
use clap::{Args, ValueEnum};
use images::{Compression, CopyOptions, Instances, Stored};
use oci::image::media_type::Format;
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
    compression_format: Option<CompressionFormat>,
    /// Its level: gzip 1 to 9, zstd 1 to 19
    #[arg(long, value_name = "NUMBER")]
    compression_level: Option<u8>,
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

/// How layers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionFormat {
    Gzip,
    Zstd,
}

/// How manifests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManifestFormat {
    Oci,
    #[value(alias = "docker")]
    V2s2,
}

impl ManifestFormat {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Oci => Format::Oci,
            Self::V2s2 => Format::Docker,
        }
    }
}

/// What two options say about compression.
pub(crate) fn compression(
    format: Option<CompressionFormat>,
    level: Option<u8>,
) -> Result<Option<Compression>> {
    let (most, usual) = match format {
        Some(CompressionFormat::Zstd) => (19, 3),
        _ => (9, 6),
    };
    if level.is_some_and(|level| !(1..=most).contains(&level)) {
        return Err(Failure::new(format!("the level of compression has to be from 1 to {most}")));
    }
    let chosen = level.unwrap_or(usual);
    Ok(match (format, level) {
        (None, None) => None,
        (Some(CompressionFormat::Zstd), _) => Some(Compression::Zstd(chosen)),
        _ => Some(Compression::Gzip(chosen)),
    })
}

pub(crate) fn run(global: &Global, arguments: &Push) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("pushing {}", arguments.image));
    push(global, arguments).map_err(during)
}

fn push(global: &Global, arguments: &Push) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let found = images::find(&store, &arguments.image)?;
    let place = destination(arguments, &found)?;
    let rights = settings.caller.rights();
    let source = Stored::open(&store, &arguments.image, &found.digest, &found.media_type, rights)?;
    let access = arguments.registry.access()?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let instances = match arguments.all {
        true => Instances::All,
        false => Instances::One(settings.wanted()),
    };
    let origins: Vec<Place> =
        found.names.iter().filter_map(|name| Place::parse(&name.source).ok()).collect();
    let origin = || -> images::Result<Option<Box<dyn transport::Source>>> {
        // The same place has been asked already.
        let other = origins.iter().find(|origin| **origin != place);
        let open = |origin| open_source(&settings, origin, &Default::default());
        let failed =
            |failure: Failure| images::Error::new(images::Kind::Network, failure.to_string());
        other.map(open).transpose().map_err(failed)
    };
    let mount_from = origins.iter().filter_map(|origin| match origin {
        Place::Registry(image) => Some(image.name.repository()),
        _ => None,
    });
    let sink = open_sink(&settings, &place, &access)?;
    let options = CopyOptions {
        format: arguments.format.map(ManifestFormat::format),
        compression: compression(arguments.compression_format, arguments.compression_level)?,
        force_compression: arguments.force_compression,
        preserve_digests: arguments.preserve_digests,
        origin: Some(&origin),
        mount_from: mount_from.collect(),
        ..CopyOptions::new(instances, &*gate, &shown)
    };
    let copied = images::copy(&source, &*sink, &options)?;
    let digest = copied.root.digest().to_string();
    if let Some(path) = &arguments.digestfile {
        let failed = |error| Failure::new(format!("writing {}: {error}", path.display()));
        std::fs::write(path, &digest).map_err(failed)?;
    }
    if arguments.quiet { Ok(()) } else { print(&digest) }
}

/// Where an image goes: as the user says, or where it is called.
fn destination(arguments: &Push, found: &images::Found) -> Result<Place> {
    if let Some(text) = &arguments.destination {
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
