//! Which system calls the program may make.
//!
//! The default is Moby's profile with its conditions resolved for this machine and the container's
//! capabilities. The other architectures that Moby lets in beside the native one are left out:
//! their calls go around rules about arguments (32-bit `socketcall` reaches AF_ALG,
//! CVE-2026-31431), and programs of the host are native.

use crate::error::{Error, Result};
use serde_json::{Value, json};

const DEFAULT: &str = include_str!("../../data/seccomp/default.json");
/// The machine's architecture, as the profile's conditions name it and as its rules do.
const NATIVE: (&str, &str) = ("amd64", "SCMP_ARCH_X86_64");

/// `linux.seccomp` of the configuration, from the text of a profile, or from the default one.
pub(super) fn profile(text: Option<&str>, capabilities: &[&str]) -> Result<Value> {
    resolve(text.unwrap_or(DEFAULT), capabilities)
}

/// Whether a text is a profile.
pub fn check(text: &str) -> Result<()> {
    resolve(text, &[]).map(drop)
}

/// Turns the source form into what the runtime specification has: rules whose conditions do not
/// hold fall away.
fn resolve(text: &str, capabilities: &[&str]) -> Result<Value> {
    let invalid = |why: String| Error::invalid(format!("not a seccomp profile: {why}"));
    let mut profile: Value =
        serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let Some(fields) = profile.as_object_mut() else { return Err(invalid("no object".into())) };
    if fields.remove("archMap").is_some() {
        fields.insert("architectures".into(), json!([NATIVE.1]));
    }
    let rules = match fields.get_mut("syscalls") {
        Some(Value::Array(rules)) => rules,
        None | Some(Value::Null) => return Ok(profile),
        Some(_) => return Err(invalid("syscalls is no list".into())),
    };
    rules.retain(|rule| holds(rule, capabilities));
    for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
        rule.retain(|key, _| !matches!(key.as_str(), "includes" | "excludes" | "comment"));
        // The older form has one name for each rule.
        if let Some(name) = rule.remove("name") {
            rule.insert("names".into(), json!([name]));
        }
    }
    Ok(profile)
}

/// Every named capability, one of the architectures, and the kernel for `includes`; for `excludes`
/// none of them.
fn holds(rule: &Value, capabilities: &[&str]) -> bool {
    let words = |condition: &str, kind: &str| -> Vec<String> {
        let list = rule[condition][kind].as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_string)).collect()
    };
    let has = |capability: &String| capabilities.contains(&capability.as_str());
    let arches = words("includes", "arches");
    let kernel = rule["includes"]["minKernel"].as_str();
    words("includes", "caps").iter().all(has)
        && (arches.is_empty() || arches.iter().any(|arch| arch == NATIVE.0))
        && kernel.is_none_or(is_reached)
        && !words("excludes", "caps").iter().any(has)
        && !words("excludes", "arches").iter().any(|arch| arch == NATIVE.0)
}

/// Whether this kernel is at least `version` (`4.8`).
fn is_reached(version: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let parts = text.split(|c: char| !c.is_ascii_digit());
        parts.take(2).map_while(|part| part.parse().ok()).collect()
    };
    let own = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    numbers(&own) >= numbers(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(profile: &Value) -> Vec<&str> {
        let rules = profile["syscalls"].as_array().unwrap();
        let allowed = rules.iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        let names = allowed.flat_map(|rule| rule["names"].as_array().unwrap());
        names.map(|name| name.as_str().unwrap()).collect()
    }

    #[test]
    fn conditions_are_resolved() {
        let plain = resolve(DEFAULT, &["CAP_CHOWN"]).unwrap();
        assert_eq!(plain["architectures"], json!(["SCMP_ARCH_X86_64"]));
        let allowed = names(&plain);
        for name in ["read", "ptrace", "arch_prctl", "clone"] {
            assert!(allowed.contains(&name), "{name}");
        }
        for name in ["mount", "bpf", "reboot", "riscv_flush_icache", "s390_runtime_instr"] {
            assert!(!allowed.contains(&name), "{name}");
        }
        let admin = resolve(DEFAULT, &["CAP_SYS_ADMIN"]).unwrap();
        assert!(names(&admin).contains(&"mount"));
        assert!(!admin.to_string().contains("includes"));
        let read: Result<oci::runtime::Seccomp, _> = oci::json::read(plain.to_string().as_bytes());
        assert!(read.is_ok_and(|seccomp| !seccomp.syscalls.is_empty()));
    }

    #[test]
    fn kernels_are_compared_by_number() {
        assert!(is_reached("4.8") && !is_reached("999.1"));
    }
}
