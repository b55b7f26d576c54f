//! `tare artifact pull`.

use super::kind;
use crate::failure::{Failure, Result};
use crate::image::signing::EncryptionArgs;
use crate::image::{now, print};
use crate::progress::Shown;
use crate::settings::{Access, Global, RegistryArgs, Settings, open_source};
use clap::Args;
use images::{Existing, Instances, PullOptions, Which, artifact_files, extract};
use oci::image::Document;
use std::path::PathBuf;
use transport::Source;
use transport::place::Place;

/// Bring an artifact into the store, or its files into a directory
///
/// With --output the files are written there, and the store has no part in it. Their names are the artifact's: none
/// leads out of the directory.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Write the files into a directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Fail where a file is there already
    #[arg(short, long, requires = "output")]
    keep_old_files: bool,
    /// Tell nothing
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    encryption: EncryptionArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The artifact: a name in a registry, or a place such as oci:DIRECTORY:NAME
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(global: &Global, arguments: &Pull) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("pulling {}", arguments.name));
    pull(global, arguments).map_err(during)
}

fn pull(global: &Global, arguments: &Pull) -> Result<()> {
    arguments.encryption.refuse()?;
    let settings = Settings::load(global)?;
    let access = arguments.registry.access()?;
    let (source, place) = open(&settings, &access, &arguments.name)?;
    let document = source.manifest(None)?;
    if kind(&document).is_none() {
        return Err(
            Failure::new("it is an image, not an artifact").hint("`tare pull` pulls images")
        );
    }
    match &arguments.output {
        Some(directory) => to_directory(&settings, arguments, &*source, &document, directory),
        None => to_store(&settings, arguments, &*source, &document, &place),
    }
}

fn to_directory(
    settings: &Settings<'_>,
    arguments: &Pull,
    source: &dyn Source,
    document: &Document,
    directory: &std::path::Path,
) -> Result<()> {
    settings.gate()?.check(&source.scopes(), document)?;
    let existing = match arguments.keep_old_files {
        true => Existing::Refuse,
        false => Existing::Replace,
    };
    let files = artifact_files(document, &Which::default())?;
    let written = extract(source, &files, directory, existing)?;
    if !arguments.quiet {
        written.iter().try_for_each(|path| print(&path.display().to_string()))?;
    }
    Ok(())
}

fn to_store(
    settings: &Settings<'_>,
    arguments: &Pull,
    source: &dyn Source,
    document: &Document,
    place: &Place,
) -> Result<()> {
    let store = settings.store(false)?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let options = PullOptions {
        rights: settings.caller.rights(),
        ..PullOptions::new(Instances::All, &*gate, &shown)
    };
    let name = match place {
        Place::Registry(image) => image.name.clone().or_latest().to_string(),
        _ => images::anonymous_name(document.digest()),
    };
    images::pull(&store, source, &[name], &place.to_string(), now(), &options)?;
    print(&document.digest().to_string())
}

/// Opens an artifact where it is.
pub(super) fn open(
    settings: &Settings<'_>,
    access: &Access,
    text: &str,
) -> Result<(Box<dyn Source>, Place)> {
    if let Some(place) = Place::parse_unless_name(text)? {
        return Ok((open_source(settings, &place, access)?, place));
    }
    let mut failed = None;
    for name in settings.candidates(text)? {
        let place = Place::parse(&format!("docker://{name}"))?;
        match open_source(settings, &place, access) {
            Ok(source) => return Ok((source, place)),
            Err(failure) => failed = Some(failure),
        }
    }
    Err(failed.unwrap_or_else(|| Failure::new("it stands for nothing")))
}
