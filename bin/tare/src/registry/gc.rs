//! `tare registry gc` and `tare registry check`: looking after a registry that nobody serves.

use super::age;
use super::bucket::BucketArgs;
use crate::failure::{Failure, Result};
use ::serve::Keeping;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Remove what nothing refers to
///
/// Blobs that no manifest of a repository names, content that no repository has, uploads that nobody goes on
/// with. `tare registry serve` does the same while it runs; here it must not run.
#[derive(Debug, Args)]
pub(super) struct Gc {
    /// Directory of the registry
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    bucket: BucketArgs,
}

/// How long things are kept.
#[derive(Debug, Args)]
pub(super) struct Keep {
    /// Keep content that nothing refers to for so long after somebody put it or asked for it
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = age::parse)]
    lease: Duration,
    /// Also remove manifests that are without a tag for so long, that no tagged index names and that
    /// refer to none that stays
    #[arg(long, value_name = "TIME", value_parser = age::parse)]
    untagged: Option<Duration>,
    /// Keep uploads that nobody goes on with for so long
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = age::parse)]
    upload_age: Duration,
}

impl Keep {
    pub(super) fn keeping(&self) -> Keeping {
        Keeping {
            lease: self.lease,
            untagged: self.untagged,
            copies: None,
            uploads: self.upload_age,
        }
    }
}

pub(super) fn gc(arguments: &Gc) -> Result<()> {
    let tell = |text: &str| {
        // With standard error closed there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "tare: {text}");
    };
    let bucket = arguments.bucket.bucket()?;
    let keeping = arguments.keep.keeping();
    let done = ::serve::collect(&arguments.root, bucket.as_ref(), &keeping, &tell)?;
    let text = format!(
        "removed {} manifests, {} blobs of repositories, {} files of content with {} bytes",
        done.manifests, done.entries, done.blobs, done.bytes
    );
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// Read everything in a registry, and tell what is damaged
///
/// Hashes all content and follows every record. A registry that is served can be checked, too, but not
/// repaired.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Directory of the registry
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Remove what is damaged, so that the next push brings it anew
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    bucket: BucketArgs,
}

pub(super) fn check(arguments: &Check) -> Result<()> {
    let bucket = arguments.bucket.bucket()?;
    let checked = ::serve::check(&arguments.root, bucket.as_ref(), arguments.repair)?;
    let mut output = std::io::stdout();
    for problem in &checked.problems {
        let done = if problem.repaired { " (removed)" } else { "" };
        writeln!(output, "{}: {}{done}", problem.place, problem.what)?;
    }
    let text = format!(
        "{} repositories, {} manifests, {} blobs with {} bytes, {} problems",
        checked.repositories,
        checked.manifests,
        checked.blobs,
        checked.bytes,
        checked.problems.len()
    );
    writeln!(output, "{text}")?;
    match checked.problems.iter().filter(|problem| !problem.repaired).count() {
        0 => Ok(()),
        left => {
            let failure = Failure::new(format!("{}: {left} problems", arguments.root.display()));
            Err(match arguments.repair {
                true => failure.hint("push the images again that need what is missing"),
                false => failure.hint("`--repair` removes what is damaged"),
            })
        }
    }
}
