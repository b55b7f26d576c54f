//! Whether an init gets control groups to make others in: where it could not raise its own limits by that.

use super::Users;
use super::scope::may_make_beside;
use super::system::Init;
use crate::error::{Error, Kind, Result};
use crate::record::Config;
use runtime::cgroup::{Layout, Version};

/// Control groups that are a container's own, to make others in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delegation {
    /// It only sees them.
    Nothing,
    /// Those in which nothing is limited (v1).
    Part,
    /// All of them (v2).
    Whole,
}

/// What an init gets of them; refuses where that would not be safe, or there are none.
pub(super) fn of(config: &Config, users: Users, is_mapped: bool) -> Result<Delegation> {
    let Some(init) = Init::of(config).filter(|init| init.is_whole()) else {
        return Ok(Delegation::Nothing);
    };
    let layout = Layout::detect()?;
    let refused = |what: &str, hint: &str| {
        let text = format!("{}: {what}", init.name());
        Err(Error::new(Kind::Unsupported, text).with_hint(hint))
    };
    let is_ordinary = users != Users::Host;
    let is_safe = is_mapped || config.security.privileged || is_delegated_by_namespace();
    let is_missing = init == Init::Systemd && !layout.has("name=systemd");
    match layout.version {
        _ if users == Users::EnteredAlone => refused(
            "its services have users of their own, and there is room for one only",
            "have ranges in /etc/subuid and /etc/subgid, and the package uidmap",
        ),
        _ if is_ordinary && init != Init::Systemd => Ok(Delegation::Nothing),
        Version::V2 if is_ordinary && !may_make_beside() => refused(
            "it needs a control group of its own, and none may be made here",
            "`systemd-run --user --scope tare run ...` runs it where systemd lets a user make some",
        ),
        Version::V2 if !is_ordinary && !is_safe => refused(
            "with the host's users it could raise its own limits, as cgroup2 is mounted without nsdelegate",
            "leave --userns out, or `mount -o remount,nsdelegate /sys/fs/cgroup`",
        ),
        Version::V2 => Ok(Delegation::Whole),
        _ if is_ordinary => refused(
            "with cgroup v1 nobody but root can give it control groups of its own",
            "run it as root: the container has a user namespace all the same; or boot with systemd.unified_cgroup_hierarchy=1",
        ),
        _ if is_missing => refused(
            "with cgroup v1 it needs the hierarchy name=systemd, which is not mounted",
            "`mkdir /sys/fs/cgroup/systemd; mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd`",
        ),
        _ => Ok(Delegation::Part),
    }
}

/// Whether the kernel keeps the limits of a cgroup namespace's root from those in it (cgroups(7)).
fn is_delegated_by_namespace() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| {
        let Some((_, kind)) = line.split_once(" - cgroup2 ") else { return false };
        kind.rsplit(' ').next().unwrap_or_default().split(',').any(|option| option == "nsdelegate")
    })
}
