//! `tare manifest-digest`.

use super::print;
use crate::failure::{Failure, Result};
use clap::Args;
use oci::Algorithm;
use oci::image::SIZE_LIMIT_BYTES;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use transport::hash::{digest_of, verify_manifest};

/// Compute the digest of a manifest in a file
///
/// Of docker's signed manifests (schema 1), it is the digest of what was signed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare manifest-digest manifest.json")]
pub(crate) struct ManifestDigest {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(arguments: &ManifestDigest) -> Result<()> {
    let path = arguments.file.display();
    let failed = |error| Failure::new(format!("reading {path}: {error}"));
    let mut bytes = Vec::new();
    let file = File::open(&arguments.file).map_err(failed)?;
    file.take(SIZE_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > SIZE_LIMIT_BYTES {
        let text = format!("{path} is larger than 4 MiB: no registry takes such a manifest");
        return Err(Failure::new(text));
    }
    // What is no manifest has a digest all the same, as with skopeo.
    let digest = match verify_manifest(bytes.clone(), "", None) {
        Ok(document) => *document.digest(),
        Err(_) => digest_of(Algorithm::Sha256, &bytes),
    };
    print(&digest.to_string())
}
