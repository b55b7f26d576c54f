//! Entering a container's cgroup.

use super::layout::{Version, own_cgroups};
use super::plan::{Directory, Plan};
use super::tree::Dir;
use crate::error::{Error, Kind, Result};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sys::{CWD, Errno, Fd, fs};

/// `EINVAL` means that a process is not quite there yet (`TASK_NEW`); as many tries as runc has,
/// 30 ms apart.
const ATTACH_TRIES: u32 = 5;
const ATTACH_PAUSE_MS: u64 = 30;

/// Descriptors through which a process enters a cgroup without waiting for RCU.
#[derive(Debug, Default)]
pub struct Join {
    /// v1: `tasks` files, open for writing.
    pub tasks: Vec<Fd>,
    /// `tasks` of hierarchies without controllers: failing is no error.
    pub courtesy_tasks: Vec<Fd>,
    /// Directory of the unified hierarchy for [`sys::process::Clone::cgroup`].
    pub unified: Option<Fd>,
    /// The unified directory is beside v1 hierarchies: failing is no error.
    pub unified_courtesy: bool,
    /// Rootless and nothing was asked for: not being permitted is no error.
    pub optional: bool,
}

/// What to do when a process could not be cloned into [`Join::cgroup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Clone without it; then [`Plan::attach`].
    Attach,
    /// Clone without it.
    GoOn,
    /// It was not for the cgroup that it failed.
    Fail,
}

impl Join {
    /// The unified directory's number for [`sys::process::Clone::cgroup`].
    pub fn cgroup(&self) -> Option<i32> {
        self.unified.as_ref().map(Fd::raw)
    }

    /// What an error of the clone means: `ENOSYS`, `E2BIG` and `EINVAL` are Linux before 5.7,
    /// `EBUSY` a cgroup with controllers enabled below it, `EOPNOTSUPP` a threaded one, `ENODEV`
    /// one that is being removed, and the rest a common ancestor that is not ours (rootless).
    pub fn fallback(&self, errno: Errno) -> Fallback {
        let about_cgroup = [
            Errno::ENOSYS,
            Errno::E2BIG,
            Errno::EINVAL,
            Errno::EBUSY,
            Errno::ENOTSUP,
            Errno::ENODEV,
            Errno::EACCES,
            Errno::EPERM,
        ];
        match self.unified.is_some() && about_cgroup.contains(&errno) {
            false => Fallback::Fail,
            true if self.unified_courtesy => Fallback::GoOn,
            true => Fallback::Attach,
        }
    }

    /// Moves the calling thread, which must be the only one of its process, into the v1 cgroups.
    /// Takes no lock and no memory: fit for a child between fork and exec.
    pub fn enter(&self) -> sys::Result<()> {
        for fd in &self.tasks {
            match fs::write(fd, b"0") {
                Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) if self.optional => {}
                result => drop(result?),
            }
        }
        for fd in &self.courtesy_tasks {
            let _ = fs::write(fd, b"0");
        }
        Ok(())
    }
}

/// Cgroups below the container's own that an `exec` asks for (`--cgroup`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubCgroups {
    /// (controller, path); no controller means all of them.
    paths: Vec<(Option<String>, String)>,
}

impl SubCgroups {
    /// Reads `--cgroup` arguments: one `path`, or any number of `controller[,controller]:path`.
    pub fn parse<S: AsRef<str>>(arguments: &[S]) -> Result<Self> {
        let mut paths: Vec<(Option<String>, String)> = Vec::new();
        for argument in arguments {
            let argument = argument.as_ref();
            let invalid =
                |why: &str| Error::invalid(format!("invalid --cgroup argument {argument}: {why}"));
            let Some((controllers, path)) = argument.split_once(':') else {
                if arguments.len() != 1 {
                    return Err(invalid("missing <controller>: prefix"));
                }
                paths.push((None, argument.to_owned()));
                continue;
            };
            for controller in controllers.split(',') {
                if controller.is_empty() {
                    return Err(invalid("empty <controller> prefix"));
                }
                if paths.iter().any(|(name, _)| name.as_deref() == Some(controller)) {
                    return Err(invalid("controller specified multiple times"));
                }
                paths.push((Some(controller.to_owned()), path.to_owned()));
            }
        }
        for (_, path) in &paths {
            if path.split('/').any(|part| part == "..") || path.contains('\0') {
                return Err(Error::invalid(format!("bad sub cgroup path: {path}")));
            }
        }
        Ok(Self { paths })
    }

    /// The path below `directory`, without slashes at its ends.
    fn of(&self, directory: &Directory) -> &str {
        let names = |name: &Option<String>| match name {
            None => true,
            Some(name) => directory.controllers.iter().any(|c| is_named(c, name)),
        };
        let found = self.paths.iter().find(|(name, _)| names(name));
        found.map_or("", |(_, path)| path.trim_matches('/'))
    }

    fn check(&self, plan: &Plan) -> Result<()> {
        for controller in self.paths.iter().filter_map(|(controller, _)| controller.as_deref()) {
            let known = plan.used().any(|d| d.controllers.iter().any(|c| is_named(c, controller)));
            if !known {
                let message = format!("unknown controller {controller} in --cgroup");
                return Err(Error::invalid(message));
            }
        }
        Ok(())
    }
}

/// `systemd` is `name=systemd`.
fn is_named(controller: &str, name: &str) -> bool {
    controller == name || controller.strip_prefix("name=") == Some(name)
}

impl Plan {
    /// Opens what a new process of the container needs to enter its cgroup. `init` is the
    /// container's first process: on v2 it may have moved on, and its cgroup is where a process
    /// goes if the container's own is gone.
    pub fn join(&self, sub: &SubCgroups, init: Option<i32>) -> Result<Join> {
        sub.check(self)?;
        let mut join = Join { optional: self.rootless, ..Join::default() };
        for directory in self.used() {
            let path = with_sub(directory, sub);
            let courtesy = directory.is_courtesy(self.version);
            let opened = match directory.is_unified() {
                true => Dir::open_path(path.clone()).map(Dir::into_fd),
                false => fs::open_at(CWD, format!("{path}/tasks"), fs::O_WRONLY, 0),
            };
            let opened = match opened {
                Err(_) if self.version == Version::V2 && sub.paths.is_empty() => {
                    let path = self.cgroup_of(init);
                    path.map_or(opened, |path| Dir::open_path(path).map(Dir::into_fd))
                }
                opened => opened,
            };
            match opened {
                Ok(fd) if directory.is_unified() => {
                    join.unified = Some(fd);
                    join.unified_courtesy = courtesy;
                }
                Ok(fd) if courtesy => join.courtesy_tasks.push(fd),
                Ok(fd) => join.tasks.push(fd),
                Err(_) if self.rootless || (courtesy && sub.of(directory).is_empty()) => {}
                // Nobody can remove a cgroup that the container is in: the container is not in
                // this one (yet), so its new process need not be either.
                Err(Errno::ENOENT)
                    if sub.of(directory).is_empty() && self.main() != Some(directory) => {}
                Err(errno) => return Err(refused(&path, errno)),
            }
        }
        Ok(join)
    }

    /// [`Join::enter`] by path, for a process that was started before its cgroups were made and
    /// can still see the caller's `/sys/fs/cgroup`.
    pub fn enter(&self) -> Result<()> {
        for directory in self.used().filter(|directory| !directory.is_unified()) {
            let path = directory.full_path();
            match fs::write_file(CWD, format!("{path}/tasks"), "0") {
                Err(_) if directory.is_courtesy(self.version) => {}
                Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) if self.may_go_without() => {}
                result => result.map_err(|errno| refused(&path, errno))?,
            }
        }
        Ok(())
    }

    /// Moves process `pid` in by writing `cgroup.procs`: the fallback where it could not be cloned
    /// into the unified hierarchy or has more threads than one. Waits for RCU.
    pub fn attach(&self, sub: &SubCgroups, init: Option<i32>, pid: i32) -> Result<()> {
        sub.check(self)?;
        for directory in self.used() {
            let path = with_sub(directory, sub);
            let attached = match attach_to(&path, pid) {
                Err(_) if self.version == Version::V2 && sub.paths.is_empty() => {
                    // With controllers enabled below it, the container's own takes no process.
                    let init = self.cgroup_of(init).filter(|init| *init != path);
                    init.map_or(Err(Errno::EBUSY), |init| attach_to(&init, pid))
                        .or_else(|_| attach_to(&path, pid))
                }
                attached => attached,
            };
            let denied = |errno| matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS);
            match (attached, &self.unit) {
                (Ok(()), _) => {}
                // The unit's manager may what we may not: our own cgroup is not in its tree.
                (Err(errno), Some(unit)) if denied(errno) && directory.is_unified() => {
                    unit.attach(sub.of(directory), pid)?;
                }
                (Err(_), _) if self.rootless || directory.is_courtesy(self.version) => {}
                (Err(Errno::ENOENT), _)
                    if sub.of(directory).is_empty() && self.main() != Some(directory) => {}
                (Err(errno), _) => return Err(refused(&path, errno)),
            }
        }
        Ok(())
    }

    /// Absolute path of the unified cgroup that a process is in.
    fn cgroup_of(&self, pid: Option<i32>) -> Option<String> {
        let text = fs::read_file(CWD, format!("/proc/{}/cgroup", pid?), 1 << 20).ok()?;
        let text = String::from_utf8(text).ok()?;
        let path = own_cgroups(&text).find(|(controllers, _)| controllers.is_empty())?.1;
        let outside = path.split('/').any(|part| part == "..");
        (!outside).then(|| format!("{}{path}", self.unified().map_or("", |d| &d.mount)))
    }
}

fn with_sub(directory: &Directory, sub: &SubCgroups) -> String {
    match sub.of(directory) {
        "" => directory.full_path(),
        sub => format!("{}/{sub}", directory.full_path()),
    }
}

fn refused(path: &str, errno: Errno) -> Error {
    let error = Error::os(format!("adding pid to cgroup {path}"), errno);
    // The kind would say that the container is missing.
    match error.kind() {
        Kind::NotFound => Error::new(Kind::Invalid, error.to_string()),
        _ => error,
    }
}

pub(super) fn attach_to(path: &str, pid: i32) -> sys::Result<()> {
    let file = fs::open_at(CWD, format!("{path}/cgroup.procs"), fs::O_WRONLY, 0)?;
    let text = pid.to_string();
    let mut tries = 1;
    loop {
        match fs::write(&file, text.as_bytes()) {
            Err(Errno::EINVAL) if tries < ATTACH_TRIES => {
                tries += 1;
                sys::time::sleep_ms(ATTACH_PAUSE_MS);
            }
            result => return result.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(controllers: &[&str]) -> Directory {
        Directory {
            controllers: controllers.iter().map(ToString::to_string).collect(),
            mount: "/c".into(),
            path: "x".into(),
            used: true,
        }
    }

    #[test]
    fn sub_cgroups_are_found_by_controller() {
        let all = SubCgroups::parse(&["/sub/"]).unwrap();
        assert_eq!(with_sub(&directory(&["cpu"]), &all), "/c/x/sub");
        assert_eq!(with_sub(&directory(&[]), &all), "/c/x/sub");
        let root = SubCgroups::parse(&["/"]).unwrap();
        assert_eq!(with_sub(&directory(&["cpu"]), &root), "/c/x");
        let some = SubCgroups::parse(&["memory:m", "cpu,cpuacct:c/d", "systemd:s"]).unwrap();
        for (controllers, expected) in [
            (&["memory"][..], "/c/x/m"),
            (&["cpu", "cpuacct"], "/c/x/c/d"),
            (&["cpuacct"], "/c/x/c/d"),
            (&["name=systemd"], "/c/x/s"),
            (&["pids"], "/c/x"),
            (&[], "/c/x"),
        ] {
            assert_eq!(with_sub(&directory(controllers), &some), expected);
        }
    }

    #[test]
    fn failing_to_clone_into_a_cgroup_is_understood() {
        let mut join = Join::default();
        assert_eq!(join.fallback(Errno::EBUSY), Fallback::Fail);
        join.unified = Some(fs::open_at(CWD, "/", fs::O_PATH, 0).unwrap());
        assert_eq!(join.fallback(Errno::EBUSY), Fallback::Attach);
        assert_eq!(join.fallback(Errno::EAGAIN), Fallback::Fail);
        join.unified_courtesy = true;
        assert_eq!(join.fallback(Errno::EACCES), Fallback::GoOn);
    }

    #[test]
    fn bad_sub_cgroups_are_refused() {
        for (arguments, expected) in [
            (&[".."][..], "bad sub cgroup path: .."),
            (&["cpu:a/../../b"], "bad sub cgroup path: a/../../b"),
            (&["a", "b"], "missing <controller>: prefix"),
            (&[":a"], "empty <controller> prefix"),
            (&["cpu,:a"], "empty <controller> prefix"),
            (&["cpu:a", "cpu:b"], "multiple times"),
        ] {
            let error = SubCgroups::parse(arguments).unwrap_err().to_string();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
        assert_eq!(SubCgroups::parse::<&str>(&[]).unwrap(), SubCgroups::default());
    }
}
