//! What a container's processes may do: capabilities, system calls, paths, labels.

use super::seccomp;
use crate::error::{Error, Result};
use crate::record::Security;
pub(super) use runtime::config::CAPABILITIES as ALL;
use serde_json::Value;

/// CRI-O's nine: what ordinary programs need (docker's fourteen hold NET_RAW, MKNOD and others).
const DEFAULT: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_KILL",
];
/// What docker adds to them.
const DOCKER: [&str; 5] =
    ["CAP_AUDIT_WRITE", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SYS_CHROOT"];

/// What `--security` and `--security-opt` come to.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) capabilities: Vec<&'static str>,
    pub(super) seccomp: Option<Value>,
    pub(super) no_new_privileges: bool,
    pub(super) apparmor: Option<String>,
    pub(super) label: Option<String>,
    pub(super) masked: Vec<String>,
    pub(super) read_only: Vec<String>,
}

/// `CAP_X` of `x`, `X` or `CAP_X`; `ALL` is every one.
pub fn check_capability(name: &str) -> Result<()> {
    known(name).map(drop)
}

fn known(name: &str) -> Result<Option<&'static str>> {
    let upper = name.to_ascii_uppercase();
    if upper == "ALL" {
        return Ok(None);
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    let found = ALL.iter().find(|known| **known == full);
    found.copied().map(Some).ok_or_else(|| {
        Error::invalid(format!("unknown capability: {name:?}"))
            .with_hint("capabilities(7) lists them")
    })
}

/// Whether every `--security-opt` is one.
pub fn check_options(security: &Security) -> Result<()> {
    rules(security).map(drop)
}

/// What a container may do.
pub(super) fn rules(security: &Security) -> Result<Rules> {
    let is_open = security.privileged || security.preset == "none";
    let mut rules =
        Rules { no_new_privileges: !is_open && security.preset != "docker", ..Rules::default() };
    rules.capabilities = capabilities(security)?;
    if !is_open {
        rules.masked = runtime::verbs::masked_paths();
        rules.read_only = runtime::verbs::readonly_paths();
    }
    let mut filter = if is_open { Filter::None } else { Filter::Default };
    for option in &security.options {
        apply(option, &mut rules, &mut filter)?;
    }
    if !security.seccomp.is_empty() {
        filter = Filter::Own;
    }
    rules.seccomp = match filter {
        Filter::None => None,
        Filter::Default => Some(seccomp::profile(None, &rules.capabilities)?),
        Filter::Own => Some(seccomp::profile(Some(&security.seccomp), &rules.capabilities)?),
    };
    Ok(rules)
}

enum Filter {
    None,
    Default,
    Own,
}

fn apply(option: &str, rules: &mut Rules, filter: &mut Filter) -> Result<()> {
    // docker takes a colon, too.
    match option.split_once(['=', ':']) {
        Some(("seccomp", "unconfined")) => *filter = Filter::None,
        Some(("seccomp", "builtin" | "default")) => *filter = Filter::Default,
        // Its text is in the record.
        Some(("seccomp", path)) if !path.is_empty() => {}
        Some(("no-new-privileges", "true")) => rules.no_new_privileges = true,
        Some(("no-new-privileges", "false")) => rules.no_new_privileges = false,
        None if option == "no-new-privileges" => rules.no_new_privileges = true,
        Some(("apparmor", profile)) if !profile.is_empty() => rules.apparmor = Some(profile.into()),
        Some(("label", label)) if !label.is_empty() => label_of(label, rules),
        Some(("systempaths", "unconfined")) => unmask("ALL", rules),
        Some(("mask", paths)) if paths.starts_with('/') => {
            rules.masked.extend(paths.split(':').map(str::to_owned));
        }
        Some(("unmask", paths)) if !paths.is_empty() => {
            paths.split(':').for_each(|path| unmask(path, rules));
        }
        _ => {
            return Err(Error::invalid(format!("invalid --security-opt: {option:?}")).with_hint(
                "known are seccomp=FILE|unconfined|builtin, no-new-privileges[=true|false], apparmor=PROFILE, \
                 label=..., mask=PATH, unmask=PATH|ALL and systempaths=unconfined",
            ));
        }
    }
    Ok(())
}

fn label_of(label: &str, rules: &mut Rules) {
    // Without SELinux there is nobody who reads them.
    if label == "disable" || label == "nested" {
        rules.label = None;
    } else if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        let mut parts: Vec<String> = rules
            .label
            .take()
            .unwrap_or_else(|| "system_u:system_r:container_t:s0".into())
            .splitn(4, ':')
            .map(str::to_owned)
            .collect();
        if let Some((part, value)) = label.split_once(':') {
            let index = match part {
                "user" => 0,
                "role" => 1,
                "type" => 2,
                _ => 3,
            };
            if let Some(place) = parts.get_mut(index) {
                value.clone_into(place);
            }
        }
        rules.label = Some(parts.join(":"));
    }
}

fn unmask(path: &str, rules: &mut Rules) {
    let keeps = |known: &String| {
        let is_prefix =
            path.strip_suffix("/*").is_some_and(|dir| known.starts_with(&format!("{dir}/")));
        path != "ALL" && known != path && !is_prefix
    };
    rules.masked.retain(keeps);
    rules.read_only.retain(keeps);
}

/// Whether a container has not a capability, which is named without `CAP_`.
pub(crate) fn lacks(security: &Security, name: &str) -> bool {
    let name = format!("CAP_{name}");
    capabilities(security).is_ok_and(|all| !all.contains(&name.as_str()))
}

fn capabilities(security: &Security) -> Result<Vec<&'static str>> {
    let usual: Vec<&'static str> = match security.preset.as_str() {
        _ if security.privileged => ALL.to_vec(),
        "none" => ALL.to_vec(),
        "strict" => Vec::new(),
        "docker" => DEFAULT.iter().chain(&DOCKER).copied().collect(),
        _ if !security.usual_capabilities.is_empty() => {
            let all = security.usual_capabilities.iter().map(|name| known(name));
            all.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect()
        }
        _ => DEFAULT.to_vec(),
    };
    let read = |names: &[String]| -> Result<(bool, Vec<&'static str>)> {
        let names = names.iter().map(|name| known(name)).collect::<Result<Vec<_>>>()?;
        Ok((names.contains(&None), names.into_iter().flatten().collect()))
    };
    let (adds_all, added) = read(&security.cap_add)?;
    let (drops_all, dropped) = read(&security.cap_drop)?;
    let base: Vec<&'static str> = match (adds_all, drops_all) {
        (true, _) => ALL.to_vec(),
        (false, true) => Vec::new(),
        _ => usual,
    };
    // What is named itself counts more than ALL.
    let is_wanted = |name: &&&str| {
        let kept = base.contains(*name) && !dropped.contains(*name);
        kept || added.contains(*name) && (drops_all || !dropped.contains(*name))
    };
    Ok(ALL.iter().filter(is_wanted).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str], preset: &str) -> Vec<&'static str> {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let security = Security {
            cap_add: list(add),
            cap_drop: list(drop),
            preset: preset.into(),
            ..Security::default()
        };
        capabilities(&security).unwrap()
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        assert_eq!(of(&[], &[], "").len(), 9);
        assert_eq!(of(&[], &[], "docker").len(), 14);
        assert_eq!(of(&[], &[], "strict").len(), 0);
        assert_eq!(of(&["ALL"], &[], "").len(), 41);
        assert_eq!(of(&["all"], &["net_raw"], "").len(), 40);
        assert_eq!(of(&[], &["ALL"], ""), Vec::<&str>::new());
        assert_eq!(of(&["net_raw", "CAP_SYS_TIME"], &["ALL"], ""), ["CAP_NET_RAW", "CAP_SYS_TIME"]);
        assert!(!of(&[], &["chown"], "").contains(&"CAP_CHOWN"));
        assert!(check_capability("CAP_X").is_err());
    }

    #[test]
    fn options_choose_and_unknown_ones_are_refused() {
        let of = |options: &[&str]| {
            let options = options.iter().map(ToString::to_string).collect();
            rules(&Security { options, ..Security::default() })
        };
        assert!(of(&[]).unwrap().seccomp.is_some());
        assert!(of(&["seccomp=unconfined"]).unwrap().seccomp.is_none());
        assert!(of(&["seccomp:builtin", "no-new-privileges"]).unwrap().no_new_privileges);
        assert!(!of(&["no-new-privileges=false"]).unwrap().no_new_privileges);
        assert!(of(&["systempaths=unconfined"]).unwrap().masked.is_empty());
        assert!(
            of(&["unmask=/proc/kcore"]).unwrap().masked.len() + 1 == of(&[]).unwrap().masked.len()
        );
        for bad in ["seccomp=", "x=y", "no-new-privileges=maybe", "mask=x", ""] {
            assert!(of(&[bad]).is_err(), "{bad}");
        }
    }
}
