//! `tare copy`.

use super::push::{CompressionFormat, ManifestFormat, compression};
use crate::failure::{Failure, Result};
use crate::progress::Shown;
use crate::settings::{Global, RegistryArgs, Settings, open_sink, open_source};
use clap::Args;
use images::{CopyOptions, Instances};
use std::path::PathBuf;
use transport::place::Place;

/// Copy an image from one place to another
///
/// Places are written as skopeo does: docker://NAME, oci:DIRECTORY:NAME, dir:DIRECTORY, ...
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Copy the images of all platforms
    #[arg(short, long)]
    all: bool,
    /// Compression of layers that are packed
    #[arg(long, value_enum, value_name = "FORMAT")]
    dest_compress_format: Option<CompressionFormat>,
    /// Its level
    #[arg(long, value_name = "NUMBER")]
    dest_compress_level: Option<u8>,
    /// Pack every layer so, also those that are packed otherwise
    #[arg(long)]
    dest_force_compress_format: bool,
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
    /// Where the image is
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where it goes
    #[arg(value_name = "DESTINATION")]
    destination: String,
}

pub(crate) fn run(global: &Global, arguments: &Copy) -> Result<()> {
    let settings = Settings::load(global)?;
    let (from, to) = (Place::parse(&arguments.source)?, Place::parse(&arguments.destination)?);
    let access = arguments.registry.access()?;
    let source = open_source(&settings, &from, &access)?;
    let sink = open_sink(&settings, &to, &access)?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let instances = match arguments.all {
        true => Instances::All,
        false => Instances::One(settings.wanted()),
    };
    let options = CopyOptions {
        format: arguments.format.map(ManifestFormat::format),
        compression: compression(arguments.dest_compress_format, arguments.dest_compress_level)?,
        force_compression: arguments.dest_force_compress_format,
        preserve_digests: arguments.preserve_digests,
        mount_from: match &from {
            Place::Registry(image) => vec![image.name.repository()],
            _ => Vec::new(),
        },
        ..CopyOptions::new(instances, &*gate, &shown)
    };
    let copied = images::copy(&*source, &*sink, &options).map_err(|error| {
        Failure::from(error).during(format_args!("copying {}", arguments.source))
    })?;
    if let Some(path) = &arguments.digestfile {
        let failed = |error| Failure::new(format!("writing {}: {error}", path.display()));
        std::fs::write(path, copied.root.digest().to_string()).map_err(failed)?;
    }
    Ok(())
}
