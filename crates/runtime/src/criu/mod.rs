//! `checkpoint` and `restore`: a container as files, by the program criu.
//!
//! criu is spoken to as runc does it: `criu swrk 3` serves one request over a socket and asks back
//! in between ([`swrk`]). What of a container's mounts and namespaces comes from outside is told to
//! criu by name when it is written, and given again under that name when it is read:
//!
//! | what | name |
//! |---|---|
//! | a bind mount, a bound device, a bound cgroup | its configured destination |
//! | what covers masked files | `/dev/null` |
//! | a network or pid namespace by path | `extRootNetNS`, `extRootPidNS` |
//! | a pipe behind descriptor 0, 1 or 2 | its `pipe:[INODE]`, kept in `descriptors.json` |
//!
//! The names are runc's, and so is the directory of images: each may read what the other wrote.
//! Both directions read the bundle's configuration.

mod checkpoint;
mod message;
mod restore;
mod swrk;
mod yard;

pub use checkpoint::checkpoint;
pub use restore::restore;

use crate::cgroup;
use crate::config::{MountPlan, What};
use crate::error::{Error, Result};
use crate::state::Record;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use message::Message;
use oci::runtime::{Map, NamespaceKind, Spec};
use sys::{CWD, Fd, fs};

/// Requests (`criu_req_type`).
const DUMP: u64 = 1;
const RESTORE: u64 = 2;
const PRE_DUMP: u64 = 4;
const NOTIFY: u64 = 6;
const FEATURE_CHECK: u64 = 9;
const VERSION: u64 = 10;

/// The oldest criu that tells of everything that is waited for: 3.15 of 2020, the first with
/// external pid namespaces and the word that lazy pages are ready.
const OLDEST_VERSION: u64 = 31_500;
/// The first in which a security profile can be exchanged.
const LSM_VERSION: u64 = 31_600;
/// Names of a container's first three descriptors, beside criu's images.
const DESCRIPTORS: &str = "descriptors.json";
/// criu's settings that hold for all containers: its own default files come before. runc's file is
/// read where there is none for Tare.
const CONFIG_FILES: [&str; 2] = ["/etc/criu/tare.conf", "/etc/criu/runc.conf"];
/// The annotation that names another such file.
const CONFIG_ANNOTATION: &str = "org.criu.config";

/// Switches of criu's, with the numbers of their fields in `criu_opts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are criu's")]
#[repr(u32)]
pub enum Switch {
    LeaveRunning = 3,
    ExternalUnixSockets = 4,
    TcpEstablished = 5,
    ShellJob = 7,
    FileLocks = 8,
    AutoDedup = 16,
    LinkRemap = 18,
    TcpSkipInFlight = 46,
    LazyPages = 48,
    TcpClose = 52,
}

/// What criu does about cgroups (`criu_cg_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are criu's")]
#[repr(u32)]
pub enum CgroupsMode {
    Ignore = 0,
    Soft = 3,
    Full = 4,
    Strict = 5,
    #[default]
    Default = 6,
}

/// How criu keeps packets away meanwhile (`criu_network_lock_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are criu's")]
#[repr(u32)]
pub enum NetworkLock {
    Iptables = 1,
    Nftables = 2,
    Skip = 3,
}

/// How criu is used.
#[derive(Debug, Default)]
pub struct CriuOptions {
    /// The program's path.
    pub program: String,
    /// Its environment: it looks for programs of its own.
    pub environment: Vec<Vec<u8>>,
    /// The directory of images.
    pub images: String,
    /// The directory of logs and statistics; `None`: that of the images.
    pub work: Option<String>,
    /// Images that these are based on, from the directory of images on.
    pub parent: Option<String>,
    /// Where memory is sent to instead: address and port.
    pub page_server: Option<(String, u16)>,
    /// What is switched on.
    pub switches: Vec<Switch>,
    /// What happens to cgroups.
    pub cgroups_mode: CgroupsMode,
    /// How packets are kept away.
    pub network_lock: Option<NetworkLock>,
    /// Only memory is written, and the container goes on.
    pub pre_dump: bool,
    /// Gets a zero byte when lazy pages can be fetched.
    pub status_fd: Option<i32>,
    /// Security profile of the restored container: `TYPE:NAME`.
    pub lsm_profile: Option<String>,
    /// Security context of its mounts.
    pub lsm_mount_context: Option<String>,
}

/// What covers masked files.
const NULL: &str = "/dev/null";

/// The name of a namespace by path that criu takes as an open descriptor.
fn external_key(kind: NamespaceKind) -> Option<&'static str> {
    match kind {
        NamespaceKind::Network => Some("extRootNetNS"),
        NamespaceKind::Pid => Some("extRootPidNS"),
        _ => None,
    }
}

impl CriuOptions {
    fn has(&self, switch: Switch) -> bool {
        self.switches.contains(&switch)
    }

    /// Where criu's log is.
    fn log_path(&self, name: &str) -> String {
        format!("{}/{name}", self.work.as_ref().unwrap_or(&self.images))
    }
}

/// Opens a directory that criu reads or writes. `create`: it and those above it are made.
fn open_dir(option: &str, path: &str, create: bool) -> Result<Fd> {
    let failed = |errno| Error::os(format!("{option}: opening the directory {path}"), errno);
    if create {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends.filter(|&end| end > 0) {
            // Whether it worked is seen when it is opened.
            let _ = fs::mkdir(CWD, &path[..end], 0o700);
        }
    }
    fs::open_at(CWD, path, fs::O_RDONLY | fs::O_DIRECTORY, 0).map_err(failed)
}

/// The directories of images and of logs, opened in the process that becomes criu.
fn open_dirs(options: &CriuOptions) -> Result<Vec<Fd>> {
    let images = open_dir("--image-path", &options.images, false)?;
    let work = match &options.work {
        Some(path) => open_dir("--work-path", path, true)?,
        None => open_dir("--image-path", &options.images, false)?,
    };
    Ok(Vec::from([images, work]))
}

/// The part of `criu_opts` that is the same in both directions.
fn common_options(
    options: &CriuOptions,
    log: &str,
    root: &str,
    annotations: &Map,
) -> Result<Message> {
    /// Errors, warnings and what is done, as runc has it.
    const LOG_LEVEL: u64 = 4;
    let mut opts = Message::default();
    opts.number(1, swrk::IMAGES);
    opts.number(9, LOG_LEVEL);
    opts.text(10, log);
    // Words in between (notify_scripts), and cgroups in the mode of field 34.
    opts.number(12, 1);
    opts.text(13, root);
    opts.number(17, swrk::WORK);
    opts.number(24, 1);
    opts.number(34, u64::from(options.cgroups_mode as u32));
    // The network's devices and addresses are the engine's (and a hook's) to set up.
    opts.number(38, u64::from(sys::process::CLONE_NEWNET));
    // A terminal's outer end comes back over the socket.
    opts.number(50, 1);
    if let Some(file) = config_file(annotations)? {
        opts.text(51, &file);
    }
    if let Some(lock) = options.network_lock {
        opts.number(64, u64::from(lock as u32));
    }
    options.switches.iter().for_each(|&switch| opts.number(switch as u32, 1));
    Ok(opts)
}

/// The file with further settings. They may name programs to be run on the host, and annotations
/// may come from an image: only files that the host's administrator wrote are taken.
fn config_file(annotations: &Map) -> Result<Option<String>> {
    let Some(file) = annotations.get(CONFIG_ANNOTATION) else {
        let present = CONFIG_FILES.iter().find(|file| fs::exists(CWD, file));
        return Ok(present.map(ToString::to_string));
    };
    if file.is_empty() {
        return Ok(None);
    }
    let inside = file.strip_prefix("/etc/criu/");
    if inside.is_none_or(|name| name.is_empty() || name.contains('/')) {
        let what = format!("annotation {CONFIG_ANNOTATION}: {file:?} is not a file of /etc/criu");
        return Err(Error::invalid(what).with_hint("criu's settings can run programs on the host"));
    }
    Ok(Some(file.clone()))
}

/// What is mounted in the container from outside of it: (destination, path on the host).
fn external_mounts(spec: &Spec, mounts: &[MountPlan], record: &Record) -> Vec<(String, String)> {
    let mut external = Vec::new();
    let v1 = record.cgroup.as_ref().filter(|plan| plan.version != cgroup::Version::V2);
    for mount in mounts {
        match &mount.what {
            What::Bind { source, .. } => external.push((mount.destination.clone(), source.clone())),
            // Without a namespace the container's own directories are bound.
            What::Cgroup if !record.namespaces.contains(&NamespaceKind::Cgroup) => {
                let used = v1.iter().flat_map(|plan| &plan.directories).filter(|dir| dir.used);
                external.extend(used.map(|dir| {
                    let name = dir.mount.rsplit('/').next().unwrap_or("cgroup");
                    (format!("{}/{name}", mount.destination), dir.full_path())
                }));
            }
            What::Cgroup | What::FileSystem { .. } => {}
        }
    }
    if record.namespaces.contains(&NamespaceKind::User) {
        // There nodes cannot be made: the host's are bound.
        let own = crate::init::devices::default_paths();
        let configured = spec.linux.iter().flat_map(|linux| &linux.devices);
        let all = own.chain(configured.map(|device| crate::config::clean(&device.path)));
        external.extend(all.map(|path| (path.clone(), path)));
    }
    external
}
