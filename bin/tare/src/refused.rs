//! Command lines that are not understood: what docker has and this program has no place for, with what to type instead,
//! and verbs that are spelt in another way.

use crate::cli::Tare;
use crate::failure::Failure;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory};
use std::ffi::OsString;

/// Verbs, why they are not here, and what is.
const VERBS: &[(&[&str], &str, &str)] = &[
    (
        &["swarm", "node", "service", "stack"],
        "there is no swarm",
        "Kubernetes places containers on several machines; here they run on this one",
    ),
    (
        &["plugin"],
        "there are no plugins",
        "drivers of networks, volumes and logs are part of the program",
    ),
    (
        &["context"],
        "there is no daemon to connect to",
        "`ssh HOST tare ...` works on another machine's store",
    ),
    (
        &["checkpoint"],
        "containers of this program have none",
        "`tare-runtime checkpoint` and `restore` do it for bundles",
    ),
    (
        &["build", "buildx", "builder", "bake"],
        "images are not built from a Dockerfile yet",
        "`tare commit`, `tare import` and `tare mutate` make images",
    ),
    (
        &["compose"],
        "compose files are not read yet",
        "containers of one network find each other by name: `tare network create`, `tare run --network`",
    ),
    (
        &["trust"],
        "it is about signatures of a service that docker has closed",
        "policy.json says which images are accepted (--policy)",
    ),
];

/// Options before the verb that say where docker's daemon is.
const OPTIONS: &[&str] = &[
    "--host",
    "-H",
    "--context",
    "-c",
    "--tls",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
    "--tlsverify",
];

/// Why a command line is not understood, where the parser's own words are no help.
pub(crate) fn explain(words: &[OsString], error: &clap::Error) -> Option<Failure> {
    if !error.use_stderr() {
        return None;
    }
    let whole = Tare::command();
    let words: Vec<&str> = words.iter().skip(1).map_while(|word| word.to_str()).collect();
    let (options, verbs) = split(&whole, &words);
    let of_daemon = |word: &&str| {
        let name = word.split('=').next().unwrap_or(word);
        // `-Hunix://...` is one word.
        let name = if name.starts_with("--") { name } else { name.get(..2).unwrap_or(name) };
        OPTIONS.iter().find(|option| **option == name)
    };
    if let Some(option) = options.iter().find_map(of_daemon) {
        return Some(
            Failure::new(format!("{option}: there is no daemon to connect to"))
                .hint("--root names another store; `ssh HOST tare ...` works on another machine's"),
        );
    }
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let first = verbs.first()?;
    match VERBS.iter().find(|(names, ..)| names.contains(first)) {
        Some((_, why, hint)) => Some(Failure::new(format!("{first}: {why}")).hint(*hint)),
        None => Some(unknown(&whole, verbs)),
    }
}

/// Whether a word of a command line stands where the verb does.
pub(crate) fn is_first_verb(words: &[OsString], at: usize) -> bool {
    let before: Vec<&str> = words.iter().take(at).skip(1).map_while(|word| word.to_str()).collect();
    before.len() + 1 == at && (before.is_empty() || split(&Tare::command(), &before).1.is_empty())
}

/// The options before the verb, with their values, and what follows.
fn split<'w>(whole: &Command, words: &'w [&'w str]) -> (&'w [&'w str], &'w [&'w str]) {
    let takes_value = |word: &str| {
        let mut options = whole.get_arguments();
        let name = word.trim_start_matches('-');
        let is = |arg: &&clap::Arg| match word.starts_with("--") {
            true => arg.get_long() == Some(name),
            false => arg.get_short().is_some_and(|short| name == short.to_string()),
        };
        options.find(is).is_some_and(|arg| arg.get_action().takes_values())
    };
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += if takes_value(word) { 2 } else { 1 };
    }
    words.split_at(at.min(words.len()))
}

/// A verb that there is not, and the one that is meant.
fn unknown(whole: &Command, verbs: &[&str]) -> Failure {
    let mut noun = whole;
    let mut path = vec!["tare"];
    let mut wrong = "";
    for word in verbs.iter().filter(|word| !word.starts_with('-')) {
        wrong = word;
        match noun.find_subcommand(word) {
            Some(found) => (noun, path) = (found, [path, vec![*word]].concat()),
            None => break,
        }
    }
    let path = path.join(" ");
    let visible = noun.get_subcommands().filter(|verb| !verb.is_hide_set());
    let names =
        visible.flat_map(|verb| std::iter::once(verb.get_name()).chain(verb.get_all_aliases()));
    let failure = Failure::new(format!("'{wrong}' is no verb of `{path}`"));
    match closest(wrong, names) {
        Some(name) => failure.hint(format!("did you mean `{path} {name}`?")),
        None => failure.hint(format!("`{path} --help` lists them")),
    }
}

/// The name that a text is a slip of the keys away from, if there is one.
pub(crate) fn closest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = 1 + text.len() / 4;
    let near = names.map(|name| (distance(text, name), name)).filter(|(far, _)| *far <= allowed);
    near.min_by_key(|(far, _)| *far).map(|(_, name)| name)
}

/// Insertions, deletions, exchanges and swaps of neighbours between two texts.
fn distance(one: &str, other: &str) -> usize {
    /// No verb or name is longer that somebody types.
    const LIMIT: usize = 64;
    let (a, b) = (one.as_bytes(), other.as_bytes());
    if a.len() > LIMIT || b.len() > LIMIT {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, far) | (far, 0) => far,
                _ => {
                    let same = usize::from(a[i - 1] != b[j - 1]);
                    let least = rows[i - 1][j - 1] + same;
                    let least = least.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if swapped { least.min(rows[i - 2][j - 2] + 1) } else { least }
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{closest, explain};
    use crate::cli::Tare;
    use std::ffi::OsString;

    fn explained(line: &str) -> Option<String> {
        let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
        let error = Tare::read(words.clone()).expect_err(line);
        explain(&words, &error).map(|failure| failure.to_string())
    }

    #[test]
    fn dockers_other_words_are_explained() {
        let said = explained("tare swarm init");
        assert!(said.is_some_and(|it| it.starts_with("tare: swarm: ")));
        for line in [
            "tare -H unix:///x ps",
            "tare --host=x ps",
            "tare --root /x -Hx ps",
            "tare --tlsverify ps",
        ] {
            assert!(explained(line).is_some_and(|it| it.contains("no daemon")), "{line}");
        }
        for line in ["tare run --nosuch x", "tare --hosts x", "tare ps --host x"] {
            assert_eq!(explained(line), None, "{line}");
        }
    }

    #[test]
    fn slips_of_the_keys_are_seen() {
        for (line, meant) in [
            ("tare rnu", "did you mean `tare run`?"),
            ("tare --root /x imges", "did you mean `tare images`?"),
            ("tare network lst", "did you mean `tare network ls`?"),
            ("tare container strat", "did you mean `tare container start`?"),
            ("tare xyzzy", "`tare --help` lists them"),
        ] {
            assert!(explained(line).is_some_and(|it| it.contains(meant)), "{line}");
        }
        assert_eq!(closest("wbe", ["db", "web"].into_iter()), Some("web"));
        assert_eq!(closest("other", ["db", "web"].into_iter()), None);
    }
}
