//! What glibc has compiled in per architecture: directories, CPU levels and cache marks.
//!
//! A loader knows one distribution's layout; this table knows all of them, in an order in which
//! the wrong ones do not matter: a directory of another layout either does not exist or holds
//! libraries of another class, which the search skips as the loader does. Debian compiles in
//! `/lib/TRIPLET`, `/usr/lib/TRIPLET`, `/lib`, `/usr/lib`; Fedora and SUSE `/lib64`, `/usr/lib64`;
//! Arch `/usr/lib`.

use crate::elf::{Class, Elf};

/// The class and machine that a program and its libraries must share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Machine {
    class: Class,
    number: u16,
    /// 32-bit ARM has two calling conventions that do not mix.
    hard_float: bool,
}

const EM_386: u16 = 3;
const EM_PPC64: u16 = 21;
const EM_ARM: u16 = 40;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
const EM_RISCV: u16 = 243;
const EM_LOONGARCH: u16 = 258;
const EF_ARM_ABI_FLOAT_HARD: u32 = 0x400;

impl Machine {
    pub(crate) fn of(elf: &Elf) -> Self {
        let hard_float = elf.machine == EM_ARM && elf.flags & EF_ARM_ABI_FLOAT_HARD != 0;
        Self { class: elf.class, number: elf.machine, hard_float }
    }

    /// Debian's multiarch directory and the name of the `lib*` directory elsewhere.
    fn layout(self) -> (Option<&'static str>, &'static str) {
        match (self.number, self.class) {
            (EM_X86_64, Class::Elf64) => (Some("x86_64-linux-gnu"), "lib64"),
            (EM_X86_64, Class::Elf32) => (Some("x86_64-linux-gnux32"), "libx32"),
            (EM_386, _) => (Some("i386-linux-gnu"), "lib32"),
            (EM_AARCH64, Class::Elf64) => (Some("aarch64-linux-gnu"), "lib64"),
            (EM_ARM, _) if self.hard_float => (Some("arm-linux-gnueabihf"), "lib"),
            (EM_ARM, _) => (Some("arm-linux-gnueabi"), "lib"),
            (EM_RISCV, Class::Elf64) => (Some("riscv64-linux-gnu"), "lib64/lp64d"),
            (EM_PPC64, Class::Elf64) => (Some("powerpc64le-linux-gnu"), "lib64"),
            (EM_LOONGARCH, Class::Elf64) => (Some("loongarch64-linux-gnu"), "lib64"),
            (_, Class::Elf64) => (None, "lib64"),
            (_, Class::Elf32) => (None, "lib"),
        }
    }

    /// The default directories, in the loader's order.
    pub(crate) fn default_directories(self) -> Vec<String> {
        let (triplet, lib) = self.layout();
        let mut directories = Vec::new();
        for tail in triplet.map(|triplet| format!("lib/{triplet}")).as_deref().into_iter().chain([
            lib,
            lib.split('/').next().unwrap_or(lib),
            "lib",
        ]) {
            for directory in [format!("/{tail}"), format!("/usr/{tail}")] {
                if !directories.contains(&directory) {
                    directories.push(directory);
                }
            }
        }
        directories
    }

    /// What `$LIB` may stand for: Debian's, Fedora's, Arch's.
    pub(crate) fn lib_tokens(self) -> Vec<String> {
        let (triplet, lib) = self.layout();
        let triplet = triplet.map(|triplet| format!("lib/{triplet}"));
        let mut tokens: Vec<_> = triplet.into_iter().chain([lib.into(), "lib".into()]).collect();
        tokens.dedup();
        tokens
    }

    /// What `$PLATFORM` may stand for: the kernel's `AT_PLATFORM` first, then the names that glibc
    /// puts in its place on some CPUs.
    pub(crate) fn platforms(self) -> &'static [&'static str] {
        match self.number {
            EM_X86_64 => &["x86_64", "haswell", "xeon_phi"],
            EM_386 => &["i686", "i586", "haswell", "xeon_phi"],
            EM_AARCH64 => &["aarch64"],
            EM_ARM => &["v7l", "v8l", "v6l"],
            EM_PPC64 => &["power10", "power9", "power8"],
            _ => &[""],
        }
    }

    /// Subdirectories of `glibc-hwcaps`, the most demanding first.
    pub(crate) fn cpu_levels(self) -> &'static [&'static str] {
        match (self.number, self.class) {
            (EM_X86_64, Class::Elf64) => &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
            (EM_PPC64, _) => &["power10", "power9"],
            _ => &[],
        }
    }

    /// The `flags` of this machine's entries in `/etc/ld.so.cache` (glibc's `FLAG_*` in
    /// `ldconfig.h`, with `FLAG_ELF_LIBC6`), where they are known.
    pub(crate) fn cache_flags(self) -> Option<u32> {
        match (self.number, self.class) {
            (EM_X86_64, Class::Elf64) => Some(0x0303),
            (EM_X86_64, Class::Elf32) => Some(0x0803),
            (EM_386, _) => Some(0x0003),
            (EM_AARCH64, Class::Elf64) => Some(0x0a03),
            (EM_ARM, _) => Some(if self.hard_float { 0x0903 } else { 0x0b03 }),
            (EM_RISCV, Class::Elf64) => Some(0x1003),
            (EM_PPC64, Class::Elf64) => Some(0x0503),
            _ => None,
        }
    }
}
