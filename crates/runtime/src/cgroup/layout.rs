//! Which cgroup hierarchies this machine has, and where this process is in them.

use crate::error::{Attempt, Result};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::fs;

/// Where every distribution mounts cgroups.
const ROOT: &str = "/sys/fs/cgroup";
/// And where the unified hierarchy is beside v1.
const UNIFIED: &str = "/sys/fs/cgroup/unified";
/// `CGROUP2_SUPER_MAGIC` (include/uapi/linux/magic.h).
const CGROUP2_MAGIC: i64 = 0x6367_7270;
/// A machine with 10,000 mounts has 1.5 MB of mountinfo.
const MOUNTINFO_LIMIT: usize = 64 << 20;
/// One line per hierarchy, of which there are at most 32 with controllers.
const OWN_LIMIT: usize = 1 << 20;

oci::names! {
    /// Generation of the cgroup interface.
    Version, default V1 {
        /// One hierarchy for every controller (or group of controllers).
        V1 = "v1",
        /// Controllers as in v1, and a unified hierarchy without controllers beside them.
        Hybrid = "hybrid",
        /// One unified hierarchy.
        V2 = "v2",
    }
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// `cpu`, `name=systemd`...; none for the unified hierarchy.
    pub(super) controllers: Vec<String>,
    pub(super) mount: String,
    /// This process's cgroup below the mount, without slashes at its ends.
    pub(super) own: String,
}

/// The hierarchies of this machine as this process sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The generation.
    pub version: Version,
    /// v1 hierarchies in the order in which they were mounted.
    pub(super) hierarchies: Vec<Hierarchy>,
    pub(super) unified: Option<Hierarchy>,
}

fn is_unified(path: &str) -> bool {
    let dir = fs::open_at(sys::CWD, path, fs::O_PATH | fs::O_DIRECTORY, 0);
    dir.and_then(|dir| fs::statfs(&dir)).is_ok_and(|stat| {
        #[allow(clippy::unnecessary_cast, reason = "the type differs between architectures")]
        let magic = stat.f_type as i64;
        magic == CGROUP2_MAGIC
    })
}

impl Layout {
    /// Looks at this machine: one read of `/proc/self/cgroup`, and one of `/proc/self/mountinfo`
    /// unless `/sys/fs/cgroup` is the unified hierarchy, which `fstatfs` tells. (With thousands of
    /// mounts the kernel takes milliseconds to write mountinfo.)
    pub fn detect() -> Result<Self> {
        let read = |path: &str, limit| {
            let bytes = fs::read_file(sys::CWD, path, limit)
                .attempt(|| format!("reading {path} to find the cgroups"))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let own = read("/proc/self/cgroup", OWN_LIMIT)?;
        if is_unified(ROOT) {
            return Ok(Self::unified(ROOT.into(), "/", &own));
        }
        Ok(Self::parse(&read("/proc/self/mountinfo", MOUNTINFO_LIMIT)?, &own))
    }

    /// Whether there are nothing but v1 hierarchies where every distribution has them.
    pub fn is_v1() -> bool {
        !is_unified(ROOT) && !is_unified(UNIFIED)
    }

    /// Understands the text of `/proc/self/mountinfo` and `/proc/self/cgroup`. A machine without
    /// cgroups is `V1` without hierarchies: what needs one says so.
    pub fn parse(mountinfo: &str, own: &str) -> Self {
        let mut mounts: Vec<Mount> = Vec::new();
        for mount in mountinfo.lines().filter_map(Mount::parse) {
            // A later mount, of whatever kind, hides an earlier one.
            mounts.retain(|earlier| earlier.point != mount.point);
            if mount.kind != MountKind::Other {
                mounts.push(mount);
            }
        }
        let is_v2 = |mount: &&Mount| mount.kind == MountKind::Cgroup2;
        let v1 = |mount: &&Mount| mount.kind == MountKind::Cgroup;
        let main = mounts.iter().find(|mount| is_v2(mount) && mount.point == ROOT);
        let any = || mounts.iter().find(is_v2).filter(|_| !mounts.iter().any(|m| v1(&m)));
        if let Some(mount) = main.or_else(any) {
            return Self::unified(mount.point.clone(), &mount.root, own);
        }
        let hierarchies: Vec<_> = own_cgroups(own)
            .filter(|(controllers, _)| !controllers.is_empty())
            .filter_map(|(controllers, path)| {
                let names: Vec<&str> = controllers.split(',').collect();
                let has = |mount: &&Mount| v1(mount) && names.iter().all(|name| mount.has(name));
                let reaches = |mount: &&Mount| has(mount) && below(path, &mount.root).is_some();
                let mount = mounts.iter().find(reaches).or_else(|| mounts.iter().find(has))?;
                Some(Hierarchy {
                    controllers: names.into_iter().map(ToOwned::to_owned).collect(),
                    mount: mount.point.clone(),
                    own: below(path, &mount.root).unwrap_or_default().to_owned(),
                })
            })
            .collect();
        // Others mount the unified hierarchy for their own ends (Cilium on /run/cilium/cgroupv2):
        // hybrid is only what systemd makes.
        let unified = mounts.iter().filter(is_v2).find(|mount| mount.point.ends_with("/unified"));
        let unified = unified.map(|mount| unified_at(mount.point.clone(), &mount.root, own));
        let version = if unified.is_some() { Version::Hybrid } else { Version::V1 };
        Self { version, hierarchies, unified }
    }

    fn unified(point: String, root: &str, own: &str) -> Self {
        let unified = Some(unified_at(point, root, own));
        Self { version: Version::V2, hierarchies: Vec::new(), unified }
    }

    /// The same layout with every mount below `prefix`: a tree of plain directories for a test.
    pub fn below(mut self, prefix: &str) -> Self {
        for hierarchy in self.hierarchies.iter_mut().chain(&mut self.unified) {
            hierarchy.mount = format!("{prefix}{}", hierarchy.mount);
        }
        self
    }

    /// Where the only hierarchy is mounted; `None`: there are others (v1).
    pub(crate) fn only_mount(&self) -> Option<&str> {
        let unified = self.unified.as_ref().filter(|_| self.version == Version::V2);
        unified.map(|hierarchy| hierarchy.mount.as_str())
    }

    /// Whether a v1 hierarchy with this controller is mounted.
    pub fn has(&self, controller: &str) -> bool {
        self.hierarchies.iter().any(|h| h.controllers.iter().any(|name| name == controller))
    }
}

fn unified_at(mount: String, root: &str, own: &str) -> Hierarchy {
    let path = own_cgroups(own).find(|(controllers, _)| controllers.is_empty());
    let own = path.and_then(|(_, path)| below(path, root)).unwrap_or_default().to_owned();
    Hierarchy { controllers: Vec::new(), mount, own }
}

/// (controllers, path) of every line of `/proc/PID/cgroup`: `4:cpu,cpuacct:/a`, `0::/b`.
pub(super) fn own_cgroups(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        // A cgroup that was removed while the process is in it is marked.
        let path =
            |path: &'_ str| -> usize { path.strip_suffix(" (deleted)").unwrap_or(path).len() };
        let (controllers, full) = (parts.next()?, parts.next()?);
        Some((controllers, &full[..path(full)]))
    })
}

/// `path` relative to `root`, which is an ancestor of it or itself.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    // `/..`: the process is outside of its cgroup namespace, there is no way to it.
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MountKind {
    Cgroup,
    Cgroup2,
    /// Only of interest when it hides one of the others.
    Other,
}

#[derive(Debug)]
struct Mount<'a> {
    kind: MountKind,
    root: String,
    point: String,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// One line of mountinfo (proc(5)): id, parent, device, root, mount point, options, optional
    /// fields, `-`, type, source, super options.
    fn parse(line: &'a str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let name = kind.next()?;
        let options = kind.nth(1).unwrap_or_default();
        let kind = match name {
            "cgroup" => MountKind::Cgroup,
            "cgroup2" => MountKind::Cgroup2,
            _ => MountKind::Other,
        };
        Some(Mount { kind, root: unescape(root), point: unescape(point), options })
    }

    fn has(&self, controller: &str) -> bool {
        self.options.split(',').any(|option| option == controller)
    }
}

/// Space, tab, newline and backslash are octal in mountinfo (`\040`).
pub(crate) fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| core::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) if byte == b'\\' => {
                bytes.push(value);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
31 23 0:28 / /sys/fs/cgroup rw,relatime shared:3 - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
33 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 31 0:33 / /mnt/other\\040place rw,relatime - cgroup none rw,noprefix,cpuset,release_agent=/x
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const OWN: &str = "\
5:name=systemd:/init.scope
4:cpuset:/
3:memory:/process_api/38
2:cpu,cpuacct:/a:b
1:net_cls:/never/mounted
0::/system.slice/x.service
";

    fn show(layout: &Layout) -> Vec<String> {
        let unified = layout.unified.iter();
        let all = layout.hierarchies.iter().chain(unified);
        all.map(|h| format!("{} {} [{}]", h.controllers.join(","), h.mount, h.own)).collect()
    }

    #[test]
    fn a_hybrid_layout_is_read() {
        let layout = Layout::parse(HYBRID, OWN);
        assert_eq!(layout.version, Version::Hybrid);
        assert_eq!(
            show(&layout),
            [
                "name=systemd /sys/fs/cgroup/systemd [init.scope]",
                "cpuset /mnt/other place []",
                "memory /sys/fs/cgroup/memory [process_api/38]",
                "cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct [a:b]",
                " /sys/fs/cgroup/unified [system.slice/x.service]",
            ]
        );
        assert!(layout.has("cpuacct") && !layout.has("net_cls") && !layout.has("pids"));
        let prefixed = layout.below("/tmp/t");
        assert_eq!(prefixed.hierarchies[2].mount, "/tmp/t/sys/fs/cgroup/memory");
    }

    #[test]
    fn v1_and_v2_and_nothing_are_told_apart() {
        let v1: String =
            HYBRID.lines().filter(|l| !l.contains("cgroup2")).fold(
                "9 1 0:9 / /run/cilium/cgroupv2 rw - cgroup2 none rw\n".into(),
                |all, line| all + line + "\n",
            );
        let layout = Layout::parse(&v1, OWN);
        assert_eq!((layout.version, layout.unified), (Version::V1, None));

        let v2 = "30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let layout = Layout::parse(v2, "0::/user.slice/s.scope\n");
        assert_eq!(layout.version, Version::V2);
        assert_eq!(show(&layout), [" /sys/fs/cgroup [user.slice/s.scope]"]);

        // systemd's own hierarchy beside a unified root: still unified.
        let mixed =
            format!("{v2}40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup c rw,name=systemd\n");
        assert_eq!(Layout::parse(&mixed, "1:name=systemd:/\n0::/\n").version, Version::V2);

        let none = Layout::parse("1 1 0:1 / / rw - ext4 /dev/vda rw\n", "0::/\n");
        assert_eq!((none.version, none.hierarchies.len(), none.unified), (Version::V1, 0, None));
    }

    #[test]
    fn mounts_inside_containers_are_read() {
        // Docker without a cgroup namespace binds the container's own directories.
        let mountinfo = "\
1 0 0:1 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
2 0 0:2 / /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids
3 0 0:3 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu
4 0 0:9 / /sys/fs/cgroup/cpu ro - tmpfs tmpfs ro
5 0 0:4 /other /sys/fs/cgroup/freezer ro - cgroup cgroup rw,freezer
";
        let own = "4:freezer:/../x\n3:cpu:/\n2:pids:/docker/ab (deleted)\n1:memory:/docker/ab/c\n";
        assert_eq!(
            show(&Layout::parse(mountinfo, own)),
            [
                "freezer /sys/fs/cgroup/freezer []",
                "pids /sys/fs/cgroup/pids [docker/ab]",
                "memory /sys/fs/cgroup/memory [c]",
            ]
        );
    }

    #[test]
    fn damaged_text_is_skipped() {
        for text in ["", "\n", " - ", "1 2 3", "1 2 3 4 5 - cgroup", "- cgroup cgroup rw,memory"] {
            let layout = Layout::parse(text, "::\n:\n1:memory\n7:memory:/\n");
            assert_eq!(layout.hierarchies.len(), 0, "{text:?}");
        }
        assert_eq!(unescape("a\\040b\\13"), "a b\\13");
        assert_eq!(unescape("\\134\\999"), "\\\\999");
    }

    #[test]
    fn this_machine_is_understood() {
        let layout = Layout::detect().unwrap();
        assert!(!layout.hierarchies.is_empty() || layout.unified.is_some());
    }
}
