//! The name that the program goes by: a link of docker's or podman's name answers in their form where that is another
//! one, for scripts that compare.

use std::path::Path;

/// Whose place the program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Tare,
    Docker,
    Podman,
}

impl Called {
    /// By the first word of the command line.
    pub(crate) fn now() -> Self {
        let name = std::env::args_os().next().unwrap_or_default();
        match Path::new(&name).file_name().and_then(|name| name.to_str()) {
            Some("docker") => Self::Docker,
            Some("podman") => Self::Podman,
            _ => Self::Tare,
        }
    }

    /// Whether it goes by podman's name.
    pub(crate) fn is_podman() -> bool {
        Self::now() == Self::Podman
    }

    /// Whether it goes by docker's.
    pub(crate) fn is_docker() -> bool {
        Self::now() == Self::Docker
    }
}

/// podman's exit code for all that fails, but for what a verb has one of its own for.
pub(crate) const PODMAN_FAILED: u8 = 125;

/// podman's words for what docker's are here otherwise.
pub(crate) fn podmans_words(message: &str) -> String {
    if let Some(name) = message.strip_prefix("No such container: ") {
        return format!("no container with name or ID {name:?} found: no such container");
    }
    for words in [": no such image", ": it is not in the store"] {
        if let Some(name) = message.strip_suffix(words) {
            return format!("{name}: image not known");
        }
    }
    if let Some(target) = message.strip_prefix("Duplicate mount point: ") {
        return format!("{target}: duplicate mount destination");
    }
    if let Some((name, "")) = between(message, "network ", " not found") {
        return format!("unable to find network with name or ID {name}: network not found");
    }
    if let Some((name, "")) = between(message, "get ", ": no such volume") {
        return format!("no volume with name {name:?} found: no such volume");
    }
    if let Some((name, id)) = between(message, "remove ", ": volume is in use - [") {
        let id = id.trim_end_matches(']');
        return format!(
            "volume {name} is being used by the following container(s): {id}: volume is being used"
        );
    }
    if message.contains(PORT_TAKEN) {
        return message.replace(PORT_TAKEN, "address already in use");
    }
    if message.ends_with(" for --mount: target is required") {
        return "must set volume destination".into();
    }
    if message.ends_with("cannot copy directory") {
        return "destination must be a directory when copying a directory".into();
    }
    if message.starts_with("destination \"") && message.ends_with("\" must be a directory") {
        return "destination must be a directory when copying from stdin".into();
    }
    if message.starts_with(crate::container::copy::stream::NO_ARCHIVE) {
        return "source must be a (compressed) tar archive when copying from stdin".into();
    }
    if let Some(rest) = message.strip_prefix("invalid output path: ") {
        return format!("invalid destination: {rest}");
    }
    if message == crate::terminal::NO_INPUT {
        return "cannot read from terminal, use command-line redirection or the --input flag"
            .into();
    }
    if let Some((port, _)) = between(message, "no public port '", "' published for ") {
        return format!("failed to find published port {port:?}");
    }
    if let Some(name) = message.strip_prefix("No such object: ") {
        return format!("no such object: {name:?}");
    }
    if let Some((name, id)) =
        between(message, "Conflict. The container name \"/", "\" is already in use by container \"")
    {
        let id = id.trim_end_matches("\".");
        return format!(
            "creating container storage: the container name {name:?} is already in use by {id}. You have to remove that \
             container to be able to reuse that name: that name is already in use, or use --replace to instruct Podman to do so."
        );
    }
    message.to_owned()
}

/// Whether a message is about a port that somebody else has, for which podman has a code of its own.
pub(crate) fn is_port_taken(message: &str) -> bool {
    message.contains(PORT_TAKEN) || message.contains("ddress already in use")
}

const PORT_TAKEN: &str = "port is already allocated";

/// The ID of an image: podman writes the digits alone.
pub(crate) fn image_id(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").filter(|_| Called::is_podman());
    digits.unwrap_or(id)
}

/// What stands between two texts, and behind the second.
fn between<'t>(message: &'t str, before: &str, middle: &str) -> Option<(&'t str, &'t str)> {
    message.strip_prefix(before)?.split_once(middle)
}

/// podman's verbs that are not here: it matters more than what follows them.
const NOT_HERE: [&str; 8] =
    ["pod", "build", "kube", "play", "generate", "compose", "auto-update", "machine"];

/// podman's form of what clap says of a command line.
pub(crate) fn podmans_usage(error: &clap::Error, words: &[std::ffi::OsString]) -> String {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let name = argument.split([' ', '=']).next().unwrap_or_default();
    let verb =
        words.iter().skip(1).filter_map(|word| word.to_str()).find(|it| crate::cli::is_verb(it));
    let shown = error.to_string();
    let mut flags = words.iter().skip(1).rev().filter_map(|word| word.to_str());
    let last_flag = flags.find(|word| word.starts_with("--") && word.len() > 2);
    let message = match error.kind() {
        ErrorKind::InvalidSubcommand
            if last_flag.is_some()
                && !NOT_HERE.contains(&context(ContextKind::InvalidSubcommand).as_str()) =>
        {
            format!("unknown flag: {}", last_flag.unwrap_or_default())
        }
        ErrorKind::ArgumentConflict if shown.contains("--compat-auth-file") => {
            "options for paths to the credential file and to the Docker-compatible credential file can not be set \
             simultaneously"
                .into()
        }
        ErrorKind::ValueValidation if name == "--retry-delay" => {
            format!("time: invalid duration {:?}", context(ContextKind::InvalidValue))
        }
        ErrorKind::InvalidValue
            if context(ContextKind::InvalidValue).is_empty() && is_short(words.last()) =>
        {
            let flag = words.last().and_then(|word| word.to_str()).unwrap_or_default();
            format!("flag needs an argument: '{}' in {flag}", flag.trim_start_matches('-'))
        }
        ErrorKind::UnknownArgument if name.starts_with("--") => format!("unknown flag: {name}"),
        ErrorKind::UnknownArgument if name.starts_with('-') => {
            format!("unknown shorthand flag: '{}' in {name}", name.trim_start_matches('-'))
        }
        ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
            format!("flag needs an argument: {name}")
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    };
    if error.kind() == ErrorKind::ValueValidation && name == "--retry-delay" {
        // Read by the verb, not by what reads command lines.
        return format!("Error: {message}\n");
    }
    let verb = verb.map_or_else(String::new, |verb| format!(" {verb}"));
    format!("Error: {message}\nSee 'podman{verb} --help'\n")
}

/// Whether a word is one short option.
fn is_short(word: Option<&std::ffi::OsString>) -> bool {
    let text = word.and_then(|word| word.to_str()).unwrap_or_default();
    text.len() == 2 && text.starts_with('-') && text != "--"
}

#[test]
fn sentences_of_podman() {
    let text = "No such container: x\"y";
    assert_eq!(
        podmans_words(text),
        "no container with name or ID \"x\\\"y\" found: no such container"
    );
    assert_eq!(podmans_words("other"), "other");
}
