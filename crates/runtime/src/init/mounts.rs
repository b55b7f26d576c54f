//! Making the configured mounts.
//!
//! Each mount is made detached, gets its attributes, and is then attached to a descriptor of its
//! mount point: there is no moment at which it is visible with less protection than asked for,
//! and no name that could be swapped in between. Kernels before 5.2 (and filters that know
//! nothing newer) get the classic calls on `/proc/self/fd/N`, which name the same objects.

use super::rootfs::set_attributes;
use super::{Job, cgroups, copy_up, describe};
use crate::channel::{Channel, Request};
use crate::config::{MountPlan, What};
use crate::error::{Attempt, Error, Kind, Result};
use crate::procfs::fd_path;
use crate::rootdir::{Make, RootDir};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::mount::{self as m, Attributes, FsContext};
use sys::{CWD, Errno, Fd, fs};

pub(crate) struct Mounter<'a> {
    root: &'a RootDir,
    /// The last devpts at `/dev/pts`.
    terminals: Option<Fd>,
    /// Mounts that become read-only once everything in them is made.
    read_only_later: Vec<Fd>,
    dev_is_bind: bool,
    own_users: bool,
}

impl<'a> Mounter<'a> {
    /// `own_users`: the container has a user namespace of its own.
    pub(crate) fn new(root: &'a RootDir, own_users: bool) -> Self {
        let read_only_later = Vec::new();
        Self { root, terminals: None, read_only_later, dev_is_bind: false, own_users }
    }

    pub(super) fn mount_all(&mut self, job: &mut Job, channel: &mut Channel) -> Result<()> {
        let plans = core::mem::take(&mut job.mounts);
        for (index, plan) in plans.iter().enumerate() {
            if plan.what == What::Cgroup {
                super::enter_cgroups(job, channel)?;
            }
            let tree = match job.trees.get_mut(index).and_then(Option::take) {
                None => self.open_inside(job, index, plan, channel),
                tree => Ok(tree),
            };
            tree.and_then(|tree| self.mount(job, plan, tree))
                .map_err(|error| error.context(describe(index, plan)))?;
        }
        Ok(())
    }

    /// The source of a bind mount that other mounts of the container may have made.
    fn open_inside(
        &self,
        job: &Job,
        index: usize,
        plan: &MountPlan,
        channel: &mut Channel,
    ) -> Result<Option<Fd>> {
        let (Some(inside), What::Bind { recursive, .. }) = (&plan.inside, &plan.what) else {
            return Ok(None);
        };
        // Without a mount namespace nothing is cloned that the caller's mounts could do without.
        if !job.own_mounts || plan.links.copy_source {
            return Ok(None);
        }
        let attempt = || format!("opening the source {inside:?} in the container");
        let flags = fs::O_PATH | plan.links.source_flag();
        let from = self.root.open(inside, flags).attempt(attempt)?;
        match m::clone_tree(&from, "", *recursive) {
            Ok(tree) if plan.idmap.is_some() => {
                // The file system's owner has to do it, who is the parent.
                channel.ask(&Request::MapMount(index as i32, tree.raw()))?;
                Ok(Some(tree))
            }
            Ok(tree) => Ok(Some(tree)),
            Err(Errno::ENOSYS | Errno::EPERM) if plan.idmap.is_none() => Ok(None),
            Err(errno) => Err(Error::os(attempt(), errno)),
        }
    }

    /// Whether devices are to be made: not where the host's `/dev` is mounted.
    pub(super) fn makes_devices(&self) -> bool {
        !self.dev_is_bind
    }

    /// The container's pseudo-terminals.
    pub(super) fn terminals(&self) -> Option<&Fd> {
        self.terminals.as_ref()
    }

    /// What had to wait until everything was made.
    pub(crate) fn finish(&mut self) -> Result<()> {
        for mount in self.read_only_later.drain(..) {
            set_attributes(&mount, READ_ONLY).attempt(|| "making a mount read-only")?;
        }
        Ok(())
    }

    fn mount(&mut self, job: &Job, plan: &MountPlan, tree: Option<Fd>) -> Result<()> {
        if plan.what == What::Cgroup {
            return match cgroups::mount(job, self.root, plan)? {
                Some(mounted) => self.add_attributes(plan, mounted),
                None => Ok(()),
            };
        }
        if let What::Bind { source, .. } = &plan.what
            && plan.links.copy_source
            && self.copy_link(job, plan, source)?
        {
            return Ok(());
        }
        let mounted = self.mount_ordinary(job.bundle.as_ref(), plan, tree)?;
        self.add_attributes(plan, mounted)
    }

    /// Makes a mount that is not of type cgroup. The source of a bind mount is `tree`, or else
    /// looked up from `bundle` on. [`Mounter::add_attributes`] comes next.
    pub(crate) fn mount_ordinary(
        &mut self,
        bundle: Option<&Fd>,
        plan: &MountPlan,
        tree: Option<Fd>,
    ) -> Result<Fd> {
        check_proc_destination(plan, tree.as_ref())?;
        match &plan.what {
            What::Bind { source, recursive } => {
                self.dev_is_bind |= plan.destination == "/dev";
                self.bind(bundle, plan, source, *recursive, tree)
            }
            What::FileSystem { kind, source, data } => {
                let mounted = self.file_system(plan, kind, source, data)?;
                if kind == "devpts" && plan.destination == "/dev/pts" {
                    let kept = fs::duplicate(&mounted, 3).attempt(|| "keeping devpts")?;
                    self.terminals = Some(kept);
                }
                Ok(mounted)
            }
            What::Cgroup => {
                let what = "control groups can only be mounted when a container is created";
                Err(Error::new(Kind::Unsupported, what))
            }
        }
    }

    /// Recursive attributes and propagation: what the mount did not get when it was made.
    pub(crate) fn add_attributes(&mut self, plan: &MountPlan, mounted: Fd) -> Result<()> {
        if plan.recursive != Attributes::default() {
            m::set_attributes(&mounted, plan.recursive, true).map_err(|errno| {
                Error::os("setting recursive attributes", errno)
                    .with_hint("they need Linux 5.12 or newer")
            })?;
        }
        for &flags in &plan.propagation {
            let propagation = u64::from(flags & !m::MS_REC);
            let change = Attributes { propagation, ..Attributes::default() };
            match m::set_attributes(&mounted, change, flags & m::MS_REC != 0) {
                Err(Errno::ENOSYS | Errno::EPERM) => m::mount("", fd_path(&mounted), "", flags, ""),
                result => result,
            }
            .attempt(|| "setting the propagation")?;
        }
        if waits_for_read_only(plan) {
            self.read_only_later.push(mounted);
        }
        Ok(())
    }

    /// Makes the link again that is the source. `false`: it is no link.
    fn copy_link(&self, job: &Job, plan: &MountPlan, source: &str) -> Result<bool> {
        let bundle = job.bundle.as_ref().map_or(CWD, |bundle| bundle.borrow());
        let goal = match fs::read_link(bundle, source) {
            Err(Errno::EINVAL) => return Ok(false),
            result => result.attempt(|| format!("reading the link {source:?}"))?,
        };
        let (dir, name) = self.root.parent(&plan.destination)?;
        match fs::symlink(&goal, &dir, name) {
            Err(Errno::EEXIST) if fs::read_link(&dir, name).as_ref() == Ok(&goal) => Ok(true),
            result => result.map(|()| true).attempt(|| "copying the link"),
        }
    }

    fn bind(
        &self,
        bundle: Option<&Fd>,
        plan: &MountPlan,
        source: &str,
        recursive: bool,
        prepared: Option<Fd>,
    ) -> Result<Fd> {
        let opening = || format!("opening the source {source:?}");
        let from = match prepared {
            Some(tree) => Source::Tree(tree),
            None => {
                let bundle = bundle.map_or(CWD, |bundle| bundle.borrow());
                let flags = fs::O_PATH | plan.links.source_flag();
                let from = fs::open_at(bundle, source, flags, 0).attempt(opening)?;
                match m::clone_tree(&from, "", recursive) {
                    Ok(tree) => Source::Tree(tree),
                    Err(Errno::ENOSYS | Errno::EPERM) => Source::Path(from),
                    Err(errno) => return Err(Error::os(format!("cloning {source:?}"), errno)),
                }
            }
        };
        let (Source::Tree(fd) | Source::Path(fd)) = &from;
        let is_dir = fs::stat_fd(fd).attempt(opening)?.st_mode & fs::S_IFMT == fs::S_IFDIR;
        let make = if is_dir { Make::Dir(0o755) } else { Make::File };
        let target = match plan.links.cover_destination {
            true => self.root.ensure_itself(&plan.destination, make)?,
            false => self.root.ensure(&plan.destination, make)?,
        };
        match from {
            Source::Path(from) => bind_by_path(&from, &target, self.bind_change(plan), recursive),
            Source::Tree(tree) => {
                attach_with(&tree, &target, self.bind_change(plan), self.own_users)?;
                Ok(tree)
            }
        }
    }

    /// What changes on a bind mount. In a user namespace it keeps what it does not say otherwise:
    /// the kernel lets nobody there take the protection of the host's mounts away.
    fn bind_change(&self, plan: &MountPlan) -> Attributes {
        let lost = match self.own_users {
            true => plan.only & u64::from(m::MOUNT_ATTR_NOSYMFOLLOW),
            false => plan.only,
        };
        Attributes { clear: plan.attributes.clear | lost, ..plan.attributes }
    }

    fn file_system(
        &self,
        plan: &MountPlan,
        kind: &str,
        source: &str,
        data: &[String],
    ) -> Result<Fd> {
        let existed = kind == "tmpfs" && self.root.open(&plan.destination, fs::O_PATH).is_ok();
        let target = self.mount_point(plan, kind)?;
        let mut data: Vec<&str> = data.iter().map(String::as_str).collect();
        let mode;
        if existed && !data.iter().any(|option| option.starts_with("mode=")) {
            // A tmpfs looks like the directory that it covers (as runc).
            let stat = fs::stat_fd(&target).attempt(|| "looking at the mount point")?;
            mode = format!("mode={:o}", stat.st_mode & 0o7777);
            data.push(&mode);
        }
        let mut attributes = plan.attributes.set as u32;
        if waits_for_read_only(plan) || plan.copy_up {
            attributes &= !m::MOUNT_ATTR_RDONLY;
        }
        let tree = match new_file_system(kind, source, &data, attributes) {
            Ok(tree) => tree,
            Err(error) if error.errno() == Some(Errno::ENOSYS) => {
                match mount_by_path(plan, kind, source, &data, &target) {
                    Err(error) => return shown_instead(kind, &target, error),
                    mounted => return mounted,
                }
            }
            Err(error) => return shown_instead(kind, &target, error),
        };
        if plan.copy_up {
            copy_up::copy(&target, &tree).map_err(|error| error.context("tmpcopyup"))?;
            if plan.is_read_only() {
                set_attributes(&tree, READ_ONLY).attempt(|| "making the mount read-only")?;
            }
        }
        attach(&tree, &target)?;
        Ok(tree)
    }

    /// The directory to mount on, made if it is missing. procfs and sysfs only go on an ordinary
    /// directory: behind a link they could be mounted anywhere (CVE-2019-19921, CVE-2023-27561).
    fn mount_point(&self, plan: &MountPlan, kind: &str) -> Result<Fd> {
        if kind == "proc" || kind == "sysfs" {
            let to = &plan.destination;
            if let Ok(itself) = self.root.open(to, fs::O_PATH | fs::O_NOFOLLOW) {
                let stat = fs::stat_fd(&itself).attempt(|| "looking at the mount point")?;
                if stat.st_mode & fs::S_IFMT == fs::S_IFDIR {
                    return Ok(itself);
                }
                let what = format!("filesystem {kind:?} must be mounted on ordinary directory");
                return Err(Error::invalid(format!("{what}: {to:?}")));
            }
        }
        self.root.ensure(&plan.destination, Make::Dir(0o755))
    }
}

/// What a bind mount shows: a detached copy, or the object itself on old kernels.
enum Source {
    Tree(Fd),
    Path(Fd),
}

const READ_ONLY: Attributes =
    Attributes { set: m::MOUNT_ATTR_RDONLY as u64, clear: 0, propagation: 0 };

/// Whether a mount has to stay writable for a while: devices are made in `/dev`.
fn waits_for_read_only(plan: &MountPlan) -> bool {
    let file_system = matches!(plan.what, What::FileSystem { .. });
    plan.is_read_only() && plan.destination == "/dev" && file_system
}

/// Below `/proc` only files that are known to be harmless may be covered: a fake
/// `/proc/self/attr/exec` would swallow a label (CVE-2019-16884).
fn check_proc_destination(plan: &MountPlan, tree: Option<&Fd>) -> Result<()> {
    /// What lxcfs and its like provide (the list is runc's).
    const ALLOWED: [&str; 11] = [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ];
    const PROC_MAGIC: i64 = 0x9fa0;
    let is_proc = match &plan.what {
        What::FileSystem { kind, .. } => kind == "proc",
        // The host's procfs is a procfs too.
        What::Bind { source, .. } => match tree {
            Some(tree) => fs::statfs(tree),
            None => fs::open_at(CWD, source, fs::O_PATH, 0).and_then(fs::statfs),
        }
        .is_ok_and(|stat| stat.f_type == PROC_MAGIC),
        What::Cgroup => false,
    };
    let to = &plan.destination;
    if to == "/proc" && !is_proc {
        return Err(Error::invalid("only a proc file system may be mounted on /proc"));
    }
    let Some(below) = to.strip_prefix("/proc/") else { return Ok(()) };
    // A part of procfs itself (for example a read-only /proc/sys) hides nothing.
    let same = matches!(&plan.what, What::Bind { source, .. } if source == to) && is_proc;
    if same || ALLOWED.contains(&below) {
        return Ok(());
    }
    Err(Error::invalid(format!("{to:?} cannot be mounted because it is inside /proc")))
}

/// A detached instance of a file system. `ENOSYS`: the kernel, or a filter around this process,
/// has no fsopen.
pub(crate) fn new_file_system(
    kind: &str,
    source: &str,
    data: &[&str],
    attributes: u32,
) -> Result<Fd> {
    // A filter of an outer container may answer EPERM for calls that it does not know; mount is
    // then asked, which says itself if it is not permitted.
    let missing = |errno| matches!(errno, Errno::ENOSYS | Errno::EPERM);
    let absent = || Error::os("fsopen, fsconfig or fsmount", Errno::ENOSYS);
    let context = match FsContext::open(kind) {
        Err(Errno::ENODEV) => {
            let what = format!("the kernel has no file system {kind:?}");
            return Err(Error::new(Kind::Unsupported, what));
        }
        Err(errno) if missing(errno) => return Err(absent()),
        result => result.attempt(|| format!("opening the file system {kind}"))?,
    };
    match context.set("source", source) {
        Err(errno) if missing(errno) => return Err(absent()),
        result => result.attempt(|| format!("setting the source of {kind}"))?,
    }
    for option in data.iter().flat_map(|option| option.split(',')) {
        match option.split_once('=') {
            _ if option.is_empty() => Ok(()),
            Some((key, value)) => context.set(key, value),
            None => context.set_flag(option),
        }
        .map_err(|errno| {
            hint_at_ids(Error::os(format!("option {option:?} of {kind}"), errno), option)
        })?;
    }
    // Older kernels' devpts, for one, looks at its options only now.
    match context.mount(attributes) {
        Err(errno) if missing(errno) => Err(absent()),
        result => result.map_err(|errno| {
            hint_at_ids(Error::os(format!("mounting {kind}"), errno), &data.join(","))
        }),
    }
}

pub(crate) fn attach(tree: &Fd, target: &Fd) -> Result<()> {
    m::attach(tree, target).attempt(|| "attaching the mount with move_mount")
}

/// Attaches a tree whose top mount gets these attributes before: where the kernel or a filter
/// around this process has no `mount_setattr`, at once afterwards, as only attached mounts can be
/// remounted.
pub(super) fn attach_with(
    tree: &Fd,
    target: &Fd,
    change: Attributes,
    own_users: bool,
) -> Result<()> {
    let attempt = || "setting the mount's attributes";
    if change == Attributes::default() {
        return attach(tree, target);
    }
    let later = match checked(tree, own_users, &|| m::set_attributes(tree, change, false)) {
        Err(Errno::ENOSYS) => true,
        Err(Errno::EPERM) if !own_users => true,
        result => result.map(|()| false).attempt(attempt)?,
    };
    attach(tree, target)?;
    match later {
        true => checked(tree, own_users, &|| remount(&fd_path(tree), change)).attempt(attempt),
        false => Ok(()),
    }
}

/// In a user namespace the kernel lets nobody take attributes away that the host's mount has, nor
/// change its access times. The tree may be one that the parent has cloned, which the kernel does
/// not protect; the answer is the same. A read-only file system is no reason to refuse: it stays
/// read-only.
fn checked(tree: &Fd, own_users: bool, set: &dyn Fn() -> sys::Result<()>) -> sys::Result<()> {
    const PROTECTING: u64 = 0xf;
    const ACCESS_TIMES: u64 = 0x1c00;
    let flags = || fs::statfs(tree).map(|stat| stat.f_flags as u64);
    let before = flags()?;
    set()?;
    let after = flags()?;
    let lost = (before & !after & PROTECTING) | ((before ^ after) & ACCESS_TIMES);
    if own_users && lost != 0 { Err(Errno::EPERM) } else { Ok(()) }
}

/// An owner that a user namespace does not map is only "invalid" to the kernel.
fn hint_at_ids(error: Error, options: &str) -> Error {
    let owner = |option: &&str| {
        let value = option.strip_prefix("uid=").or_else(|| option.strip_prefix("gid="));
        value.is_some_and(|value| value.parse::<u32>().is_ok())
    };
    match options.split(',').find(owner).filter(|_| error.errno() == Some(Errno::EINVAL)) {
        Some(option) => error.with_hint(format!(
            "the user namespace may not have this id: remove {option:?} from the mount's options, or \
             map it in linux.{}Mappings",
            &option[..3]
        )),
        None => error,
    }
}

/// Reopens a path that was just mounted on: its old descriptor is below the mount.
pub(super) fn reopen(target: &Fd) -> Result<Fd> {
    let attempt = || "opening the new mount";
    let shown = fs::read_link(CWD, fd_path(target)).attempt(attempt)?;
    fs::open_at(CWD, shown, fs::O_PATH | fs::O_NOFOLLOW, 0).attempt(attempt)
}

fn bind_by_path(from: &Fd, target: &Fd, change: Attributes, recursive: bool) -> Result<Fd> {
    let flags = m::MS_BIND | if recursive { m::MS_REC } else { 0 };
    m::mount(fd_path(from), fd_path(target), "", flags, "").attempt(|| "binding")?;
    let mounted = reopen(target)?;
    if change != Attributes::default() {
        remount(&fd_path(&mounted), change).attempt(|| "setting attributes")?;
    }
    Ok(mounted)
}

fn mount_by_path(
    plan: &MountPlan,
    kind: &str,
    source: &str,
    data: &[&str],
    target: &Fd,
) -> Result<Fd> {
    const FLAGS: [(&str, u32); 5] = [
        ("sync", m::MS_SYNCHRONOUS),
        ("dirsync", m::MS_DIRSYNC),
        ("mand", m::MS_MANDLOCK),
        ("lazytime", m::MS_LAZYTIME),
        ("silent", m::MS_SILENT),
    ];
    let attempt = || format!("mounting {kind}");
    if plan.copy_up {
        // Without detached mounts there is no second place to copy to.
        let hint = "tmpcopyup needs Linux 5.2 or newer";
        return Err(Error::os(attempt(), Errno::ENOSYS).with_hint(hint));
    }
    let flag = |option: &str| FLAGS.iter().find(|(name, _)| *name == option).map(|&(_, flag)| flag);
    let super_flags = data.iter().filter_map(|option| flag(option)).fold(0, |all, flag| all | flag);
    let options: Vec<&str> = data.iter().copied().filter(|option| flag(option).is_none()).collect();
    let mut attributes = plan.attributes;
    if waits_for_read_only(plan) {
        attributes.set &= !READ_ONLY.set;
    }
    let flags = super_flags | classic_flags(attributes);
    let options = options.join(",");
    m::mount(source, fd_path(target), kind, flags, &options)
        .map_err(|errno| hint_at_ids(Error::os(attempt(), errno), &options))?;
    reopen(target)
}

/// sysfs belongs to a network namespace: where the container shares one that it does not own, the
/// host's is shown instead, read-only.
fn shown_instead(kind: &str, target: &Fd, error: Error) -> Result<Fd> {
    if kind != "sysfs" || error.errno() != Some(Errno::EPERM) {
        return Err(error);
    }
    let Ok(tree) = m::clone_tree(CWD, "/sys", true) else { return Err(error) };
    let set =
        m::MOUNT_ATTR_RDONLY | m::MOUNT_ATTR_NOSUID | m::MOUNT_ATTR_NODEV | m::MOUNT_ATTR_NOEXEC;
    m::set_attributes(&tree, Attributes { set: u64::from(set), ..Attributes::default() }, true)
        .attempt(|| "making the host's /sys read-only")?;
    attach(&tree, target)?;
    Ok(tree)
}

/// `MS_*` for attributes.
pub(super) fn classic_flags(attributes: Attributes) -> u32 {
    const PAIRS: [(u32, u32); 6] = [
        (m::MOUNT_ATTR_RDONLY, m::MS_RDONLY),
        (m::MOUNT_ATTR_NOSUID, m::MS_NOSUID),
        (m::MOUNT_ATTR_NODEV, m::MS_NODEV),
        (m::MOUNT_ATTR_NOEXEC, m::MS_NOEXEC),
        (m::MOUNT_ATTR_NODIRATIME, m::MS_NODIRATIME),
        (m::MOUNT_ATTR_NOSYMFOLLOW, m::MS_NOSYMFOLLOW),
    ];
    let set = attributes.set as u32;
    let flags = PAIRS.iter().filter(|(attr, _)| set & attr != 0).fold(0, |all, (_, ms)| all | ms);
    let time = match set & m::MOUNT_ATTR__ATIME {
        m::MOUNT_ATTR_NOATIME => m::MS_NOATIME,
        m::MOUNT_ATTR_STRICTATIME => m::MS_STRICTATIME,
        _ if attributes.clear & u64::from(m::MOUNT_ATTR__ATIME) != 0 => m::MS_RELATIME,
        _ => 0,
    };
    flags | time
}

/// `MS_REMOUNT | MS_BIND`, which replaces all attributes: those that the mount has already are
/// kept unless they are to be cleared.
pub(super) fn remount(path: &str, change: Attributes) -> sys::Result<()> {
    /// The `ST_*` flags of statfs have the values of these `MS_*` flags.
    const KEPT: u32 =
        m::MS_RDONLY | m::MS_NOSUID | m::MS_NODEV | m::MS_NOEXEC | m::MS_NOATIME | m::MS_NODIRATIME;
    let file = fs::open_at(CWD, path, fs::O_PATH, 0)?;
    let present = fs::statfs(&file)?.f_flags as u32 & KEPT;
    let set = change.clear & !u64::from(m::MOUNT_ATTR__ATIME);
    let cleared = classic_flags(Attributes { set, ..Attributes::default() });
    let flags = present & !cleared | classic_flags(change);
    m::mount("", path, "", m::MS_REMOUNT | m::MS_BIND | flags, "")
}
