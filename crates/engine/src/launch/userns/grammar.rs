//! What `--userns`, `--uidmap` and their kin say, in podman's grammar.

use super::UserArgs;
use crate::error::{Error, Result};
use oci::runtime::IdMapping;

/// What is wanted.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    /// The caller's namespace, or that which an ordinary user's command has entered.
    Callers,
    /// Ids that no other container has.
    Auto(Auto),
    /// The caller is in the container who the caller is.
    KeepId(KeepId),
    /// These ids.
    Listed { uids: Vec<IdMapping>, gids: Vec<IdMapping> },
    /// The ranges of these names in /etc/subuid and /etc/subgid.
    Named { users: String, groups: String },
}

/// Options of `auto`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Auto {
    pub(super) size: Option<u32>,
    pub(super) uids: Vec<IdMapping>,
    pub(super) gids: Vec<IdMapping>,
}

/// Options of `keep-id`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeepId {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u32>,
}

impl Wanted {
    pub(super) fn read(arguments: &UserArgs) -> Result<Self> {
        let mode = arguments.userns.as_deref().unwrap_or_default();
        match (own_ids(arguments)?, mode) {
            (Some(ids), "" | "private") => Ok(ids),
            (Some(_), _) => Err(Error::invalid(format!(
                "--userns {mode}: it and --uidmap, --gidmap, --subuidname and --subgidname are for each other's place"
            ))
            .with_hint("leave one of them out")),
            (None, mode) => read_mode(mode),
        }
    }
}

/// What other options than `--userns` say; those of users count for groups, too, and the other way round.
fn own_ids(arguments: &UserArgs) -> Result<Option<Wanted>> {
    let names = (&arguments.subuidname, &arguments.subgidname);
    let has_maps = !arguments.uidmap.is_empty() || !arguments.gidmap.is_empty();
    if has_maps && names != (&None, &None) {
        return Err(Error::invalid(
            "--uidmap and --gidmap have ids, --subuidname and --subgidname names of them",
        )
        .with_hint("leave one of them out"));
    }
    if let Some(either) = names.0.as_ref().or(names.1.as_ref()) {
        let name = |name: &Option<String>| name.as_ref().unwrap_or(either).clone();
        return Ok(Some(Wanted::Named { users: name(names.0), groups: name(names.1) }));
    }
    if !has_maps {
        return Ok(None);
    }
    let read = |option: &str, texts: &[String]| -> Result<Vec<IdMapping>> {
        texts.iter().map(|text| mapping(option, text)).collect()
    };
    let uids = read("--uidmap", &arguments.uidmap)?;
    let gids = read("--gidmap", &arguments.gidmap)?;
    let or = |own: &Vec<IdMapping>, other: &Vec<IdMapping>| {
        if own.is_empty() { other.clone() } else { own.clone() }
    };
    Ok(Some(Wanted::Listed { uids: or(&uids, &gids), gids: or(&gids, &uids) }))
}

fn read_mode(mode: &str) -> Result<Wanted> {
    let refused = |why: &str| Error::invalid(format!("--userns {mode}: {why}"));
    let (name, options) = mode.split_once(':').unwrap_or((mode, ""));
    match (name, options) {
        ("" | "host", "") => Ok(Wanted::Callers),
        ("auto", options) => {
            auto(options).map(Wanted::Auto).map_err(|it| it.during("--userns auto"))
        }
        ("keep-id", options) => {
            keep_id(options).map(Wanted::KeepId).map_err(|it| it.during("--userns keep-id"))
        }
        ("nomap", "") => Err(refused(
            "files of the image would be nobody's: those of its root are the caller's on the disk",
        )
        .with_hint("keep-id has the caller in it; root may use auto")),
        ("private", "") => {
            Err(refused("it needs ids").with_hint("write auto, or --uidmap and --gidmap"))
        }
        ("container" | "ns", _) => Err(refused("namespaces of others cannot be joined yet")
            .with_hint("write auto, keep-id or host")),
        _ => Err(refused("there is no such mode").with_hint("write auto, keep-id or host")),
    }
}

fn options(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = text.split(',').filter(|word| !word.is_empty());
    words.map(|word| word.split_once('=').unwrap_or((word, "")))
}

fn auto(text: &str) -> Result<Auto> {
    let mut auto = Auto::default();
    for (name, value) in options(text) {
        match name {
            "size" => auto.size = Some(count(name, value)?),
            "uidmapping" => auto.uids.push(mapping(name, value)?),
            "gidmapping" => auto.gids.push(mapping(name, value)?),
            _ => return Err(unknown(name, "size, uidmapping and gidmapping")),
        }
    }
    Ok(auto)
}

fn keep_id(text: &str) -> Result<KeepId> {
    let mut keep = KeepId::default();
    for (name, value) in options(text) {
        match name {
            "uid" => keep.uid = Some(id(value).ok_or_else(|| bad(name, value))?),
            "gid" => keep.gid = Some(id(value).ok_or_else(|| bad(name, value))?),
            "size" => keep.size = Some(count(name, value)?),
            _ => return Err(unknown(name, "uid, gid and size")),
        }
    }
    Ok(keep)
}

fn unknown(name: &str, known: &str) -> Error {
    Error::invalid(format!("{name:?}: there is no such option"))
        .with_hint(format!("there are {known}"))
}

fn bad(name: &str, value: &str) -> Error {
    Error::invalid(format!("{name}: {value:?} is not the number of a user or group"))
        .with_hint("numbers are from 0 to 4294967294")
}

fn count(name: &str, value: &str) -> Result<u32> {
    id(value).filter(|count| *count > 0).ok_or_else(|| {
        Error::invalid(format!("{name}: {value:?} is not a number of ids"))
            .with_hint("65536 is what others give to a container")
    })
}

/// Of all numbers the last stands for none.
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

/// `CONTAINER:HOST[:COUNT]`.
fn mapping(option: &str, text: &str) -> Result<IdMapping> {
    let failed = |why: &str| {
        Error::invalid(format!("{option}: {text:?}: {why}")).with_hint("write CONTAINER:HOST:COUNT")
    };
    if text.starts_with(['+', 'u', 'g']) || text.contains('@') {
        return Err(failed("podman's flags +, u, g and @ are not known here"));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (inside, outside, size) = match parts[..] {
        [inside, outside] => (inside, outside, "1"),
        [inside, outside, size] => (inside, outside, size),
        _ => return Err(failed("it has not two or three numbers")),
    };
    let number = |text: &str| id(text).ok_or_else(|| failed(&format!("{text:?} is not an id")));
    let (container_id, host_id, size) = (number(inside)?, number(outside)?, number(size)?);
    // Behind the last id there is the one that stands for none.
    let fits = |first: u32| first.checked_add(size).is_some();
    match size > 0 && fits(container_id) && fits(host_id) {
        true => Ok(IdMapping { container_id, host_id, size }),
        false => Err(failed("there are not so many ids")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Auto, KeepId, UserArgs, Wanted};
    use oci::runtime::IdMapping;

    fn read(userns: &str, uidmap: &[&str], gidmap: &[&str], name: &str) -> Result<Wanted, String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let list = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
        let arguments = UserArgs {
            userns: text(userns),
            uidmap: list(uidmap),
            gidmap: list(gidmap),
            subuidname: text(name),
            subgidname: None,
        };
        Wanted::read(&arguments).map_err(|failure| failure.to_string())
    }

    fn map(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn modes_are_podmans() {
        for (text, wanted) in [
            ("", Wanted::Callers),
            ("host", Wanted::Callers),
            ("auto", Wanted::Auto(Auto::default())),
            (
                "auto:size=100,uidmapping=7:8:9,gidmapping=1:2",
                Wanted::Auto(Auto {
                    size: Some(100),
                    uids: vec![map(7, 8, 9)],
                    gids: vec![map(1, 2, 1)],
                }),
            ),
            ("keep-id", Wanted::KeepId(KeepId::default())),
            (
                "keep-id:uid=5,gid=6,size=7",
                Wanted::KeepId(KeepId { uid: Some(5), gid: Some(6), size: Some(7) }),
            ),
        ] {
            assert_eq!(read(text, &[], &[], "").unwrap(), wanted, "{text}");
        }
        for bad in [
            "nomap",
            "private",
            "ns:/x",
            "container:x",
            "x",
            "host:x",
            "auto:size=0",
            "auto:x",
            "auto:uidmapping=1",
            "keep-id:uid=-1",
            "keep-id:size=4294967295",
        ] {
            assert!(read(bad, &[], &[], "").is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_of_ids_count_for_users_and_groups() {
        let both = |ids: Vec<IdMapping>| Wanted::Listed { uids: ids.clone(), gids: ids };
        let ids = vec![map(0, 100_000, 10), map(10, 5, 1)];
        let texts = ["0:100000:10", "10:5"];
        assert_eq!(read("", &texts, &[], "").unwrap(), both(ids.clone()));
        assert_eq!(read("private", &[], &texts, "").unwrap(), both(ids.clone()));
        let split = Wanted::Listed { uids: ids, gids: vec![map(0, 1, 2)] };
        assert_eq!(read("", &texts, &["0:1:2"], "").unwrap(), split);
        let named = Wanted::Named { users: "me".into(), groups: "me".into() };
        assert_eq!(read("", &[], &[], "me").unwrap(), named);
        for bad in
            ["", "0", "0:1:0", "0:1:2:3", "0:4294967295", "2:2:4294967294", "+0:1:2", "0:@1:2"]
        {
            assert!(read("", &[bad], &[], "").is_err(), "{bad}");
        }
        assert!(read("auto", &texts, &[], "").is_err());
        assert!(read("", &texts, &[], "me").is_err());
    }
}
