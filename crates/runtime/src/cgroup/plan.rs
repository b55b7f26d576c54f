//! Which directories a container's cgroup will have.

use super::layout::{Hierarchy, Layout, Version};
use super::systemd::Unit;
use crate::error::{Error, Kind, Result};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Map, Resources};

/// Longest path that is taken: `PATH_MAX` less room for the mount and a file's name.
const PATH_LIMIT_BYTES: usize = 3500;

oci::names! {
    /// Who makes the directories.
    Driver, default Cgroupfs {
        /// This program.
        Cgroupfs = "cgroupfs",
        /// systemd, asked to start a transient unit.
        Systemd = "systemd",
    }
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The container's id, which names the cgroup when `cgroups_path` is empty.
    pub id: &'a str,
    /// `linux.cgroupsPath`.
    pub cgroups_path: &'a str,
    /// `linux.resources`.
    pub resources: &'a Resources,
    /// The container's annotations: `org.systemd.property.*` are read by the systemd driver.
    pub annotations: &'a Map,
    /// Properties that these may set besides the harmless ones.
    pub properties: &'a [String],
    /// Who makes the directories.
    pub driver: Driver,
    /// Failing for want of permission is no error while no limit and no path was asked for.
    pub rootless: bool,
    /// This program runs in a user namespace: device rules cannot be set.
    pub user_namespace: bool,
    /// The container mounts cgroups, or an engine reads its figures there: hierarchies that programs
    /// look at are used, as those that are not would show the caller's figures.
    pub shown: bool,
    /// It may make cgroups of its own there, with any controller.
    pub writable: bool,
    /// Host user that will own the container's cgroup (v2): the root of a container with its own
    /// user and cgroup namespace and a writable cgroup mount.
    pub owner: Option<u32>,
    /// Address of the D-Bus socket: `DBUS_SYSTEM_BUS_ADDRESS`, or rootless
    /// `DBUS_SESSION_BUS_ADDRESS`; `None` is the default one.
    pub bus_address: Option<&'a str>,
    /// The caller's uid, for the default address of a rootless bus.
    pub uid: u32,
}

oci::document! {
    /// One directory of a plan.
    #[derive(Eq)]
    Directory(snake, strict) {
        /// Controllers of the hierarchy; none means the unified one.
        controllers: Vec<String>,
        /// Where the hierarchy is mounted.
        mount: String => required,
        /// The directory below the mount, without slashes at its ends, never empty.
        path: String => required,
        /// Whether it is made and joined; otherwise it is only a place to use later.
        used: bool => required,
    }

    /// A container's cgroup: what is recorded before anything is made.
    #[derive(Eq)]
    Plan(snake, strict) {
        /// Generation of the cgroup interface.
        version: Version => required,
        /// Places in the hierarchies, in the order in which they are made.
        directories: Vec<Directory> => required,
        /// The systemd unit, with the systemd driver.
        unit: Option<Unit>,
        /// Permission problems are no error while nothing was asked for.
        rootless: bool,
        /// The configuration named the path.
        explicit: bool,
        /// Device rules cannot be set from a user namespace.
        user_namespace: bool,
        /// Host user that owns the directories in which nothing is limited, on v2 the only one.
        owner: Option<u32>,
    }
}

impl Directory {
    /// The absolute path.
    pub fn full_path(&self) -> String {
        format!("{}/{}", self.mount, self.path)
    }

    /// Whether this is the unified hierarchy.
    pub fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Whether the hierarchy has this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// runc joins named hierarchies and the unified one beside v1 as a courtesy to systemd and to
    /// `systemd-cgls`: nothing is limited by them, so failing there is no error.
    pub(crate) fn is_courtesy(&self, version: Version) -> bool {
        match self.is_unified() {
            true => version == Version::Hybrid,
            false => self.controllers.iter().all(|name| name.starts_with("name=")),
        }
    }
}

impl Plan {
    /// Plans a container's cgroup. Nothing is made; a place that is taken or frozen is refused
    /// (`InUse`), so that every plan may be killed and removed. The rootless systemd driver asks
    /// its manager where its own cgroup is.
    pub fn new(layout: &Layout, request: &Request<'_>) -> Result<Self> {
        let asked = asked_controllers(request.resources);
        check_v1(layout, request, &asked)?;
        let (unit, place) = match request.driver {
            Driver::Cgroupfs => (None, Place::parse(request)?),
            Driver::Systemd => {
                if layout.version != Version::V2 && request.rootless {
                    let message = "the systemd cgroup driver needs root on cgroup v1";
                    return Err(Error::new(Kind::Unsupported, message));
                }
                let unit = Unit::new(request)?;
                let path = unit.cgroup_path()?;
                (Some(unit), Place::Root(path))
            }
        };
        // systemd makes the unit's directory for every controller that it knows.
        let all = unit.is_some() && layout.version != Version::V2;
        let used = |controllers: &[String]| {
            let named = |name: &String| {
                matches!(name.as_str(), "devices" | "pids")
                    || request.shown && is_looked_at(name)
                    || asked.iter().any(|(asked, _)| asked == name)
            };
            all || request.writable || controllers.iter().any(named)
        };
        let directory = |hierarchy: &Hierarchy, used: bool| Directory {
            controllers: hierarchy.controllers.clone(),
            mount: hierarchy.mount.clone(),
            path: place.within(hierarchy, layout.version),
            used,
        };
        let v1 = layout.hierarchies.iter().map(|h| directory(h, used(&h.controllers)));
        let unified = layout.unified.iter().map(|h| directory(h, true));
        let plan = Self {
            version: layout.version,
            directories: v1.chain(unified).collect(),
            unit,
            rootless: request.rootless,
            explicit: !request.cgroups_path.is_empty(),
            user_namespace: request.user_namespace,
            owner: request.owner,
        };
        plan.check()?;
        plan.refuse_occupied()?;
        Ok(plan)
    }

    /// Whether a plan that was read from a record keeps the invariants.
    pub fn check(&self) -> Result<()> {
        for directory in &self.directories {
            let path = directory.full_path();
            let mut parts = directory.path.split('/').chain(directory.mount.split('/').skip(1));
            let clean = parts.all(|part| !matches!(part, "" | "." | ".."));
            if !clean || path.contains('\0') || !directory.mount.starts_with('/') {
                return Err(Error::invalid(format!("cgroup {path} is not a cgroup to make")));
            }
        }
        Ok(())
    }

    /// The directory of a controller, whether used or not.
    pub(super) fn directory(&self, controller: &str) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.has(controller))
    }

    /// The unified directory.
    pub(super) fn unified(&self) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.is_unified())
    }

    /// The directories that exist or will.
    pub(super) fn used(&self) -> impl DoubleEndedIterator<Item = &Directory> {
        self.directories.iter().filter(|directory| directory.used)
    }

    /// Path of the cgroup of a controller, where the container has one. On v2 every controller
    /// has the same.
    pub fn path_of(&self, controller: &str) -> Option<String> {
        let found = match self.version {
            Version::V2 => self.unified(),
            _ => self.directory(controller),
        };
        found.filter(|directory| directory.used).map(Directory::full_path)
    }

    /// The directory whose processes are the container's: `devices` on v1 as runc has it, because
    /// nobody inside can leave it.
    pub(super) fn main(&self) -> Option<&Directory> {
        let used = |directory: &&Directory| directory.used;
        let named = |name| self.directory(name).filter(used);
        match self.version {
            Version::V2 => self.unified().filter(used),
            _ => named("devices").or_else(|| named("pids")).or_else(|| self.used().next()),
        }
    }

    /// Puts the hierarchies of these controllers into use. `true`: the plan has changed and must
    /// be recorded before [`Plan::freeze`] or [`Plan::update`] makes the directories.
    pub fn enlist(&mut self, controllers: &[&str]) -> Result<bool> {
        let mut changed = false;
        if self.version == Version::V2 {
            return Ok(false);
        }
        for &name in controllers {
            let Some(directory) = self.directories.iter_mut().find(|d| d.has(name)) else {
                return Err(missing(name, name));
            };
            changed |= !core::mem::replace(&mut directory.used, true);
        }
        Ok(changed)
    }

    /// [`Plan::enlist`] for what `resources` ask for.
    pub fn enlist_for(&mut self, resources: &Resources) -> Result<bool> {
        let asked = asked_controllers(resources);
        let names: Vec<&str> = asked.iter().map(|(controller, _)| *controller).collect();
        self.enlist(&names)
    }
}

/// Whether programs read this hierarchy to learn what they may use (language runtimes want all
/// four controllers or none) or to manage services. Every other one costs a directory and a mount
/// and shows nothing that anybody asks for; it is put into use when something needs it.
fn is_looked_at(name: &str) -> bool {
    matches!(name, "cpu" | "cpuacct" | "cpuset" | "memory") || name.starts_with("name=")
}

/// Where a cgroup goes in each hierarchy.
enum Place {
    /// From the hierarchy's root.
    Root(String),
    /// Below the cgroup of this process.
    Own(String),
}

impl Place {
    /// runc's rules: an absolute path is from the root, a relative one (and the id, without a
    /// path) from the runtime's own cgroup.
    fn parse(request: &Request<'_>) -> Result<Self> {
        let path = request.cgroups_path;
        if path.is_empty() {
            return Ok(Self::Own(clean("container id", request.id)?));
        }
        let cleaned = clean("linux.cgroupsPath", path)?;
        Ok(if path.starts_with('/') { Self::Root(cleaned) } else { Self::Own(cleaned) })
    }

    fn within(&self, hierarchy: &Hierarchy, version: Version) -> String {
        let (base, inner) = match self {
            Self::Root(path) => ("", path),
            Self::Own(path) if !hierarchy.controllers.is_empty() => (hierarchy.own.as_str(), path),
            // A cgroup with processes cannot give controllers to its children: the parent of the
            // runtime's own can.
            Self::Own(path) if version == Version::V2 => {
                (hierarchy.own.rsplit_once('/').map_or("", |(parent, _)| parent), path)
            }
            Self::Own(path) => ("", path),
        };
        if base.is_empty() { inner.to_owned() } else { format!("{base}/{inner}") }
    }
}

/// `path` without empty and `.` components; what could leave the hierarchy or name its root is
/// refused.
pub(super) fn clean(field: &str, path: &str) -> Result<String> {
    let shown = || path.escape_debug();
    if path.contains('\0') || path.split('/').any(|part| part == "..") {
        return Err(Error::invalid(format!("{field} \"{}\": \"..\" and NUL are refused", shown())));
    }
    if path.len() > PATH_LIMIT_BYTES {
        return Err(Error::invalid(format!("{field} is longer than {PATH_LIMIT_BYTES} bytes")));
    }
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() {
        return Err(Error::invalid(format!("{field} \"{}\" names the root cgroup", shown())));
    }
    Ok(parts.join("/"))
}

/// What only matters with v1 hierarchies: everything that is asked for must be mounted, and the
/// device rules, which security rests on, need their controller.
fn check_v1(layout: &Layout, request: &Request<'_>, asked: &[(&str, &str)]) -> Result<()> {
    if layout.version == Version::V2 {
        return Ok(());
    }
    if !request.resources.unified.is_empty() {
        let message = "invalid configuration: linux.resources.unified needs cgroup v2";
        return Err(Error::invalid(message));
    }
    for (controller, limit) in asked {
        if !layout.has(controller) {
            return Err(missing(controller, limit));
        }
    }
    if !layout.has("devices") && !request.rootless && !request.user_namespace {
        return Err(missing("devices", "device access"));
    }
    Ok(())
}

fn missing(controller: &str, limit: &str) -> Error {
    let message = format!("cannot set {limit} limit: no {controller} cgroup hierarchy is mounted");
    Error::new(Kind::Unsupported, message)
}

/// (v1 controller, what is limited) of everything that `resources` ask for, device rules aside.
/// Where runc takes 0 for "not set", so does this.
pub(super) fn asked_controllers(resources: &Resources) -> Vec<(&'static str, &'static str)> {
    let some = |value: Option<i64>| value.is_some_and(|value| value != 0);
    let some_u = |value: Option<u64>| value.is_some_and(|value| value != 0);
    let memory = resources.memory.as_ref().is_some_and(|memory| {
        some(memory.limit)
            || some(memory.reservation)
            || some(memory.swap)
            || some(memory.kernel_tcp)
            || memory.swappiness.is_some()
            || memory.disable_oom_killer == Some(true)
    });
    let cpu = resources.cpu.as_ref().is_some_and(|cpu| {
        some_u(cpu.shares)
            || some(cpu.quota)
            || some_u(cpu.period)
            || cpu.burst.is_some()
            || cpu.idle.is_some()
            || some(cpu.realtime_runtime)
            || some_u(cpu.realtime_period)
    });
    let cpuset = |cpu: &oci::runtime::Cpu| !cpu.cpus.is_empty() || !cpu.mems.is_empty();
    let network = resources.network.as_ref();
    let asked = [
        (memory, "memory", "memory"),
        (cpu, "cpu", "cpu"),
        (resources.cpu.as_ref().is_some_and(cpuset), "cpuset", "cpuset"),
        (resources.pids.as_ref().is_some_and(|pids| pids.limit.is_some()), "pids", "pids"),
        (resources.block_io.as_ref().is_some_and(|io| *io != Default::default()), "blkio", "blkio"),
        (!resources.hugepage_limits.is_empty(), "hugetlb", "hugetlb"),
        (network.is_some_and(|n| n.class_id.is_some_and(|id| id != 0)), "net_cls", "net_cls"),
        (network.is_some_and(|n| !n.priorities.is_empty()), "net_prio", "net_prio"),
        (!resources.rdma.is_empty(), "rdma", "rdma"),
    ];
    asked.into_iter().filter(|(asked, ..)| *asked).map(|(_, name, what)| (name, what)).collect()
}
