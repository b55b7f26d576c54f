//! Users and groups by the names of an image: its files are read inside of its root directory only.

use crate::error::{Error, Result};
use crate::record::KEEP_GROUPS;
use sys::Fd;
use sys::fs::{O_NONBLOCK, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS};

/// Larger tables of users are none of an image's.
const TABLE_LIMIT_BYTES: usize = 4 << 20;
/// The kernel has room for more, and nobody for so many.
const GROUPS_LIMIT: usize = 1024;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;

/// Whom a program belongs to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Other groups.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// A user as options and images name it, and other groups.
pub(super) fn of_image(root: &Fd, wanted: &str, more: &[String]) -> Result<User> {
    let table = |path: &str| -> Result<String> {
        let bytes = read_inside(root, path).map_err(|error| error.during(path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let group = table("etc/group")?;
    let mut user = choose(wanted, &table("etc/passwd")?, &group)?;
    // Nobody sets groups that are kept.
    for name in more.iter().filter(|name| *name != KEEP_GROUPS) {
        user.groups.push(group_of(name, &group)?);
    }
    // What a file denies to its group must not be had by its other bits (CVE-2022-36109): a program that gives up its
    // group keeps it among the others.
    if !more.iter().any(|name| name == KEEP_GROUPS) {
        user.groups.push(user.gid);
    }
    user.groups.sort_unstable();
    user.groups.dedup();
    Ok(user)
}

/// A file of an image; nothing where there is none.
pub(super) fn read_inside(root: &Fd, path: &str) -> Result<Vec<u8>> {
    let flags = O_RDONLY | O_NONBLOCK;
    let inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    let failed = |errno: sys::Errno| Error::invalid(errno.to_string());
    let file = match sys::fs::open_at2(root, path, flags, 0, inside) {
        Err(sys::Errno::ENOENT | sys::Errno::ENOTDIR) => return Ok(Vec::new()),
        result => result.map_err(failed)?,
    };
    // A pipe or a device of an image must not be waited for.
    if sys::fs::stat_fd(&file).map_err(failed)?.st_mode & S_IFMT != S_IFREG {
        return Err(Error::invalid("it is no regular file"));
    }
    sys::fs::read_to_end(&file, TABLE_LIMIT_BYTES).map_err(failed)
}

/// `USER[:GROUP]`, each a name or a number; without anything it is root.
fn choose(wanted: &str, passwd: &str, group: &str) -> Result<User> {
    let (name, group_name) = match wanted.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (wanted, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let entry = lines(passwd).find(|fields| is_entry(fields, name));
    let mut user = User { home: "/".into(), ..User::default() };
    match (&entry, number(name)) {
        (Some(fields), _) => {
            let id = |at: usize| fields.get(at).and_then(|text| number(text));
            let broken =
                || Error::invalid(format!("user {name:?}: /etc/passwd of the image is broken"));
            (user.uid, user.gid) = id(2).zip(id(3)).ok_or_else(broken)?;
            user.home = fields.get(5).filter(|it| !it.is_empty()).map_or("/", |it| it).to_owned();
        }
        (None, Some(uid)) => user.uid = uid,
        (None, None) => {
            return Err(Error::invalid(format!(
                "user {name:?}: /etc/passwd of the image has none"
            ))
            .with_hint("write its number"));
        }
    }
    match group_name {
        Some(group_name) => {
            user.gid = group_of(group_name, group)?;
        }
        None => {
            let login = entry.as_ref().map_or(name, |fields| fields[0]);
            let has = |fields: &Vec<&str>| {
                fields.get(3).is_some_and(|members| members.split(',').any(|it| it == login))
            };
            let groups = lines(group).filter(has).filter_map(|fields| number(fields.get(2)?));
            user.groups = groups.filter(|gid| *gid != user.gid).take(GROUPS_LIMIT).collect();
        }
    }
    Ok(user)
}

fn group_of(name: &str, group: &str) -> Result<u32> {
    let found = lines(group).find(|fields| is_entry(fields, name));
    let found = found.and_then(|fields| number(fields.get(2)?));
    found.or_else(|| number(name)).ok_or_else(|| {
        Error::invalid(format!("group {name:?}: /etc/group of the image has none"))
            .with_hint("write its number")
    })
}

fn lines(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let wanted = |line: &&str| !line.is_empty() && !line.starts_with('#');
    table.lines().map(str::trim).filter(wanted).map(|line| line.split(':').collect())
}

/// By its name, or by its number.
fn is_entry(fields: &[&str], wanted: &str) -> bool {
    let same_number = |text: &&str| number(text).is_some() && number(text) == number(wanted);
    fields.first() == Some(&wanted) || fields.get(2).is_some_and(same_number)
}

/// Of all numbers the last stands for none.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{User, choose};

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# none\nweb:x:33:34::/srv:/bin/false\n\nodd:x:y:1::/:\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:50:web,other\nmore:x:51:web\nx:y\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let user = |uid, gid, groups: &[u32], home: &str| User {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.into(),
        };
        for (text, wanted) in [
            ("", user(0, 0, &[], "/root")),
            ("root", user(0, 0, &[], "/root")),
            ("web", user(33, 34, &[50, 51], "/srv")),
            ("33", user(33, 34, &[50, 51], "/srv")),
            ("web:logs", user(33, 50, &[], "/srv")),
            (":50", user(0, 50, &[], "/root")),
            ("1000", user(1000, 0, &[], "/")),
            ("1000:1000", user(1000, 1000, &[], "/")),
        ] {
            assert_eq!(choose(text, PASSWD, GROUP).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for bad in ["nobody", "web:nogroup", "odd", "-1", "4294967295", "web:"] {
            assert!(choose(bad, PASSWD, GROUP).is_err(), "{bad}");
        }
        assert!(choose("web", "", "").is_err());
    }
}
