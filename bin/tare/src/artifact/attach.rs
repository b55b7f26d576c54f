//! `tare artifact attach`.

use super::{FilesArgs, annotations};
use crate::failure::{Failure, Result};
use crate::image::{full_name, now, print, write_digest};
use crate::progress::Shown;
use crate::settings::{Global, PlatformArgs, RegistryArgs, Settings, open_sink};
use clap::Args;
use images::{Instances, Naming};
use oci::image::{Descriptor, Document};
use std::path::PathBuf;
use transport::Source;
use transport::place::Place;

/// Send files as an artifact that is about an image
///
/// Where the registry keeps no list of such artifacts, one is kept below a tag, as the specification says.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Write the digest of the manifest into a file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Tell nothing
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    files_args: FilesArgs,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Name the artifact, if what it is about is in the store
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// What it is about: a name in a registry, or store:NAME
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// Files: FILE, or FILE:TYPE
    #[arg(value_name = "FILE")]
    files: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Attach) -> Result<()> {
    let during =
        |failure: Failure| failure.during(format_args!("attaching to {}", arguments.subject));
    attach(global, arguments).map_err(during)
}

fn attach(global: &Global, arguments: &Attach) -> Result<()> {
    let files = &arguments.files_args;
    if files.artifact_type.is_none() && files.config.is_none() {
        return Err(Failure::new(
            "--artifact-type is missing: an artifact that is about something \
                                 is found by its type",
        )
        .hint("for example --artifact-type application/spdx+json"));
    }
    if arguments.files.is_empty() && annotations(&files.annotation)?.is_empty() {
        return Err(Failure::new("there is nothing to attach: neither files nor annotations"));
    }
    let settings = Settings::load(global)?;
    let manifest = match Place::parse_unless_name(&arguments.subject)? {
        Some(Place::Store(name)) => in_store(&settings, arguments, &name)?,
        _ => in_registry(&settings, arguments)?,
    };
    if let Some(path) = &arguments.digestfile {
        write_digest(path, manifest.digest())?;
    }
    if arguments.quiet { Ok(()) } else { print(&manifest.digest().to_string()) }
}

fn in_store(settings: &Settings<'_>, arguments: &Attach, name: &str) -> Result<Document> {
    let store = settings.store(false)?;
    let found = images::find(&store, name)?;
    let subject = match arguments.platform.is_given() {
        true => {
            let wanted = arguments.platform.wanted(settings.wanted())?;
            images::open_image(&store, &found, &wanted)?
        }
        false => images::open_document(&store, &found)?,
    };
    let mut new = arguments.files_args.artifact(&arguments.files)?;
    new.subject = Some(subject.descriptor());
    let artifact = new.make()?;
    let names = arguments.tag.iter().map(|name| full_name(name)).collect::<Result<Vec<_>>>()?;
    artifact.put(&store, &Naming { names: &names, origin: "", time_s: now() })?;
    Ok(artifact.manifest)
}

fn in_registry(settings: &Settings<'_>, arguments: &Attach) -> Result<Document> {
    if !arguments.tag.is_empty() {
        return Err(Failure::new("--tag: in a registry the artifact is found by what it is about"));
    }
    let access = arguments.registry.access()?;
    let (source, place) = super::pull::open(settings, &access, &arguments.subject)?;
    let Place::Registry(image) = place else {
        return Err(Failure::new(format!(
            "{place}: only registries and the store keep artifacts by what they are about"
        )));
    };
    let mut new = arguments.files_args.artifact(&arguments.files)?;
    new.subject = Some(subject(settings, arguments, &*source)?);
    let artifact = new.make()?;
    // It has no tag: its digest is its name.
    let name = image.name.repository().with_digest(*artifact.manifest.digest());
    let place = Place::parse(&format!("docker://{name}"))?;
    let shown = Shown::new(arguments.quiet);
    artifact.push(&*open_sink(settings, &place, &access)?, &shown)?;
    Ok(artifact.manifest)
}

fn subject(settings: &Settings<'_>, arguments: &Attach, source: &dyn Source) -> Result<Descriptor> {
    let root = source.manifest(None)?;
    let Some(index) = root.index().filter(|_| arguments.platform.is_given()) else {
        return Ok(root.descriptor());
    };
    let wanted = arguments.platform.wanted(settings.wanted())?;
    let chosen = Instances::One(wanted).choose(index)?;
    let none = || Failure::new("there is no image for the platform");
    let digest = chosen.first().ok_or_else(none)?.verifiable()?;
    Ok(source.manifest(Some(digest))?.descriptor())
}
