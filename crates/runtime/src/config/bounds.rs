//! How much a configuration may hold, and what no string of it may have.
//!
//! The kernel would refuse most of this itself, but later, from inside the container, and without
//! a word about the field. What a field is called is only written out for an error.

use crate::error::{Error, Result};
use alloc::format;
use alloc::string::String;
use core::fmt::Arguments;
use oci::runtime::{Hook, Linux, Mount, Process, Spec};

/// Longest string that execve(2) takes (`MAX_ARG_STRLEN` less its end).
const ARGUMENT_LIMIT_BYTES: usize = 32 * 4096 - 1;
/// Most that execve(2) takes altogether, pointers included: three quarters of `_STK_LIM`.
const ARGUMENTS_LIMIT_BYTES: usize = 6 << 20;
/// `NGROUPS_MAX`.
const GROUPS_LIMIT: usize = 65536;
/// The kernel's default for mounts in one namespace (`fs.mount-max`).
const MOUNTS_LIMIT: usize = 100_000;
/// Each is a process to wait for; real configurations have fewer than ten.
const HOOKS_LIMIT: usize = 1000;
/// A year. What takes longer has no timeout.
const TIMEOUT_LIMIT_S: i64 = 366 * 24 * 3600;
/// `PATH_MAX` less its end.
const PATH_LIMIT_BYTES: usize = 4095;

/// Refuses a list that is too long.
pub(super) fn check_count(field: Arguments<'_>, count: usize, limit: usize) -> Result<()> {
    match count <= limit {
        true => Ok(()),
        false => Err(Error::invalid(format!("{field}: has {count} entries, at most {limit}"))),
    }
}

/// Refuses what the kernel cannot take as a string.
pub(super) fn check_text(field: Arguments<'_>, text: &str) -> Result<()> {
    match text.as_bytes().contains(&0) {
        true => Err(Error::invalid(format!("{field}: has a NUL character"))),
        false => Ok(()),
    }
}

/// Refuses what the kernel cannot take as a path.
pub(super) fn check_path(field: Arguments<'_>, path: &str) -> Result<()> {
    check_text(field, path)?;
    match path.len() <= PATH_LIMIT_BYTES {
        true => Ok(()),
        false => {
            let what = format!("{field}: is a path of more than {PATH_LIMIT_BYTES} bytes");
            Err(Error::invalid(what))
        }
    }
}

/// Everything but the process.
pub(super) fn check(spec: &Spec) -> Result<()> {
    if let Some(root) = &spec.root {
        check_path(format_args!("root.path"), &root.path)?;
    }
    check_text(format_args!("hostname"), &spec.hostname)?;
    check_text(format_args!("domainname"), &spec.domainname)?;
    check_mounts(&spec.mounts)?;
    spec.linux.as_ref().map_or(Ok(()), check_linux)
}

pub(super) fn check_mounts(mounts: &[Mount]) -> Result<()> {
    check_count(format_args!("mounts"), mounts.len(), MOUNTS_LIMIT)?;
    for (index, mount) in mounts.iter().enumerate() {
        check_path(format_args!("mounts[{index}].destination"), &mount.destination)?;
        check_path(format_args!("mounts[{index}].source"), &mount.source)?;
        check_text(format_args!("mounts[{index}].type"), &mount.kind)?;
        for option in &mount.options {
            check_text(format_args!("mounts[{index}].options"), option)?;
        }
    }
    Ok(())
}

fn check_linux(linux: &Linux) -> Result<()> {
    check_count(format_args!("linux.maskedPaths"), linux.masked_paths.len(), MOUNTS_LIMIT)?;
    check_count(format_args!("linux.readonlyPaths"), linux.readonly_paths.len(), MOUNTS_LIMIT)?;
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let path = namespace.path.as_deref().unwrap_or("");
        check_path(format_args!("linux.namespaces[{index}].path"), path)?;
    }
    for (index, device) in linux.devices.iter().enumerate() {
        check_path(format_args!("linux.devices[{index}].path"), &device.path)?;
    }
    for (name, value) in &linux.sysctl {
        check_text(format_args!("linux.sysctl: {name:?}"), name)?;
        check_text(format_args!("linux.sysctl: {name:?}"), value)?;
    }
    check_text(format_args!("linux.mountLabel"), &linux.mount_label)?;
    check_path(format_args!("linux.cgroupsPath"), &linux.cgroups_path)
}

/// The strings and lists of a process.
pub(super) fn check_process(process: &Process, field: &str) -> Result<()> {
    check_arguments(format_args!("{field}.args"), &process.args)?;
    check_arguments(format_args!("{field}.env"), &process.env)?;
    check_path(format_args!("{field}.cwd"), &process.cwd)?;
    let groups = process.user.additional_gids.len();
    check_count(format_args!("{field}.user.additionalGids"), groups, GROUPS_LIMIT)?;
    check_text(format_args!("{field}.apparmorProfile"), &process.apparmor_profile)?;
    check_text(format_args!("{field}.selinuxLabel"), &process.selinux_label)
}

fn check_arguments(field: Arguments<'_>, list: &[String]) -> Result<()> {
    let mut total: usize = 0;
    for (index, text) in list.iter().enumerate() {
        if text.len() > ARGUMENT_LIMIT_BYTES || text.as_bytes().contains(&0) {
            check_text(format_args!("{field}[{index}]"), text)?;
            let limit = ARGUMENT_LIMIT_BYTES;
            let what = format!("{field}[{index}]: has more than the {limit} bytes of one argument");
            return Err(Error::invalid(what));
        }
        total += text.len() + 1 + size_of::<usize>();
    }
    if total > ARGUMENTS_LIMIT_BYTES {
        let limit = ARGUMENTS_LIMIT_BYTES >> 20;
        let what = format!("{field}: has more than the {limit} MiB that a program can be given");
        return Err(Error::invalid(what));
    }
    Ok(())
}

/// The hooks of one kind.
pub(super) fn check_hooks(kind: &str, hooks: &[Hook]) -> Result<()> {
    check_count(format_args!("hooks.{kind}"), hooks.len(), HOOKS_LIMIT)?;
    for (index, hook) in hooks.iter().enumerate() {
        let field = format_args!("hooks.{kind}[{index}]");
        if !hook.path.starts_with('/') {
            let path = &hook.path;
            return Err(Error::invalid(format!("{field}.path: {path:?} is not absolute")));
        }
        check_path(format_args!("{field}.path"), &hook.path)?;
        check_arguments(format_args!("{field}.args"), &hook.args)?;
        check_arguments(format_args!("{field}.env"), &hook.env)?;
        match hook.timeout {
            Some(..=0) => {
                return Err(Error::invalid(format!("{field}.timeout: must be above 0 seconds")));
            }
            Some(timeout) if timeout > TIMEOUT_LIMIT_S => {
                let what = format!("{field}.timeout: {timeout} seconds are more than a year");
                return Err(Error::invalid(what)
                    .with_hint("leave it out: a hook without a timeout may take any time"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn refused(result: Result<()>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn arguments_are_bounded_as_execve_bounds_them() {
        let check = |list: &[String]| refused(check_arguments(format_args!("process.env"), list));
        assert_eq!(check(&["A=b".to_string(), String::new()]), "");
        assert_eq!(check(&["x".repeat(ARGUMENT_LIMIT_BYTES)]), "");
        assert_eq!(
            check(&["A".to_string(), "x".repeat(ARGUMENT_LIMIT_BYTES + 1)]),
            "process.env[1]: has more than the 131071 bytes of one argument"
        );
        assert_eq!(check(&["A=\0".to_string()]), "process.env[0]: has a NUL character");
        let fits = ARGUMENTS_LIMIT_BYTES / 10;
        let list: Vec<String> = (0..fits).map(|_| "x".to_string()).collect();
        assert_eq!(check(&list), "");
        let list: Vec<String> = (0..=fits).map(|_| "x".to_string()).collect();
        assert_eq!(
            check(&list),
            "process.env: has more than the 6 MiB that a program can be given"
        );
    }

    #[test]
    fn paths_are_bounded_as_the_kernel_bounds_them() {
        assert_eq!(refused(check_path(format_args!("root.path"), &"x".repeat(4095))), "");
        assert_eq!(
            refused(check_path(format_args!("root.path"), &"x".repeat(4096))),
            "root.path: is a path of more than 4095 bytes"
        );
        assert_eq!(
            refused(check_path(format_args!("root.path"), "a\0b")),
            "root.path: has a NUL character"
        );
    }

    #[test]
    fn hooks_are_bounded() {
        let hook = |timeout| Hook { path: "/x".into(), timeout, ..Hook::default() };
        let check = |hooks: &[Hook]| refused(check_hooks("poststop", hooks));
        assert_eq!(check(&[hook(None), hook(Some(1)), hook(Some(TIMEOUT_LIMIT_S))]), "");
        for (timeout, expected) in [
            (0, "hooks.poststop[0].timeout: must be above 0 seconds"),
            (i64::MIN, "hooks.poststop[0].timeout: must be above 0 seconds"),
            (
                i64::MAX,
                "hooks.poststop[0].timeout: 9223372036854775807 seconds are more than a year",
            ),
        ] {
            assert_eq!(check(&[hook(Some(timeout))]), expected);
        }
        let many: Vec<Hook> = (0..=HOOKS_LIMIT).map(|_| hook(None)).collect();
        assert_eq!(check(&many), "hooks.poststop: has 1001 entries, at most 1000");
    }
}
