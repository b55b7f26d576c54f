//! `tare save`.

use super::from_store::FromStore;
use crate::failure::{Failure, Result};
use crate::progress::Shown;
use crate::settings::{Global, PlatformArgs, Settings};
use clap::{Args, ValueEnum};
use images::{By, CopyOptions, Gate, Instances, Layers};
use oci::Reference;
use oci::image::media_type::Format as ManifestFormat;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use transport::Sink;
use transport::directory::DirectorySink;
use transport::docker_archive::ArchiveWriter;
use transport::layout::{LayoutArchiveWriter, LayoutSink, Place, Select};

/// Write images of the store into an archive
///
/// `tare load` reads it, and so do docker and podman. Several images share their layers in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare save app:1 | ssh host tare load\n  tare save -o images.tar app:1 app:2\n  \
                        tare save --format oci-archive -o app.tar app:1"
)]
pub(crate) struct Save {
    /// Pack the layers (of oci-dir and docker-dir)
    #[arg(long, conflicts_with = "uncompressed")]
    compress: bool,
    /// What is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::DockerArchive)]
    format: Format,
    /// Accepted: several images are always written
    #[arg(short, long, hide = true)]
    multi_image_archive: bool,
    /// Write to a file, or of the formats with -dir into a directory
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Tell nothing
    #[arg(short, long)]
    quiet: bool,
    /// Leave layers unpacked (of the formats of OCI)
    #[arg(long)]
    uncompressed: bool,
    #[command(flatten)]
    platform: PlatformArgs,
    /// Images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// docker's archive
    DockerArchive,
    /// An archive of an OCI layout
    OciArchive,
    /// An OCI layout
    OciDir,
    /// skopeo's directory, with docker's manifest
    DockerDir,
}

pub(crate) fn run(global: &Global, arguments: &Save) -> Result<()> {
    let is_dir = matches!(arguments.format, Format::OciDir | Format::DockerDir);
    if is_dir && arguments.output.is_none() {
        return Err(Failure::new("a directory cannot be written to standard output")
            .hint("name it by --output"));
    }
    if arguments.format == Format::DockerDir && arguments.images.len() > 1 {
        return Err(Failure::new("docker-dir: such a directory holds one image"));
    }
    if arguments.compress && !is_dir {
        return Err(Failure::new("--compress: it is about directories")
            .hint("pack the archive: tare save IMAGE | gzip > FILE"));
    }
    if arguments.uncompressed && arguments.format == Format::DockerArchive {
        return Err(Failure::new("--uncompressed: it is about the formats of OCI")
            .hint("docker's archives have layers unpacked always"));
    }
    if arguments.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::new("an archive is nothing for a terminal")
            .hint("use --output FILE, or redirect standard output"));
    }
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let target = Target::open(&settings, arguments)?;
    let saved = save_all(&settings, &store, arguments, &target);
    match saved {
        Ok(()) => target.finish(),
        Err(failure) => {
            target.give_up();
            Err(failure)
        }
    }
}

fn save_all(
    settings: &Settings<'_>,
    store: &Store,
    arguments: &Save,
    target: &Target,
) -> Result<()> {
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    for image in &arguments.images {
        let saving = Saving { settings, store, arguments, shown: &shown, gate: &*gate };
        saving
            .one(image, target)
            .map_err(|failure| failure.during(format_args!("saving {image}")))?;
    }
    Ok(())
}

struct Saving<'s> {
    settings: &'s Settings<'s>,
    store: &'s Store,
    arguments: &'s Save,
    shown: &'s Shown,
    gate: &'s dyn Gate,
}

impl Saving<'_> {
    fn one(&self, name: &str, target: &Target) -> Result<()> {
        let image = FromStore::open(self.settings, self.store, name)?;
        let sink = target.sink(&given_names(&image))?;
        let destination = transport::place::Place::Directory(PathBuf::new());
        let origin = || image.open_origin(self.settings, &destination);
        let wanted = self.arguments.platform.wanted(self.settings.wanted())?;
        let layers = match (self.arguments.compress, self.arguments.uncompressed) {
            (true, _) => Layers::Packed,
            (_, true) => Layers::Plain,
            _ => Layers::AsUsual,
        };
        let format = match self.arguments.format {
            Format::DockerArchive | Format::DockerDir => ManifestFormat::Docker,
            Format::OciArchive | Format::OciDir => ManifestFormat::Oci,
        };
        let options = CopyOptions {
            format: Some(format),
            layers,
            origin: Some(&origin),
            ..CopyOptions::new(Instances::One(wanted), self.gate, self.shown)
        };
        images::copy(&image.source, &*sink, &options)?;
        self.settings.tell_image("save", &image.found.digest.to_string(), name);
        Ok(())
    }
}

/// The name that an image gets in an archive: that by which it was asked for; none if that was an ID.
fn given_names(image: &FromStore<'_>) -> Vec<Reference> {
    let names = match image.found.by {
        By::Name => &image.found.names[..],
        By::Digest | By::Id => &[],
    };
    let names = names.iter().filter_map(|record| Reference::parse(&record.reference).ok());
    names.filter(|name| name.digest().is_none()).take(1).collect()
}

/// What is written to.
enum Target {
    Docker(Arc<ArchiveWriter>),
    Layout(Arc<LayoutArchiveWriter>),
    LayoutDirectory(PathBuf),
    Directory(PathBuf),
}

impl Target {
    fn open(settings: &Settings<'_>, arguments: &Save) -> Result<Self> {
        let temporary = settings.temporary_dir()?;
        let name = Path::new("standard output");
        Ok(match (arguments.format, &arguments.output) {
            (Format::OciDir, Some(path)) => Self::LayoutDirectory(path.clone()),
            (Format::DockerDir, Some(path)) => Self::Directory(path.clone()),
            (Format::OciArchive, Some(path)) => {
                Self::Layout(LayoutArchiveWriter::create(path, &temporary)?)
            }
            (Format::OciArchive, None) => {
                Self::Layout(LayoutArchiveWriter::stream(standard_output()?, name, &temporary)?)
            }
            (_, Some(path)) => Self::Docker(ArchiveWriter::create(path, &temporary)?),
            (_, None) => Self::Docker(ArchiveWriter::stream(standard_output()?, name, &temporary)),
        })
    }

    fn sink(&self, names: &[Reference]) -> Result<Box<dyn Sink>> {
        let texts = || names.iter().map(Reference::to_string);
        Ok(match self {
            Self::Docker(writer) => Box::new(writer.image(names)?),
            Self::Layout(writer) => Box::new(writer.image(texts().collect())),
            Self::LayoutDirectory(path) => {
                let select = texts().next().map_or(Select::Only, Select::Name);
                Box::new(LayoutSink::create(&Place { directory: path.clone(), select }, None)?)
            }
            Self::Directory(path) => Box::new(DirectorySink::create(path)?),
        })
    }

    fn finish(&self) -> Result<()> {
        match self {
            Self::Docker(writer) => Ok(writer.finish()?),
            Self::Layout(writer) => Ok(writer.finish()?),
            Self::LayoutDirectory(_) | Self::Directory(_) => Ok(()),
        }
    }

    fn give_up(&self) {
        if let Self::Docker(writer) = self {
            writer.give_up();
        }
    }
}

/// Standard output without the library's buffer, which looks for the ends of lines.
fn standard_output() -> Result<Box<dyn std::io::Write + Send>> {
    let own = std::io::stdout().as_fd().try_clone_to_owned()?;
    Ok(Box::new(File::from(own)))
}
