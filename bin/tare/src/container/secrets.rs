//! `--secret`, as podman has it.

use super::parse;
use crate::failure::{Failure, Result};
use engine::Engine;
use engine::record::{Config, SecretUse};

/// Where files are that do not say otherwise.
const DIR: &str = "/run/secrets";
const MODE: u32 = 0o444;

/// The secrets that options name, which are there.
pub(super) fn choose(engine: &Engine, texts: &[String], config: &mut Config) -> Result<()> {
    for text in texts {
        let mut secret = read(text)?;
        let known =
            engine.secret(&secret.name).map_err(|error| Failure::from(error).during("--secret"))?;
        // Whoever says an identifier means the name.
        if secret.is_variable && secret.target == secret.name {
            secret.target.clone_from(&known.name);
        }
        (secret.name, secret.id) = (known.name, known.id);
        if config.secrets.iter().any(|it| it.target == secret.target) {
            return Err(Failure::new(format!(
                "--secret {text}: two secrets have the target {}",
                secret.target
            )));
        }
        config.secrets.push(secret);
    }
    Ok(())
}

/// `NAME[,type=mount|env][,target=...][,uid=...][,gid=...][,mode=...]`.
fn read(text: &str) -> Result<SecretUse> {
    let bad = |why: &str| {
        Failure::new(format!("--secret {text:?}: {why}"))
            .hint("write NAME[,type=mount|env][,target=TARGET][,uid=UID][,gid=GID][,mode=0400]")
    };
    let mut secret = SecretUse { mode: MODE, ..SecretUse::default() };
    let (mut target, mut of_files) = (None, false);
    for (number, field) in text.split(',').enumerate() {
        let (key, value) = parse::pair(field);
        let id = |text: &str| text.parse().map_err(|_| bad("uid and gid are numbers"));
        match key.as_str() {
            name if number == 0 && !field.contains('=') => secret.name = name.into(),
            "source" | "src" => secret.name = value,
            "type" => {
                secret.is_variable = match value.as_str() {
                    "env" => true,
                    "mount" => false,
                    _ => return Err(bad("type is neither mount nor env")),
                };
            }
            "target" | "dst" | "destination" => target = Some(value),
            "uid" => (secret.uid, of_files) = (id(&value)?, true),
            "gid" => (secret.gid, of_files) = (id(&value)?, true),
            "mode" => {
                let mode = u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o777);
                (secret.mode, of_files) =
                    (mode.ok_or_else(|| bad("mode is no octal number up to 777"))?, true);
            }
            _ => return Err(bad(&format!("option {field:?} is unknown"))),
        }
    }
    if secret.name.is_empty() {
        return Err(bad("it names no secret"));
    }
    if secret.is_variable && of_files {
        return Err(bad("uid, gid and mode are of files; a variable has none"));
    }
    let target = target.filter(|it| !it.is_empty()).unwrap_or_else(|| secret.name.clone());
    secret.target = match secret.is_variable {
        true if target.contains(['=', '\0']) => return Err(bad("target is no name of a variable")),
        true => target,
        false if target.split('/').any(|part| part == "..") => {
            return Err(bad("target goes up by `..`"));
        }
        false if target.starts_with('/') => target,
        false => format!("{DIR}/{target}"),
    };
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_as_podman_does() {
        let of = |text: &str| {
            let it = read(text).unwrap();
            (it.name, it.target, it.is_variable, it.uid, it.gid, it.mode)
        };
        assert_eq!(of("a"), ("a".into(), "/run/secrets/a".into(), false, 0, 0, 0o444));
        assert_eq!(of("a,type=env"), ("a".into(), "a".into(), true, 0, 0, 0o444));
        assert_eq!(of("source=a,type=env,target=B"), ("a".into(), "B".into(), true, 0, 0, 0o444));
        assert_eq!(
            of("a,target=/etc/b,uid=7,gid=8,mode=0400"),
            ("a".into(), "/etc/b".into(), false, 7, 8, 0o400)
        );
        for bad in [
            "",
            "type=env",
            "a,type=x",
            "a,mode=9",
            "a,type=env,uid=1",
            "a,b=c",
            "a,uid=x",
            "a,target=../b",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
