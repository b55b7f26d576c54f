//! `linux.intelRdt`: the kernel's resctrl file system, which gives classes of processes their parts
//! of caches and memory bandwidth, and counts what they use.
//!
//! A class is a directory below the mount, or the mount itself (`closID` `/`); a monitoring group is
//! one below `mon_groups` of its class. A process is in one class, and its children are born there.
//! The record names both as paths, and which of them were made for the container, before they are
//! made: whoever deletes the container knows what is not somebody else's.

mod stats;
#[cfg(test)]
mod tests;

pub(crate) use stats::stats;
pub use stats::{BandwidthInfo, BandwidthUse, CacheInfo, CacheUse, RdtStats};

use crate::error::{Attempt, Error, Kind, Result};
use crate::state::Record;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::IntelRdt;
use sys::{CWD, Errno, fs};

/// The kernel makes this directory where the processor can do anything of it.
const MOUNT: &str = "/sys/fs/resctrl";
/// `RDTGROUP_SUPER_MAGIC` (include/uapi/linux/magic.h).
const MAGIC: i64 = 0x0765_5821;
const MOUNTINFO_LIMIT_BYTES: usize = 64 << 20;
/// A line for each resource, with each cache of the machine on it.
const FILE_LIMIT_BYTES: usize = 1 << 20;
const MONITORING: &str = "/mon_groups/";

/// Where resctrl is mounted.
pub(crate) fn find_mount() -> Result<String> {
    let Ok(usual) = fs::open_at(CWD, MOUNT, fs::O_PATH | fs::O_DIRECTORY, 0) else {
        let what = "linux.intelRdt: this machine has no resctrl";
        return Err(Error::new(Kind::Unsupported, what).with_hint(
            "the processor has to have RDT, and the kernel CONFIG_X86_CPU_RESCTRL and no rdt=!...",
        ));
    };
    if fs::statfs(&usual).is_ok_and(|stat| stat.f_type == MAGIC) {
        return Ok(MOUNT.into());
    }
    let mounts = fs::read_file(CWD, "/proc/self/mountinfo", MOUNTINFO_LIMIT_BYTES)
        .attempt(|| "linux.intelRdt: looking for resctrl in /proc/self/mountinfo")?;
    mount_point(&String::from_utf8_lossy(&mounts)).ok_or_else(|| {
        Error::new(Kind::Unsupported, "linux.intelRdt: resctrl is not mounted")
            .with_hint(format!("mount -t resctrl resctrl {MOUNT}"))
    })
}

/// The first mount of resctrl in the text of mountinfo.
fn mount_point(mountinfo: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?;
        kind.starts_with("resctrl ").then(|| crate::cgroup::unescape(point))
    })
}

/// Plans where the container goes, and writes it into the record. `root` is the mount.
pub(crate) fn plan(root: &str, config: &IntelRdt, record: &mut Record) -> Result<()> {
    check_machine(root, config)?;
    let name = config.clos_id.as_str();
    let class = match name {
        "" => format!("{root}/{}", record.id),
        "/" => root.into(),
        name => format!("{root}/{name}"),
    };
    let exists = fs::exists(CWD, &class);
    if !name.is_empty() && !exists && schemata(config).next().is_none() {
        let what = format!("linux.intelRdt.closID: there is no class {name:?} in {root}");
        return Err(Error::new(Kind::NotFound, what)
            .with_hint("make it, or give the schemata with which it is to be made"));
    }
    if config.enable_monitoring || config.enable_cmt || config.enable_mbm {
        record.rdt_groups.push(format!("{class}{MONITORING}{}", record.id));
    }
    if name.is_empty() && !exists {
        record.rdt_groups.push(class.clone());
    }
    record.rdt_class = class;
    Ok(())
}

/// Whether the machine can do what is asked for.
fn check_machine(root: &str, config: &IntelRdt) -> Result<()> {
    let has = |path: &str| fs::exists(CWD, format!("{root}/{path}"));
    let features = read(root, "info/L3_MON/mon_features").unwrap_or_default();
    let counts = |prefix: &str| features.lines().any(|line| line.starts_with(prefix));
    for (field, asked, there) in [
        // With code and data prioritisation (CDP) there is L3CODE and L3DATA instead.
        ("l3CacheSchema", !config.l3_cache_schema.is_empty(), has("info/L3") || has("info/L3CODE")),
        ("memBwSchema", !config.mem_bw_schema.is_empty(), has("info/MB")),
        ("enableMonitoring", config.enable_monitoring, has("mon_groups")),
        ("enableCMT", config.enable_cmt, counts("llc_occupancy")),
        ("enableMBM", config.enable_mbm, counts("mbm_")),
    ] {
        if asked && !there {
            let what = format!("linux.intelRdt.{field}: this machine cannot do it");
            return Err(Error::new(Kind::Unsupported, what)
                .with_hint(format!("{root}/info shows what it can do")));
        }
    }
    Ok(())
}

/// What is written to `schemata`, in this order and each in a call of its own: the kernel takes a
/// resource only once in a call, and what comes last holds.
fn schemata(config: &IntelRdt) -> impl Iterator<Item = String> {
    let lines = config.schemata.join("\n");
    [config.l3_cache_schema.clone(), config.mem_bw_schema.clone(), lines]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|mut text| {
            text.push('\n');
            text
        })
}

/// Makes what is planned. A class that is there already must have what the configuration says.
pub(crate) fn make(config: &IntelRdt, record: &mut Record) -> Result<()> {
    let class = record.rdt_class.clone();
    if !make_dir(&class, &class)? {
        // Somebody was faster: it is theirs to remove.
        record.rdt_groups.retain(|group| *group != class);
        if !config.clos_id.is_empty() {
            compare("l3CacheSchema", &config.l3_cache_schema, &class)?;
            compare("memBwSchema", &config.mem_bw_schema, &class)?;
        }
    }
    match monitoring_group(record) {
        Some(group) => make_dir(&class, group).map(drop),
        None => Ok(()),
    }
}

/// Makes a directory. `false`: it is there already.
fn make_dir(class: &str, path: &str) -> Result<bool> {
    match fs::mkdir(CWD, path, 0o755) {
        Ok(()) => Ok(true),
        Err(Errno::EEXIST) => Ok(false),
        Err(errno) => Err(failed(class, format!("making the resource group {path}"), errno)),
    }
}

/// Whether each cache named in `wanted` (`L3:0=7f0;1=1f`) has that value in the class.
fn compare(field: &str, wanted: &str, class: &str) -> Result<()> {
    let Some((resource, values)) = wanted.split_once(':') else { return Ok(()) };
    let text = read(class, "schemata").attempt(|| format!("reading {class}/schemata"))?;
    let current = text.lines().find_map(|line| {
        let (name, values) = line.split_once(':')?;
        (name.trim() == resource.trim()).then_some(values)
    });
    let part = |text: &'_ str| -> Option<(String, String)> {
        let (cache, value) = text.split_once('=')?;
        let plain = |number: &str| number.trim().trim_start_matches('0').to_ascii_lowercase();
        Some((plain(cache), plain(value)))
    };
    let current = current.unwrap_or_default();
    let holds = |value: &str| current.split(';').any(|other| part(other) == part(value));
    if values.split(';').all(holds) {
        return Ok(());
    }
    let current = current.trim();
    Err(Error::invalid(format!(
        "linux.intelRdt.{field}: class {class} has {resource}:{current}, not {wanted}"
    ))
    .with_hint("use another closID, or leave the field out"))
}

/// Writes the schemata, if any, to the container's class.
pub(crate) fn set(config: &IntelRdt, class: &str) -> Result<()> {
    for text in schemata(config) {
        fs::write_file(CWD, format!("{class}/schemata"), &text).map_err(|errno| {
            failed(class, format!("writing {:?} to {class}/schemata", text.trim_end()), errno)
        })?;
    }
    Ok(())
}

/// Whether the schemata of a running container can be changed.
pub(crate) fn check_update(config: &IntelRdt, record: &Record) -> Result<()> {
    if record.rdt_class.is_empty() {
        let what = "updating a non-existent Intel RDT configuration is not supported";
        return Err(Error::new(Kind::Unsupported, what)
            .with_hint("the container was made without linux.intelRdt"));
    }
    check_machine(mount_of(&record.rdt_class), config)
}

/// Puts a process into the container's class and monitoring group.
pub(crate) fn enter(record: &Record, pid: i32) -> Result<()> {
    let class = &record.rdt_class;
    // The class first: a process that changes it leaves its monitoring group.
    for group in [Some(class.as_str()), monitoring_group(record)].into_iter().flatten() {
        fs::write_file(CWD, format!("{group}/tasks"), format!("{pid}"))
            .map_err(|errno| failed(class, format!("writing {pid} to {group}/tasks"), errno))?;
    }
    Ok(())
}

/// Puts a process of `exec` where the container is. A class that its owner has removed since is no
/// error: the container is not in it either.
pub(crate) fn follow(record: &Record, pid: i32) -> Result<()> {
    if record.rdt_class.is_empty() {
        return Ok(());
    }
    match enter(record, pid) {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(()),
        result => result,
    }
}

/// What a damaged record must not make others remove: anything but the container's own groups.
pub(crate) fn check(record: &Record) -> core::result::Result<(), String> {
    let Record { id, rdt_class: class, .. } = record;
    let own_class = class.strip_suffix(id).is_some_and(|mount| mount.ends_with('/'));
    let fine = |group: &String| match group.strip_prefix(class.as_str()) {
        Some("") => own_class,
        Some(rest) => rest.strip_prefix(MONITORING) == Some(id),
        None => false,
    };
    let absolute = class.is_empty() || class.starts_with('/');
    match absolute
        && !class.split('/').any(|part| part == "..")
        && record.rdt_groups.iter().all(fine)
    {
        true => Ok(()),
        false => Err(format!("rdt_groups: are not those of class {class:?}")),
    }
}

/// Removes what was made for the container; the kernel puts what is left in it back to the class
/// above. Everything is tried, and what fails is returned.
pub(crate) fn remove(record: &Record) -> Vec<Error> {
    let remove = |group: &String| match fs::unlink(CWD, group, fs::AT_REMOVEDIR) {
        Ok(()) | Err(Errno::ENOENT) => None,
        Err(errno) => Some(Error::os(format!("removing the resource group {group}"), errno)),
    };
    record.rdt_groups.iter().filter_map(remove).collect()
}

/// The container's own monitoring group.
fn monitoring_group(record: &Record) -> Option<&str> {
    record.rdt_groups.iter().map(String::as_str).find(|group| group.contains(MONITORING))
}

/// The mount is its own first class, and has all others directly below it.
fn mount_of(class: &str) -> &str {
    match fs::exists(CWD, format!("{class}/info")) {
        true => class,
        false => class.rsplit_once('/').map_or(class, |(mount, _)| mount),
    }
}

fn read(dir: &str, file: &str) -> sys::Result<String> {
    let bytes = fs::read_file(CWD, format!("{dir}/{file}"), FILE_LIMIT_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The kernel's error number says little; it keeps a sentence beside it.
fn failed(class: &str, attempt: String, errno: Errno) -> Error {
    let error = Error::os(attempt, errno).context("linux.intelRdt");
    match read(mount_of(class), "info/last_cmd_status") {
        Ok(status) if !matches!(status.trim(), "" | "ok") => {
            error.with_hint(format!("the kernel says: {}", status.trim()))
        }
        _ => error,
    }
}
