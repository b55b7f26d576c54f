//! `linux.seccomp`: the system call filter.

use super::{Map, State};
use crate::{document, names};
use alloc::string::String;
use alloc::vec::Vec;

document! {
    /// A filter: rules in order, and what happens to everything else.
    Seccomp {
        default_action: Action => always,
        default_errno_ret: Option<u32>,
        architectures: Vec<Arch>,
        /// Absent and empty differ: absent flags turn on `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
        flags: Option<Vec<FilterFlag>>,
        listener_path: String,
        listener_metadata: String,
        syscalls: Vec<SyscallRule>,
    }

    /// One rule: all `args` have to match for `action` to be taken.
    SyscallRule {
        names: Vec<String> => always,
        action: Action => always,
        errno_ret: Option<u32>,
        args: Vec<ArgRule>,
    }

    /// Comparison of one argument (0-5). `value_two` is the operand of `SCMP_CMP_MASKED_EQ`,
    /// where `value` is the mask.
    ArgRule {
        index: u32 => always,
        value: u64 => always,
        value_two: u64,
        op: Operator => always,
    }

    /// What a seccomp agent receives beside the listener descriptor.
    ContainerProcessState {
        oci_version: String => always,
        fds: Vec<String> => always,
        pid: i32 => always,
        metadata: String,
        state: State => always,
    }
}

names! {
    /// What happens to a system call. The default is the kernel's harmless end: kill the thread.
    Action, default Kill {
        Kill = "SCMP_ACT_KILL",
        KillProcess = "SCMP_ACT_KILL_PROCESS",
        KillThread = "SCMP_ACT_KILL_THREAD",
        Trap = "SCMP_ACT_TRAP",
        Errno = "SCMP_ACT_ERRNO",
        Trace = "SCMP_ACT_TRACE",
        Allow = "SCMP_ACT_ALLOW",
        Log = "SCMP_ACT_LOG",
        Notify = "SCMP_ACT_NOTIFY",
    }

    /// Argument comparisons.
    Operator, default Equal {
        NotEqual = "SCMP_CMP_NE",
        Less = "SCMP_CMP_LT",
        LessOrEqual = "SCMP_CMP_LE",
        Equal = "SCMP_CMP_EQ",
        GreaterOrEqual = "SCMP_CMP_GE",
        Greater = "SCMP_CMP_GT",
        MaskedEqual = "SCMP_CMP_MASKED_EQ",
    }

    /// Flags of `seccomp(2)`.
    FilterFlag, default Log {
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        Log = "SECCOMP_FILTER_FLAG_LOG",
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        WaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }

    /// System call tables.
    Arch, default X86_64 {
        X86 = "SCMP_ARCH_X86",
        X86_64 = "SCMP_ARCH_X86_64",
        X32 = "SCMP_ARCH_X32",
        Arm = "SCMP_ARCH_ARM",
        Aarch64 = "SCMP_ARCH_AARCH64",
        Mips = "SCMP_ARCH_MIPS",
        Mips64 = "SCMP_ARCH_MIPS64",
        Mips64N32 = "SCMP_ARCH_MIPS64N32",
        Mipsel = "SCMP_ARCH_MIPSEL",
        Mipsel64 = "SCMP_ARCH_MIPSEL64",
        Mipsel64N32 = "SCMP_ARCH_MIPSEL64N32",
        Ppc = "SCMP_ARCH_PPC",
        Ppc64 = "SCMP_ARCH_PPC64",
        Ppc64Le = "SCMP_ARCH_PPC64LE",
        S390 = "SCMP_ARCH_S390",
        S390X = "SCMP_ARCH_S390X",
        Parisc = "SCMP_ARCH_PARISC",
        Parisc64 = "SCMP_ARCH_PARISC64",
        Riscv64 = "SCMP_ARCH_RISCV64",
        Loongarch64 = "SCMP_ARCH_LOONGARCH64",
        M68k = "SCMP_ARCH_M68K",
        Sh = "SCMP_ARCH_SH",
        Sheb = "SCMP_ARCH_SHEB",
    }
}

/// Annotations of a container, as the state carries them.
pub type Annotations = Map;
