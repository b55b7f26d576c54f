//! `tare manifest add --artifact`: files become an artifact, which goes into an index.

use super::{Images, annotations};
use crate::artifact::part;
use crate::failure::{Failure, Result};
use crate::image::now;
use clap::Args;
use images::{Instances, Naming, NewArtifact, Part, anonymous_name};
use oci::image::Descriptor;

/// How the artifact is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Artifacts")]
pub(super) struct ArtifactArgs {
    /// Add an artifact that is made of files: FILE, or FILE:TYPE
    #[arg(long)]
    pub(super) artifact: bool,
    /// Set an annotation of the artifact
    #[arg(long, value_name = "NAME=VALUE", requires = "artifact")]
    artifact_annotation: Vec<String>,
    /// Take a file for the configuration
    #[arg(long, value_name = "FILE", requires = "artifact")]
    artifact_config: Option<String>,
    /// What the configuration is: a media type
    #[arg(long, value_name = "TYPE", requires = "artifact_config")]
    artifact_config_type: Option<String>,
    /// Leave out the names of the files
    #[arg(long, requires = "artifact")]
    artifact_exclude_titles: bool,
    /// What the files are: a media type [default: what their first bytes say]
    #[arg(long, value_name = "TYPE", requires = "artifact")]
    artifact_layer_type: Option<String>,
    /// The image of the store or of a registry that the artifact is about
    #[arg(long, value_name = "IMAGE", requires = "artifact")]
    artifact_subject: Option<String>,
    /// What kind of artifact it is: a media type [default: application/vnd.unknown.artifact.v1]
    #[arg(long, value_name = "TYPE", requires = "artifact")]
    artifact_type: Option<String>,
}

impl ArtifactArgs {
    /// Puts the artifact into the store. It has a name that nobody gave it until the index names it.
    pub(super) fn put(&self, images: &Images<'_>, files: &[String]) -> Result<(String, bool)> {
        let artifact = self.new_artifact(images, files)?.make()?;
        let name = anonymous_name(artifact.manifest.digest());
        let is_known = images.store.resolve(&name).is_ok();
        let names = [name.clone()];
        artifact.put(images.store, &Naming { names: &names, origin: "", time_s: now() })?;
        Ok((name, is_known))
    }

    fn new_artifact(&self, images: &Images<'_>, files: &[String]) -> Result<NewArtifact> {
        let config = self.artifact_config.as_ref().map(|path| Part {
            path: path.into(),
            media_type: self.artifact_config_type.clone().unwrap_or_default(),
            ..Part::default()
        });
        Ok(NewArtifact {
            artifact_type: self.artifact_type.clone().unwrap_or_default(),
            config,
            parts: files.iter().map(|file| self.part(file)).collect(),
            subject: self.artifact_subject.as_deref().map(|it| subject(images, it)).transpose()?,
            annotations: annotations(&self.artifact_annotation)?,
            ..NewArtifact::default()
        })
    }

    fn part(&self, text: &str) -> Part {
        let mut part = part(text);
        if part.media_type.is_empty() {
            part.media_type = self.artifact_layer_type.clone().unwrap_or_default();
        }
        // podman's artifacts have files without directories.
        let name = part.path.file_name().and_then(|name| name.to_str());
        part.title = name.filter(|_| !self.artifact_exclude_titles).map(str::to_owned);
        part
    }
}

fn subject(images: &Images<'_>, name: &str) -> Result<Descriptor> {
    let about = |failure: Failure| failure.during(format_args!("--artifact-subject {name}"));
    let opened = images.open(name, &Instances::All).map_err(about)?;
    let descriptor = opened.source.manifest(None)?.descriptor();
    images.forget(opened.temporary.into_iter().collect())?;
    Ok(descriptor)
}
