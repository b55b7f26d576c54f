//! What a configuration comes to before anything is opened or made.
//!
//! *Invariant: nothing here has an effect.* The only look at the machine is the one that tells
//! whether the cgroup's place is taken; everything else depends on the arguments alone, so that a
//! million configurations can be planned without making one container ([`crate::inputs`]).

use crate::cgroup;
use crate::config::{self, ContainerId, MountPlan, What};
use crate::error::{Error, Kind, Result};
use crate::process::{Filter, Plan};
use crate::state::Record;
use crate::{Console, Host, Options, Trace};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use oci::runtime::{Linux, NamespaceKind, Resources, Seccomp, Spec};
use sys::ids;

/// Most descriptors that are handed on: the kernel's default for the most that a process may have
/// (`fs.nr_open`).
const DESCRIPTORS_LIMIT: u32 = 1 << 20;

/// What the plan depends on beside the configuration.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) host: &'a Host,
    pub(crate) id: &'a ContainerId,
    pub(crate) options: &'a Options,
    /// The bundle's absolute path, which relative sources count from.
    pub(crate) bundle: &'a str,
}

/// A container that only has to be made.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) linux: Linux,
    /// The system call profile, which is compiled when there is time for it.
    pub(crate) profile: Option<Seccomp>,
    pub(crate) process: Plan,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) resources: Resources,
}

/// Plans a configuration that [`config::validate`] has passed. `process` and `linux` are taken out
/// of it, not copied: a configuration is mostly a system call profile.
pub(crate) fn plan(
    spec: &mut Spec,
    around: Around<'_>,
    warnings: &mut Vec<String>,
) -> Result<Planned> {
    let mut linux = spec.linux.take().unwrap_or_default();
    // An empty object is no profile (as runc has it); its defaults would kill every program.
    let profile = linux.seccomp.take().filter(|profile| *profile != Seccomp::default());
    if let Some(profile) = &profile
        && is_annotated(spec, "run.oci.seccomp_fail_unknown_syscall")
    {
        crate::seccomp::refuse_unknown(profile)
            .map_err(|error| Error::invalid(error.to_string()))?;
    }
    refuse_unsupported(around.host, &linux)?;
    let process = process_plan(spec, &linux, around.options, warnings)?;
    let mounts = plan_mounts(spec, around.bundle)?;
    let resources = match around.host.no_cgroup {
        true => Resources::default(),
        false => device_resources(&linux),
    };
    Ok(Planned { linux, profile, process, mounts, resources })
}

impl Planned {
    /// What is recorded of the container before anything is made.
    pub(crate) fn record(&self, spec: &Spec, around: Around<'_>, rootfs: &str) -> Record {
        let Self { linux, process, resources, .. } = self;
        let mut record = Record {
            version: Record::VERSION,
            oci_version: spec.oci_version.clone(),
            id: around.id.to_string(),
            bundle: around.bundle.into(),
            rootfs: rootfs.into(),
            owner: ids::euid(),
            annotations: spec.annotations.clone(),
            process: process.process.clone(),
            hooks: spec.hooks.clone(),
            namespaces: linux.namespaces.iter().map(|namespace| namespace.kind).collect(),
            joined_pids: linux.namespaces.iter().any(|namespace| {
                let path = namespace.path.as_ref();
                namespace.kind == NamespaceKind::Pid && path.is_some_and(|path| !path.is_empty())
            }),
            memory_policy: linux.memory_policy.clone(),
            personality: linux.personality.clone(),
            resources: Some(resources.clone()),
            net_devices: linux.net_devices.clone(),
            init: around.options.init || around.options.started_late,
            started_late: around.options.started_late,
            new_keyring: !around.options.no_new_keyring,
            ..Record::default()
        };
        if let Some(seccomp) = &self.profile {
            record.listener_path.clone_from(&seccomp.listener_path);
            record.listener_metadata.clone_from(&seccomp.listener_metadata);
        }
        if around.options.started_late {
            match &around.options.console {
                Console::Socket(path) => record.console_socket.clone_from(path),
                Console::Device(path) => record.console.clone_from(path),
                Console::Inherit | Console::Connected(_) | Console::Passed(_) => {}
            }
        }
        if !has(linux, NamespaceKind::Mount) {
            let destinations = spec.mounts.iter().map(|mount| mount.destination.clone());
            record.shared_mounts = destinations.collect();
        }
        record
    }
}

pub(crate) fn has(linux: &Linux, kind: NamespaceKind) -> bool {
    linux.namespaces.iter().any(|namespace| namespace.kind == kind)
}

/// What the configuration may hold and cannot be done is refused: to go on without it would give
/// less than was asked for.
fn refuse_unsupported(host: &Host, linux: &Linux) -> Result<()> {
    if host.rootless && !linux.net_devices.is_empty() {
        let what = "linux.netDevices: a rootless caller cannot move devices of the host";
        return Err(Error::new(Kind::Unsupported, what)
            .with_hint("run as root, or remove the field from config.json"));
    }
    Ok(())
}

/// Whether one of crun's annotations is set that are switches.
fn is_annotated(spec: &Spec, name: &str) -> bool {
    spec.annotations.get(name).is_some_and(|value| value == "1")
}

fn process_plan(
    spec: &mut Spec,
    linux: &Linux,
    options: &Options,
    warnings: &mut Vec<String>,
) -> Result<Plan> {
    let process = spec.process.take().ok_or_else(|| Error::invalid("process: is missing"))?;
    if process.terminal && matches!(options.console, Console::Inherit) {
        return Err(Error::invalid("process.terminal: a terminal needs somewhere to go")
            .with_hint("give --console-socket, or run in the foreground on a terminal"));
    }
    if !process.terminal && matches!(options.console, Console::Socket(_)) {
        let what = "--console-socket: process.terminal is false, so there is no terminal to send";
        return Err(Error::invalid(what));
    }
    let mut plan = Plan::new(process, warnings)?;
    plan.memory_policy = linux.memory_policy.clone();
    plan.personality = linux.personality.clone();
    plan.preserve_fds = preserved(options.preserve_fds, options.listen_fds)?;
    plan.listen_fds = options.listen_fds;
    plan.keep_groups = is_annotated(spec, "run.oci.keep_original_groups");
    Ok(plan)
}

/// How many descriptors are handed on.
pub(crate) fn preserved(preserve_fds: u32, listen_fds: u32) -> Result<u32> {
    preserve_fds.checked_add(listen_fds).filter(|&sum| sum <= DESCRIPTORS_LIMIT).ok_or_else(|| {
        let what = format!("--preserve-fds: more than {DESCRIPTORS_LIMIT} descriptors");
        Error::invalid(what)
    })
}

/// Compiles a filter.
pub(crate) fn compile_filter(
    profile: &oci::runtime::Seccomp,
    trace: &Trace,
    warnings: &mut Vec<String>,
) -> Result<Filter> {
    let mut program = crate::seccomp::compile(profile, crate::seccomp::NATIVE)
        .map_err(|error| Error::invalid(error.to_string()))?;
    warnings.append(&mut program.warnings);
    let convert = |i: &crate::seccomp::Instruction| sys::seccomp::Instruction {
        code: i.code,
        jt: i.jt,
        jf: i.jf,
        k: i.k,
    };
    trace.say_with(|| format!("seccomp filter flags: {}", program.flags));
    let instructions = program.instructions.iter().map(convert).collect();
    Ok(Filter { instructions, flags: program.flags })
}

/// Paths of the host's that lead into the root directory mean the container's own tree: as
/// destinations they are what early runc wrote, as sources they show what other mounts made there.
pub(crate) fn plan_mounts(spec: &Spec, bundle: &str) -> Result<Vec<MountPlan>> {
    let root = spec.root.as_ref().map_or("", |root| root.path.as_str());
    let root = config::clean(&match root.starts_with('/') {
        true => root.into(),
        false => format!("{bundle}/{root}"),
    });
    let below = |path: &str| {
        let rest = path.strip_prefix(&root)?;
        (root != "/" && rest.starts_with('/')).then(|| rest.to_string())
    };
    let plan = |(index, mount)| {
        let mut plan = config::plan_mount(mount, &format!("mounts[{index}]"))?;
        if let What::Bind { source, .. } = &mut plan.what
            && !source.starts_with('/')
        {
            *source = format!("{bundle}/{source}");
        }
        if let Some(destination) = below(&plan.destination) {
            plan.destination = destination;
        }
        if let What::Bind { source, .. } = &plan.what {
            plan.inside = below(&config::clean(source));
        }
        Ok(plan)
    };
    spec.mounts.iter().enumerate().map(plan).collect()
}

/// The limits, with the device rules that every container gets behind the configured ones.
fn device_resources(linux: &Linux) -> Resources {
    let mut resources = linux.resources.clone().unwrap_or_default();
    resources.devices.extend(cgroup::default_device_rules());
    resources
}

/// Where the cgroup will be. It is planned apart from the rest, as the init can be made before.
pub(crate) fn plan_cgroup(
    host: &Host,
    id: &str,
    layout: &cgroup::Layout,
    spec: &Spec,
    linux: &Linux,
    mounts: &[MountPlan],
    resources: &Resources,
) -> Result<cgroup::Plan> {
    cgroup::check_resources(resources, layout.version)?;
    if host.no_cgroup {
        return Ok(cgroup::Plan { version: layout.version, ..cgroup::Plan::default() });
    }
    let request = cgroup::Request {
        id,
        cgroups_path: &linux.cgroups_path,
        resources,
        annotations: &spec.annotations,
        properties: &host.systemd_properties,
        driver: if host.systemd_cgroup {
            cgroup::Driver::Systemd
        } else {
            cgroup::Driver::Cgroupfs
        },
        rootless: host.rootless,
        user_namespace: host.rootless,
        // An engine that names the cgroup reads the container's figures there.
        shown: !linux.cgroups_path.is_empty()
            || mounts.iter().any(|mount| mount.what == What::Cgroup),
        writable: mounts
            .iter()
            .any(|mount| mount.what == What::Cgroup && !mount.is_read_only() && !host.rootless),
        owner: None,
        bus_address: host.bus_address.as_deref(),
        uid: ids::euid(),
    };
    cgroup::Plan::new(layout, &request)
}
