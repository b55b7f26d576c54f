//! The command line.

use crate::{container, image, mutate, network, remote, settings, system};
use clap::{Arg, ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
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
    // The last one counts, as with Go's programs.
    args_override_self = true,
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
    "run" Run(Box<container::run::Run>),
    "create" Create(Box<container::run::Create>),
    "start" Start(container::start::Start),
    "stop" Stop(container::stop::Stop),
    "restart" Restart(container::stop::Restart),
    "kill" Kill(container::stop::Kill),
    "rm" Rm(container::remove::Remove),
    "ps" Ps(container::list::List),
    "logs" Logs(container::logs::Logs),
    "exec" Exec(container::exec::Exec),
    "attach" Attach(container::attach::AttachArgs),
    "cp" Cp(container::copy::Cp),
    "commit" Commit(container::commit::Commit),
    "export" Export(container::export::Export),
    "top" Top(container::top::Top),
    "stats" Stats(container::stats::Stats),
    "update" Update(container::update::Update),
    "events" Events(system::events::Events),
    "healthcheck" Healthcheck(crate::healthcheck::Noun),
    "wait" Wait(container::state::Wait),
    "pause" Pause(container::state::Pause),
    "unpause" Unpause(container::state::Unpause),
    "rename" Rename(container::state::Rename),
    "port" Port(container::state::Port),
    "container" Container(container::Noun),
    "volume" Volume(crate::volume::Noun),
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
    "mount" Mount(crate::mounting::Mount),
    #[command(visible_alias = "umount")]
    "unmount" Unmount(crate::mounting::Unmount),
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
    "network" Network(network::NetworkVerb),
    "secret" Secret(crate::secret::Noun),
    "unshare" Unshare(crate::unshare::Unshare),
    #[command(hide = true)]
    "config" Configs(crate::swarm::Configs),
    "system" System(system::System),
    "info" Info(system::info::Info),
    "doctor" Doctor(system::doctor::Doctor),
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

/// Whether the first word that is a verb is one of those that enter a container.
pub(crate) fn enters_container(words: &[OsString]) -> bool {
    let is_verb = |word: &&OsString| VERBS.iter().any(|(name, _)| **word == **name);
    words
        .iter()
        .skip(1)
        .find(is_verb)
        .is_some_and(|verb| sys::entry::entering().any(|it| **verb == *it))
}

/// Whether the verb ends with the exit code of a program in a container, so that its own failures need one that is
/// nobody else's.
pub(crate) fn ends_as_program(words: &[OsString]) -> bool {
    let words = words.iter().skip(1).filter_map(|word| word.to_str());
    let mut verbs = words.skip_while(|word| !is_verb(word));
    let (verb, below) = (verbs.next().unwrap_or_default(), verbs.next().unwrap_or_default());
    let verb = if verb == "container" { below } else { verb };
    matches!(verb, "run" | "exec")
}

impl Tare {
    /// Understands a command line.
    pub(crate) fn read(mut words: Vec<OsString>) -> Result<Self, clap::Error> {
        loop {
            if let Some(read) = Self::read_quickly(&words) {
                return Ok(read);
            }
            // Whoever needs help or has made a mistake is told by the whole.
            match Self::read_slowly(&words) {
                // Each round takes one word away.
                Err(error) if say_plainly(&mut words, &error) => {}
                result => return result,
            }
        }
    }

    /// By the whole. The value of an option may look like another option, as with Go's programs.
    fn read_slowly(words: &[OsString]) -> Result<Self, clap::Error> {
        let matches = take_hyphens(Self::command()).try_get_matches_from(words)?;
        Self::from_arg_matches(&matches)
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
            .args_override_self(true)
            .subcommand_required(true)
            .subcommand(augment(Command::new(*name)))
            .try_get_matches_from(words)
            .ok()?;
        Self::from_arg_matches(&matches).ok()
    }
}

/// The modules that a command line names before its verb, where it is not understood as a whole.
pub(crate) fn modules(words: &[OsString]) -> Vec<PathBuf> {
    let mut modules = Vec::new();
    let mut words = words.iter().skip(1).map(|word| word.to_str().unwrap_or_default());
    while let Some(word) = words.next().filter(|word| !is_verb(word)) {
        match word.strip_prefix("--module") {
            Some("") => modules.extend(words.next().map(PathBuf::from)),
            Some(rest) => modules.extend(rest.strip_prefix('=').map(PathBuf::from)),
            None => {}
        }
    }
    modules
}

/// Whether a word is a verb's name.
pub(crate) fn is_verb(word: &str) -> bool {
    VERBS.iter().any(|(name, _)| *name == word)
}

fn take_hyphens(command: Command) -> Command {
    let takes = |argument: Arg| {
        let is_option = !argument.is_positional() && argument.get_action().takes_values();
        let is_bound = argument.is_require_equals_set();
        if is_option && !is_bound { argument.allow_hyphen_values(true) } else { argument }
    };
    let command = command.mut_args(takes);
    command.mut_subcommands(take_hyphens)
}

/// Go's programs take a value with flags that have none here: `--rm=true` is `--rm`, and `--rm=false` nothing. Says
/// whether there was such a word to which the error may be due.
fn say_plainly(words: &mut Vec<OsString>, error: &clap::Error) -> bool {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let refused = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::TooManyValues, Some(ContextValue::String(text))) => text.as_str(),
        _ => "",
    };
    let flag_of = |word: &OsString| {
        let (flag, value) = word.to_str()?.split_once('=')?;
        let value = match value {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => true,
            "false" | "0" | "f" | "F" | "FALSE" | "False" => false,
            _ => return None,
        };
        let is_short = flag.len() == 2 && flag.starts_with('-') && flag != "--";
        let is_refused = flag.starts_with("--") && refused.split(' ').next() == Some(flag);
        (is_short || is_refused).then(|| (OsString::from(flag), value))
    };
    let found = words.iter().enumerate().skip(1).find_map(|(at, word)| Some((at, flag_of(word)?)));
    match found {
        Some((at, (flag, true))) => words[at] = flag,
        Some((at, (_, false))) => drop(words.remove(at)),
        None => return false,
    }
    true
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
    fn flags_take_values_as_gos_programs_have_them() {
        let read = |line: &str| {
            let words: Vec<_> = line.split(' ').map(Into::into).collect();
            Tare::read(words).map(|read| format!("{read:?}")).map_err(|error| error.to_string())
        };
        for (line, plain) in [
            ("tare run --rm=true -t=false --no-healthcheck=false x y", "tare run --rm x y"),
            ("tare ps -a=true", "tare ps -a"),
            ("tare run x --rm=true", "tare run x --rm=true"),
        ] {
            assert_eq!(read(line), read(plain), "{line}");
            assert!(read(line).is_ok(), "{line}");
        }
        assert!(read("tare run --rm=maybe x").is_err());
        assert!(read("tare run --nosuch=true x").is_err());
    }

    #[test]
    fn verbs_that_enter_containers_are_known() {
        let enters = |line: &str| {
            super::enters_container(&line.split(' ').map(Into::into).collect::<Vec<_>>())
        };
        for line in ["tare run x", "tare --root /r exec -it a sh", "tare container run x"] {
            assert!(enters(line), "{line}");
        }
        for line in ["tare", "tare ps", "tare images run", "tare --version"] {
            assert!(!enters(line), "{line}");
        }
        assert!(sys::entry::entering().all(|name| VERBS.iter().any(|verb| verb.0 == name)));
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
