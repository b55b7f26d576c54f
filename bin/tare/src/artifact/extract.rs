//! `tare artifact extract`.

use super::InStore;
use crate::failure::{Failure, Result};
use crate::settings::{Global, Settings};
use clap::Args;
use images::{Existing, Stored, Which, artifact_files, extract_to};
use std::path::PathBuf;

/// Write files of an artifact of the store
///
/// Into a directory they go with their names. A path that is no directory is that of one file.
#[derive(Debug, Args)]
pub(crate) struct Extract {
    /// Only the file with this digest
    #[arg(long, value_name = "DIGEST", conflicts_with = "title")]
    digest: Option<String>,
    /// Only the file of this name
    #[arg(long, value_name = "NAME")]
    title: Option<String>,
    /// The artifact
    #[arg(value_name = "NAME")]
    name: String,
    /// A directory, or the file
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

pub(super) fn run(global: &Global, arguments: &Extract) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("extracting {}", arguments.name));
    extract(global, arguments).map_err(during)
}

fn extract(global: &Global, arguments: &Extract) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    let artifact = InStore::find(&store, &arguments.name)?;
    let document = &artifact.document;
    let rights = settings.caller.rights();
    let (digest, media_type) = (document.digest(), document.media_type());
    let source = Stored::open(&store, &arguments.name, digest, media_type, rights)?;
    let which = Which { title: arguments.title.as_deref(), digest: arguments.digest.as_deref() };
    let files = artifact_files(document, &which)?;
    if arguments.path.is_dir() {
        images::extract(&source, &files, &arguments.path, Existing::Replace)?;
        return Ok(());
    }
    match &files[..] {
        [file] => Ok(extract_to(&source, file, &arguments.path, Existing::Replace)?),
        _ => {
            let text = format!(
                "{}: is no directory, and there are {} files",
                arguments.path.display(),
                files.len()
            );
            Err(Failure::new(text).hint("choose one by --title, or make the directory"))
        }
    }
}
