//! Writing the id mappings of a new user namespace.

use crate::error::{Attempt, Error, Kind, Result};
use crate::init::Job;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::IdMapping;
use sys::{CStrings, Errno, fs, ids, process, wait};

/// Whether a mapping is what an unprivileged user may write without help: one id, its own.
pub(super) fn is_single(mappings: &[IdMapping]) -> bool {
    matches!(mappings, [IdMapping { size: 1, .. }])
}

/// Whether the caller may map any id: root usually may, in a container of an engine perhaps not.
pub(super) fn is_free() -> bool {
    const CAP_SETGID_AND_SETUID: u64 = 1 << 6 | 1 << 7;
    let all = |sets: ids::CapSets| sets.effective & CAP_SETGID_AND_SETUID == CAP_SETGID_AND_SETUID;
    ids::euid() == 0 && ids::capabilities().is_ok_and(all)
}

/// Writes the mappings for process `pid`, the first of its user namespace.
pub(super) fn write(job: &Job, pid: i32) -> Result<()> {
    let Some(linux) = &job.spec.linux else { return Ok(()) };
    let own_user = |m: &[IdMapping]| is_single(m) && m[0].host_id == ids::euid();
    let own_group = |m: &[IdMapping]| is_single(m) && m[0].host_id == ids::egid();
    if is_free() {
        write_file(job, pid, "uid_map", &linux.uid_mappings)?;
        return write_file(job, pid, "gid_map", &linux.gid_mappings);
    }
    if own_user(&linux.uid_mappings) {
        write_file(job, pid, "uid_map", &linux.uid_mappings)?;
    } else {
        ask_helper("newuidmap", "/etc/subuid", pid, &linux.uid_mappings)?;
    }
    if own_group(&linux.gid_mappings) {
        // The kernel's condition for an unprivileged mapping (CVE-2014-8989).
        job.proc.write(&format!("{pid}/setgroups"), "deny")?;
        write_file(job, pid, "gid_map", &linux.gid_mappings)
    } else {
        ask_helper("newgidmap", "/etc/subgid", pid, &linux.gid_mappings)
    }
}

fn write_file(job: &Job, pid: i32, file: &str, mappings: &[IdMapping]) -> Result<()> {
    job.proc.write(&format!("{pid}/{file}"), &text(mappings)).map_err(|error| {
        let error = error.context(format!("linux.{}Mappings", &file[..3]));
        match error.errno() {
            Some(Errno::EPERM) => error.with_hint("the host ids must be the caller's to give away"),
            Some(Errno::EINVAL) => error.with_hint("ranges must not overlap"),
            _ => error,
        }
    })
}

pub(super) fn text(mappings: &[IdMapping]) -> String {
    let line = |m: &IdMapping| format!("{} {} {}\n", m.container_id, m.host_id, m.size);
    mappings.iter().map(line).collect()
}

/// Runs `newuidmap` or `newgidmap`, which may give away the ranges that the administrator has
/// set aside for the user.
fn ask_helper(program: &str, table: &str, pid: i32, mappings: &[IdMapping]) -> Result<()> {
    let mut args: Vec<String> = alloc::vec![String::from(program), format!("{pid}")];
    for m in mappings {
        args.extend([m.container_id, m.host_id, m.size].map(|number| format!("{number}")));
    }
    let path = ["/usr/bin", "/bin", "/usr/local/bin"]
        .iter()
        .map(|dir| format!("{dir}/{program}"))
        .find(|path| fs::exists(sys::CWD, path))
        .ok_or_else(|| {
            Error::new(Kind::Unsupported, format!("mapping several ids needs {program}"))
                .with_hint("install the package uidmap (shadow-utils), or map one id only")
        })?;
    let failed = |errno| Error::os(format!("running {program}"), errno);
    let args = CStrings::new(&args).map_err(failed)?;
    let env = CStrings::new::<&str>(&[]).map_err(failed)?;
    let Some(child) = process::fork_plain().map_err(failed)? else {
        process::exec(&path, &args, &env);
        process::exit(127)
    };
    match wait::child(child.pid, true).attempt(|| format!("waiting for {program}"))? {
        Some((_, wait::Exit::Code(0))) => Ok(()),
        _ => Err(Error::new(Kind::Denied, format!("{program} refused the mapping"))
            .with_hint(format!("the caller needs a range in {table} that holds the host ids"))),
    }
}
