//! Everything that this crate reads and did not write itself, by name: what fuzzers feed.
//!
//! [`Input::feed`] takes bytes through the reader and through all that follows from them before
//! the first effect, and checks what must hold for any bytes: no panic, a refusal that is one
//! sentence, and documents that survive being written and read again.

use crate::cgroup::{self, Layout};
use crate::config::{self, ContainerId};
use crate::create::planning::{self, Around};
use crate::error::Error;
use crate::process::{self, Filter};
use crate::state::Record;
use crate::{Console, Host, Options};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use oci::runtime::Spec;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// `config.json`.
    Config,
    /// The document of `exec --process`.
    Process,
    /// The document of `update --resources`.
    Resources,
    /// The record in the state directory.
    Record,
    /// The compiled filter in the state directory.
    Filter,
    /// `/etc/passwd` of the container.
    Passwd,
    /// `/proc/self/mountinfo`, an empty line, and `/proc/self/cgroup`.
    Mountinfo,
}

/// What became of an input. `Err` of [`Input::feed`] is a fault of this program.
#[derive(Debug)]
pub enum Outcome {
    /// It was taken.
    Taken,
    /// It was refused.
    Refused(Error),
}

/// Longest refusal: a sentence with the value that it is about.
const REFUSAL_LIMIT_BYTES: usize = 4096;

/// Three machines. Their mounts are nowhere, so that no cgroup of this machine is looked at.
const MACHINES: [(&str, &str, bool); 3] = [
    (
        "24 1 0:21 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n\
         25 1 0:22 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
         26 1 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
         27 1 0:24 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
         29 1 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
         30 1 0:27 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
         31 1 0:28 / /sys/fs/cgroup/hugetlb rw - cgroup cgroup rw,hugetlb\n\
         28 1 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        "9:devices:/x\n8:memory:/x\n7:cpu,cpuacct:/\n6:pids:/x\n5:cpuset:/\n4:blkio:/x\n\
         3:hugetlb:/\n0::/x\n",
        false,
    ),
    ("24 1 0:21 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice/x\n", false),
    ("24 1 0:21 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice/x\n", true),
];

impl Input {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Config,
        Self::Process,
        Self::Resources,
        Self::Record,
        Self::Filter,
        Self::Passwd,
        Self::Mountinfo,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Process => "process",
            Self::Resources => "resources",
            Self::Record => "record",
            Self::Filter => "filter",
            Self::Passwd => "passwd",
            Self::Mountinfo => "mountinfo",
        }
    }

    /// Feeds it. `Err`: something does not hold that must.
    pub fn feed(self, bytes: &[u8]) -> Result<Outcome, String> {
        let outcome = match self {
            Self::Config => feed_config(bytes),
            Self::Process => feed_process(bytes),
            Self::Resources => feed_resources(bytes),
            Self::Record => feed_record(bytes),
            Self::Filter => feed_filter(bytes),
            Self::Passwd => {
                process::home_of(bytes, 0);
                process::home_of(bytes, u32::MAX);
                Ok(Outcome::Taken)
            }
            Self::Mountinfo => feed_mountinfo(bytes),
        }?;
        if let Outcome::Refused(error) = &outcome {
            check_refusal(error)?;
        }
        Ok(outcome)
    }
}

/// A refusal is one line that a terminal can show.
fn check_refusal(error: &Error) -> Result<(), String> {
    let text = error.to_string();
    let printable = |c: char| !c.is_control();
    if text.is_empty() || text.len() > REFUSAL_LIMIT_BYTES || !text.chars().all(printable) {
        return Err(format!("a refusal that is not a sentence: {text:?}"));
    }
    Ok(())
}

fn feed_config(bytes: &[u8]) -> Result<Outcome, String> {
    let spec = match config::read(bytes) {
        Ok(spec) => spec,
        Err(error) => return Ok(Outcome::Refused(error)),
    };
    let again: Result<Spec, String> = oci::json::read(oci::json::write(&spec).as_bytes());
    same("a configuration", Some(&spec), again.ok().as_ref())?;
    on_each_machine(|machine| plan(&spec, machine))
}

/// Taken where one machine takes it.
fn on_each_machine(
    mut feed: impl FnMut((&str, &str, bool)) -> Result<Option<Error>, String>,
) -> Result<Outcome, String> {
    let mut refusals = Vec::new();
    for machine in MACHINES {
        if let Some(error) = feed(machine)? {
            check_refusal(&error)?;
            refusals.push(error);
        }
    }
    let taken = refusals.len() < MACHINES.len();
    Ok(refusals.pop().filter(|_| !taken).map_or(Outcome::Taken, Outcome::Refused))
}

/// Plans a container on a machine. `Some`: it is refused.
fn plan(spec: &Spec, machine: (&str, &str, bool)) -> Result<Option<Error>, String> {
    let (mountinfo, own, systemd_cgroup) = machine;
    let layout = Layout::parse(mountinfo, own).below("/nonexistent");
    let host = Host { root: "/nonexistent".into(), systemd_cgroup, ..Host::default() };
    let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
    let console = if terminal { Console::Socket(String::new()) } else { Console::Inherit };
    let options = Options { console, ..Options::default() };
    let id = ContainerId::parse("fuzz").map_err(|error| error.to_string())?;
    let around = Around { host: &host, id: &id, options: &options, bundle: "/bundle" };
    let mut warnings = Vec::new();
    let mut spec = spec.clone();
    let planned = match planning::plan(&mut spec, around, &mut warnings) {
        Ok(planned) => planned,
        Err(error) => return Ok(Some(error)),
    };
    let (linux, resources) = (&planned.linux, &planned.resources);
    let place = planning::plan_cgroup(
        &host,
        id.as_str(),
        &layout,
        &spec,
        linux,
        &planned.mounts,
        resources,
    );
    let cgroup = match place {
        Ok(cgroup) => cgroup,
        Err(error) => return Ok(Some(error)),
    };
    cgroup.check().map_err(|error| format!("a plan that is refused later: {error}"))?;
    let mut record = planned.record(&spec, around, "/bundle/rootfs");
    record.cgroup = Some(cgroup);
    let read = Record::parse(oci::json::write(&record).as_bytes(), &id);
    same("a record", Some(&record), read.as_ref().ok())?;
    if let Some(profile) = &planned.profile {
        let filter =
            match planning::compile_filter(profile, &crate::Trace::default(), &mut warnings) {
                Ok(filter) => filter,
                Err(error) => return Ok(Some(error)),
            };
        let read = Filter::from_bytes(&filter.to_bytes(), filter.flags);
        same("a filter", Some(&filter), read.as_ref())?;
    }
    process::environment(&planned.process.process, 0);
    Ok(cgroup::rehearse(&planned.resources, layout.version).err())
}

fn feed_process(bytes: &[u8]) -> Result<Outcome, String> {
    let process = match config::read_process(bytes) {
        Ok(process) => process,
        Err(error) => return Ok(Outcome::Refused(error)),
    };
    process::environment(&process, 1);
    Ok(match process::Plan::new(process, &mut Vec::new()) {
        Ok(_) => Outcome::Taken,
        Err(error) => Outcome::Refused(error),
    })
}

fn feed_resources(bytes: &[u8]) -> Result<Outcome, String> {
    let resources = match config::read_resources(bytes) {
        Ok(resources) => resources,
        Err(error) => return Ok(Outcome::Refused(error)),
    };
    on_each_machine(|(mountinfo, own, _)| {
        let version = Layout::parse(mountinfo, own).version;
        let worked = cgroup::check_resources(&resources, version)
            .and_then(|()| cgroup::rehearse(&resources, version));
        Ok(worked.err())
    })
}

fn feed_record(bytes: &[u8]) -> Result<Outcome, String> {
    let id = ContainerId::parse("fuzz").map_err(|error| error.to_string())?;
    let record = match Record::parse(bytes, &id) {
        Ok(record) => record,
        Err(why) => return Ok(Outcome::Refused(Error::invalid(why))),
    };
    let again = Record::parse(oci::json::write(&record).as_bytes(), &id);
    same("a record", Some(&record), again.as_ref().ok())?;
    // Nothing that a record names may be outside of the cgroup file systems' own directories.
    if let Some(plan) = &record.cgroup {
        let inside = |directory: &cgroup::Directory| {
            let path = directory.full_path();
            !path.split('/').any(|part| part == "..") && path != directory.mount
        };
        if !plan.directories.iter().all(inside) {
            return Err(format!("a record with a cgroup that is no place for one: {plan:?}"));
        }
    }
    record.state(oci::runtime::Status::Stopped);
    Ok(Outcome::Taken)
}

fn feed_filter(bytes: &[u8]) -> Result<Outcome, String> {
    match Filter::from_bytes(bytes, 0) {
        Some(filter) if filter.to_bytes() == bytes => Ok(Outcome::Taken),
        Some(_) => Err("a filter that is another one when written".into()),
        None => Ok(Outcome::Refused(Error::invalid("the container's seccomp filter is damaged"))),
    }
}

fn feed_mountinfo(bytes: &[u8]) -> Result<Outcome, String> {
    let text = String::from_utf8_lossy(bytes);
    let (mountinfo, own) = text.split_once("\n\n").unwrap_or((&text, "0::/\n"));
    let layout = Layout::parse(mountinfo, own);
    if layout.below("/nonexistent").has("") {
        return Err("a controller without a name".into());
    }
    Ok(Outcome::Taken)
}

fn same<T: PartialEq>(what: &str, left: Option<&T>, right: Option<&T>) -> Result<(), String> {
    match left == right {
        true => Ok(()),
        false => Err(format!("{what} that is another one when it is written and read again")),
    }
}
