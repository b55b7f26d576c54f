//! Namespaces of a supervisor's own: what it mounts is seen by nobody else, and goes with it.
//!
//! Who may not mount gets a user namespace first: with the ranges of ids that the administrator has set aside for
//! the user, if there are some, otherwise with the user alone, who is root there.

use crate::error::{Error, Result};
use crate::place::Place;
use std::fs;
use std::process::{Command, Stdio};
use sys::Fd;
use sys::mount::{MS_REC, MS_SLAVE};
use sys::process::{CLONE_NEWNS, CLONE_NEWUSER};

/// Whose namespace of users a container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Users {
    /// The caller's: root's.
    Host,
    /// One that the supervisor has entered, with many users.
    Entered,
    /// The same with one.
    EnteredAlone,
}

/// Ids that are mapped, as `CONTAINER HOST COUNT`.
type Map = Vec<[u32; 3]>;

/// Enters them, and says which users are there.
pub(crate) fn enter(place: &Place) -> Result<Users> {
    enter_with(place, None)
}

/// The same for a container that shares namespaces of another one, whose process is named: namespaces of an ordinary
/// user's containers belong to their namespace of users, and only whoever is in it may join them.
pub(crate) fn enter_with(place: &Place, other: Option<i32>) -> Result<Users> {
    let failed = |errno| Error::invalid(format!("making a mount namespace: {errno}"));
    let users = match (sys::ids::is_administrator(), other) {
        (true, _) => {
            sys::process::unshare(CLONE_NEWNS).map_err(failed)?;
            Users::Host
        }
        (false, Some(pid)) => {
            crate::control::enter_users(pid)?;
            sys::process::unshare(CLONE_NEWNS).map_err(failed)?;
            entered()
        }
        (false, None) => enter_users(place)?,
    };
    keep_mounts()?;
    Ok(users)
}

/// The same in a user namespace that is there.
pub(crate) fn enter_at(users: &Fd) -> Result<Users> {
    let failed = |errno| Error::invalid(format!("entering a user namespace: {errno}"));
    sys::process::set_namespace(users, CLONE_NEWUSER).map_err(failed)?;
    super::become_root().map_err(failed)?;
    sys::process::unshare(CLONE_NEWNS).map_err(failed)?;
    keep_mounts()?;
    Ok(entered())
}

/// Whose namespace this process has entered.
fn entered() -> Users {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if map.lines().count() > 1 { Users::Entered } else { Users::EnteredAlone }
}

/// What others mount is seen here, and not the other way round.
fn keep_mounts() -> Result<()> {
    sys::mount::mount("", "/", "", MS_REC | MS_SLAVE, "")
        .map_err(|errno| Error::invalid(format!("keeping mounts to ourselves: {errno}")))
}

fn enter_users(place: &Place) -> Result<Users> {
    let name = login(place.uid);
    let map = |table: &str, id: u32| -> Map {
        let ranges = set_aside(&fs::read_to_string(table).unwrap_or_default(), &name, place.uid);
        std::iter::once([0, id, 1]).chain(ranges).collect()
    };
    let (users, groups) = (map("/etc/subuid", place.uid), map("/etc/subgid", place.gid));
    let several = users.len() > 1 && groups.len() > 1 && has_helpers();
    let failed = |errno: sys::Errno| {
        Error::invalid(format!("making a user namespace: {errno}"))
            .with_hint("some systems forbid it to ordinary users: see user.max_user_namespaces and AppArmor's restrictions")
    };
    if !several {
        sys::process::unshare(CLONE_NEWUSER | CLONE_NEWNS).map_err(failed)?;
        let write = |file: &str, text: String| {
            let path = format!("/proc/self/{file}");
            fs::write(&path, text)
                .map_err(|error| Error::invalid(format!("writing {path}: {error}")))
        };
        write("setgroups", "deny".into())?;
        write("uid_map", format!("0 {} 1", place.uid))?;
        write("gid_map", format!("0 {} 1", place.gid))?;
        return Ok(Users::EnteredAlone);
    }
    // Whoever writes the maps has to stay outside.
    let (ready, go) = sys::fs::pipe().map_err(failed)?;
    let own = std::process::id();
    let Some(child) = sys::process::fork_plain().map_err(failed)? else {
        drop(go);
        let is_there = sys::fs::read(&ready, &mut [0]).is_ok_and(|count| count == 1);
        let fine = is_there && ask("newuidmap", own, &users) && ask("newgidmap", own, &groups);
        sys::process::exit(i32::from(!fine));
    };
    let entered = sys::process::unshare(CLONE_NEWUSER | CLONE_NEWNS);
    if entered.is_ok() {
        sys::fs::write_all(&go, b"1").map_err(failed)?;
    }
    drop(go);
    let ended = sys::wait::child(child.pid, true).map_err(failed)?;
    entered.map_err(failed)?;
    match ended {
        Some((_, exit)) if exit.shell_code() == 0 => Ok(Users::Entered),
        _ => Err(Error::invalid(
            "newuidmap or newgidmap has refused the ranges of /etc/subuid and /etc/subgid",
        )
        .with_hint(
            "the ranges have to be the user's own, and both programs setuid or with capabilities",
        )),
    }
}

fn has_helpers() -> bool {
    let dirs = ["/usr/bin", "/bin", "/usr/local/bin"];
    ["newuidmap", "newgidmap"]
        .iter()
        .all(|name| dirs.iter().any(|dir| std::path::Path::new(dir).join(name).exists()))
}

fn ask(program: &str, pid: u32, map: &Map) -> bool {
    let numbers = map.iter().flatten().map(u32::to_string);
    let mut command = Command::new(program);
    command.env("PATH", "/usr/bin:/bin:/usr/local/bin").arg(pid.to_string()).args(numbers);
    command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The name of a user of this machine, for tables that go by names.
fn login(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields[0].to_owned())
    };
    passwd.lines().find_map(of).unwrap_or_default()
}

/// The ranges of subuid(5), one behind the other from 1 on.
fn set_aside(table: &str, name: &str, uid: u32) -> Map {
    let number = uid.to_string();
    let mut next = 1u32;
    let mut map = Map::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [owner, first, count] = fields[..] else { continue };
        if owner.is_empty() || (owner != name && owner != number) {
            continue;
        }
        let (Ok(first), Ok(count)) = (first.parse::<u32>(), count.parse::<u32>()) else { continue };
        let Some(end) = next.checked_add(count).filter(|_| count > 0) else { break };
        map.push([next, first, count]);
        next = end;
    }
    map
}

#[cfg(test)]
mod tests {
    use super::set_aside;

    #[test]
    fn ranges_are_read_as_in_subuid() {
        let table =
            "me:100000:65536\n# x\n\nyou:1:1\n1000:500000:10\nme:bad:1\n:5:5\nme:9:4294967295\n";
        assert_eq!(set_aside(table, "me", 1000), [[1, 100_000, 65536], [65537, 500_000, 10]]);
        assert_eq!(set_aside(table, "", 7), Vec::<[u32; 3]>::new());
    }
}
