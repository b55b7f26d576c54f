//! The process that a container runs, and that `exec` adds.

use crate::document;
use alloc::string::String;
use alloc::vec::Vec;

document! {
    /// A process: `process` of `config.json` and the argument of `exec --process`.
    Process {
        terminal: bool,
        console_size: Option<ConsoleSize>,
        user: User => always,
        args: Vec<String>,
        command_line: String,
        env: Vec<String>,
        cwd: String => always,
        capabilities: Option<Capabilities>,
        rlimits: Vec<Rlimit>,
        no_new_privileges: bool,
        apparmor_profile: String,
        oom_score_adj: Option<i32>,
        scheduler: Option<Scheduler>,
        selinux_label: String,
        io_priority: Option<IoPriority>,
        exec_cpu_affinity as "execCPUAffinity": Option<CpuAffinity>,
    }

    /// Terminal size in characters.
    ConsoleSize {
        height: u64 => always,
        width: u64 => always,
    }

    /// Numeric identity of the process.
    User {
        uid: u32 => always,
        gid: u32 => always,
        umask: Option<u32>,
        additional_gids: Vec<u32>,
        username: String,
    }

    /// Capability sets by name (`CAP_CHOWN`).
    Capabilities {
        bounding: Vec<String>,
        effective: Vec<String>,
        inheritable: Vec<String>,
        permitted: Vec<String>,
        ambient: Vec<String>,
    }

    /// `RLIMIT_*` with its limits; the unit is the resource's.
    Rlimit {
        kind as "type": String => always,
        hard: u64 => always,
        soft: u64 => always,
    }

    /// `sched_setattr(2)`: times in nanoseconds.
    Scheduler {
        policy: String => always,
        nice: i32,
        priority: i32,
        flags: Vec<String>,
        runtime: Option<u64>,
        deadline: u64,
        period: u64,
    }

    /// `ioprio_set(2)`.
    IoPriority {
        class: String => always,
        priority: i32 => always,
    }

    /// CPU lists (`0-3,7`) of an `exec`'d process before and after it joins the cgroup.
    CpuAffinity {
        initial: String,
        final_ as "final": String,
    }
}
