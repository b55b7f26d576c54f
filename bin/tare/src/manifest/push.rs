//! `tare manifest push`.

use super::{find_list, rm};
use crate::failure::{Failure, Result};
use crate::image::packing::{Level, ManifestFormat, Packing};
use crate::image::print;
use crate::image::push::destination;
use crate::image::signing::SigningArgs;
use crate::image::write_digest;
use crate::progress::Shown;
use crate::settings::{Global, RegistryArgs, Settings, open_sink, open_source};
use clap::Args;
use images::{CopyOptions, Instances, Scattered, Stored};
use std::path::PathBuf;
use transport::Source;
use transport::place::Place;

/// Send an index to a registry, with its images
///
/// Images that are in a registry are taken from there, and not at all where the destination has them.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Push the images, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    all: bool,
    /// Refused: images are pushed in one form only
    #[arg(long, value_name = "FORMAT", hide = true)]
    add_compression: Vec<String>,
    /// Compression of layers that are packed
    #[arg(long, value_enum, value_name = "FORMAT")]
    compression_format: Option<Packing>,
    /// Its level: gzip 1 to 9, zstd 1 to 19
    #[arg(long, value_name = "NUMBER")]
    compression_level: Option<Level>,
    /// Pack every layer so, also those that are packed otherwise
    #[arg(long)]
    force_compression: bool,
    /// Write the digest of the index into a file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Format of the index and of manifests
    #[arg(short, long, value_enum)]
    format: Option<ManifestFormat>,
    /// docker's word for --tls-verify=false
    #[arg(long, conflicts_with = "tls_verify")]
    insecure: bool,
    /// Remove the index from the store when it was pushed
    #[arg(long, alias = "purge", short_alias = 'p')]
    rm: bool,
    /// Accepted: the store keeps no signatures that could be pushed
    #[arg(long, hide = true)]
    remove_signatures: bool,
    #[command(flatten)]
    signing: SigningArgs,
    /// Tell nothing
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The index
    #[arg(value_name = "LIST")]
    list: String,
    /// Where it goes
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

pub(super) fn run(global: &Global, arguments: &Push) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("pushing {}", arguments.list));
    push(global, arguments).map_err(during)
}

/// Options that say something that nobody here can do: silence would be a lie.
fn refuse(arguments: &Push) -> Result<()> {
    arguments.signing.refuse()?;
    match arguments.add_compression.is_empty() {
        true => Ok(()),
        false => Err(Failure::new("--add-compression: images are pushed in one form only")
            .hint("push them a second time with another --compression-format and name")),
    }
}

fn push(global: &Global, arguments: &Push) -> Result<()> {
    refuse(arguments)?;
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let record = find_list(&store, &arguments.list)?;
    let found = images::find(&store, &record.reference)?;
    if images::open_document(&store, &found)?.index().is_none() {
        return Err(Failure::new("it is an image, not an index").hint("`tare push` sends images"));
    }
    let place = destination(arguments.destination.as_deref(), &found)?;
    let mut access = arguments.registry.access()?;
    if arguments.insecure {
        access.tls_verify = Some(false);
    }
    let rights = settings.caller.rights();
    let stored = Stored::open(&store, &arguments.list, &found.digest, &found.media_type, rights)?;
    let places: Vec<String> = record.source.lines().map(str::to_owned).collect();
    let open = |place: &str| -> images::Result<Box<dyn Source>> {
        let failed =
            |failure: Failure| images::Error::new(images::Kind::Network, failure.to_string());
        let place = Place::parse(place)?;
        // What was said about the destination's registry is true of it as a source, too.
        open_source(&settings, &place, &access).map_err(failed)
    };
    let repositories: Vec<oci::Reference> =
        places.iter().filter_map(|place| Place::parse(place).ok()).filter_map(repository).collect();
    let source = Scattered::new(stored, places, &open);
    let sink = open_sink(&settings, &place, &access)?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let instances = if arguments.all { Instances::All } else { Instances::IndexOnly };
    let options = CopyOptions {
        format: arguments.format.map(ManifestFormat::format).transpose()?,
        compression: Packing::compression(
            arguments.compression_format,
            arguments.compression_level,
        )?,
        force_compression: arguments.force_compression,
        mount_from: repositories,
        ..CopyOptions::new(instances, &*gate, &shown)
    };
    let copied = images::copy(&source, &*sink, &options)?;
    let digest = copied.root.digest();
    if let Some(path) = &arguments.digestfile {
        write_digest(path, digest)?;
    }
    if arguments.rm {
        rm::remove(&store, &record.reference).map_err(|(_, failure)| failure)?;
        store.collect()?;
    }
    if arguments.quiet { Ok(()) } else { print(&digest.to_string()) }
}

fn repository(place: Place) -> Option<oci::Reference> {
    match place {
        Place::Registry(image) => Some(image.name.repository()),
        _ => None,
    }
}
