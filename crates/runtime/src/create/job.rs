//! From options and a bundle to everything that the init needs.

use super::planning::{self, Around, Planned, compile_filter, has};
use super::{idmap, namespaces, nodes};
use crate::cgroup;
use crate::config::{self, ContainerId, MountPlan, What};
use crate::error::{Attempt, Error, Result};
use crate::init::Job;
use crate::init::console::Outlet;
use crate::procfs::Proc;
use crate::rdt;
use crate::state::{ContainerDir, Record};
use crate::{Console, Host, Options};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Linux, NamespaceKind};
use sys::{CWD, Fd, fs, ids, socket};

pub(crate) struct Prepared {
    pub(crate) job: Job,
    pub(crate) record: Record,
}

/// `notify` is where the container's socket for `NOTIFY_SOCKET` is to be, if it gets one.
pub(crate) fn prepare(
    host: &Host,
    id: &ContainerId,
    notify: Option<&ContainerDir>,
    options: Options,
    warnings: &mut Vec<String>,
) -> Result<Prepared> {
    let (bundle, bundle_path) = open_bundle(&options.bundle)?;
    let mut options = options;
    let mut spec = match options.spec.take() {
        Some(spec) => {
            config::validate(&spec)?;
            spec
        }
        None => config::load(&bundle, &bundle_path, options.config.as_deref())?,
    };
    if let (Some(dir), Some(address)) = (notify, &host.notify_socket) {
        crate::notify::add(&mut spec, dir, address)?;
    }
    let around = Around { host, id, options: &options, bundle: &bundle_path };
    let planned = planning::plan(&mut spec, around, warnings)?;
    check_descriptors(planned.process.preserve_fds, warnings);
    crate::lsm::check(&planned.process.process)?;
    let rootfs_path = spec.root.as_ref().map_or("", |root| root.path.as_str());
    let rootfs = fs::open_at(&bundle, rootfs_path, fs::O_PATH | fs::O_DIRECTORY, 0)
        .attempt(|| format!("root.path: opening {rootfs_path:?}"))?;
    let rootfs_path = real_path(&rootfs)?;
    let mut record = planned.record(&spec, around, &rootfs_path);
    let Planned { mut linux, profile, process: mut plan, mounts, .. } = planned;
    let namespaces = namespaces::read(&mut linux)?;
    plan.groups_denied = namespaces.new_users && mapping_denies_groups(&linux);
    if options.started_late {
        check_late_start(&linux, &record)?;
    }
    let own_mounts = has(&linux, NamespaceKind::Mount);
    if !own_mounts {
        record.shared_root = crate::procfs::mount_id(&rootfs)?;
    }
    if let Some(config) = &linux.intel_rdt {
        rdt::plan(&rdt::find_mount()?, config, &mut record)?;
    }
    // What the parent does to the init and its namespaces before the init goes on.
    let host_work = !linux.net_devices.is_empty() || linux.intel_rdt.is_some();
    // With v1 hierarchies, finding and making the cgroups takes as long as making the mounts, so both
    // happen at once. (From a user namespace the init could not open their files; mounts that are
    // not the init's own have to be in the record before they are made.)
    let systemd = host.systemd_cgroup && !host.no_cgroup;
    let free = !systemd
        && own_mounts
        && !namespaces.own_users
        && namespaces.joined.is_empty()
        && !host_work
        && namespaces.new & sys::process::CLONE_NEWTIME == 0;
    let trees = prepare_trees(&bundle, &linux, &mounts, &namespaces)?;
    let nodes = nodes::make_all(&linux, namespaces.own_users)?;
    let console = match options.started_late {
        true => None,
        false => connect_console(plan.process.terminal, &options.console)?,
    };
    let time_offsets = linux.time_offsets.clone();
    spec.linux = Some(linux);
    let mut job = Job {
        state: record.state(oci::runtime::Status::Creating),
        mounts,
        trees,
        nodes,
        bundle: Some(bundle),
        rootfs: Some(rootfs),
        rootfs_path,
        proc: Proc::open()?,
        plan,
        new_namespaces: namespaces.new,
        joined: namespaces.joined,
        time_offsets,
        own_mounts,
        own_users: namespaces.own_users,
        join: cgroup::Join::default(),
        cgroup: cgroup::Plan::default(),
        delegates: options.delegate,
        console,
        fifo: None,
        no_pivot: options.no_pivot,
        new_keyring: !options.no_new_keyring,
        reaper: options.init || options.started_late,
        started_late: options.started_late,
        wants_mapping: namespaces.new_users,
        // Nothing has to be known of them before, unless the init is cloned into one.
        overlaps: free && cgroup::Layout::is_v1(),
        profile,
        begins_low: !host.no_cgroup
            && record.resources.as_ref().and_then(cgroup::begin_with).is_some(),
        asks_for_cgroup: false,
        trace: host.trace.clone(),
        spec,
    };
    if !job.overlaps {
        let version = plan_cgroup(host, &mut job, &mut record)?.version;
        job.overlaps = free && version != cgroup::Version::V2;
    }
    if !job.overlaps
        && let Some(profile) = job.profile.take()
    {
        let filter = compile_filter(&profile, &host.trace, warnings)?;
        record.filter_flags = filter.flags;
        job.plan.filter = Some(filter);
    }
    Ok(Prepared { job, record })
}

/// Finds out where the container's cgroup will be.
pub(crate) fn plan_cgroup<'a>(
    host: &Host,
    job: &'a mut Job,
    record: &mut Record,
) -> Result<&'a cgroup::Plan> {
    let layout = cgroup::Layout::detect()?;
    let none = Linux::default();
    let linux = job.spec.linux.as_ref().unwrap_or(&none);
    let resources = record.resources.clone().unwrap_or_default();
    let (spec, mounts) = (&job.spec, &job.mounts);
    let mut plan =
        planning::plan_cgroup(host, &record.id, &layout, spec, linux, mounts, &resources)?;
    // Root of the container's users has no rights over what is the host's.
    plan.owner = (job.delegates && job.wants_mapping)
        .then(|| nodes::on_host(&linux.uid_mappings, 0))
        .filter(|owner| *owner != 0);
    record.cgroup = (!host.no_cgroup).then(|| plan.clone());
    job.cgroup = plan;
    Ok(&job.cgroup)
}

/// Looks whether the descriptors that are handed on are there. Engines count from the last one
/// that they know of, so a gap is no error.
pub(crate) fn check_descriptors(count: u32, warnings: &mut Vec<String>) {
    let closed = |number: &i32| !fs::is_open(sys::BorrowedFd::from_raw(*number), true);
    if let Some(number) = (3..3 + count as i32).find(closed) {
        warnings.push(format!("--preserve-fds: descriptor {number} is not open"));
    }
}

/// Opens the bundle; returns its absolute path too.
pub(super) fn open_bundle(path: &str) -> Result<(Fd, String)> {
    let bundle = fs::open_at(CWD, path, fs::O_PATH | fs::O_DIRECTORY, 0).map_err(|errno| {
        Error::os(format!("opening the bundle {path}"), errno)
            .with_hint("name the directory that holds config.json with --bundle")
    })?;
    let path = real_path(&bundle)?;
    Ok((bundle, path))
}

pub(crate) fn real_path(dir: &Fd) -> Result<String> {
    let path = fs::read_link(CWD, crate::procfs::fd_path(dir)).attempt(|| "finding a path")?;
    Ok(String::from_utf8_lossy(&path).into_owned())
}

/// A single id that an unprivileged user maps denies setgroups.
fn mapping_denies_groups(linux: &Linux) -> bool {
    super::mapping::is_single(&linux.gid_mappings) && !super::mapping::is_free()
}

/// Sources that the init could not open itself: it has lost the caller's rights in a user
/// namespace, and mapping ids needs the rights of the file system's owner.
fn prepare_trees(
    bundle: &Fd,
    linux: &Linux,
    mounts: &[MountPlan],
    namespaces: &namespaces::Namespaces,
) -> Result<Vec<Option<Fd>>> {
    let mut trees = Vec::with_capacity(mounts.len());
    let for_users = namespaces.own_users && ids::is_administrator();
    for (index, mount) in mounts.iter().enumerate() {
        let wanted = mount.idmap.is_some() || for_users;
        // What is in the container is there only when the mounts before it are made.
        let wanted = wanted && (mount.inside.is_none() || !has(linux, NamespaceKind::Mount));
        let tree = if wanted { open_tree(bundle, index, mount)? } else { None };
        let Some(tree) = tree else {
            trees.push(None);
            continue;
        };
        if let Some(map) = &mount.idmap {
            idmap::apply(&tree, map, linux, &namespaces.joined)
                .map_err(|error| error.context(format!("mounts[{index}]: idmap")))?;
        }
        trees.push(Some(tree));
    }
    Ok(trees)
}

/// The detached tree of a bind mount's source. Mounts that are made in the source reach it, what is
/// mounted in it never reaches the source.
pub(crate) fn open_tree(bundle: &Fd, index: usize, mount: &MountPlan) -> Result<Option<Fd>> {
    let What::Bind { source, recursive } = &mount.what else { return Ok(None) };
    let context = || format!("mounts[{index}]: opening the source {source:?}");
    if mount.links.copy_source && fs::read_link(bundle, source).is_ok() {
        return Ok(None);
    }
    let flags = fs::O_PATH | mount.links.source_flag();
    let from = fs::open_at(bundle, source, flags, 0).attempt(context)?;
    let tree = sys::mount::clone_tree(&from, "", *recursive).attempt(context)?;
    let slave = u64::from(sys::mount::MS_SLAVE);
    let change = sys::mount::Attributes { propagation: slave, ..Default::default() };
    sys::mount::set_attributes(&tree, change, true).attempt(context)?;
    Ok(Some(tree))
}

/// Opens what a process's terminal goes to, or comes from. Only a terminal of the host's serves a
/// process that is configured without one.
pub(crate) fn connect_console(wanted: bool, console: &Console) -> Result<Option<Outlet>> {
    match console {
        Console::Device(path) => {
            let attempt = || format!("--console: opening {path}");
            let flags = fs::O_RDWR | fs::O_NOCTTY | fs::O_NONBLOCK;
            let device = fs::open_at(CWD, path, flags, 0).attempt(attempt)?;
            if !sys::tty::is_terminal(&device) {
                return Err(Error::invalid(format!("--console: {path} is not a terminal")));
            }
            fs::set_nonblocking(&device, false).attempt(attempt)?;
            Ok(Some(Outlet::Device(device)))
        }
        _ if !wanted => Ok(None),
        Console::Inherit => Ok(None),
        Console::Socket(path) => {
            connect_socket("--console-socket", path).map(|socket| Some(Outlet::Socket(socket)))
        }
        Console::Connected(fd) => fs::duplicate(fd, 3)
            .attempt(|| "keeping the console socket")
            .map(|socket| Some(Outlet::Relay(socket))),
        Console::Passed(fd) => fs::duplicate(fd, 3)
            .attempt(|| "keeping the console socket")
            .map(|socket| Some(Outlet::Socket(socket))),
    }
}

/// What a process gets that `start` brings in from outside is what `exec` gives: the rest would be
/// missing without a word.
fn check_late_start(linux: &Linux, record: &Record) -> Result<()> {
    let refused = if !has(linux, NamespaceKind::Pid) {
        "needs a pid namespace, whose first process waits for start"
    } else if !record.listener_path.is_empty() {
        "linux.seccomp.listenerPath would get no listener"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("--no-trigger: {refused}")).with_hint("create without it"))
}

/// Connects to the socket that `option` names. Long paths are reached through an open directory.
pub(crate) fn connect_socket(option: &str, path: &str) -> Result<Fd> {
    let attempt = || format!("{option}: connecting to {path}");
    let socket = socket::unix(socket::Kind::Stream).attempt(attempt)?;
    match socket::connect(&socket, path) {
        Err(sys::Errno::ENAMETOOLONG) => {
            let file = fs::open_at(CWD, path, fs::O_PATH, 0).attempt(attempt)?;
            socket::connect(&socket, crate::procfs::fd_path(&file)).attempt(attempt)?;
        }
        result => result.attempt(attempt)?,
    }
    Ok(socket)
}
