//! The command line.

use crate::{image, mutate, remote, settings, system};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

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
    pub(crate) global: settings::Global,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Run(Box<Run>),
    Pull(image::pull::Pull),
    Push(image::push::Push),
    Images(image::list::List),
    Rmi(image::remove::Remove),
    Tag(image::tag::Tag),
    Untag(image::tag::Untag),
    Inspect(Box<image::inspect_place::Inspect>),
    History(image::history::History),
    Diff(image::diff::Diff),
    Save(image::save::Save),
    Load(image::load::Load),
    Import(Box<image::import::Import>),
    Mount(image::mount::Mount),
    #[command(visible_alias = "umount")]
    Unmount(image::mount::Unmount),
    Mutate(Box<mutate::Mutate>),
    Image(Box<image::Image>),
    Manifest(crate::manifest::Manifest),
    Artifact(crate::artifact::ArtifactVerb),
    Copy(Box<image::copy::Copy>),
    Sync(Box<image::sync::Sync>),
    ListTags(image::list_tags::ListTags),
    Delete(image::delete::Delete),
    ManifestDigest(image::manifest_digest::ManifestDigest),
    Search(remote::search::Search),
    Login(remote::login::Login),
    Logout(remote::logout::Logout),
    Registry(crate::registry::Registry),
    System(system::System),
    Gc(system::gc::Collect),
    #[command(visible_alias = "check")]
    Fsck(system::fsck::Check),
    /// buildah's word for `image prune`
    #[command(hide = true)]
    Prune(image::prune::Prune),
    #[command(hide = true)]
    StandaloneSign(image::signing::NotYet),
    #[command(hide = true)]
    StandaloneVerify(image::signing::NotYet),
    #[command(hide = true)]
    GenerateSigstoreKey(image::signing::NotYet),
}

/// Run a program in a container
///
/// `host:PROGRAM` packs a program of this machine with exactly the files that it needs (its
/// libraries, and the interpreter of a script) and runs it. Neither a registry nor root is needed.
/// The root file system is read-only, with a writable /tmp, /run, /var/tmp and /root.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare run host:/bin/sh -c 'echo hello from pid $$'")]
pub(crate) struct Run {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Remove the container when it ends (always the case so far)
    #[arg(long)]
    pub(crate) rm: bool,
    /// Set an environment variable; without a value it is taken from the caller's environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Working directory of the program
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User and group of the program: UID[:GID], root or nobody
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
    /// Also make the directories of `host:` images that are writable by default read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Name of the container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Host name in the container [default: the container's name]
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    /// Network: none has only a loopback device, host is the machine's
    #[arg(long, value_enum, default_value_t = Network::None)]
    pub(crate) network: Network,
    /// Run the program under a first process that collects orphans and passes signals on
    #[arg(long)]
    pub(crate) init: bool,
    /// Pack another program of the host too (repeated)
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) with: Vec<String>,
    /// What to run: host:PROGRAM
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
