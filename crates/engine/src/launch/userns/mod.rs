//! `--userns` and its kin: which ids of the host a container's ids are.
//!
//! Root's containers see the files of images through idmapped mounts, so one layer on the disk is every container's,
//! whatever ids it has. An ordinary user may not map the ids of a file system: there files of an image have the ids
//! that they have in the user's own ranges, and a mapping says what the container calls these.

mod grammar;
mod reserve;

use super::Users;
use super::users::User;
use crate::error::{Error, Result};
use crate::place::Place;
use crate::record::Namespaces;
use grammar::{Auto, KeepId, Wanted};
use oci::runtime::IdMapping;
use reserve::{Range, Reservation};
use std::fs;
use std::path::Path;

/// What the kernel has room for (user_namespaces(7)).
const MAPPINGS_LIMIT: usize = 340;

/// What options say of the container's ids.
#[derive(Debug, Default)]
pub(super) struct UserArgs {
    pub(super) userns: Option<String>,
    pub(super) uidmap: Vec<String>,
    pub(super) gidmap: Vec<String>,
    pub(super) subuidname: Option<String>,
    pub(super) subgidname: Option<String>,
}

impl UserArgs {
    fn of(names: &Namespaces) -> Self {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            userns: text(&names.user),
            uidmap: names.uid_map.clone(),
            gidmap: names.gid_map.clone(),
            subuidname: text(&names.subuid_name),
            subgidname: text(&names.subgid_name),
        }
    }
}

/// Whether what options say of the container's ids can be understood.
pub fn check(names: &Namespaces) -> Result<()> {
    Wanted::read(&UserArgs::of(names)).map(drop)
}

/// A user namespace of the container's own.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(super) uids: Vec<IdMapping>,
    pub(super) gids: Vec<IdMapping>,
    /// Whom programs belong to where nobody says.
    pub(super) user: Option<(u32, u32)>,
    /// Whether the ids of files are mapped, too.
    of_files: bool,
    _ids: Option<Reservation>,
}

/// The mapping that is asked for, in the namespace that the command is in by now.
pub(super) fn resolve(names: &Namespaces, place: &Place, users: Users) -> Result<Option<Mapping>> {
    let is_root = users == Users::Host;
    let mapping = match Wanted::read(&UserArgs::of(names))? {
        Wanted::Callers => return Ok(None),
        Wanted::Auto(_) if !is_root => return Err(only_root("--userns auto")),
        Wanted::Named { .. } if !is_root => return Err(only_root("--subuidname")),
        Wanted::Auto(auto) => of_auto(&auto, place)?,
        Wanted::KeepId(keep) if is_root => of_root(&keep)?,
        Wanted::KeepId(keep) => kept(&keep, place)?,
        Wanted::Listed { uids, gids } => Mapping::new(uids, gids, is_root),
        Wanted::Named { users, groups } => {
            Mapping::new(named("/etc/subuid", &users)?, named("/etc/subgid", &groups)?, is_root)
        }
    };
    if mapping.root().is_none() {
        // Nobody else can set a container up.
        let text = "a user namespace without user and group 0";
        return Err(Error::invalid(text).with_hint(match users {
            Users::EnteredAlone => {
                "more than one id takes ranges in /etc/subuid and /etc/subgid, and the package uidmap"
            }
            _ => "add a range that begins with 0",
        }));
    }
    let uids = fit(&mapping.uids, &own("uid")?).map_err(|failure| failure.during("user ids"))?;
    let gids = fit(&mapping.gids, &own("gid")?).map_err(|failure| failure.during("group ids"))?;
    Ok(Some(Mapping { uids, gids, ..mapping }))
}

/// The ids of the command's own namespace, as ranges of it.
fn own(kind: &str) -> Result<Vec<Range>> {
    let file = format!("/proc/self/{kind}_map");
    let text = fs::read_to_string(&file)
        .map_err(|error| Error::invalid(format!("reading {file}: {error}")))?;
    let read = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (first, count) = (numbers.next()?.ok()?, numbers.nth(1)?.ok()?);
        Some(Range { first, end: first.saturating_add(count) })
    };
    let mut own: Vec<Range> = text.lines().filter_map(read).collect();
    own.sort_unstable();
    Ok(own)
}

fn only_root(what: &str) -> Error {
    Error::invalid(format!(
        "{what}: an ordinary user may not map the ids of the store's files, and other users would see the image's as nobody's"
    ))
    .with_hint("keep-id, and no option at all, use the ranges of /etc/subuid; root may use auto")
}

impl Mapping {
    fn new(uids: Vec<IdMapping>, gids: Vec<IdMapping>, of_files: bool) -> Self {
        Self { uids, gids, user: None, of_files, _ids: None }
    }

    /// A user namespace for mounts; nothing where files have the ids that they have.
    pub(super) fn for_files(&self) -> Result<Option<sys::Fd>> {
        if !self.of_files {
            return Ok(None);
        }
        let made = runtime::user_namespace(&self.uids, &self.gids);
        made.map(Some).map_err(|error| {
            Error::from(error).with_hint("the ids have to be the caller's to give away")
        })
    }

    /// Root's ids outside.
    pub(super) fn root(&self) -> Option<(u32, u32)> {
        outside(&self.uids, 0).zip(outside(&self.gids, 0))
    }

    /// What a user and a group of the container are outside.
    pub(super) fn owner(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        outside(&self.uids, uid).zip(outside(&self.gids, gid))
    }

    /// Refuses a user whom the container has not.
    pub(super) fn admit(&self, user: &User) -> Result<()> {
        let missing = |what: &str, id: u32| {
            Error::invalid(format!(
                "{what} {id}: the container's user namespace has not so many ids"
            ))
            .with_hint("--userns auto:size=NUMBER has more; or --user")
        };
        match user.groups.iter().chain([&user.gid]).find(|id| !self.has_group(**id)) {
            _ if outside(&self.uids, user.uid).is_none() => Err(missing("user", user.uid)),
            Some(group) => Err(missing("group", *group)),
            None => Ok(()),
        }
    }

    pub(super) fn has_group(&self, id: u32) -> bool {
        outside(&self.gids, id).is_some()
    }
}

/// What an id of the container is outside.
fn outside(map: &[IdMapping], id: u32) -> Option<u32> {
    let of = |it: &IdMapping| {
        let offset = id.checked_sub(it.container_id)?;
        (offset < it.size).then(|| it.host_id + offset)
    };
    map.iter().find_map(of)
}

/// A mapping in the form that the kernel takes: each line lies in one line of the own namespace's. Refuses what
/// the kernel would refuse with a bare number.
fn fit(map: &[IdMapping], own: &[Range]) -> Result<Vec<IdMapping>> {
    let overlap = |key: fn(&IdMapping) -> u32| {
        let mut ends: Vec<(u32, u32)> = map.iter().map(|it| (key(it), key(it) + it.size)).collect();
        ends.sort_unstable();
        ends.windows(2).any(|pair| pair[0].1 > pair[1].0)
    };

    if overlap(|it| it.container_id) || overlap(|it| it.host_id) {
        return Err(
            Error::invalid("two ranges have ids in common").with_hint("each id can be mapped once")
        );
    }
    let mut parts = Vec::new();
    for it in map {
        let mut next = it.host_id;
        let end = it.host_id + it.size;
        for range in own.iter().filter(|range| range.first < end && it.host_id < range.end) {
            let part_end = range.end.min(end);
            if range.first <= next {
                let container_id = it.container_id + (next - it.host_id);
                parts.push(IdMapping { container_id, host_id: next, size: part_end - next });
                next = part_end;
            }
        }
        if next < end {
            return Err(Error::invalid(format!(
                "{next} is not an id that the caller can give away"
            ))
            .with_hint(
                "for an ordinary user 0 is the user, and 1 the first of the ranges of /etc/subuid",
            ));
        }
    }
    match parts.len() {
        0..=MAPPINGS_LIMIT => Ok(parts),
        count => Err(Error::invalid(format!("{count} ranges, the kernel takes {MAPPINGS_LIMIT}"))),
    }
}

fn of_auto(auto: &Auto, place: &Place) -> Result<Mapping> {
    let table = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let ranges = reserve::ranges(&table("/etc/subuid"), &table("/etc/subgid"))?;
    let size = auto.size.unwrap_or(reserve::USUAL_COUNT);
    // Not a name that a container can have: the directory is one of containers otherwise.
    let ids = Reservation::take(&Path::new(&place.host.root).join("@ids"), &ranges, size)?;
    let of = |wanted: &[IdMapping]| around(ids.first, size, wanted);
    let mapping = Mapping::new(of(&auto.uids), of(&auto.gids), true);
    Ok(Mapping { _ids: Some(ids), ..mapping })
}

/// Reserved ids, except for those of the container that are somebody else.
fn around(first: u32, size: u32, wanted: &[IdMapping]) -> Vec<IdMapping> {
    let mut map = wanted.to_vec();
    map.sort_by_key(|it| it.container_id);
    let mut next = 0;
    for it in map.clone() {
        let end = it.container_id.min(size);
        if next < end {
            map.push(IdMapping { container_id: next, host_id: first + next, size: end - next });
        }
        next = next.max(it.container_id + it.size);
    }
    if next < size {
        map.push(IdMapping { container_id: next, host_id: first + next, size: size - next });
    }
    map.sort_by_key(|it| it.container_id);
    map
}

/// Root is root outside, as everybody is who he is, but has rights in the container only.
fn of_root(keep: &KeepId) -> Result<Mapping> {
    if *keep != KeepId::default() {
        return Err(Error::invalid(
            "--userns keep-id: root keeps all ids, so there is nothing to choose",
        )
        .with_hint("leave the options out"));
    }
    let all = vec![IdMapping { container_id: 0, host_id: 0, size: u32::MAX }];
    Ok(Mapping::new(all.clone(), all, false))
}

/// An ordinary user is in the container who the user is outside, and the ranges are all others. In the namespace
/// that was entered the user is 0.
fn kept(keep: &KeepId, place: &Place) -> Result<Mapping> {
    let map = |kind: &str, id: u32| -> Result<Vec<IdMapping>> {
        let there =
            own(kind)?.iter().map(|range| range.end - range.first).fold(0, u32::saturating_add);
        Ok(kept_ids(id, there.min(keep.size.unwrap_or(u32::MAX))))
    };
    let user = (keep.uid.unwrap_or(place.uid), keep.gid.unwrap_or(place.gid));
    let (uids, gids) = (map("uid", user.0)?, map("gid", user.1)?);
    Ok(Mapping { user: Some(user), ..Mapping::new(uids, gids, false) })
}

/// Of `there` ids, the first of which is the caller.
fn kept_ids(id: u32, there: u32) -> Vec<IdMapping> {
    let others = there.saturating_sub(1);
    let (below, above) = (id.min(others), others.saturating_sub(id));
    let mut map = vec![IdMapping { container_id: id, host_id: 0, size: 1 }];
    if below > 0 {
        map.insert(0, IdMapping { container_id: 0, host_id: 1, size: below });
    }
    if above > 0 {
        map.push(IdMapping { container_id: id + 1, host_id: id + 1, size: above });
    }
    map
}

/// The ranges of a name, one behind the other from 0 on.
fn named(table: &str, name: &str) -> Result<Vec<IdMapping>> {
    let text = fs::read_to_string(table)
        .map_err(|error| Error::invalid(format!("reading {table}: {error}")))?;
    let mut next = 0u32;
    let mut map = Vec::new();
    for range in reserve::entries(&text, |owner| owner == name) {
        let size = range.end - range.first;
        map.push(IdMapping { container_id: next, host_id: range.first, size });
        next = next.saturating_add(size);
    }
    match map.is_empty() {
        true => Err(Error::invalid(format!("{table} has no range of {name:?}"))),
        false => Ok(map),
    }
}

#[cfg(test)]
mod tests {
    use super::{Mapping, Range, User, around, fit, kept_ids};
    use oci::runtime::IdMapping;

    fn map(lines: &[[u32; 3]]) -> Vec<IdMapping> {
        let of =
            |&[container_id, host_id, size]: &[u32; 3]| IdMapping { container_id, host_id, size };
        lines.iter().map(of).collect()
    }

    #[test]
    fn a_caller_keeps_the_own_id() {
        for (id, there, wanted) in [
            (1000, 65537, &[[0, 1, 1000], [1000, 0, 1], [1001, 1001, 64536]][..]),
            (1000, 1, &[[1000, 0, 1]]),
            (0, 11, &[[0, 0, 1], [1, 1, 10]]),
            (70_000, 11, &[[0, 1, 10], [70_000, 0, 1]]),
            (10, 11, &[[0, 1, 10], [10, 0, 1]]),
        ] {
            assert_eq!(kept_ids(id, there), map(wanted), "{id} of {there}");
        }
    }

    #[test]
    fn reserved_ids_are_around_those_that_are_asked_for() {
        for (wanted, made) in [
            (&[][..], &[[0, 9000, 100]][..]),
            (&[[10, 5, 2]], &[[0, 9000, 10], [10, 5, 2], [12, 9012, 88]]),
            (&[[0, 5, 1]], &[[0, 5, 1], [1, 9001, 99]]),
            (&[[99, 5, 9]], &[[0, 9000, 99], [99, 5, 9]]),
            (&[[200, 5, 9]], &[[0, 9000, 100], [200, 5, 9]]),
        ] {
            assert_eq!(around(9000, 100, &map(wanted)), map(made), "{wanted:?}");
        }
    }

    #[test]
    fn mappings_are_made_to_fit_the_own_namespace() {
        let whole = [Range { first: 0, end: u32::MAX }];
        let fine = map(&[[0, 100, 10], [10, 110, 10]]);
        assert_eq!(fit(&fine, &whole).unwrap(), fine);
        for bad in [[[0, 100, 10], [9, 200, 10]], [[0, 100, 10], [10, 109, 10]]] {
            assert!(fit(&map(&bad), &whole).is_err(), "{bad:?}");
        }
        let ranges =
            [Range { first: 0, end: 1 }, Range { first: 1, end: 21 }, Range { first: 30, end: 40 }];
        for (wanted, made) in [
            ([0, 0, 10], Some(&[[0, 0, 1], [1, 1, 9]][..])),
            ([5, 1, 20], Some(&[[5, 1, 20]])),
            ([0, 0, 22], None),
            ([0, 20, 11], None),
            ([0, 30, 11], None),
            ([0, 25, 10], None),
        ] {
            assert_eq!(fit(&map(&[wanted]), &ranges).ok(), made.map(map), "{wanted:?}");
        }
    }

    #[test]
    fn users_beyond_the_mapping_are_refused() {
        let ids = map(&[[0, 100, 10]]);
        let mapping = Mapping::new(ids.clone(), ids, true);
        assert_eq!(mapping.root(), Some((100, 100)));
        let user = |uid, gid, groups: &[u32]| User {
            uid,
            gid,
            groups: groups.to_vec(),
            ..User::default()
        };
        assert!(mapping.admit(&user(9, 9, &[1, 2])).is_ok());
        for bad in [user(10, 9, &[]), user(9, 10, &[]), user(9, 9, &[1, 11])] {
            assert!(mapping.admit(&bad).is_err(), "{bad:?}");
        }
    }
}
