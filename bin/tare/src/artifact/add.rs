//! `tare artifact add`.

use super::{InStore, annotations, kind};
use crate::failure::{Failure, Result};
use crate::image::{full_name, now, print};
use crate::settings::{Global, Settings};
use clap::Args;
use images::{Naming, NewArtifact, Part, TITLE};
use oci::image::MediaType;
use oci::image::media_type;

/// Make an artifact in the store, of files
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Set an annotation of each file
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Add to the artifact that is there
    #[arg(short, long, conflicts_with_all = ["kind", "replace"])]
    append: bool,
    /// What the files are: a media type [default: what their first bytes say]
    #[arg(long, value_name = "TYPE")]
    file_type: Option<String>,
    /// Put it in the place of the one that is there
    #[arg(long)]
    replace: bool,
    /// What kind of artifact it is: a media type
    #[arg(long = "type", value_name = "TYPE", id = "kind")]
    kind: Option<String>,
    /// Name of the artifact
    #[arg(value_name = "NAME")]
    name: String,
    /// Files: FILE, or FILE:TYPE
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Add) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("making {}", arguments.name));
    add(global, arguments).map_err(during)
}

fn add(global: &Global, arguments: &Add) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let said = annotations(&arguments.annotation)?;
    let parts = arguments.files.iter().map(|file| part(file, arguments, &said));
    let mut new = NewArtifact {
        artifact_type: arguments.kind.clone().unwrap_or_default(),
        parts: parts.collect(),
        ..NewArtifact::default()
    };
    let mut name = full_name(&arguments.name)?;
    match (arguments.append, store.resolve(&name)) {
        (true, _) => {
            let old = InStore::find(&store, &arguments.name)?;
            new = appended(&old, new)?;
            name = old.record.reference;
        }
        (false, Ok(_)) if !arguments.replace => {
            return Err(Failure::new("there is an artifact or image of this name")
                .hint("`--append` adds to it, `--replace` takes its place"));
        }
        _ => {}
    }
    let artifact = new.make()?;
    let names = [name];
    artifact.put(&store, &Naming { names: &names, origin: "", time_s: now() })?;
    print(&artifact.manifest.digest().to_string())
}

fn part(text: &str, arguments: &Add, said: &oci::Map) -> Part {
    let mut part = super::part(text);
    if part.media_type.is_empty() {
        part.media_type = arguments.file_type.clone().unwrap_or_default();
    }
    // podman's artifacts have files without directories.
    let name = part.path.file_name().and_then(|name| name.to_str());
    part.title = said.get(TITLE).cloned().or(name.map(str::to_owned));
    part.annotations = said.clone();
    part
}

/// The files of both, as one artifact.
fn appended(old: &InStore, new: NewArtifact) -> Result<NewArtifact> {
    let Some(manifest) = old.document.manifest() else { return Ok(new) };
    if manifest.config.media_type != media_type::OCI_EMPTY {
        return Err(Failure::new("--append: the artifact has a configuration that would be lost"));
    }
    let mut layers = manifest.layers.clone();
    layers.retain(|layer| layer.kind() != MediaType::Empty);
    for part in &new.parts {
        let taken = layers.iter().any(|layer| layer.annotations.get(TITLE) == part.title.as_ref());
        if let (true, Some(title)) = (taken, &part.title) {
            return Err(Failure::new(format!("--append: it has a file called {title} already")));
        }
    }
    Ok(NewArtifact {
        artifact_type: kind(&old.document).unwrap_or_default().to_owned(),
        layers,
        subject: manifest.subject.clone(),
        annotations: manifest.annotations.clone(),
        ..new
    })
}
