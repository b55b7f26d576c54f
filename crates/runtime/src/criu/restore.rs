//! `restore`: from files to a running container.

use super::message::{Answer, Message};
use super::swrk::{self, Swrk};
use super::yard::Yard;
use super::{
    CriuOptions, DESCRIPTORS, RESTORE, common_options, external_mounts, open_dir, open_dirs,
};
use crate::cgroup::SubCgroups;
use crate::config::{ContainerId, MountPlan, What};
use crate::create::{self, job, run};
use crate::error::{Attempt, Error, Result};
use crate::init::Job;
use crate::init::console::{self, Outlet};
use crate::relay::{self, Relay};
use crate::rootdir::{Make, RootDir};
use crate::state::{ContainerDir, Record, format_time};
use crate::{Host, Options, hooks, net, verbs};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{NamespaceKind, Resources, Status};
use sys::mount as m;
use sys::process::{self, Child};
use sys::wait::{self, Exit};
use sys::{CWD, Fd, fs};

const LOG: &str = "restore.log";
/// Where criu finds the root file system, below the container's state: it wants a mount.
const ROOT: &str = "criu-root";
/// Three names of pipes and files.
const DESCRIPTORS_LIMIT_BYTES: usize = 16 * 1024;

/// Makes a container from files, as [`crate::run`] makes one from a configuration.
pub fn restore(
    host: &Host,
    id: &ContainerId,
    mut options: Options,
    criu: &CriuOptions,
    warnings: &mut Vec<String>,
) -> Result<Exit> {
    let (detach, pid_file) = (options.detach, options.pid_file.take());
    let terminal = run::prepare_terminal(&mut options)?;
    swrk::check_version(criu)?;
    swrk::check_features(criu)?;
    let signals = if detach { None } else { Some(relay::catch_signals()?) };
    let dir = ContainerDir::create(&host.root, id)?;
    let job::Prepared { mut job, mut record } =
        job::prepare(host, id, None, options, warnings).inspect_err(|_| drop(dir.remove()))?;
    if record.cgroup.is_none() {
        job::plan_cgroup(host, &mut job, &mut record).inspect_err(|_| drop(dir.remove()))?;
    }
    record.created = format_time(sys::time::now());
    let revived = revive(&dir, &mut record, &mut job, criu, warnings).and_then(|child| {
        create::announce(&child, "standard", pid_file.as_deref(), None).map(|()| child)
    });
    let child = match revived {
        Ok(child) => child,
        Err(error) => {
            // What criu has not taken back itself.
            let _ = verbs::kill_remains(&record);
            if record.pid > 0 {
                let _ = process::kill(record.pid, 9);
                let _ = wait::child(record.pid, true);
            }
            create::clean_up(&dir, &record, warnings);
            return Err(error);
        }
    };
    // With it goes our copy of the far end that the terminal comes from.
    drop(job);
    let Some(signals) = signals else { return Ok(Exit::Code(0)) };
    let relay = match terminal {
        Some(socket) => Some(Relay::receive(&socket)?),
        None => None,
    };
    // Others may change the container while it runs.
    dir.unlock()?;
    let exit = relay::wait(&child, &signals, relay, None)?.exit;
    verbs::remove_ended(&dir, warnings)?;
    Ok(exit)
}

/// Records the container, makes its cgroup, and lets criu make the rest. Returns its first process,
/// which is a child of this one.
fn revive(
    dir: &ContainerDir,
    record: &mut Record,
    job: &mut Job,
    criu: &CriuOptions,
    warnings: &mut Vec<String>,
) -> Result<Child> {
    let images = open_dir("--image-path", &criu.images, false)?;
    if let Some(profile) = job.profile.take() {
        job.plan.filter = Some(create::compile_filter(&profile, &job.trace, warnings)?);
    }
    if let Some(filter) = &job.plan.filter {
        record.filter_flags = filter.flags;
        dir.save_filter(&filter.to_bytes())?;
    }
    // Intent before effect: from here on `delete --force` knows what may exist.
    dir.save(record)?;
    let attempt = || "making a place for the root file system";
    fs::mkdir(dir.fd(), ROOT, 0o755).attempt(attempt)?;
    let root = format!("{}/{ROOT}", job::real_path(dir.fd())?);
    let mut opts = common_options(criu, LOG, &root, &record.annotations)?;
    // Device numbers decide, not paths (evasive_devices); and the first process becomes a child of
    // this one (rst_sibling).
    opts.number(6, 1);
    opts.number(26, 1);
    for (field, text) in [(53, &criu.lsm_profile), (63, &criu.lsm_mount_context)] {
        text.iter().for_each(|text| opts.text(field, text));
    }
    let yard = Yard::bound(dir)?;
    yard.iter().for_each(|yard| yard.give(&mut opts));
    give_namespaces(job, &mut opts)?;
    give_mounts(job, record, &mut opts);
    give_pipes(&images, &mut opts)?;
    admit_group(job, &images)?;
    let resources = record.resources.clone().unwrap_or_default();
    let mut enter_cgroup = |pid: i32| enter_cgroup(dir, record, &resources, pid, warnings);
    let mut prepare = || {
        mount_root(job, &root)?;
        yard.iter().try_for_each(Yard::bind)?;
        let mut fds = open_dirs(criu)?;
        fds.append(&mut open_namespaces(job)?);
        Ok(fds)
    };
    let swrk = Swrk::start(criu, &mut enter_cgroup, &mut prepare)?;
    give_cgroups(swrk.pid(), &mut opts)?;
    let mut on_notify = |answer: &Answer, fds: Vec<Fd>| notified(answer, fds, dir, record, job);
    let answer = swrk.request(RESTORE, Some(&opts), &criu.log_path(LOG), &mut on_notify)?;
    // The mount on it was in criu's own namespace.
    fs::unlink(dir.fd(), ROOT, fs::AT_REMOVEDIR).attempt(attempt)?;
    let pidfd =
        process::open_pid(answer.pid).attempt(|| "opening the container's first process")?;
    Ok(Child { pid: answer.pid, pidfd })
}

/// Lets the container's first process read the images when it is not the host's root any more: its
/// group may pass through the directory, which stays closed to everybody else.
fn admit_group(job: &Job, images: &Fd) -> Result<()> {
    let attempt = || "--image-path: letting the container's root pass through the directory";
    let mut mappings = job.spec.linux.iter().flat_map(|linux| &linux.gid_mappings);
    let root = mappings.find(|mapping| mapping.container_id == 0 && job.own_users);
    let Some(root) = root.filter(|root| root.host_id != 0) else { return Ok(()) };
    let mode = fs::stat_fd(images).attempt(attempt)?.st_mode & 0o7777;
    if mode & 0o001 != 0 {
        return Ok(());
    }
    fs::chown_fd(images, u32::MAX, root.host_id).attempt(attempt)?;
    fs::chmod_fd(images, mode | 0o010).attempt(attempt)
}

/// Makes the container's cgroup, and moves criu into it.
fn enter_cgroup(
    dir: &ContainerDir,
    record: &mut Record,
    resources: &Resources,
    pid: i32,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let Some(plan) = &mut record.cgroup else { return Ok(()) };
    let systemd = plan.unit.is_some();
    let mut created = match systemd {
        true => plan.create_for(resources, pid)?,
        false => plan.create(resources)?,
    };
    warnings.append(&mut created.warnings);
    if !systemd {
        plan.attach(&SubCgroups::default(), None, pid)?;
    }
    dir.save(record)
}

/// What criu tells, and waits for, while it restores.
fn notified(
    answer: &Answer,
    mut fds: Vec<Fd>,
    dir: &ContainerDir,
    record: &mut Record,
    job: &mut Job,
) -> Result<()> {
    match answer.script.as_str() {
        "setup-namespaces" => {
            if job.new_namespaces & process::CLONE_NEWNET != 0 {
                loopback_up(answer.pid)?;
            }
            create::give(job, record, answer.pid)?;
            let Some(all) = &job.spec.hooks else { return Ok(()) };
            let mut state = record.state(Status::Creating);
            state.pid = answer.pid;
            hooks::run_all("prestart", &all.prestart, &state)?;
            hooks::run_all("createRuntime", &all.create_runtime, &state)
        }
        "post-restore" => {
            create::set_pid(record, answer.pid)?;
            // criu restores clocks by a time namespace, which exec has to enter.
            let path = format!("/proc/{}/ns/time", answer.pid);
            if !record.namespaces.contains(&NamespaceKind::Time) && fs::exists(CWD, path) {
                record.namespaces.push(NamespaceKind::Time);
            }
            dir.save(record)
        }
        "orphan-pts-master" => match (fds.pop(), &job.console) {
            (Some(master), Some(Outlet::Socket(socket))) => console::send(socket, &master),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Brings up `lo` in the network namespace of a process: to criu the namespace is an empty one.
fn loopback_up(pid: i32) -> Result<()> {
    let attempt = || "bringing up the loopback device";
    let network = fs::open_read(format!("/proc/{pid}/ns/net")).attempt(attempt)?;
    let Some(child) = process::fork_plain().attempt(attempt)? else {
        let up = process::set_namespace(&network, process::CLONE_NEWNET)
            .is_ok_and(|()| net::loopback_up().is_ok());
        process::exit(i32::from(!up))
    };
    match wait::child(child.pid, true).attempt(attempt)? {
        Some((_, Exit::Code(0))) => Ok(()),
        _ => Err(Error::invalid(attempt())),
    }
}

/// Namespaces by path: two kinds are handed over open, the others criu joins.
fn give_namespaces(job: &Job, opts: &mut Message) -> Result<()> {
    let mut next = swrk::FIRST_OTHER;
    for (kind, path) in namespaces_by_path(job) {
        match super::external_key(kind) {
            Some(key) => {
                inherit(opts, key, next);
                next += 1;
            }
            None if kind == NamespaceKind::Cgroup => {
                let what = "linux.namespaces: criu cannot restore into a cgroup namespace by path";
                return Err(Error::invalid(what));
            }
            None => opts.pair(39, kind.proc_name(), path),
        }
    }
    Ok(())
}

/// Those that are handed over, in the same order.
fn open_namespaces(job: &Job) -> Result<Vec<Fd>> {
    let external = namespaces_by_path(job).filter(|(kind, _)| super::external_key(*kind).is_some());
    let open = |(kind, path): (NamespaceKind, &str)| {
        let name = kind.name();
        fs::open_read(path)
            .attempt(|| format!("linux.namespaces: opening the {name} namespace {path:?}"))
    };
    external.map(open).collect()
}

fn namespaces_by_path(job: &Job) -> impl Iterator<Item = (NamespaceKind, &str)> {
    let all = job.spec.linux.iter().flat_map(|linux| &linux.namespaces);
    all.filter_map(|namespace| {
        let path = namespace.path.as_deref().filter(|path| !path.is_empty())?;
        Some((namespace.kind, path))
    })
}

fn inherit(opts: &mut Message, key: &str, number: usize) {
    let mut inner = Message::default();
    inner.text(1, key);
    inner.number(2, number as u64);
    opts.message(27, &inner);
}

fn give_mounts(job: &Job, record: &Record, opts: &mut Message) {
    for (destination, source) in external_mounts(&job.spec, &job.mounts, record) {
        opts.pair(23, &destination, &source);
    }
    if job.spec.linux.as_ref().is_some_and(|linux| !linux.masked_paths.is_empty()) {
        opts.pair(23, super::NULL, super::NULL);
    }
}

/// Where the container's standard descriptors were pipes, they become those of this process.
fn give_pipes(images: &Fd, opts: &mut Message) -> Result<()> {
    let text = fs::read_file(images, DESCRIPTORS, DESCRIPTORS_LIMIT_BYTES).map_err(|errno| {
        Error::os(format!("--image-path: reading {DESCRIPTORS}"), errno)
            .with_hint("it has to be a directory that `checkpoint` wrote")
    })?;
    let names: Vec<String> = oci::json::read(&text)
        .map_err(|why| Error::invalid(format!("--image-path: {DESCRIPTORS}: {why}")))?;
    for (number, name) in names.iter().enumerate().take(3) {
        if name.starts_with("pipe:") {
            inherit(opts, name, number);
        }
    }
    Ok(())
}

/// The cgroups that criu itself is in take the place of those that were written.
fn give_cgroups(pid: i32, opts: &mut Message) -> Result<()> {
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_file(CWD, &path, 64 * 1024).attempt(|| format!("reading {path}"))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (parts.next(), parts.next()) {
            controllers.split(',').for_each(|controller| opts.pair(25, controller, path));
        }
    }
    Ok(())
}

/// In the process that becomes criu: the root file system as a mount, with every mount point in it.
/// All this is in a mount namespace of its own and goes away with it.
fn mount_root(job: &Job, place: &str) -> Result<()> {
    let attempt = || format!("mounting the root file system on {place}");
    process::unshare(process::CLONE_NEWNS).attempt(attempt)?;
    m::mount("", "/", "", m::MS_SLAVE | m::MS_REC, "").attempt(attempt)?;
    let bind = || {
        m::mount(&job.rootfs_path, place, "", m::MS_BIND | m::MS_REC, "").attempt(attempt)?;
        fs::open_at(CWD, place, fs::O_PATH | fs::O_DIRECTORY, 0).attempt(attempt)
    };
    let root = RootDir::new(bind()?);
    for (index, mount) in job.mounts.iter().enumerate() {
        make_mount_point(&root, mount, &job.mounts)
            .map_err(|error| error.context(format!("mounts[{index}]")))?;
    }
    if job.spec.root.as_ref().is_some_and(|root| root.readonly) {
        // criu wants a directory to put its old root on, and cannot make one then.
        root.ensure("/tmp", Make::Dir(0o755))?;
    }
    // Only the mount points stay.
    drop(root);
    m::unmount(place, m::MNT_DETACH).attempt(attempt)?;
    bind().map(drop)
}

/// Makes a mount point, and mounts what is bound there: others may lie in it.
fn make_mount_point(root: &RootDir, mount: &MountPlan, all: &[MountPlan]) -> Result<()> {
    let to = &mount.destination;
    // What lies in a tmpfs is restored with it.
    let in_tmpfs = |other: &MountPlan| {
        matches!(&other.what, What::FileSystem { kind, .. } if kind == "tmpfs")
            && to.strip_prefix(&other.destination).is_some_and(|rest| rest.starts_with('/'))
    };
    if all.iter().any(in_tmpfs) {
        return Ok(());
    }
    match &mount.what {
        // Those of cgroups come with what they lie in.
        What::Cgroup => Ok(()),
        What::FileSystem { .. } => root.ensure(to, Make::Dir(0o755)).map(drop),
        What::Bind { source, .. } => {
            let stat = fs::stat_at(CWD, source, 0).attempt(|| format!("looking at {source:?}"))?;
            let is_dir = stat.st_mode & fs::S_IFMT == fs::S_IFDIR;
            let target = root.ensure(to, if is_dir { Make::Dir(0o755) } else { Make::File })?;
            let here = crate::procfs::fd_path(&target);
            m::mount(source, here, "", m::MS_BIND | m::MS_REC, "").attempt(|| "binding it")
        }
    }
}
