//! Changes to what an image says of its containers, also as lines of a Dockerfile.

use crate::configuration::Configuration;
use crate::error::{Error, Kind, Result};
use oci::Map;
use oci::image::{Healthcheck, Platform, Words};
use oci::json::{self, Raw};

/// A change of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Sets an environment variable.
    Env(String, String),
    /// Takes one away.
    NoEnv(String),
    /// Sets a label.
    Label(String, String),
    /// Takes one away.
    NoLabel(String),
    /// Sets the program with its first arguments; without [`Change::Cmd`] before it, no other arguments remain.
    Entrypoint(Vec<String>),
    /// Sets the program, or the arguments of the entry point.
    Cmd(Vec<String>),
    /// Sets user and group.
    User(String),
    /// Sets the directory; a relative one is below the present one.
    WorkingDir(String),
    /// Adds a port: `80`, `53/udp`, `8000-8010/tcp`.
    Expose(String),
    /// Adds a directory that becomes a volume.
    Volume(String),
    /// Sets the signal that ends containers.
    StopSignal(String),
    /// Sets the seconds that containers have then.
    StopTimeout(i64),
    /// Sets the shell of commands in one string.
    Shell(Vec<String>),
    /// Adds an instruction for builds upon this image.
    OnBuild(String),
    /// Sets how health is found out; `test` is `["NONE"]` for not at all.
    Healthcheck(Healthcheck),
    /// Sets who made the image.
    Author(String),
    /// Sets when it was made: RFC 3339.
    Created(String),
    /// Sets the platform.
    Platform(Platform),
}

/// The shell of commands in one string where the image has no other.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Makes changes in their order.
pub fn apply_changes(configuration: &mut Configuration, changes: &[Change]) -> Result<()> {
    let mut has_cmd = false;
    for change in changes {
        has_cmd |= matches!(change, Change::Cmd(_));
        if matches!(change, Change::Entrypoint(_)) && !has_cmd {
            // Arguments that were meant for another program.
            configuration.set_container_member("Cmd", &Words::default())?;
        }
        apply(configuration, change)?;
    }
    Ok(())
}

fn apply(configuration: &mut Configuration, change: &Change) -> Result<()> {
    match change {
        Change::Env(name, value) => {
            let mut all: Vec<String> = configuration.container_member("Env")?;
            let entry = format!("{name}={value}");
            match all.iter_mut().find(|entry| names(entry, name)) {
                Some(known) => *known = entry,
                None => all.push(entry),
            }
            configuration.set_container_member("Env", &all)
        }
        Change::NoEnv(name) => {
            let mut all: Vec<String> = configuration.container_member("Env")?;
            all.retain(|entry| !names(entry, name));
            configuration.set_container_member("Env", &all)
        }
        Change::Label(..) | Change::NoLabel(_) => label(configuration, change),
        Change::Entrypoint(words) => set_words(configuration, "Entrypoint", words),
        Change::Cmd(words) => set_words(configuration, "Cmd", words),
        Change::Shell(words) => set_words(configuration, "Shell", words),
        Change::User(user) => configuration.set_container_member("User", user),
        Change::WorkingDir(dir) => {
            let now: String = configuration.container_member("WorkingDir")?;
            configuration.set_container_member("WorkingDir", &joined(&now, dir))
        }
        Change::Expose(port) => add_key(configuration, "ExposedPorts", &port_of(port)?),
        Change::Volume(path) => add_key(configuration, "Volumes", path),
        Change::StopSignal(signal) => configuration.set_container_member("StopSignal", signal),
        Change::StopTimeout(seconds) => {
            configuration.set_container_member("StopTimeout", &Some(*seconds))
        }
        Change::OnBuild(line) => {
            let mut all: Vec<String> = configuration.container_member("OnBuild")?;
            all.push(line.clone());
            configuration.set_container_member("OnBuild", &all)
        }
        Change::Healthcheck(check) => configuration.set_container_member("Healthcheck", check),
        Change::Author(author) => configuration.set_member("author", author),
        Change::Created(time) => configuration.set_member("created", time),
        Change::Platform(platform) => {
            configuration.set_platform(platform);
            Ok(())
        }
    }
}

fn label(configuration: &mut Configuration, change: &Change) -> Result<()> {
    let mut all: Map = configuration.container_member("Labels")?;
    match change {
        Change::Label(name, value) => all.insert(name.clone(), value.clone()),
        Change::NoLabel(name) => all.retain(|key, _| key != name),
        _ => {}
    }
    configuration.set_container_member("Labels", &all)
}

fn names(entry: &str, name: &str) -> bool {
    entry.split_once('=').map_or(entry, |(name, _)| name) == name
}

fn set_words(configuration: &mut Configuration, member: &str, words: &[String]) -> Result<()> {
    configuration.set_container_member(member, &Words(words.to_vec()))
}

fn add_key(configuration: &mut Configuration, member: &str, key: &str) -> Result<()> {
    let mut all: Map<Raw> = configuration.container_member(member)?;
    let empty = json::read(b"{}").map_err(|text| Error::new(Kind::Invalid, text))?;
    all.insert(key.to_owned(), empty);
    configuration.set_container_member(member, &all)
}

fn joined(now: &str, dir: &str) -> String {
    let whole = if dir.starts_with('/') { dir.to_owned() } else { format!("{now}/{dir}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `80` is `80/tcp`.
fn port_of(text: &str) -> Result<String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let fine = match ports.split_once('-') {
        Some((first, last)) => is_port(first) && is_port(last),
        None => is_port(ports),
    };
    let protocol = protocol.to_ascii_lowercase();
    match fine && ["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        true => Ok(format!("{ports}/{protocol}")),
        false => Err(Error::new(Kind::Invalid, format!("`{text}` is no port"))
            .with_hint("write 80, 53/udp or 8000-8010/tcp")),
    }
}

/// What can stand at the beginning of a line.
const INSTRUCTIONS: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR";

impl Change {
    /// Reads a line of a Dockerfile: docker's and podman's `--change`. podman has `CMD=...`, too.
    /// `shell` is that of the image.
    pub fn parse(line: &str, shell: &[String]) -> Result<Vec<Self>> {
        let line = line.trim();
        let end = line.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(line.len());
        let (instruction, rest) = line.split_at(end);
        let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
        let missing = || Error::new(Kind::Invalid, format!("`{line}`: nothing is behind it"));
        if rest.is_empty() {
            return Err(missing());
        }
        let words = || command(rest, shell);
        Ok(match instruction.to_ascii_uppercase().as_str() {
            "CMD" => vec![Self::Cmd(words())],
            "ENTRYPOINT" => vec![Self::Entrypoint(words())],
            "ENV" => pairs(rest)?.into_iter().map(|(name, value)| Self::Env(name, value)).collect(),
            "LABEL" => {
                pairs(rest)?.into_iter().map(|(name, value)| Self::Label(name, value)).collect()
            }
            "EXPOSE" => {
                let ports = rest.split_whitespace();
                ports.map(|port| Ok(Self::Expose(port_of(port)?))).collect::<Result<_>>()?
            }
            "VOLUME" => list(rest).into_iter().map(Self::Volume).collect(),
            "WORKDIR" => vec![Self::WorkingDir(unquoted(rest))],
            "USER" => vec![Self::User(unquoted(rest))],
            "STOPSIGNAL" => vec![Self::StopSignal(rest.to_owned())],
            "ONBUILD" => vec![Self::OnBuild(rest.to_owned())],
            "SHELL" => match json_words(rest) {
                Some(words) if !words.is_empty() => vec![Self::Shell(words)],
                _ => return Err(Error::new(Kind::Invalid, "SHELL: expected a list in JSON")),
            },
            "HEALTHCHECK" => vec![Self::Healthcheck(health(rest, shell)?)],
            _ => {
                let text = format!("`{line}`: not an instruction that changes an image");
                return Err(
                    Error::new(Kind::Invalid, text).with_hint(format!("there are {INSTRUCTIONS}"))
                );
            }
        })
    }

    /// Reads many lines, for a configuration.
    pub fn parse_all(lines: &[String], configuration: &Configuration) -> Result<Vec<Self>> {
        let mut shell: Vec<String> = configuration.container()?.shell.0;
        let mut all = Vec::new();
        for line in lines {
            let changes = Self::parse(line, &shell)?;
            if let [Self::Shell(words)] = &changes[..] {
                shell.clone_from(words);
            }
            all.extend(changes);
        }
        Ok(all)
    }
}

fn json_words(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| json::read(text.as_bytes()).ok()).flatten()
}

/// A list in JSON, or a command for the shell.
fn command(text: &str, shell: &[String]) -> Vec<String> {
    if let Some(words) = json_words(text) {
        return words;
    }
    let shell = match shell.is_empty() {
        true => SHELL.map(str::to_owned).to_vec(),
        false => shell.to_vec(),
    };
    shell.into_iter().chain([text.to_owned()]).collect()
}

fn list(text: &str) -> Vec<String> {
    json_words(text).unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect())
}

/// `a=b c="d e"`, or the old `a b with blanks`.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let words = split_words(text)?;
    if words.iter().all(|word| word.contains('=')) {
        let pair = |word: &String| word.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let pairs: Vec<_> = words.iter().filter_map(pair).collect();
        return match pairs.iter().find(|(name, _)| name.is_empty()) {
            Some(_) => Err(Error::new(Kind::Invalid, format!("`{text}`: a name is empty"))),
            None => Ok(pairs),
        };
    }
    match text.split_once(char::is_whitespace) {
        Some((name, value)) if !name.contains('=') => {
            Ok(vec![(name.to_owned(), unquoted(value.trim()))])
        }
        _ => Err(Error::new(Kind::Invalid, format!("`{text}`: expected NAME=VALUE"))),
    }
}

/// Words as a Dockerfile has them: quotes hold blanks together, a backslash takes what is behind it.
fn split_words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            (it, Some(open)) if it == open => quote = None,
            ('\\', None | Some('"')) => {
                word.get_or_insert_default().extend(characters.next());
            }
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (it, None) if it.is_whitespace() => words.extend(word.take()),
            (it, _) => word.get_or_insert_default().push(it),
        }
    }
    if quote.is_some() {
        return Err(Error::new(Kind::Invalid, format!("`{text}`: a quote is not closed")));
    }
    words.extend(word);
    Ok(words)
}

fn unquoted(text: &str) -> String {
    match split_words(text) {
        Ok(words) if words.len() == 1 => words.concat(),
        _ => text.to_owned(),
    }
}

/// `--interval=5s ... CMD command`, or `NONE`.
fn health(text: &str, shell: &[String]) -> Result<Healthcheck> {
    let malformed = |what: &str| {
        Error::new(Kind::Invalid, format!("HEALTHCHECK: {what}"))
            .with_hint("for example HEALTHCHECK --interval=30s CMD curl -f localhost")
    };
    let mut check = Healthcheck::default();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, behind) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        rest = behind.trim_start();
        let (name, value) = option.split_once('=').ok_or_else(|| malformed("--NAME=VALUE"))?;
        let time = || nanoseconds(value).ok_or_else(|| malformed(&format!("`{value}` is no time")));
        match name {
            "interval" => check.interval = time()?,
            "timeout" => check.timeout = time()?,
            "start-period" => check.start_period = time()?,
            "start-interval" => check.start_interval = time()?,
            "retries" => {
                check.retries = value.parse().map_err(|_| malformed("--retries=NUMBER"))?;
            }
            _ => return Err(malformed(&format!("no option --{name}"))),
        }
    }
    let (kind, command_text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match kind.to_ascii_uppercase().as_str() {
        "NONE" => vec!["NONE".into()],
        "CMD" => match (json_words(command_text.trim()), command_text.trim()) {
            (_, "") => return Err(malformed("CMD without a command")),
            (Some(words), _) => ["CMD".to_owned()].into_iter().chain(words).collect(),
            (None, text) if shell.is_empty() => vec!["CMD-SHELL".into(), text.into()],
            (None, text) => ["CMD".to_owned()].into_iter().chain(command(text, shell)).collect(),
        },
        _ => return Err(malformed("expected CMD or NONE")),
    };
    Ok(check)
}

/// Go's durations.
fn nanoseconds(text: &str) -> Option<i64> {
    let mut total = 0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit) =
            rest.split_at(rest.find(|it: char| !it.is_ascii_digit() && it != '.')?);
        let end = unit.find(|it: char| it.is_ascii_digit()).unwrap_or(unit.len());
        let factor = match &unit[..end] {
            "ns" => 1.0,
            "us" | "\u{b5}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = &unit[end..];
    }
    (!text.is_empty() && total < 9e18).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(lines: &[&str]) -> String {
        let mut configuration = Configuration::default();
        let lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        let changes = Change::parse_all(&lines, &configuration).unwrap();
        apply_changes(&mut configuration, &changes).unwrap();
        let text = String::from_utf8(configuration.bytes().unwrap()).unwrap();
        text.strip_prefix(r#"{"config":"#).unwrap().strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn lines_of_dockerfiles_change_an_image() {
        let check = |lines: &[&str], expected: &str| assert_eq!(configured(lines), expected);
        check(&["CMD echo hi"], r#"{"Cmd":["/bin/sh","-c","echo hi"]}"#);
        check(&[r#"cmd ["a", "b c"]"#], r#"{"Cmd":["a","b c"]}"#);
        check(&[r#"CMD=["a"]"#], r#"{"Cmd":["a"]}"#);
        check(
            &["CMD a", r#"ENTRYPOINT ["b"]"#],
            r#"{"Cmd":["/bin/sh","-c","a"],"Entrypoint":["b"]}"#,
        );
        check(
            &["ENV A=1 B=\"two 2\" C='x'\\ y", "ENV A=3"],
            r#"{"Env":["A=3","B=two 2","C=x y"]}"#,
        );
        check(&["ENV A b c=d"], r#"{"Env":["A=b c=d"]}"#);
        check(&["LABEL b=2 a=1"], r#"{"Labels":{"a":"1","b":"2"}}"#);
        check(
            &["EXPOSE 80 53/UDP 8000-8010"],
            r#"{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000-8010/tcp":{}}}"#,
        );
        check(
            &["VOLUME /a /b", r#"VOLUME ["/c d"]"#],
            r#"{"Volumes":{"/a":{},"/b":{},"/c d":{}}}"#,
        );
        check(&["WORKDIR /a/./b", "WORKDIR ../c"], r#"{"WorkingDir":"/a/c"}"#);
        check(&["USER 1:2", "STOPSIGNAL SIGINT"], r#"{"StopSignal":"SIGINT","User":"1:2"}"#);
        check(&["ONBUILD RUN x", "ONBUILD ADD . /"], r#"{"OnBuild":["RUN x","ADD . /"]}"#);
        check(
            &[r#"SHELL ["bash", "-c"]"#, "CMD x", "HEALTHCHECK CMD y"],
            r#"{"Cmd":["bash","-c","x"],"Healthcheck":{"Test":["CMD","bash","-c","y"]},"Shell":["bash","-c"]}"#,
        );
        check(
            &["HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f x"],
            r#"{"Healthcheck":{"Test":["CMD-SHELL","curl -f x"],"Interval":90000000000,"Retries":3}}"#,
        );
        check(&["HEALTHCHECK NONE"], r#"{"Healthcheck":{"Test":["NONE"]}}"#);
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "CMD",
            "RUN x",
            "FROM a",
            "ENV A",
            "ENV =b",
            "ENV A=1 B",
            "ENV A=\"b",
            "EXPOSE x",
            "EXPOSE 0",
            "EXPOSE 70000",
            "EXPOSE 80/x",
            "SHELL x",
            "SHELL []",
            "HEALTHCHECK",
            "HEALTHCHECK CMD",
            "HEALTHCHECK --interval=x CMD y",
            "HEALTHCHECK --x=1 CMD y",
        ] {
            let error = Change::parse(line, &[]).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{line}");
        }
    }

    #[test]
    fn what_is_there_can_be_taken_away() {
        let mut configuration = Configuration::default();
        let text = |it: &str| it.to_owned();
        let changes = [
            Change::Env(text("A"), text("1")),
            Change::Env(text("AB"), text("2")),
            Change::NoEnv(text("A")),
            Change::Label(text("x"), text("y")),
            Change::NoLabel(text("x")),
            Change::Cmd(vec![text("z")]),
            Change::Cmd(Vec::new()),
        ];
        apply_changes(&mut configuration, &changes).unwrap();
        assert_eq!(configuration.bytes().unwrap(), br#"{"config":{"Env":["AB=2"]}}"#);
    }
}
