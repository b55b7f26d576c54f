//! From the strings of a mount to what the kernel is asked for.

use crate::error::{Error, Result};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use oci::runtime::{IdMapping, Mount};
use sys::mount as m;

/// What is mounted.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An existing tree: `source`, with what is mounted below it where `recursive`.
    Bind {
        /// Path on the host, relative to the bundle unless absolute.
        source: String,
        /// Whether mounts below it come along.
        recursive: bool,
    },
    /// A new instance of a file system.
    FileSystem {
        /// Its type.
        kind: String,
        /// Its source, for file systems that have one.
        source: String,
        /// Options for the file system itself: `key` or `key=value`.
        data: Vec<String>,
    },
    /// The control group file systems, in whatever layout the host has them.
    Cgroup,
}

/// Where the ids of an idmapped mount come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Idmap {
    /// The mount's own mappings; both empty: those of the container's user namespace.
    pub uids: Vec<IdMapping>,
    /// As `uids`, for groups.
    pub gids: Vec<IdMapping>,
    /// Whether mounts below it are mapped too.
    pub recursive: bool,
}

/// How access times are kept; the kernel wants exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are mount(8)'s")]
pub enum AccessTime {
    Relative,
    Never,
    Strict,
}

/// A mount, ready to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct MountPlan {
    /// Where, in the container.
    pub destination: String,
    /// What.
    pub what: What,
    /// Where the source of a bind mount is in the container, if it is there.
    pub inside: Option<String>,
    /// Attributes of the mount.
    pub attributes: m::Attributes,
    /// Attributes that a bind mount loses because it asks for others.
    pub only: u64,
    /// Attributes of the mount and all below it.
    pub recursive: m::Attributes,
    /// `MS_*` propagation to set, in order (with `MS_REC` or not).
    pub propagation: Vec<u32>,
    /// A tmpfs that starts with what its directory held.
    pub copy_up: bool,
    /// Ids are shown through a mapping.
    pub idmap: Option<Idmap>,
    /// What to do with a symbolic link at the end of a bind mount's paths.
    pub links: Links,
}

/// Symbolic links at the end of a path are followed, but for these (crun's options).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// `src-nofollow`: the link itself is mounted.
    pub mount_source: bool,
    /// `dest-nofollow`: the link itself is covered.
    pub cover_destination: bool,
    /// `copy-symlink`: a link as source is made again, not mounted.
    pub copy_source: bool,
}

impl Links {
    /// How the source is opened.
    pub(crate) fn source_flag(self) -> u32 {
        if self.mount_source { sys::fs::O_NOFOLLOW } else { 0 }
    }
}

impl MountPlan {
    /// Whether the mount is read-only at the end. It is made writable where something has to be
    /// created in it first.
    pub fn is_read_only(&self) -> bool {
        self.attributes.set & u64::from(m::MOUNT_ATTR_RDONLY) != 0
    }
}

enum Effect {
    Set(u32),
    Clear(u32),
    Time(AccessTime),
    Propagation(u32),
}

use Effect::{Clear, Propagation, Set, Time};

/// Options that are attributes; the recursive form of each has an `r` in front.
const ATTRIBUTES: [(&str, Effect); 15] = [
    ("ro", Set(m::MOUNT_ATTR_RDONLY)),
    ("rw", Clear(m::MOUNT_ATTR_RDONLY)),
    ("nosuid", Set(m::MOUNT_ATTR_NOSUID)),
    ("suid", Clear(m::MOUNT_ATTR_NOSUID)),
    ("nodev", Set(m::MOUNT_ATTR_NODEV)),
    ("dev", Clear(m::MOUNT_ATTR_NODEV)),
    ("noexec", Set(m::MOUNT_ATTR_NOEXEC)),
    ("exec", Clear(m::MOUNT_ATTR_NOEXEC)),
    ("nodiratime", Set(m::MOUNT_ATTR_NODIRATIME)),
    ("diratime", Clear(m::MOUNT_ATTR_NODIRATIME)),
    ("nosymfollow", Set(m::MOUNT_ATTR_NOSYMFOLLOW)),
    ("symfollow", Clear(m::MOUNT_ATTR_NOSYMFOLLOW)),
    ("relatime", Time(AccessTime::Relative)),
    ("noatime", Time(AccessTime::Never)),
    ("strictatime", Time(AccessTime::Strict)),
];

/// `norelatime` and `nostrictatime` go back to the kernel's default, `atime` ends `noatime`.
const TIME_RESETS: [&str; 3] = ["atime", "norelatime", "nostrictatime"];

const PROPAGATION: [(&str, Effect); 8] = [
    ("private", Propagation(m::MS_PRIVATE)),
    ("rprivate", Propagation(m::MS_PRIVATE | m::MS_REC)),
    ("shared", Propagation(m::MS_SHARED)),
    ("rshared", Propagation(m::MS_SHARED | m::MS_REC)),
    ("slave", Propagation(m::MS_SLAVE)),
    ("rslave", Propagation(m::MS_SLAVE | m::MS_REC)),
    ("unbindable", Propagation(m::MS_UNBINDABLE)),
    ("runbindable", Propagation(m::MS_UNBINDABLE | m::MS_REC)),
];

/// Options of the superblock, which `fsconfig(2)` takes by name.
const SUPERBLOCK: [&str; 10] = [
    "sync",
    "async",
    "dirsync",
    "lazytime",
    "nolazytime",
    "mand",
    "nomand",
    "silent",
    "loud",
    "iversion",
];

/// Every option that is not handed to the file system, for `features`.
pub const OPTION_NAMES: &[&str] = &[
    "async",
    "atime",
    "bind",
    "copy-symlink",
    "defaults",
    "dest-nofollow",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "src-nofollow",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

/// Reads a mount of the configuration. `field` is its place there, for errors.
pub fn plan(mount: &Mount, field: &str) -> Result<MountPlan> {
    let mut plan = MountPlan {
        destination: absolute(&mount.destination, field)?,
        what: What::Cgroup,
        inside: None,
        attributes: m::Attributes::default(),
        only: 0,
        recursive: m::Attributes::default(),
        propagation: Vec::new(),
        copy_up: false,
        idmap: None,
        links: Links::default(),
    };
    let mut bind = None;
    let mut data = Vec::new();
    for option in &mount.options {
        match option.as_str() {
            "defaults" | "remount" | "noiversion" | "" => {}
            "bind" => bind = Some(bind.unwrap_or(false)),
            "rbind" => bind = Some(true),
            "tmpcopyup" => plan.copy_up = true,
            "src-nofollow" => plan.links.mount_source = true,
            "dest-nofollow" => plan.links.cover_destination = true,
            "copy-symlink" => plan.links.copy_source = true,
            "idmap" | "ridmap" => {
                plan.idmap = Some(Idmap {
                    uids: mount.uid_mappings.clone(),
                    gids: mount.gid_mappings.clone(),
                    recursive: option == "ridmap",
                });
            }
            name => apply(&mut plan, name).unwrap_or_else(|| data.push(name.to_string())),
        }
    }
    let mapped = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
    if mapped && plan.idmap.is_none() {
        // The specification: mappings without an option mean "idmap".
        let (uids, gids) = (mount.uid_mappings.clone(), mount.gid_mappings.clone());
        plan.idmap = Some(Idmap { uids, gids, recursive: false });
    }
    plan.what = what(mount, bind, data, field)?;
    if matches!(plan.what, What::Bind { .. }) {
        bind_attributes(&mut plan, &mount.options);
    }
    check_idmap(&plan, field)?;
    if plan.copy_up && plan.destination == "/" {
        return Err(Error::invalid(format!("{field}: tmpcopyup: the root cannot be copied")));
    }
    Ok(plan)
}

/// Applies an option of this module's tables. `None`: it belongs to the file system.
fn apply(plan: &mut MountPlan, name: &str) -> Option<()> {
    let find = |table: &'static [(&str, Effect)], name: &str| {
        table.iter().find(|(known, _)| *known == name).map(|(_, effect)| effect)
    };
    if let Some(Propagation(flags)) = find(&PROPAGATION, name) {
        plan.propagation.push(*flags);
        return Some(());
    }
    // `rw` and `relatime` begin with an `r` themselves, so the plain names come first.
    let (target, name) = match find(&ATTRIBUTES, name).is_some() || TIME_RESETS.contains(&name) {
        true => (&mut plan.attributes, name),
        false => (&mut plan.recursive, name.strip_prefix('r')?),
    };
    if TIME_RESETS.contains(&name) {
        set_time(target, AccessTime::Relative);
        return Some(());
    }
    match find(&ATTRIBUTES, name)? {
        Set(bit) => {
            target.set |= u64::from(*bit);
            target.clear &= !u64::from(*bit);
        }
        Clear(bit) => {
            target.clear |= u64::from(*bit);
            target.set &= !u64::from(*bit);
        }
        Time(time) => set_time(target, *time),
        Propagation(_) => {}
    }
    Some(())
}

/// Attributes that a bind mount may take away from its source where others are asked for.
pub(crate) const BIND_ATTRIBUTES: u32 = m::MOUNT_ATTR_RDONLY
    | m::MOUNT_ATTR_NOSUID
    | m::MOUNT_ATTR_NODEV
    | m::MOUNT_ATTR_NOEXEC
    | m::MOUNT_ATTR_NOSYMFOLLOW;

/// A bind mount with any attribute has only those that it asks for, as with a remount by mount(8);
/// without any it is what its source is. Access times are kept as the source keeps them unless one
/// of the three ways is named: the options that only end another way have never done so here.
fn bind_attributes(plan: &mut MountPlan, options: &[String]) {
    let is_time = |name: &str| {
        matches!(name, "relatime" | "noatime" | "strictatime") || TIME_RESETS.contains(&name)
    };
    let time = options.iter().map(String::as_str).rfind(|name| is_time(name));
    if time.is_some_and(|name| TIME_RESETS.contains(&name)) {
        plan.attributes.set &= !u64::from(m::MOUNT_ATTR__ATIME);
        plan.attributes.clear &= !u64::from(m::MOUNT_ATTR__ATIME);
    }
    let asked = plan.attributes != m::Attributes::default() || time.is_some();
    let no_directories = u64::from(m::MOUNT_ATTR_NODIRATIME);
    match time.filter(|name| !TIME_RESETS.contains(name)) {
        // Of the directories' times, too, only what is asked for is left.
        Some(_) => plan.attributes.clear |= no_directories & !plan.attributes.set,
        None if plan.attributes.set & no_directories != 0 => {
            set_time(&mut plan.attributes, AccessTime::Relative);
        }
        None => plan.attributes.clear &= !no_directories,
    }
    if asked {
        plan.only = u64::from(BIND_ATTRIBUTES) & !plan.attributes.set;
    }
}

fn set_time(target: &mut m::Attributes, time: AccessTime) {
    let value = match time {
        AccessTime::Relative => m::MOUNT_ATTR_RELATIME,
        AccessTime::Never => m::MOUNT_ATTR_NOATIME,
        AccessTime::Strict => m::MOUNT_ATTR_STRICTATIME,
    };
    target.set = target.set & !u64::from(m::MOUNT_ATTR__ATIME) | u64::from(value);
    // mount_setattr wants the whole field cleared when any value of it is set.
    target.clear |= u64::from(m::MOUNT_ATTR__ATIME);
}

fn what(mount: &Mount, bind: Option<bool>, data: Vec<String>, field: &str) -> Result<What> {
    let bind = bind.or_else(|| (mount.kind == "bind").then_some(false));
    if let Some(recursive) = bind {
        if mount.source.is_empty() {
            return Err(Error::invalid(format!("{field}.source: a bind mount needs a source")));
        }
        // Options that no table knows would silently have no effect on a bind mount.
        let ignored = data.iter().find(|name| !SUPERBLOCK.contains(&name.as_str()));
        if let Some(option) = ignored.filter(|option| !option.contains('=')) {
            let what = format!("{field}.options: {option:?} is not an option of a bind mount");
            return Err(Error::invalid(what));
        }
        return Ok(What::Bind { source: mount.source.clone(), recursive });
    }
    match mount.kind.as_str() {
        "" => Err(Error::invalid(format!("{field}.type: is missing, and it is no bind mount"))),
        "cgroup" | "cgroup2" => Ok(What::Cgroup),
        kind => Ok(What::FileSystem {
            kind: kind.to_string(),
            source: if mount.source.is_empty() { kind.to_string() } else { mount.source.clone() },
            data,
        }),
    }
}

fn check_idmap(plan: &MountPlan, field: &str) -> Result<()> {
    let Some(idmap) = &plan.idmap else { return Ok(()) };
    if !matches!(plan.what, What::Bind { .. }) {
        return Err(Error::invalid(format!("{field}: only bind mounts can be idmapped")));
    }
    if idmap.uids.is_empty() != idmap.gids.is_empty() {
        let what = "uidMappings and gidMappings must both be given or both be absent";
        return Err(Error::invalid(format!("{field}: {what}")));
    }
    Ok(())
}

/// A destination as an absolute path without `.`, `..` and double slashes. Relative ones count
/// from the root, as in runc (the specification demands absolute ones since 1.0).
fn absolute(path: &str, field: &str) -> Result<String> {
    if path.is_empty() {
        return Err(Error::invalid(format!("{field}.destination: is missing")));
    }
    if path.contains('\0') {
        return Err(Error::invalid(format!("{field}.destination: has a NUL character")));
    }
    Ok(clean(path))
}

/// Lexically cleaned absolute path: `..` never climbs over the root.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut cleaned = String::with_capacity(path.len() + 1);
    for part in &parts {
        cleaned.push('/');
        cleaned.push_str(part);
    }
    if cleaned.is_empty() {
        cleaned.push('/');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, source: &str, options: &[&str]) -> Result<MountPlan> {
        let mount = Mount {
            destination: "/x".into(),
            kind: kind.into(),
            source: source.into(),
            options: options.iter().map(ToString::to_string).collect(),
            ..Mount::default()
        };
        plan(&mount, "mounts[0]")
    }

    #[test]
    fn every_named_option_is_understood() {
        for option in OPTION_NAMES {
            let plan = parse("tmpfs", "", &[option]);
            let ok = match *option {
                "bind" | "rbind" => plan.is_err(),
                "idmap" | "ridmap" => plan.is_err(),
                name if SUPERBLOCK.contains(&name) => {
                    matches!(plan.unwrap().what, What::FileSystem { data, .. } if data == [name])
                }
                _ => matches!(plan.unwrap().what, What::FileSystem { data, .. } if data.is_empty()),
            };
            assert!(ok, "{option}");
        }
    }

    #[test]
    fn later_options_win() {
        let plan = parse("tmpfs", "", &["ro", "rw", "noatime", "strictatime"]).unwrap();
        let time = u64::from(m::MOUNT_ATTR__ATIME);
        assert_eq!(plan.attributes.set & !time, 0);
        assert_eq!(plan.attributes.set & time, u64::from(m::MOUNT_ATTR_STRICTATIME));
        assert_eq!(plan.attributes.clear, u64::from(m::MOUNT_ATTR_RDONLY) | time);
    }

    #[test]
    fn file_system_options_are_kept_in_order() {
        let plan = parse("tmpfs", "", &["nosuid", "mode=755", "size=65536k"]).unwrap();
        let What::FileSystem { kind, source, data } = plan.what else { panic!() };
        assert_eq!((kind.as_str(), source.as_str()), ("tmpfs", "tmpfs"));
        assert_eq!(data, ["mode=755", "size=65536k"]);
        assert_eq!(plan.attributes.set, u64::from(m::MOUNT_ATTR_NOSUID));
    }

    #[test]
    fn bind_mounts_are_recognised_and_checked() {
        let bind = |recursive| What::Bind { source: "/s".into(), recursive };
        assert_eq!(parse("", "/s", &["rbind", "rro"]).unwrap().what, bind(true));
        assert_eq!(parse("bind", "/s", &[]).unwrap().what, bind(false));
        assert!(parse("bind", "", &["bind"]).is_err());
        assert!(parse("bind", "/s", &["bind", "nosiud"]).is_err());
        assert!(parse("", "/s", &["ro"]).is_err());
    }

    #[test]
    fn a_bind_mount_with_attributes_has_no_others() {
        let bind = |options: &[&str]| parse("bind", "/s", options).unwrap();
        let none = bind(&["rbind", "rprivate"]);
        assert_eq!((none.attributes, none.only), (m::Attributes::default(), 0));
        let all = u64::from(BIND_ATTRIBUTES);
        let read_only = u64::from(m::MOUNT_ATTR_RDONLY);
        assert_eq!(bind(&["ro"]).only, all & !read_only);
        assert_eq!((bind(&["dev"]).only, bind(&["norelatime"]).only), (all, all));
        // Access times stay as they are unless a way of keeping them is named.
        let time = u64::from(m::MOUNT_ATTR__ATIME);
        assert_eq!(bind(&["noatime", "atime"]).attributes.clear & time, 0);
        let strict = bind(&["strictatime"]).attributes;
        assert_eq!(strict.set & time, u64::from(m::MOUNT_ATTR_STRICTATIME));
        assert_eq!(strict.clear, time | u64::from(m::MOUNT_ATTR_NODIRATIME));
        assert_eq!(bind(&["nodiratime"]).attributes.clear, time);
        assert_eq!(
            (bind(&["diratime"]).attributes, bind(&["diratime"]).only),
            (m::Attributes::default(), all)
        );
    }

    #[test]
    fn destinations_are_cleaned() {
        for (path, cleaned) in [
            ("/", "/"),
            ("a", "/a"),
            ("/a//b/./c/", "/a/b/c"),
            ("/a/../../b", "/b"),
            ("../..", "/"),
        ] {
            assert_eq!(clean(path), cleaned);
        }
    }
}
