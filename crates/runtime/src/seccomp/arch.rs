//! What the kernel and this compiler know about each architecture of the specification.

use super::tables::Column;
use oci::runtime::Arch;

/// The architecture this program runs on, whose system calls every filter covers.
pub const NATIVE: Arch = if cfg!(target_arch = "x86_64") {
    Arch::X86_64
} else if cfg!(target_arch = "aarch64") {
    Arch::Aarch64
} else if cfg!(target_arch = "x86") {
    Arch::X86
} else if cfg!(target_arch = "arm") {
    Arch::Arm
} else if cfg!(target_arch = "riscv64") {
    Arch::Riscv64
} else if cfg!(target_arch = "loongarch64") {
    Arch::Loongarch64
} else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
    Arch::Ppc64Le
} else {
    Arch::S390X
};

/// x32 is x86-64 with this bit set in the system call number.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// How system calls of one architecture look in `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abi {
    pub(super) column: Column,
    /// Compare 64 bits of an argument. 32-bit ABIs (x32 included, as in libseccomp) compare the
    /// low word, so that -1 in a profile matches the zero-extended -1 of a 32-bit program.
    pub(super) wide: bool,
    /// Set in every number of this ABI.
    pub(super) bit: u32,
    /// Has socketcall(2) and ipc(2).
    pub(super) multiplexes: bool,
}

/// The ABI of an architecture whose system call table is built in.
pub(super) fn abi(arch: Arch) -> Option<Abi> {
    let (column, wide) = match arch {
        Arch::X86_64 => (Column::X86_64, true),
        Arch::X86 => (Column::X86, false),
        Arch::X32 => (Column::X32, false),
        Arch::Arm => (Column::Arm, false),
        Arch::Aarch64 => (Column::Aarch64, true),
        _ => return None,
    };
    let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
    Some(Abi { column, wide, bit, multiplexes: arch == Arch::X86 })
}

/// The value of `seccomp_data.arch` (linux/audit.h). x32 has that of x86-64.
pub fn audit_arch(arch: Arch) -> u32 {
    const WIDE: u32 = 0x8000_0000;
    const LITTLE_ENDIAN: u32 = 0x4000_0000;
    const N32: u32 = 0x2000_0000;
    // The low half is the ELF machine number (linux/elf-em.h).
    match arch {
        Arch::X86 => 3 | LITTLE_ENDIAN,
        Arch::X86_64 | Arch::X32 => 62 | WIDE | LITTLE_ENDIAN,
        Arch::Arm => 40 | LITTLE_ENDIAN,
        Arch::Aarch64 => 183 | WIDE | LITTLE_ENDIAN,
        Arch::Mips => 8,
        Arch::Mips64 => 8 | WIDE,
        Arch::Mips64N32 => 8 | WIDE | N32,
        Arch::Mipsel => 8 | LITTLE_ENDIAN,
        Arch::Mipsel64 => 8 | WIDE | LITTLE_ENDIAN,
        Arch::Mipsel64N32 => 8 | WIDE | N32 | LITTLE_ENDIAN,
        Arch::Ppc => 20,
        Arch::Ppc64 => 21 | WIDE,
        Arch::Ppc64Le => 21 | WIDE | LITTLE_ENDIAN,
        Arch::S390 => 22,
        Arch::S390X => 22 | WIDE,
        Arch::Parisc => 15,
        Arch::Parisc64 => 15 | WIDE,
        Arch::Riscv64 => 243 | WIDE | LITTLE_ENDIAN,
        Arch::Loongarch64 => 258 | WIDE | LITTLE_ENDIAN,
        Arch::M68k => 4,
        Arch::Sh => 42 | LITTLE_ENDIAN,
        Arch::Sheb => 42,
    }
}
