//! `bench-floor BUNDLE NAME`: the kernel's own price of the benchmark's container.
//!
//! Makes the container that `cargo xtask bench runtime` describes in its `config.json` with
//! nothing but the system calls that it needs: no configuration is read, nothing is checked,
//! recorded or reported, and nothing is protected. What an OCI runtime takes on top of this is
//! its own. The compiled filter is read from `filter.bpf` in the bundle.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::mount::{self as m, Attributes, FsContext};
use sys::process::{self as p, Clone};
use sys::{CStrings, CWD, Fd, Result, fs, ids, wait};

rt::entry!(main);

/// v1 hierarchies that the container is limited by or that programs in it look at.
const HIERARCHIES: [&str; 7] =
    ["devices", "pids", "memory", "cpu", "cpuacct", "cpuset", "name=systemd"];
const LIMITS: [(&str, &str); 8] = [
    ("cpuset/NAME/cpuset.cpus", "0"),
    ("cpuset/NAME/cpuset.mems", "0"),
    ("pids/NAME/pids.max", "100"),
    ("memory/NAME/memory.limit_in_bytes", "536870912"),
    ("cpu/NAME/cpu.cfs_period_us", "100000"),
    ("cpu/NAME/cpu.cfs_quota_us", "100000"),
    ("devices/NAME/devices.deny", "a"),
    ("devices/NAME/devices.allow", "c 1:3 rwm"),
];
/// Devices beside the one in [`LIMITS`].
const DEVICES: [&str; 8] = [
    "c *:* m",
    "b *:* m",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:* rwm",
    "c 136:* rwm",
];
/// The container's 14 capabilities, by bit.
const CAPABILITIES: u64 = 0xa804_25fb;

fn main(arguments: rt::Arguments) -> i32 {
    let text = |at: usize| String::from_utf8_lossy(arguments.args.get(at)?).into_owned().into();
    let (Some(bundle), Some(name)): (Option<String>, Option<String>) = (text(1), text(2)) else {
        return 2;
    };
    match run(&bundle, &name) {
        Ok(code) => code,
        Err(errno) => {
            let line = format!("bench-floor: {errno}\n");
            let _ = fs::write_all(sys::BorrowedFd::from_raw(2), line.as_bytes());
            1
        }
    }
}

fn run(bundle: &str, name: &str) -> Result<i32> {
    let filter = read_filter(bundle)?;
    let tasks = make_cgroups(name)?;
    fs::chdir(format!("{bundle}/rootfs"))?;
    let namespaces =
        p::CLONE_NEWNS | p::CLONE_NEWPID | p::CLONE_NEWNET | p::CLONE_NEWIPC | p::CLONE_NEWUTS;
    let Some(child) = p::fork(Clone { namespaces, ..Clone::default() })? else {
        let _ = init(&tasks, &filter);
        p::exit(126)
    };
    let exit = wait::child(child.pid, true)?;
    for hierarchy in HIERARCHIES {
        fs::unlink(CWD, format!("{}/{name}", directory(hierarchy)), fs::AT_REMOVEDIR)?;
    }
    Ok(exit.map_or(1, |(_, exit)| exit.shell_code()))
}

fn read_filter(bundle: &str) -> Result<Vec<sys::seccomp::Instruction>> {
    let bytes = fs::read_file(CWD, format!("{bundle}/filter.bpf"), 1 << 20)?;
    Ok(bytes
        .chunks_exact(8)
        .map(|chunk| sys::seccomp::Instruction {
            code: u16::from_ne_bytes([chunk[0], chunk[1]]),
            jt: chunk[2],
            jf: chunk[3],
            k: u32::from_ne_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]),
        })
        .collect())
}

fn directory(hierarchy: &str) -> String {
    format!("/sys/fs/cgroup/{}", hierarchy.trim_start_matches("name="))
}

fn make_cgroups(name: &str) -> Result<Vec<Fd>> {
    let mut tasks = Vec::new();
    for hierarchy in HIERARCHIES {
        let path = format!("{}/{name}", directory(hierarchy));
        fs::mkdir(CWD, &path, 0o755)?;
        tasks.push(fs::open_at(CWD, format!("{path}/tasks"), fs::O_WRONLY, 0)?);
    }
    let allow = DEVICES.iter().map(|rule| ("devices/NAME/devices.allow", *rule));
    for (file, value) in LIMITS.into_iter().chain(allow) {
        fs::write_file(CWD, format!("/sys/fs/cgroup/{}", file.replace("NAME", name)), value)?;
    }
    Ok(tasks)
}

fn init(tasks: &[Fd], filter: &[sys::seccomp::Instruction]) -> Result<()> {
    for file in tasks {
        fs::write(file, b"0")?;
    }
    p::unshare(p::CLONE_NEWCGROUP)?;
    p::new_session()?;
    p::set_hostname("floor")?;
    m::mount("", "/", "", m::MS_SLAVE | m::MS_REC, "")?;
    let root = m::clone_tree(CWD, ".", true)?;
    m::attach(&root, fs::open_at(CWD, ".", fs::O_PATH, 0)?)?;
    mount_all(&root)?;
    make_devices(&root)?;
    cover(&root)?;
    let read_only = Attributes { set: u64::from(m::MOUNT_ATTR_RDONLY), ..Attributes::default() };
    m::set_attributes(&root, read_only, false)?;
    fs::chdir_fd(&root)?;
    m::pivot_root_here()?;
    m::unmount(".", m::MNT_DETACH)?;
    fs::chdir("/")?;
    p::set_no_new_privileges()?;
    for number in (0..=40).filter(|bit| CAPABILITIES >> bit & 1 == 0) {
        ids::bounding_drop(number)?;
    }
    ids::set_gid(0)?;
    ids::set_uid(0)?;
    let (effective, permitted) = (CAPABILITIES, CAPABILITIES);
    ids::set_capabilities(ids::CapSets { effective, permitted, inheritable: 0 })?;
    sys::seccomp::install(filter, 0)?;
    Err(p::exec("/bin/noop", &CStrings::new(&["noop"])?, &CStrings::new(&["PATH=/bin"])?))
}

/// (mount point, file system, options, attributes) as in the bundle's `config.json`.
const MOUNTS: [(&str, &str, &[&str], u32); 7] = {
    const USUAL: u32 = m::MOUNT_ATTR_NOSUID | m::MOUNT_ATTR_NOEXEC | m::MOUNT_ATTR_NODEV;
    [
        ("proc", "proc", &[], 0),
        (
            "dev",
            "tmpfs",
            &["mode=755", "size=65536k"],
            m::MOUNT_ATTR_NOSUID | m::MOUNT_ATTR_STRICTATIME,
        ),
        (
            "dev/pts",
            "devpts",
            &["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            m::MOUNT_ATTR_NOSUID | m::MOUNT_ATTR_NOEXEC,
        ),
        ("dev/shm", "tmpfs", &["mode=1777", "size=65536k"], USUAL),
        ("dev/mqueue", "mqueue", &[], USUAL),
        ("sys", "sysfs", &[], USUAL | m::MOUNT_ATTR_RDONLY),
        ("sys/fs/cgroup", "tmpfs", &["mode=755"], USUAL),
    ]
};

fn mount_all(root: &Fd) -> Result<()> {
    for (target, kind, options, attributes) in MOUNTS {
        let context = FsContext::open(kind)?;
        for option in options {
            match option.split_once('=') {
                Some((key, value)) => context.set(key, value)?,
                None => context.set_flag(option)?,
            }
        }
        let tree = context.mount(attributes)?;
        if target.starts_with("dev/") {
            fs::mkdir(root, target, 0o755)?;
        }
        m::attach(&tree, fs::open_at(root, target, fs::O_PATH, 0)?)?;
    }
    let attributes = MOUNTS[6].3 | m::MOUNT_ATTR_RDONLY;
    for hierarchy in HIERARCHIES {
        let context = FsContext::open("cgroup")?;
        match hierarchy.split_once('=') {
            Some((key, value)) => context.set(key, value)?,
            None => context.set_flag(hierarchy)?,
        }
        let tree = context.mount(attributes)?;
        let target = format!("sys/fs/cgroup/{}", hierarchy.trim_start_matches("name="));
        fs::mkdir(root, &target, 0o755)?;
        m::attach(&tree, fs::open_at(root, &target, fs::O_PATH, 0)?)?;
    }
    Ok(())
}

fn make_devices(root: &Fd) -> Result<()> {
    let nodes = [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ];
    for (name, major, minor) in nodes {
        fs::mknod(root, format!("dev/{name}"), fs::S_IFCHR | 0o666, fs::makedev(major, minor))?;
    }
    let links = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ];
    links.into_iter().try_for_each(|(to, name)| fs::symlink(to, root, format!("dev/{name}")))
}

const MASKED: [&str; 8] = [
    "proc/acpi",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/timer_list",
    "proc/sched_debug",
    "proc/scsi",
    "sys/firmware",
];
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

fn cover(root: &Fd) -> Result<()> {
    let read_only = Attributes { set: u64::from(m::MOUNT_ATTR_RDONLY), ..Attributes::default() };
    let null = fs::open_at(CWD, "/dev/null", fs::O_PATH, 0)?;
    let mut empty = None;
    for path in READ_ONLY {
        let Ok(target) = fs::open_at(root, path, fs::O_PATH, 0) else { continue };
        let tree = m::clone_tree(&target, "", true)?;
        m::set_attributes(&tree, read_only, false)?;
        m::attach(&tree, &target)?;
    }
    for path in MASKED {
        let Ok(target) = fs::open_at(root, path, fs::O_PATH, 0) else { continue };
        let is_dir = fs::stat_fd(&target)?.st_mode & fs::S_IFMT == fs::S_IFDIR;
        let tree = match (&empty, is_dir) {
            (_, false) => m::clone_tree(&null, "", false)?,
            (Some(empty), true) => m::clone_tree(empty, "", false)?,
            (None, true) => FsContext::open("tmpfs")?.mount(m::MOUNT_ATTR_RDONLY)?,
        };
        m::attach(&tree, &target)?;
        if is_dir && empty.is_none() {
            empty = Some(tree);
        }
    }
    Ok(())
}
