//! v1 cpusets, which take no task before they have processors and memory nodes.

use super::plan::Directory;
use super::tree::Dir;
use super::v1;
use crate::error::{Error, Result};
use alloc::format;
use alloc::vec::Vec;
use oci::runtime::Resources;

const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A v1 cpuset takes no task while it has no cpus or no memory nodes: what the configuration does
/// not set comes from the parent, whose own come from its parent.
pub(super) fn inherit_cpuset(
    directory: &Directory,
    dir: &Dir,
    resources: &Resources,
    fresh: bool,
) -> Result<()> {
    let mut parent = Dir::open_path(directory.mount.clone())
        .map_err(|errno| Error::os(format!("opening {}", directory.mount), errno))?;
    for (at, _) in directory.path.match_indices('/') {
        let path = format!("{}/{}", directory.mount, &directory.path[..at]);
        let attempt = format!("opening cgroup {path}");
        let next = Dir::open_path(path).map_err(|errno| Error::os(attempt, errno))?;
        fill_cpuset(&parent, &next, &CPUSET)?;
        parent = next;
    }
    v1::apply(dir, directory, resources)?;
    let cpu = resources.cpu.as_ref();
    let given =
        [cpu.is_some_and(|cpu| !cpu.cpus.is_empty()), cpu.is_some_and(|cpu| !cpu.mems.is_empty())];
    let rest: Vec<_> = CPUSET.into_iter().zip(given).filter(|(_, given)| !given).collect();
    for (name, _) in rest {
        match fresh {
            true => copy_cpuset(&parent, dir, name)?,
            false => fill_cpuset(&parent, dir, &[name])?,
        }
    }
    Ok(())
}

fn fill_cpuset(parent: &Dir, dir: &Dir, names: &[&'static str]) -> Result<()> {
    for &name in names {
        if dir.read(v1::cpuset_file(dir, name))?.trim().is_empty() {
            copy_cpuset(parent, dir, name)?;
        }
    }
    Ok(())
}

fn copy_cpuset(parent: &Dir, dir: &Dir, name: &'static str) -> Result<()> {
    let file = v1::cpuset_file(dir, name);
    let value = parent.read(file)?;
    dir.write(file, value.trim_end())
}
