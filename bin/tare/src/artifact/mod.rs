//! `tare artifact`: files that are kept beside images.

mod add;
mod attach;
mod discover;
mod extract;
mod inspect;
mod ls;
mod pull;
mod push;
mod rm;

use crate::failure::{Failure, Result};
use crate::mutate::name_and_value;
use crate::settings::Global;
use clap::{Args, Subcommand};
use images::{Found, NewArtifact, Part};
use oci::image::Document;
use std::path::Path;
use store::{NameRecord, Store};

/// Keep files beside images, in the store and in registries
///
/// An artifact is a manifest with files as they are: charts, bills of materials, models, configurations. One that is
/// attached to an image is found by the image's digest.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare artifact push registry.example.com/app:sbom sbom.json:application/spdx+json\n  \
                  tare artifact attach --artifact-type application/spdx+json registry.example.com/app:1 sbom.json\n  \
                  tare artifact discover registry.example.com/app:1\n  \
                  tare artifact pull --output files registry.example.com/app:sbom"
)]
#[command(arg_required_else_help = true)]
pub(crate) struct ArtifactVerb {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Add(add::Add),
    Attach(Box<attach::Attach>),
    Discover(discover::Discover),
    Extract(extract::Extract),
    Inspect(inspect::Inspect),
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    Pull(Box<pull::Pull>),
    Push(Box<push::Push>),
    Rm(rm::Rm),
}

pub(crate) fn run(global: &Global, arguments: &ArtifactVerb) -> Result<()> {
    match &arguments.what {
        What::Add(arguments) => add::run(global, arguments),
        What::Attach(arguments) => attach::run(global, arguments),
        What::Discover(arguments) => discover::run(global, arguments),
        What::Extract(arguments) => extract::run(global, arguments),
        What::Inspect(arguments) => inspect::run(global, arguments),
        What::Ls(arguments) => ls::run(global, arguments),
        What::Pull(arguments) => pull::run(global, arguments),
        What::Push(arguments) => push::run(global, arguments),
        What::Rm(arguments) => rm::run(global, arguments),
    }
}

/// What an artifact is made of, as oras' users write it.
#[derive(Debug, Default, Args)]
struct FilesArgs {
    /// Set an annotation of the artifact
    #[arg(short, long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// What kind of artifact it is: a media type [default: application/vnd.unknown.artifact.v1]
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,
    /// Take a file for the configuration
    #[arg(long, value_name = "FILE[:TYPE]")]
    config: Option<String>,
}

impl FilesArgs {
    fn artifact(&self, files: &[String]) -> Result<NewArtifact> {
        Ok(NewArtifact {
            artifact_type: self.artifact_type.clone().unwrap_or_default(),
            config: self.config.as_deref().map(|text| Part { title: None, ..part(text) }),
            parts: files.iter().map(|file| part(file)).collect(),
            annotations: annotations(&self.annotation)?,
            ..NewArtifact::default()
        })
    }
}

fn annotations(pairs: &[String]) -> Result<oci::Map> {
    pairs.iter().map(|pair| name_and_value(pair)).collect()
}

/// `FILE[:TYPE]`: a media type has a slash, and there may be a file of the whole name.
pub(crate) fn part(text: &str) -> Part {
    let (path, media_type) = match text.rsplit_once(':') {
        Some((path, kind)) if oci::image::media_type::is_media_type(kind) && !is_file(text) => {
            (path, kind)
        }
        _ => (text, ""),
    };
    Part {
        path: path.into(),
        media_type: media_type.to_owned(),
        title: title_of(path),
        annotations: oci::Map::default(),
    }
}

fn is_file(text: &str) -> bool {
    Path::new(text).is_file()
}

/// The name in the artifact: the path as it was written, unless it leads elsewhere.
fn title_of(path: &str) -> Option<String> {
    use std::path::Component;
    let inside = |it: &Component<'_>| matches!(it, Component::Normal(_) | Component::CurDir);
    let path = Path::new(path);
    let named = match path.components().all(|it| inside(&it)) {
        true => path.components().filter(|it| *it != Component::CurDir).collect(),
        false => Path::new(path.file_name()?).to_path_buf(),
    };
    named.to_str().map(str::to_owned)
}

/// An artifact of the store.
struct InStore {
    found: Found,
    record: NameRecord,
    document: Document,
}

impl InStore {
    fn find(store: &Store, name: &str) -> Result<Self> {
        let found = images::find(store, name)?;
        let document = images::open_document(store, &found)?;
        let unnamed = || Failure::new(format!("{name}: it has no name"));
        let record = found.names.first().cloned().ok_or_else(unnamed)?;
        match kind(&document) {
            Some(_) => Ok(Self { found, record, document }),
            None => Err(Failure::new(format!("{name} is an image, not an artifact"))),
        }
    }
}

/// What kind of artifact a manifest is of; `None` for images and indexes.
fn kind(document: &Document) -> Option<&str> {
    document.manifest().and_then(|manifest| manifest.artifact_kind())
}
