//! Programs that know passwords: `docker-credential-NAME`.
//!
//! A helper is told a registry through its standard input, and answers with a document.

use super::Credentials;
use crate::error::{Error, ErrorKind, Result};
use oci::Map;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longest time that a helper may take: it may have to ask the user for the password of a key ring.
const WAIT_LIMIT: Duration = Duration::from_secs(120);
/// Most that is read of an answer. Cloud providers' tokens have some kilobytes.
const ANSWER_LIMIT_BYTES: u64 = 1 << 20;
/// What helpers answer, with a failure, when they know nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name that says that the secret is a token.
const TOKEN_USER: &str = "<token>";

oci::document! {
    Answer {
        username as "Username": String,
        secret as "Secret": String,
    }
}

oci::report! {
    Entry {
        server as "ServerURL": String => always,
        username as "Username": String => always,
        secret as "Secret": String => always,
    }
}

/// Asks a helper; `None` when it knows nothing.
pub(super) fn get(name: &str, registry: &str, search: &OsStr) -> Result<Option<Credentials>> {
    let Some(answer) = run(name, "get", registry.as_bytes(), search)? else { return Ok(None) };
    let answer: Answer = read(name, &answer)?;
    Ok(match &*answer.username {
        _ if answer.secret.is_empty() => None,
        TOKEN_USER => Some(Credentials::Identity { user: String::new(), token: answer.secret }),
        _ => Some(Credentials::Basic { user: answer.username, password: answer.secret }),
    })
}

/// Gives credentials to a helper.
pub(super) fn store(
    name: &str,
    registry: &str,
    credentials: &Credentials,
    search: &OsStr,
) -> Result<()> {
    let (username, secret) = match credentials {
        Credentials::Basic { user, password } => (&**user, password),
        Credentials::Identity { token, .. } => (TOKEN_USER, token),
        Credentials::Bearer { .. } => return Err(super::keep::passing()),
    };
    let entry =
        Entry { server: registry.into(), username: username.into(), secret: secret.clone() };
    run(name, "store", oci::json::write(&entry).as_bytes(), search).map(drop)
}

/// Makes a helper forget a registry.
pub(super) fn erase(name: &str, registry: &str, search: &OsStr) -> Result<()> {
    run(name, "erase", registry.as_bytes(), search).map(drop)
}

/// The registries that a helper knows, and the names of users.
pub(super) fn list(name: &str, search: &OsStr) -> Result<Map> {
    match run(name, "list", b"", search)? {
        Some(answer) => read(name, &answer),
        None => Ok(Map::new()),
    }
}

/// Reads an answer. An error would repeat parts of it, which is a secret.
fn read<T: oci::json::FromJson + Default>(name: &str, answer: &[u8]) -> Result<T> {
    oci::json::read(answer).map_err(|_| {
        let text = format!("docker-credential-{name}: its answer is not what a helper has to say");
        Error::new(ErrorKind::Os, text)
    })
}

/// Runs a helper; `None` when it does not know what it is asked for.
fn run(name: &str, verb: &str, input: &[u8], search: &OsStr) -> Result<Option<Vec<u8>>> {
    let program = ["docker-credential-", name].concat();
    let fail = |what: String| Error::new(ErrorKind::Os, format!("{program}: {what}"));
    // A configuration names programs of the search path, and no other files.
    if name.is_empty() || name.contains('/') {
        return Err(Error::new(ErrorKind::Invalid, format!("`{name}` is no credential helper")));
    }
    let path = find(&program, search).ok_or_else(|| {
        let text = format!("{program}: there is no such program in PATH");
        let hint = "install it, or take it out of `credHelpers`, `credsStore` or \
                    `credential-helpers`";
        Error::new(ErrorKind::NotFound, text).with_hint(hint)
    })?;
    let mut child = Command::new(path)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Some ask there for a touch of a key, or say why they fail; others of the field show it, too.
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| fail(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read what it is told fails by its answer.
        let _ = stdin.write_all(input);
    }
    let answer = read_answer(&mut child).map_err(&fail);
    let status = match &answer {
        Ok(_) => child.wait().map_err(|error| fail(error.to_string()))?,
        Err(_) => {
            // It may have ended meanwhile.
            let _ = child.kill();
            child.wait().map_err(|error| fail(error.to_string()))?
        }
    };
    let answer = answer?;
    if status.success() {
        return Ok(Some(answer));
    }
    let text = String::from_utf8_lossy(&answer);
    match text.trim() {
        NOT_FOUND => Ok(None),
        "" => Err(fail(status.to_string())),
        text => {
            let text: String = text.chars().filter(|it| !it.is_control()).take(200).collect();
            Err(fail(format!("{status}: {text}")))
        }
    }
}

/// Reads in a thread of its own, as only that can be waited for with a limit.
fn read_answer(child: &mut Child) -> Result<Vec<u8>, String> {
    let output = child.stdout.take().ok_or("it has no output")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        let read = output.take(ANSWER_LIMIT_BYTES + 1).read_to_end(&mut answer);
        // Nobody listens any more when it took too long.
        let _ = sender.send(read.map(|_| answer));
    });
    match receiver.recv_timeout(WAIT_LIMIT) {
        Ok(Ok(answer)) if answer.len() as u64 > ANSWER_LIMIT_BYTES => {
            Err("its answer is larger than 1 MiB".into())
        }
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("has not answered for two minutes".into()),
    }
}

fn find(program: &str, search: &OsStr) -> Option<PathBuf> {
    let directories = search.as_bytes().split(|&byte| byte == b':').map(OsStr::from_bytes);
    let mut candidates = directories.map(|directory| Path::new(directory).join(program));
    candidates.find(|path| path.is_absolute() && path.is_file())
}
