//! The command line.

use crate::{image, mutate, remote, settings, system};
use clap::{ArgAction, Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Containers without a daemon
#[derive(Debug, Parser)]
#[command(
    name = "tare",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Tare {
    #[command(flatten)]
    pub(crate) front: Front,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What comes before the verb.
#[derive(Debug, Args)]
pub(crate) struct Front {
    #[command(flatten)]
    pub(crate) global: settings::Global,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// The verbs, and a table of what each one adds to a command by itself.
macro_rules! verbs {
    ($($(#[$attribute:meta])* $name:literal $verb:ident($arguments:ty),)*) => {
        #[derive(Debug, Subcommand)]
        pub(crate) enum Verb {
            $($(#[$attribute])* #[command(name = $name)] $verb($arguments),)*
        }

        const VERBS: &[(&str, fn(Command) -> Command)] =
            &[$(($name, <$arguments as Args>::augment_args),)*];
    };
}

verbs! {
    "run" Run(Box<Run>),
    "pull" Pull(image::pull::Pull),
    "push" Push(image::push::Push),
    "images" Images(image::list::List),
    "rmi" Rmi(image::remove::Remove),
    "tag" Tag(image::tag::Tag),
    "untag" Untag(image::tag::Untag),
    "inspect" Inspect(Box<image::inspect_place::Inspect>),
    "history" History(image::history::History),
    "diff" Diff(image::diff::Diff),
    "save" Save(image::save::Save),
    "load" Load(image::load::Load),
    "import" Import(Box<image::import::Import>),
    "mount" Mount(image::mount::Mount),
    #[command(visible_alias = "umount")]
    "unmount" Unmount(image::mount::Unmount),
    "mutate" Mutate(Box<mutate::Mutate>),
    "image" Image(Box<image::Image>),
    "manifest" Manifest(crate::manifest::Manifest),
    "artifact" Artifact(crate::artifact::ArtifactVerb),
    "copy" Copy(Box<image::copy::Copy>),
    "sync" Sync(Box<image::sync::Sync>),
    "list-tags" ListTags(image::list_tags::ListTags),
    "delete" Delete(image::delete::Delete),
    "manifest-digest" ManifestDigest(image::manifest_digest::ManifestDigest),
    "search" Search(remote::search::Search),
    "login" Login(remote::login::Login),
    "logout" Logout(remote::logout::Logout),
    "registry" Registry(crate::registry::Registry),
    "system" System(system::System),
    "info" Info(system::info::Info),
    "version" Version(system::info::Version),
    "gc" Gc(system::gc::Collect),
    #[command(visible_alias = "check")]
    "fsck" Fsck(system::fsck::Check),
    /// buildah's word for `image prune`
    #[command(hide = true)]
    "prune" Prune(image::prune::Prune),
    #[command(hide = true)]
    "standalone-sign" StandaloneSign(image::signing::NotYet),
    #[command(hide = true)]
    "standalone-verify" StandaloneVerify(image::signing::NotYet),
    #[command(hide = true)]
    "generate-sigstore-key" GenerateSigstoreKey(image::signing::NotYet),
}

impl Tare {
    /// Understands a command line.
    pub(crate) fn read(words: Vec<OsString>) -> Result<Self, clap::Error> {
        // Whoever needs help or has made a mistake is told by the whole.
        Self::read_quickly(&words).map_or_else(|| Self::try_parse_from(words), Ok)
    }

    /// The same without the options of other verbs, which take a millisecond to describe: nothing unless
    /// it succeeds.
    fn read_quickly(words: &[OsString]) -> Option<Self> {
        let is_verb = |word: &OsString| VERBS.iter().find(|(name, _)| *word == **name);
        let (name, augment) = words.iter().skip(1).find_map(is_verb)?;
        let matches = Front::augment_args(Command::new("tare"))
            .version(env!("CARGO_PKG_VERSION"))
            .disable_version_flag(true)
            .disable_help_subcommand(true)
            .subcommand_required(true)
            .subcommand(augment(Command::new(*name)))
            .try_get_matches_from(words)
            .ok()?;
        Self::from_arg_matches(&matches).ok()
    }
}

/// Run a program in a container
///
/// IMAGE is one of the store, and is pulled if it is not there; what the container writes goes with it.
/// `host:PROGRAM` packs a program of this machine with exactly the files that it needs (its libraries, and the
/// interpreter of a script) and runs it: neither a registry nor root is needed, and the root file system is
/// read-only, with a writable /tmp, /run, /var/tmp and /root.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare run debian:13 cat /etc/os-release\n  tare run -it --network host alpine\n  \
                  tare run host:/bin/sh -c 'echo hello from pid $$'"
)]
pub(crate) struct Run {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Not there yet: the container runs in the foreground
    #[arg(short, long, hide = true)]
    pub(crate) detach: bool,
    /// Not there yet: with --network host nothing has to be published
    #[arg(short, long, hide = true)]
    pub(crate) publish: Vec<String>,
    /// Remove the container when it ends (always the case so far)
    #[arg(long)]
    pub(crate) rm: bool,
    /// Set an environment variable; without a value it is taken from the caller's environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Working directory of the program
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User and group of the program, by their names in the image or numbers [default: the image's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Show a file or directory of the host in the container
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    pub(crate) volume: Vec<String>,
    /// Memory limit, such as 64m or 1g
    #[arg(short, long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// CPU time limit in CPUs, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,
    /// Number of processes; -1 for no limit [default: 2048 where limits can be set]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    /// System call filter: seccomp=FILE, or seccomp=unconfined for none [default: Moby's profile]
    #[arg(long, value_name = "OPTION")]
    pub(crate) security_opt: Vec<String>,
    /// Make the root file system read-only (with `host:`, also the directories that are writable otherwise)
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Name of the container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Host name in the container [default: the container's name]
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    #[command(flatten)]
    pub(crate) users: crate::run::UserArgs,
    /// Network: none has only a loopback device, host is the machine's
    #[arg(long, value_enum, default_value_t = Network::None)]
    pub(crate) network: Network,
    /// Run the program under a first process that collects orphans and passes signals on
    #[arg(long)]
    pub(crate) init: bool,
    /// Program to run instead of the image's own, or several words as JSON
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Take environment variables from a file, one a line (repeated)
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// When to pull the image
    #[arg(long, value_enum, default_value_t = image::pull::Policy::Missing)]
    pub(crate) pull: image::pull::Policy,
    #[command(flatten)]
    pub(crate) platform: settings::PlatformArgs,
    #[command(flatten)]
    pub(crate) registry: settings::RegistryArgs,
    /// Do not show how the image is pulled
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Pack another program of the host too (repeated)
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) with: Vec<String>,
    /// What to run: an image, or host:PROGRAM
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    pub(crate) args: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    None,
    Host,
}

#[cfg(test)]
mod tests {
    use super::{Tare, VERBS};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_quick_way_knows_every_verb() {
        let whole = Tare::command();
        let names: Vec<&str> = whole.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(VERBS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    }

    #[test]
    fn both_ways_understand_the_same() {
        let lines = [
            "tare images",
            "tare --root images --runroot /x pull -q a",
            "tare pull --root=/r pull",
            "tare --policy copy copy a b --runroot images",
            "tare image ls -q",
            "tare run -m 1g host:sh -c images",
            "tare umount x",
        ];
        for line in lines {
            let words: Vec<_> = line.split(' ').map(Into::into).collect();
            let whole = Tare::try_parse_from(&words);
            match (Tare::read_quickly(&words), whole) {
                (Some(quick), Ok(whole)) => assert_eq!(format!("{quick:?}"), format!("{whole:?}")),
                (Some(_), Err(error)) => panic!("{line}: {error}"),
                // Of these the first word that is a verb is none here, or a name for the verb is another one.
                (None, _) => assert!(line.contains("--root images") || line == "tare umount x"),
            }
        }
    }
}
