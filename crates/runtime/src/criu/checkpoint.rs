//! `checkpoint`: from a running container to files.

use super::message::Message;
use super::swrk::{self, Swrk};
use super::yard::Yard;
use super::{
    CriuOptions, DESCRIPTORS, DUMP, PRE_DUMP, Switch, common_options, external_mounts, open_dir,
    open_dirs,
};
use crate::Host;
use crate::config::{self, ContainerId};
use crate::create::plan_mounts;
use crate::error::{Attempt, Error, Kind, Result};
use crate::rootdir::RootDir;
use crate::state::Record;
use crate::verbs;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Spec, Status};
use sys::{BorrowedFd, CWD, Fd, fs};

const LOG: &str = "dump.log";

/// Writes a container to files. Unless it is to go on, it has ended then, and is deleted.
pub fn checkpoint(
    host: &Host,
    id: &ContainerId,
    options: &CriuOptions,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let (dir, record, status) = verbs::look_up(host, id)?;
    if !matches!(status, Status::Running | Status::Paused) {
        let what = format!("container {id} cannot be checkpointed: it is {}", status.name());
        return Err(Error::new(Kind::InUse, what));
    }
    dir.lock()?;
    let mut status_fd = open_status_fd(options)?;
    swrk::check_version(options)?;
    swrk::check_features(options)?;
    let images = open_dir("--image-path", &options.images, true)?;
    check_parent(options, &images)?;
    let mut opts = request(&record, options, &images)?;
    let yard = Yard::linked(&dir)?;
    yard.iter().for_each(|yard| yard.give(&mut opts));
    let kind = if options.pre_dump { PRE_DUMP } else { DUMP };
    let mut on_notify = |answer: &super::message::Answer, _: Vec<Fd>| {
        if answer.script == "status-ready"
            && let Some(fd) = status_fd.take()
        {
            // Whoever waits for it may have gone.
            let _ = fs::write(&fd, &[0]);
        }
        Ok(())
    };
    Swrk::start(options, &mut |_| Ok(()), &mut || open_dirs(options))?.request(
        kind,
        Some(&opts),
        &options.log_path(LOG),
        &mut on_notify,
    )?;
    drop(yard);
    if options.pre_dump || options.has(Switch::LeaveRunning) {
        return Ok(());
    }
    verbs::wait_for_end(&record)?;
    verbs::remove(&dir, &record, warnings)
}

/// `criu_opts` for writing.
fn request(record: &Record, options: &CriuOptions, images: &Fd) -> Result<Message> {
    let mut opts = common_options(options, LOG, &record.rootfs, &record.annotations)?;
    opts.number(2, record.pid as u64);
    if let Some((address, port)) = &options.page_server {
        let mut server = Message::default();
        server.text(1, address);
        server.number(2, u64::from(*port));
        opts.message(11, &server);
    }
    if let Some(parent) = &options.parent {
        opts.text(14, parent);
        // Changes are tracked (track_mem).
        opts.number(15, 1);
    }
    if let Some(freezer) = record.cgroup.as_ref().and_then(|plan| plan.path_of("freezer")) {
        opts.text(44, &freezer);
    }
    let attempt = || format!("opening the bundle {}", record.bundle);
    let bundle =
        fs::open_at(CWD, &record.bundle, fs::O_PATH | fs::O_DIRECTORY, 0).attempt(attempt)?;
    let spec = config::load(&bundle, &record.bundle, None)?;
    name_namespaces(&spec, &mut opts)?;
    if !options.pre_dump {
        name_mounts(&spec, record, &mut opts)?;
        save_descriptors(record.pid, images)?;
    }
    Ok(opts)
}

/// Tells criu which namespaces are not the container's own.
fn name_namespaces(spec: &Spec, opts: &mut Message) -> Result<()> {
    for namespace in spec.linux.iter().flat_map(|linux| &linux.namespaces) {
        let Some(path) = namespace.path.as_deref().filter(|path| !path.is_empty()) else {
            continue;
        };
        if let Some(key) = super::external_key(namespace.kind) {
            let stat = fs::stat_at(CWD, path, 0)
                .attempt(|| format!("linux.namespaces: looking at {path}"))?;
            let kind = namespace.kind.proc_name();
            opts.text(37, &format!("{kind}[{}]:{key}", stat.st_ino));
        }
    }
    Ok(())
}

/// Tells criu which mounts are not the container's own, by where they are in it.
fn name_mounts(spec: &Spec, record: &Record, opts: &mut Message) -> Result<()> {
    let path = format!("/proc/{}/root", record.pid);
    let root = fs::open_at(CWD, &path, fs::O_PATH | fs::O_DIRECTORY, 0)
        .attempt(|| "opening the container's root directory")?;
    let root = RootDir::new(root);
    for (destination, _) in external_mounts(spec, &plan_mounts(spec, &record.bundle)?, record) {
        let place = resolved(&root, &destination);
        opts.pair(23, place.as_deref().unwrap_or(&destination), &destination);
    }
    for path in spec.linux.iter().flat_map(|linux| &linux.masked_paths) {
        let Ok(masked) = root.open(path, fs::O_PATH) else { continue };
        let stat = fs::stat_fd(&masked).attempt(|| format!("looking at {path}"))?;
        if stat.st_mode & fs::S_IFMT != fs::S_IFDIR {
            opts.pair(23, resolved(&root, path).as_deref().unwrap_or(path), super::NULL);
        }
    }
    Ok(())
}

/// A path of the container's without links.
fn resolved(root: &RootDir, path: &str) -> Option<String> {
    let fd = root.open(path, fs::O_PATH).ok()?;
    let path = fs::read_link(CWD, crate::procfs::fd_path(&fd)).ok()?;
    String::from_utf8(path).ok()
}

/// Keeps the names of what the container's first three descriptors are.
fn save_descriptors(pid: i32, images: &Fd) -> Result<()> {
    let name = |number: i32| {
        let link = fs::read_link(CWD, format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
        String::from_utf8_lossy(&link).into_owned()
    };
    let text = oci::json::write(&(0..3).map(name).collect::<Vec<String>>());
    let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_TRUNC | fs::O_NOFOLLOW;
    fs::open_at(images, DESCRIPTORS, flags, 0o600)
        .and_then(|file| fs::write_all(&file, text.as_bytes()))
        .attempt(|| format!("--image-path: writing {DESCRIPTORS}"))
}

fn check_parent(options: &CriuOptions, images: &Fd) -> Result<()> {
    let Some(parent) = &options.parent else { return Ok(()) };
    if parent.starts_with('/') {
        return Err(Error::invalid("--parent-path must be relative, from the image path on"));
    }
    fs::open_at(images, parent, fs::O_PATH | fs::O_DIRECTORY, 0)
        .map(drop)
        .attempt(|| format!("--parent-path: opening {parent}"))
}

/// Takes the caller's descriptor over: it is closed once it is written to.
fn open_status_fd(options: &CriuOptions) -> Result<Option<Fd>> {
    let Some(number) = options.status_fd.filter(|_| options.has(Switch::LazyPages)) else {
        return Ok(None);
    };
    if number < 0 || !fs::is_open(BorrowedFd::from_raw(number), true) {
        return Err(Error::invalid(format!("--status-fd: descriptor {number} is not open")));
    }
    Ok(Some(Fd::from_raw(number)))
}
