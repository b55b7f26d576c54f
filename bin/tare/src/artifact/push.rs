//! `tare artifact push`.

use super::{FilesArgs, InStore};
use crate::failure::{Failure, Result};
use crate::image::push::destination;
use crate::image::signing::SigningArgs;
use crate::image::{print, write_digest};
use crate::progress::Shown;
use crate::settings::{Access, Global, RegistryArgs, Settings, open_sink};
use clap::Args;
use images::{CopyOptions, Instances, Stored};
use oci::image::Document;
use std::path::PathBuf;
use transport::place::Place;

/// Send files as an artifact, or an artifact of the store
///
/// With files, they are sent from where they are; without, the artifact of that name in the store is sent.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Write the digest of the manifest into a file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Write the manifest into a file
    #[arg(long, value_name = "FILE")]
    export_manifest: Option<PathBuf>,
    /// Tell nothing
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    files_args: FilesArgs,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Where it goes: a name in a registry, with further tags behind commas, or a place such as oci:DIRECTORY:NAME
    #[arg(value_name = "NAME")]
    name: String,
    /// Files: FILE, or FILE:TYPE
    #[arg(value_name = "FILE")]
    files: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Push) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("pushing {}", arguments.name));
    push(global, arguments).map_err(during)
}

fn push(global: &Global, arguments: &Push) -> Result<()> {
    arguments.signing.refuse()?;
    let settings = Settings::load(global)?;
    let access = arguments.registry.access()?;
    let made = !arguments.files.is_empty() || arguments.files_args.config.is_some();
    let manifest = match made || arguments.files_args.artifact_type.is_some() {
        true => files(&settings, &access, arguments)?,
        false => stored(&settings, &access, arguments)?,
    };
    if let Some(path) = &arguments.digestfile {
        write_digest(path, manifest.digest())?;
    }
    if let Some(path) = &arguments.export_manifest {
        let failed = |error| Failure::new(format!("writing {}: {error}", path.display()));
        std::fs::write(path, manifest.bytes()).map_err(failed)?;
    }
    if arguments.quiet { Ok(()) } else { print(&manifest.digest().to_string()) }
}

fn files(settings: &Settings<'_>, access: &Access, arguments: &Push) -> Result<Document> {
    let artifact = arguments.files_args.artifact(&arguments.files)?.make()?;
    let shown = Shown::new(arguments.quiet);
    for name in names(&arguments.name) {
        let place = match Place::parse_unless_name(&name)? {
            Some(place) => place,
            None => Place::parse(&format!("docker://{name}"))?,
        };
        artifact.push(&*open_sink(settings, &place, access)?, &shown)?;
    }
    Ok(artifact.manifest)
}

/// `name:a,b` is two names, as oras has it.
fn names(text: &str) -> Vec<String> {
    match text.rsplit_once(':') {
        Some((name, tags)) if tags.contains(',') && !tags.contains('/') => {
            tags.split(',').map(|tag| format!("{name}:{tag}")).collect()
        }
        _ => vec![text.to_owned()],
    }
}

fn stored(settings: &Settings<'_>, access: &Access, arguments: &Push) -> Result<Document> {
    let store = settings.store(false)?;
    let artifact = InStore::find(&store, &arguments.name)?;
    let place = destination(None, &artifact.found)?;
    let rights = settings.caller.rights();
    let digest = artifact.document.digest();
    let media_type = artifact.document.media_type();
    let source = Stored::open(&store, &arguments.name, digest, media_type, rights)?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let options =
        CopyOptions { preserve_digests: true, ..CopyOptions::new(Instances::All, &*gate, &shown) };
    Ok(images::copy(&source, &*open_sink(settings, &place, access)?, &options)?.root)
}
