//! `tare sync`.

mod carry;
mod plan;
mod prune;

use super::packing::ManifestFormat;
use super::signing::SigningArgs;
use crate::failure::{Failure, Result};
use crate::output;
use crate::progress::Shown;
use crate::settings::{Access, DestinationArgs, Global, RetryArgs, Settings, SourceArgs};
use carry::{Carried, Carrier};
use clap::{Args, ValueEnum};
use images::{CopyOptions, Instances};
use plan::{Plan, Planner};
use std::io::Write;
use std::path::PathBuf;
use transport::sync::Filter;

/// Mirror images from registries or directories to a registry or directory
///
/// With --src docker, SOURCE is a repository with all its tags, or one image; with --src dir, a directory with images
/// below it; with --src yaml, a file that lists repositories, in skopeo's format. With --dest docker, DESTINATION is
/// a registry or the beginning of repositories; with --dest dir, a directory with one directory an image. What is
/// there already is seen by its digest, and not asked for again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare sync --src docker --dest dir registry.example.com/busybox /media/usb\n  \
                        tare sync --src yaml --dest docker --all --keep-going sync.yml mirror.example.com"
)]
pub(crate) struct Sync {
    /// What SOURCE is
    #[arg(short, long, value_enum, value_name = "KIND")]
    src: SourceKind,
    /// What DESTINATION is
    #[arg(short, long, value_enum, value_name = "KIND")]
    dest: DestinationKind,
    /// Copy the images of all platforms
    #[arg(short, long)]
    all: bool,
    /// Only tags in which a regular expression is found (repeated: any of them)
    #[arg(long, value_name = "REGEX")]
    tags: Vec<String>,
    /// Only tags that are versions within a constraint, such as '>= 3.12' (repeated: any of them)
    #[arg(long, value_name = "CONSTRAINT")]
    tags_semver: Vec<String>,
    /// Begin names at the destination with the whole name of the source
    #[arg(long)]
    scoped: bool,
    /// Add something to each tag at the destination
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    append_suffix: String,
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Go on when an image fails, and fail at the end
    #[arg(long)]
    keep_going: bool,
    /// Remove tags of the destination that the source has no longer
    #[arg(long)]
    prune: bool,
    /// Write each digest and where it is now into a file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Format of manifests [default: the source's]
    #[arg(short, long, value_enum)]
    format: Option<ManifestFormat>,
    /// Fail where a digest would change
    #[arg(long)]
    preserve_digests: bool,
    /// Copy no signatures
    #[arg(long)]
    remove_signatures: bool,
    /// Copy what refers to images, too [default: with --all or --preserve-digests]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    with_referrers: Option<bool>,
    /// Tell nothing but failures
    #[arg(short, long)]
    quiet: bool,
    /// File with credentials for both sides
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    #[command(flatten)]
    from: SourceArgs,
    #[command(flatten)]
    to: DestinationArgs,
    #[command(flatten)]
    retry: RetryArgs,
    #[command(flatten)]
    signing: SigningArgs,
    /// A repository or image, a directory, or a file
    #[arg(value_name = "SOURCE")]
    source: String,
    /// A registry or the beginning of repositories, or a directory
    #[arg(value_name = "DESTINATION")]
    destination: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SourceKind {
    Docker,
    Dir,
    Yaml,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DestinationKind {
    Docker,
    Dir,
}

impl Sync {
    fn with_referrers(&self) -> bool {
        self.with_referrers.unwrap_or(self.all || self.preserve_digests)
    }

    /// The tags that are meant; none are all.
    fn filters(&self) -> Result<Vec<Filter>> {
        let patterns = self.tags.iter().map(|text| Filter::pattern(text));
        let versions = self.tags_semver.iter().map(|text| Filter::versions(text));
        Ok(patterns.chain(versions).collect::<transport::Result<_>>()?)
    }

    fn access(&self) -> Result<[Access; 2]> {
        let mut both = [self.from.access(&self.retry)?, self.to.access(&self.retry)?];
        for access in &mut both {
            let unused = [
                ("daemon-host", access.daemon_host.is_some()),
                ("shared-blob-dir", access.shared_blobs.is_some()),
            ];
            if let Some((name, _)) = unused.iter().find(|(_, given)| *given) {
                let text =
                    format!("--src-{name}, --dest-{name}: sync knows registries and directories");
                return Err(Failure::new(text).hint("`tare copy` knows the other places"));
            }
            access.authfile = access.authfile.take().or_else(|| self.authfile.clone());
            access.companions = self.with_referrers();
        }
        Ok(both)
    }
}

pub(crate) fn run(global: &Global, arguments: &Sync) -> Result<()> {
    let about = format_args!("syncing {} to {}", arguments.source, arguments.destination);
    let settings = Settings::load(global)?;
    sync(&settings, arguments).map_err(|failure| failure.during(about))
}

fn sync(settings: &Settings<'_>, arguments: &Sync) -> Result<()> {
    arguments.signing.refuse()?;
    if arguments.src == SourceKind::Dir && arguments.dest == DestinationKind::Dir {
        return Err(Failure::new("from a directory to a directory there is nothing to do here")
            .hint("`cp -a` and rsync copy directories"));
    }
    let [of_source, of_destination] = arguments.access()?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let instances = match arguments.all {
        true => Instances::All,
        false => Instances::One(settings.wanted()),
    };
    let temporary = || settings.open_temporary();
    let options = CopyOptions {
        temporary: Some(&temporary),
        format: arguments.format.map(ManifestFormat::format).transpose()?,
        preserve_digests: arguments.preserve_digests,
        signatures: !arguments.remove_signatures,
        referrers: arguments.with_referrers(),
        ..CopyOptions::new(instances, &*gate, &shown)
    };
    let filters = arguments.filters()?;
    let planner = Planner { settings, arguments, access: &of_source, filters: &filters };
    let mut failures = Failures { keep_going: arguments.keep_going, count: 0 };
    let plan = planner.plan(&mut failures)?;
    let carrier = Carrier::new(settings, arguments, &of_destination, &options);
    let mut digests = match &arguments.digestfile {
        Some(path) if !arguments.dry_run => Some(create(path)?),
        _ => None,
    };
    let mut counts = Counts::default();
    for group in &plan.groups {
        for (item, state) in group.items.iter().zip(carrier.look(group)) {
            counts.images += 1;
            match carrier.carry(group, item, state) {
                Ok(carried) => {
                    counts.copied += usize::from(carried.is_new);
                    note_digest(digests.as_mut(), &carried)?;
                }
                Err(failure) => {
                    failures.add(failure.during(format_args!("copying {}", item.from)))?
                }
            }
        }
    }
    if arguments.prune && failures.count == 0 {
        counts.pruned = prune::prune(settings, arguments, &of_destination, &plan, &mut failures)?;
    }
    tell(arguments, &plan, &counts);
    failures.end(counts.images)
}

/// What was done.
#[derive(Default)]
struct Counts {
    images: usize,
    copied: usize,
    pruned: usize,
}

fn tell(arguments: &Sync, plan: &Plan, counts: &Counts) {
    if arguments.quiet {
        return;
    }
    let would = if arguments.dry_run { "would be " } else { "" };
    let Counts { images, copied, pruned } = counts;
    let (images, sources) =
        (output::several(*images, "image"), output::several(plan.groups.len(), "source"));
    super::note(&format!(
        "{images} from {sources}: {copied} {would}copied, {pruned} {would}removed"
    ));
}

/// Failures of some images.
struct Failures {
    keep_going: bool,
    count: usize,
}

impl Failures {
    /// Ends the command, or tells and goes on.
    fn add(&mut self, failure: Failure) -> Result<()> {
        if !self.keep_going {
            return Err(failure.hint_unless("--keep-going goes on with the other images"));
        }
        self.count += 1;
        // With standard error closed there is nobody to tell.
        let _ = std::io::stderr().write_all(failure.to_string().as_bytes());
        Ok(())
    }

    fn end(&self, images: usize) -> Result<()> {
        match self.count {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} failures, {images} images"))
                .hint("repeat the command: what is there is not copied again")),
        }
    }
}

fn create(path: &PathBuf) -> Result<std::fs::File> {
    std::fs::File::create(path)
        .map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))
}

fn note_digest(file: Option<&mut std::fs::File>, carried: &Carried) -> Result<()> {
    let (Some(file), Some(digest)) = (file, &carried.digest) else { return Ok(()) };
    Ok(writeln!(file, "{digest} {}", carried.to)?)
}
