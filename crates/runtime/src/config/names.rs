//! The names that a configuration uses for the kernel's numbers.

use crate::error::{Error, Result};
use alloc::format;
use alloc::string::String;

/// Capabilities by number (linux/capability.h, Linux 6.18).
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Number of a capability; names are taken in either case, with or without `CAP_`.
pub fn capability_number(name: &str) -> Option<u32> {
    let (prefix, stem) = name.split_at_checked("CAP_".len()).unwrap_or(("", name));
    let stem = if prefix.eq_ignore_ascii_case("CAP_") { stem } else { name };
    let matches = |known: &&str| known["CAP_".len()..].eq_ignore_ascii_case(stem);
    CAPABILITIES.iter().position(matches).map(|index| index as u32)
}

/// Resource limits by number (asm-generic/resource.h).
const LIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// Number of a resource limit.
pub fn limit_number(name: &str) -> Option<u32> {
    LIMITS.iter().position(|known| *known == name).map(|index| index as u32)
}

fn lookup(field: &str, name: &str, table: &[(&str, u32)]) -> Result<u32> {
    table.iter().find(|(known, _)| *known == name).map(|&(_, value)| value).ok_or_else(|| {
        let mut known = String::new();
        for (index, (name, _)) in table.iter().enumerate() {
            known.push_str(if index == 0 { "" } else { ", " });
            known.push_str(name);
        }
        Error::invalid(format!("{field}: unknown value {name:?}, expected one of {known}"))
    })
}

fn combine(field: &str, names: &[String], table: &[(&str, u32)]) -> Result<u32> {
    names.iter().try_fold(0, |flags, name| Ok(flags | lookup(field, name, table)?))
}

/// Value of `process.scheduler.policy` (linux/sched.h).
pub fn scheduler_policy(name: &str) -> Result<u32> {
    const TABLE: [(&str, u32); 7] = [
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    lookup("process.scheduler.policy", name, &TABLE)
}

/// Value of `process.scheduler.flags`.
pub fn scheduler_flags(names: &[String]) -> Result<u32> {
    const TABLE: [(&str, u32); 7] = [
        ("SCHED_FLAG_RESET_ON_FORK", 0x01),
        ("SCHED_FLAG_RECLAIM", 0x02),
        ("SCHED_FLAG_DL_OVERRUN", 0x04),
        ("SCHED_FLAG_KEEP_POLICY", 0x08),
        ("SCHED_FLAG_KEEP_PARAMS", 0x10),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
    ];
    combine("process.scheduler.flags", names, &TABLE)
}

/// Value of `process.ioPriority.class` (linux/ioprio.h).
pub fn io_class(name: &str) -> Result<u32> {
    const TABLE: [(&str, u32); 3] =
        [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
    lookup("process.ioPriority.class", name, &TABLE)
}

/// Value of `linux.memoryPolicy.mode` (linux/mempolicy.h).
pub fn memory_mode(name: &str) -> Result<u32> {
    const TABLE: [(&str, u32); 7] = [
        ("MPOL_DEFAULT", 0),
        ("MPOL_PREFERRED", 1),
        ("MPOL_BIND", 2),
        ("MPOL_INTERLEAVE", 3),
        ("MPOL_LOCAL", 4),
        ("MPOL_PREFERRED_MANY", 5),
        ("MPOL_WEIGHTED_INTERLEAVE", 6),
    ];
    lookup("linux.memoryPolicy.mode", name, &TABLE)
}

/// Value of `linux.memoryPolicy.flags`.
pub fn memory_policy_flags(names: &[String]) -> Result<u32> {
    const TABLE: [(&str, u32); 3] = [
        ("MPOL_F_NUMA_BALANCING", 1 << 13),
        ("MPOL_F_RELATIVE_NODES", 1 << 14),
        ("MPOL_F_STATIC_NODES", 1 << 15),
    ];
    combine("linux.memoryPolicy.flags", names, &TABLE)
}

/// Value of `linux.personality` (linux/personality.h).
pub fn personality_value(personality: &oci::runtime::Personality) -> Result<u32> {
    if let Some(flag) = personality.flags.first() {
        let what = "the specification defines no personality flag yet";
        return Err(Error::invalid(format!("linux.personality.flags: {flag:?}: {what}")));
    }
    const TABLE: [(&str, u32); 2] = [("LINUX", 0), ("LINUX32", 8)];
    lookup("linux.personality.domain", &personality.domain, &TABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_found_by_every_spelling() {
        for name in ["CAP_CHOWN", "cap_chown", "chown", "CHOWN"] {
            assert_eq!(capability_number(name), Some(0), "{name}");
        }
        assert_eq!(capability_number("CAP_CHECKPOINT_RESTORE"), Some(40));
        for name in ["", "CAP_", "CAP_CAP_CHOWN", "all"] {
            assert_eq!(capability_number(name), None, "{name}");
        }
    }

    #[test]
    fn unknown_names_say_what_is_known() {
        assert_eq!(
            io_class("RT").unwrap_err().to_string(),
            "process.ioPriority.class: unknown value \"RT\", expected one of IOPRIO_CLASS_RT, \
             IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE"
        );
    }
}
