//! Making a container's cgroup and setting its limits.

use super::cpuset::inherit_cpuset;
use super::delegation::{enable_controllers, explain, give_away};
use super::device_filter;
use super::devices::{self, Rules};
use super::join::Join;
use super::layout::Version;
use super::plan::{Directory, Plan, asked_controllers};
use super::tree::Dir;
use super::{v1, v2};
use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Resources;
use sys::{CWD, Errno, fs};

/// A cgroup that was made.
#[derive(Debug, Default)]
pub struct Created {
    /// How the container's first process gets in.
    pub join: Join,
    /// What the user should know: parts of the configuration that have no effect.
    pub warnings: Vec<String>,
    /// Rootless, nothing was permitted and nothing asked for: the container has no cgroup, or
    /// lacks some of them. The plan says what is left.
    pub without_cgroup: bool,
}

impl Plan {
    /// Makes the directories and sets the limits. A plan without permission loses the directories
    /// that could not be made, which is why it is taken mutably: record it again.
    ///
    /// On an error, what was made stays: [`Plan::remove`] takes it away.
    pub fn create(&mut self, resources: &Resources) -> Result<Created> {
        self.create_part(Part::All, resources)
    }

    /// [`Plan::create`] in two steps: what the container's first process is cloned into, and the
    /// rest, which it can enter later ([`Plan::enter`]).
    pub fn create_part(&mut self, part: Part, resources: &Resources) -> Result<Created> {
        if self.unit.is_some() {
            let message = "a systemd unit starts with a process: its pid is missing";
            return Err(Error::invalid(message));
        }
        self.make(part, resources, false)
    }

    /// [`Plan::create`] with either driver. With the systemd driver, process `pid`, which must be
    /// waiting, is in the unit and in every cgroup when this returns, and the [`Join`] is empty.
    /// With the other one `pid` is not looked at.
    pub fn create_for(&mut self, resources: &Resources, pid: i32) -> Result<Created> {
        let Some(unit) = self.unit.clone() else { return self.create(resources) };
        let mut warnings = unit.start(self, resources, pid)?;
        let mut created = self.make(Part::All, resources, true)?;
        created.warnings.append(&mut warnings);
        // systemd knows some of the v1 controllers only. Moving another process waits for RCU,
        // as systemd has done several times by now.
        let join = core::mem::take(&mut created.join);
        let pid = alloc::string::ToString::to_string(&pid);
        for fd in &join.tasks {
            fs::write(fd, pid.as_bytes()).map_err(|errno| {
                Error::os(format!("adding pid {pid} to the cgroups of {}", unit.name), errno)
            })?;
        }
        if let Some(dir) = &join.unified {
            let _ = fs::write_file(dir, "cgroup.procs", &pid);
        }
        Ok(created)
    }

    fn make(&mut self, part: Part, resources: &Resources, started: bool) -> Result<Created> {
        let rules = Rules::parse(&resources.devices)?;
        let mut created = Created::default();
        if part != Part::Unified {
            created.warnings = warnings(resources, self.version);
        }
        let mut dropped = Vec::new();
        for index in 0..self.directories.len() {
            let directory = &self.directories[index];
            if part == Part::Unified && !directory.is_unified()
                || part == Part::Rest && directory.is_unified()
            {
                continue;
            }
            // systemd keeps its own hierarchy to itself.
            let own = directory.is_courtesy(self.version) && !directory.is_unified();
            if !directory.used || (started && own) {
                continue;
            }
            let made = match self.version {
                Version::V2 => self.make_v2(directory, resources, &rules),
                _ => self.make_v1(directory, resources, &rules),
            };
            match made {
                Ok(Made::Tasks(fd)) if directory.is_courtesy(self.version) => {
                    created.join.courtesy_tasks.push(fd);
                }
                Ok(Made::Tasks(fd)) => created.join.tasks.push(fd),
                Ok(Made::Unified(dir)) => {
                    // systemd has moved the process already.
                    let joined = started && self.version == Version::V2;
                    created.join.unified = (!joined).then(|| dir.into_fd());
                    created.join.unified_courtesy = directory.is_courtesy(self.version);
                }
                Err(_) if directory.is_courtesy(self.version) => {
                    // It may have been made and failed afterwards.
                    let _ = fs::unlink(CWD, directory.full_path(), fs::AT_REMOVEDIR);
                    self.directories[index].used = false;
                }
                // Not permitted, or the tree is not there.
                Err(Failed::Making(error))
                    if self.may_go_without()
                        && matches!(error.kind(), Kind::Denied | Kind::NotFound) =>
                {
                    dropped.extend(directory.controllers.iter().cloned());
                    self.directories[index].used = false;
                    created.without_cgroup = true;
                }
                Err(Failed::Making(error)) => {
                    return Err(error.context("unable to apply cgroup configuration"));
                }
                Err(Failed::Setting(error)) => return Err(error),
            }
        }
        if created.without_cgroup {
            self.refuse_lost_limits(resources, &dropped)?;
        }
        created.join.optional = self.may_go_without();
        Ok(created)
    }

    /// Whether a cgroup is a courtesy: nobody asked for one.
    pub(super) fn may_go_without(&self) -> bool {
        self.rootless && !self.explicit
    }

    fn refuse_lost_limits(&self, resources: &Resources, dropped: &[String]) -> Result<()> {
        let is_lost = |controller: &str| {
            self.version == Version::V2 || dropped.iter().any(|name| name == controller)
        };
        let lost = asked_controllers(resources)
            .into_iter()
            .find(|(controller, _)| is_lost(controller))
            .map(|(_, limit)| limit)
            .or_else(|| (!resources.unified.is_empty()).then_some("unified"));
        let Some(limit) = lost else { return Ok(()) };
        let message =
            format!("cannot set {limit} limit: container could not join or create cgroup");
        let hint = "rootless limits need cgroup v2 delegation: use the systemd driver, or name a \
                    delegated linux.cgroupsPath";
        Err(Error::new(Kind::Denied, message).with_hint(hint))
    }

    fn make_v1(
        &self,
        directory: &Directory,
        resources: &Resources,
        rules: &Rules,
    ) -> core::result::Result<Made, Failed> {
        let (dir, fresh) = make_directory(directory).map_err(Failed::Making)?;
        if let Some(owner) = self.owner.filter(|_| directory.is_courtesy(self.version)) {
            give_away(&dir, owner)?;
        }
        if directory.is_unified() {
            return Ok(Made::Unified(dir));
        }
        let tasks = dir.open_write("tasks").map_err(|errno| {
            Failed::Making(Error::os(format!("opening {}/tasks", dir.path()), errno))
        })?;
        if directory.has("cpuset") {
            inherit_cpuset(directory, &dir, resources, fresh)?;
        } else {
            v1::apply(&dir, directory, resources)?;
        }
        if directory.has("devices") && !self.user_namespace {
            let set = devices::apply_v1(&dir, rules, fresh);
            // Rootless, device rules are not expected to work: mknod does not either.
            if !self.rootless {
                set?;
            }
        }
        Ok(Made::Tasks(tasks))
    }

    fn make_v2(
        &self,
        directory: &Directory,
        resources: &Resources,
        rules: &Rules,
    ) -> core::result::Result<Made, Failed> {
        let (dir, fresh) = make_directory(directory).map_err(Failed::Making)?;
        enable_controllers(directory, &dir, resources)?;
        if let Some(owner) = self.owner {
            give_away(&dir, owner)?;
        }
        v2::apply(&dir, resources, true)
            .map_err(|error| explain(&dir, resources, self.rootless, error))?;
        let skippable = self.user_namespace
            || self.rootless
            || resources.devices.iter().all(|rule| rule.allow && rule.access.len() == 3);
        match device_filter::attach(&dir, rules, fresh) {
            Err(error) if !skippable => Err(error.into()),
            _ => Ok(Made::Unified(dir)),
        }
    }

    /// Fails if the places of the plan are taken. A plan that was made without this failing may be
    /// killed and removed without harm to anybody.
    pub(super) fn refuse_occupied(&self) -> Result<()> {
        if let Some(dir) = self.main().map(Dir::find).transpose()?.flatten() {
            let count = super::procs::processes_below(&dir)?.len();
            if count != 0 {
                let path = dir.path();
                let message =
                    format!("container's cgroup is not empty: {count} process(es) found in {path}");
                return Err(Error::new(Kind::InUse, message));
            }
        }
        // A process that joins a frozen cgroup never starts. The freezer counts when it is not
        // used either: a later pause would meet what is there. One system call each, which fails
        // unless somebody has made the directory before.
        for (directory, file, frozen) in [
            (self.directory("freezer"), "freezer.state", "FROZEN"),
            (self.unified(), "cgroup.freeze", "1"),
        ] {
            let Some(path) = directory.map(Directory::full_path) else { continue };
            let state = fs::read_file(CWD, format!("{path}/{file}"), 64);
            if state.is_ok_and(|state| state.trim_ascii() == frozen.as_bytes()) {
                let message = format!("container's cgroup unexpectedly frozen: {path}");
                return Err(Error::new(Kind::InUse, message));
            }
        }
        Ok(())
    }
}

/// Which directories of a plan are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Every one.
    All,
    /// Those of the unified hierarchy.
    Unified,
    /// The others.
    Rest,
}

enum Made {
    Tasks(sys::Fd),
    Unified(Dir),
}

/// Where making a directory failed.
enum Failed {
    /// There is no directory, or nobody may enter it.
    Making(Error),
    /// A limit was refused.
    Setting(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Setting(error)
    }
}

/// What has no effect.
pub(super) fn warnings(resources: &Resources, version: Version) -> Vec<String> {
    let kernel = |memory: &oci::runtime::Memory| memory.kernel.is_some();
    let mut warnings = match version {
        Version::V2 => v2::ignored(resources),
        _ => Vec::new(),
    };
    if resources.memory.as_ref().is_some_and(kernel) {
        warnings.push("linux.resources.memory.kernel is ignored".into());
    }
    warnings
}

/// Somebody may remove an empty parent between its making and its use, as kubelet does with those
/// of pods.
const PARENT_TRIES: u32 = 5;

/// Makes one directory, and its parents where they are missing. `true`: it is new.
pub(super) fn make_directory(directory: &Directory) -> Result<(Dir, bool)> {
    let path = directory.full_path();
    let failed = |errno| Error::os(format!("creating cgroup {path}"), errno);
    let mut made = fs::mkdir(CWD, &path, 0o755);
    for _ in 0..PARENT_TRIES {
        if made != Err(Errno::ENOENT) {
            break;
        }
        for (at, _) in directory.path.match_indices('/') {
            let parent = format!("{}/{}", directory.mount, &directory.path[..at]);
            match fs::mkdir(CWD, &parent, 0o755) {
                Ok(()) | Err(Errno::EEXIST | Errno::ENOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        made = fs::mkdir(CWD, &path, 0o755);
    }
    let fresh = match made {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(failed(errno)),
    };
    Ok((Dir::open_path(path.clone()).map_err(failed)?, fresh))
}
