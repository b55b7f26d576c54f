//! Volumes with a file system of their own: `volume create --opt type=...,device=...,o=...`, as docker's driver `local`
//! has them.
//!
//! Each container that runs mounts it in its supervisor's mount namespace, so that none stays mounted when nobody needs
//! it. What is on a disk or in a network is the same for all of them; memory is shared with the container that has it
//! already, and goes with the last one.

use crate::error::{During, Error, Kind, Result};
use crate::files;
use crate::place::{self, Engine};
use crate::volumes::Volume;
use oci::Map;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::fs::Lock;
use sys::mount::{
    self, MS_BIND, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC,
    MS_RELATIME, MS_REMOUNT, MS_STRICTATIME, MS_SYNCHRONOUS,
};
use sys::{CWD, Errno, Fd, fs};

/// Which containers have mounted a volume of memory: `PID START BOOT PATH`, a line each.
pub(crate) const MOUNTED: &str = "mounted";
/// `mount(2)` takes one page.
const DATA_LIMIT_BYTES: usize = 4095;

/// Options that are flags.
const FLAGS: [(&str, u32); 9] = [
    ("ro", MS_RDONLY),
    ("nosuid", MS_NOSUID),
    ("nodev", MS_NODEV),
    ("noexec", MS_NOEXEC),
    ("noatime", MS_NOATIME),
    ("nodiratime", MS_NODIRATIME),
    ("relatime", MS_RELATIME),
    ("strictatime", MS_STRICTATIME),
    ("sync", MS_SYNCHRONOUS),
];
/// Options that are what is so anyway, or are said to programs that are not asked here.
const IGNORED: [&str; 11] = [
    "rw", "suid", "dev", "exec", "defaults", "async", "auto", "noauto", "nofail", "_netdev", "bind",
];

/// What options come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    kind: String,
    device: String,
    flags: u32,
    data: Vec<String>,
}

/// Whether a volume can be made with these options.
pub(crate) fn check(options: &Map) -> Result<()> {
    if options.is_empty() { Ok(()) } else { read(options).map(drop) }
}

fn read(options: &Map) -> Result<Wanted> {
    const HINT: &str =
        "write --opt type=tmpfs|nfs|none|..., --opt device=DEVICE, --opt o=OPTION,...";
    let bad = |why: String| Error::invalid(why).with_hint(HINT);
    let mut wanted = Wanted::default();
    let mut is_bind = false;
    for (key, value) in options.iter() {
        match key.as_str() {
            "type" => wanted.kind.clone_from(value),
            "device" => wanted.device.clone_from(value),
            "o" => {
                for option in value.split(',').map(str::trim).filter(|it| !it.is_empty()) {
                    let flag = FLAGS.iter().find(|(name, _)| *name == option);
                    is_bind |= matches!(option, "bind" | "rbind");
                    match flag {
                        Some((_, flag)) => wanted.flags |= flag,
                        None if option == "rbind" => wanted.flags |= MS_REC,
                        None if IGNORED.contains(&option) => {}
                        None => wanted.data.push(option.to_owned()),
                    }
                }
            }
            "size" => {
                return Err(bad("size: a directory has no limit of its own".into())
                    .with_hint("--opt type=tmpfs --opt o=size=64m is limited"));
            }
            other => return Err(bad(format!("invalid option: {other:?}"))),
        }
    }
    if is_bind || wanted.kind == "bind" {
        wanted.kind = "none".into();
        wanted.flags |= MS_BIND;
    }
    if wanted.kind.is_empty() || wanted.kind == "none" && wanted.flags & MS_BIND == 0 {
        return Err(bad("missing required option: \"type\", or o=bind".into()));
    }
    if wanted.device.is_empty() {
        if wanted.kind != "tmpfs" {
            return Err(bad("missing required option: \"device\"".into()));
        }
        wanted.device = "tmpfs".into();
    }
    if wanted.flags & MS_BIND != 0 && !wanted.device.starts_with('/') {
        return Err(bad(format!("device {:?}: what is bound is an absolute path", wanted.device)));
    }
    if matches!(wanted.kind.as_str(), "nfs" | "nfs4") {
        network_address(&mut wanted)?;
    }
    match wanted.data.join(",").len() > DATA_LIMIT_BYTES {
        true => Err(bad("o: the options are too long for the kernel".into())),
        false => Ok(wanted),
    }
}

/// The kernel's NFS wants to know the server's address; names are looked up by nobody here.
fn network_address(wanted: &mut Wanted) -> Result<()> {
    let named = wanted.data.iter().find_map(|it| it.strip_prefix("addr=").map(str::to_owned));
    let host =
        || wanted.device.split_once(":/").map(|(host, _)| host.trim_matches(['[', ']']).to_owned());
    let address = named.clone().or_else(host).unwrap_or_default();
    if address.parse::<std::net::IpAddr>().is_err() {
        return Err(Error::invalid(format!("o=addr={address}: it is no address of a server"))
            .with_hint("write o=addr=ADDRESS, and device=:/PATH"));
    }
    if named.is_none() {
        wanted.data.push(format!("addr={address}"));
    }
    Ok(())
}

/// Whether a volume is memory, which is there only as long as somebody has it mounted.
pub(crate) fn is_memory(volume: &Volume) -> bool {
    !volume.options.is_empty() && read(&volume.options).is_ok_and(|it| it.kind == "tmpfs")
}

/// A process that has a volume of memory mounted.
pub(crate) fn holder(engine: &Engine, volume: &Volume) -> Result<Option<i32>> {
    if !is_memory(volume) {
        return Ok(None);
    }
    let known = files::read_bytes(&engine.open_volume(&volume.name)?, MOUNTED)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&known);
    let holder = text.lines().find(|line| lives(line));
    Ok(holder.and_then(|line| line.split(' ').next()?.parse().ok()))
}

/// Mounts a volume's file system.
pub(crate) fn mount(engine: &Engine, volume: &Volume, place: &Path) -> Result<()> {
    let attempt = format!("volume {}", volume.name);
    let wanted = read(&volume.options).map_err(|error| error.during(&attempt))?;
    match wanted.kind.as_str() {
        "tmpfs" => memory(engine, volume, &wanted, place),
        _ => anew(&wanted, place),
    }
    .map_err(|error| error.during(&attempt))
}

fn anew(wanted: &Wanted, place: &Path) -> Result<()> {
    let Wanted { kind, device, flags, data } = wanted;
    let target = place.as_os_str().as_bytes();
    let failed = |errno: Errno| {
        let error = Error::os(format!("mounting {device} ({kind})"), errno);
        match errno {
            Errno::ENODEV => {
                error.with_hint(format!("the kernel has no file system {kind}: `modprobe {kind}`"))
            }
            Errno::EPERM => {
                error.with_hint("an ordinary user may mount tmpfs, and bind directories")
            }
            Errno::EINVAL => error.with_hint(
                "the file system does not know an option, or the device has another one",
            ),
            _ => error,
        }
    };
    if flags & MS_BIND == 0 {
        return mount::mount(device, target, kind, *flags, data.join(",")).map_err(failed);
    }
    mount::mount(device, target, "", flags & (MS_BIND | MS_REC), "").map_err(failed)?;
    match flags & !(MS_BIND | MS_REC) {
        0 => Ok(()),
        flags => mount::mount("", target, "", flags | MS_BIND | MS_REMOUNT, "").map_err(failed),
    }
}

/// Memory that another container has, or new one.
fn memory(engine: &Engine, volume: &Volume, wanted: &Wanted, place: &Path) -> Result<()> {
    let dir = engine.open_volume(&volume.name)?;
    // Of two that begin at once the second one finds the first.
    fs::lock(&dir, Lock::Exclusive).during(|| "locking the volume")?;
    let known = files::read_bytes(&dir, MOUNTED)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&known);
    let users: Vec<&str> = text.lines().filter(|line| lives(line)).collect();
    let shared = users.iter().find_map(|line| {
        let mut words = line.splitn(4, ' ');
        let pid: i32 = words.next()?.parse().ok()?;
        let path = words.nth(2)?;
        tree_of(pid, path).ok()
    });
    match shared {
        Some(tree) => {
            let target = fs::open_at(CWD, place.as_os_str().as_bytes(), fs::O_PATH, 0);
            let target = target.during(|| "opening a place for the volume")?;
            mount::attach(&tree, target).during(|| "mounting what another container has")?;
        }
        None => anew(wanted, place)?,
    }
    let pid = sys::process::id();
    let start = runtime::procfs::process_stat(pid).map_or(0, |stat| stat.start_ticks);
    let own = format!("{pid} {start} {} {}", place::boot(), place.display());
    let lines: String =
        users.iter().copied().chain([own.as_str()]).map(|line| format!("{line}\n")).collect();
    files::write_bytes(&dir, MOUNTED, lines.as_bytes(), false)
}

/// Whether the process of a line is there still.
fn lives(line: &str) -> bool {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let [pid, start, boot, _] = words[..] else { return false };
    let Ok(pid) = pid.parse::<i32>() else { return false };
    let stat = runtime::procfs::process_stat(pid);
    boot == place::boot()
        && stat.is_some_and(|it| it.start_ticks.to_string() == start && !it.is_dead())
}

/// A copy of a mount of another supervisor's.
fn tree_of(pid: i32, path: &str) -> Result<Fd> {
    let namespace =
        fs::open_read(format!("/proc/{pid}/ns/mnt")).during(|| "opening a mount namespace")?;
    in_mounts_of(&namespace, || mount::clone_tree(CWD, path, false))?.during(|| "copying a mount")
}

/// Does something in another mount namespace, and comes back.
pub(super) fn in_mounts_of<T>(namespace: &Fd, call: impl FnOnce() -> T) -> Result<T> {
    const WHAT: &str = "entering a mount namespace";
    let own = fs::open_read("/proc/self/ns/mnt").during(|| WHAT)?;
    sys::process::set_namespace(namespace, sys::process::CLONE_NEWNS).during(|| WHAT)?;
    let result = call();
    match sys::process::set_namespace(&own, sys::process::CLONE_NEWNS) {
        Ok(()) => Ok(result),
        // Nothing that follows would be where it seems to be.
        Err(errno) => Err(Error::new(Kind::Os, format!("{WHAT}: {errno}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(&str, &str)]) -> Result<Wanted> {
        let mut map = Map::default();
        options.iter().for_each(|(key, value)| map.insert((*key).into(), (*value).into()));
        read(&map)
    }

    #[test]
    fn options_are_read_as_dockers_driver_does() {
        let memory =
            of(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,uid=7,noexec")]).unwrap();
        assert_eq!((memory.flags, memory.data.join(",").as_str()), (MS_NOEXEC, "size=1m,uid=7"));
        let bound = of(&[("type", "none"), ("device", "/srv"), ("o", "bind,ro")]).unwrap();
        assert_eq!((bound.flags, bound.kind.as_str()), (MS_BIND | MS_RDONLY, "none"));
        let network =
            of(&[("type", "nfs"), ("device", ":/x"), ("o", "addr=10.0.0.1,rw,vers=4")]).unwrap();
        assert_eq!(network.data, ["addr=10.0.0.1", "vers=4"]);
        let network = of(&[("type", "nfs"), ("device", "[fd00::1]:/x")]).unwrap();
        assert_eq!(network.data, ["addr=fd00::1"]);
        for bad in [
            &[("type", "none"), ("device", "/x")][..],
            &[("device", "/x")],
            &[("type", "ext4")],
            &[("type", "tmpfs"), ("colour", "red")],
            &[("type", "nfs"), ("device", "server:/x")],
            &[("o", "bind"), ("device", "x")],
            &[("size", "1g")],
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
