//! What a profile means, without regard to cost: every rule is looked at for every system call.

use super::machine::Data;
use crate::seccomp::arch::{self, X32_BIT, audit_arch};
use crate::seccomp::tables::{Name, number_of};
use oci::runtime::{Action, Arch, ArgRule, Operator, Seccomp, SyscallRule};
use std::cmp::Reverse;

pub(super) const KILL: u32 = 0;
pub(super) const NOT_IMPLEMENTED: u32 = 0x0005_0000 | 38;

/// The return value of the filter.
pub(super) fn decide(profile: &Seccomp, native: Arch, data: &Data) -> u32 {
    if newer_than_profile(profile, native, data) {
        return NOT_IMPLEMENTED;
    }
    let default = value(profile.default_action, profile.default_errno_ret);
    let Some(arch) = abi_of(profile, native, data) else {
        let skipped = data.number == u32::MAX && data.arch == audit_arch(Arch::X86_64);
        return if skipped && included(profile, native, Arch::X86_64) { default } else { KILL };
    };
    let clauses = clauses(profile, arch, data.number);
    if let Some((_, action)) = clauses.iter().find(|(conditions, _)| conditions.is_empty()) {
        return *action;
    }
    let matching = clauses.iter().filter(|(all, _)| all.iter().all(|one| one.holds(data)));
    // `min_by_key` takes the first of equal ones.
    matching.min_by_key(|(all, _)| rank(all)).map_or(default, |(_, action)| *action)
}

/// runc's stub in front of libseccomp's filter.
pub(super) fn newer_than_profile(profile: &Seccomp, native: Arch, data: &Data) -> bool {
    if matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace) {
        return false;
    }
    let mut abis = Arch::ALL.iter().map(|(_, arch)| *arch).filter(|&arch| {
        audit_arch(arch) == data.arch && included(profile, native, arch) && arch::abi(arch).is_some()
    });
    let is_x32 = data.arch == audit_arch(Arch::X86_64) && data.number & X32_BIT != 0;
    let Some(arch) = abis.find(|&arch| (arch == Arch::X32) == is_x32) else { return false };
    let last = profile.syscalls.iter().flat_map(|rule| &rule.names).filter_map(|name| {
        let multiplexed = arch == Arch::X86 && Name::find(name)?.multiplexed().is_some();
        if multiplexed { None } else { number(name, arch) }
    });
    last.max().is_some_and(|last| last != 0 && data.number > last)
}

pub(super) fn included(profile: &Seccomp, native: Arch, arch: Arch) -> bool {
    arch == native || profile.architectures.contains(&arch)
}

pub(super) fn number(name: &str, arch: Arch) -> Option<u32> {
    let abi = arch::abi(arch)?;
    Some(number_of(Name::find(name)?.slot(abi.column)?) | abi.bit)
}

pub(super) fn value(action: Action, errno: Option<u32>) -> u32 {
    let low = errno.unwrap_or(1) & 0xffff;
    match action {
        Action::Kill | Action::KillThread => 0,
        Action::KillProcess => 0x8000_0000,
        Action::Trap => 0x0003_0000,
        Action::Errno => 0x0005_0000 | low,
        Action::Trace => 0x7ff0_0000 | low,
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
        Action::Notify => 0x7fc0_0000,
    }
}

fn abi_of(profile: &Seccomp, native: Arch, data: &Data) -> Option<Arch> {
    Arch::ALL.iter().map(|(_, arch)| *arch).find(|&arch| {
        let same = match arch {
            Arch::X86_64 => data.number < X32_BIT,
            Arch::X32 => data.number >= X32_BIT,
            _ => true,
        };
        same && audit_arch(arch) == data.arch
            && included(profile, native, arch)
            && arch::abi(arch).is_some()
    })
}

/// One condition, cut to the words of the ABI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition {
    pub(super) index: usize,
    pub(super) op: Operator,
    word: u64,
    mask: u64,
    pub(super) value: u64,
}

impl Condition {
    fn new(arg: &ArgRule, wide: bool) -> Self {
        let word = if wide { u64::MAX } else { u32::MAX.into() };
        let masked = arg.op == Operator::MaskedEqual;
        let (mask, value) = if masked { (arg.value, arg.value_two) } else { (word, arg.value) };
        let mask = mask & word;
        Self { index: arg.index as usize, op: arg.op, word, mask, value: value & mask }
    }

    fn holds(&self, data: &Data) -> bool {
        let found = data.args[self.index] & self.word;
        match self.op {
            Operator::NotEqual => found != self.value,
            Operator::Less => found < self.value,
            Operator::LessOrEqual => found <= self.value,
            Operator::Equal => found == self.value,
            Operator::GreaterOrEqual => found >= self.value,
            Operator::Greater => found > self.value,
            Operator::MaskedEqual => found & self.mask == self.value,
        }
    }
}

/// Lower is tried first. A list that another one starts with comes before that one.
fn rank(conditions: &[Condition]) -> Vec<(Reverse<usize>, u8, u64)> {
    let key = |one: &Condition| match one.op {
        Operator::Equal | Operator::NotEqual | Operator::MaskedEqual => (0, u64::MAX - one.value),
        Operator::Less | Operator::LessOrEqual => (1, one.value),
        Operator::Greater | Operator::GreaterOrEqual => (2, u64::MAX - one.value),
    };
    conditions.iter().map(|one| (Reverse(one.index), key(one).0, key(one).1)).collect()
}

/// The alternatives for one system call, in the order of the profile.
pub(super) fn clauses(
    profile: &Seccomp,
    arch: Arch,
    number: u32,
) -> Vec<(Vec<Condition>, u32)> {
    let default = value(profile.default_action, profile.default_errno_ret);
    let wide = matches!(arch, Arch::X86_64 | Arch::Aarch64);
    let mut list = Vec::new();
    for rule in &profile.syscalls {
        let action = value(rule.action, rule.errno_ret);
        if action == default {
            continue;
        }
        for name in &rule.names {
            let multiplexed = Name::find(name).and_then(Name::multiplexed);
            if let Some(multiplexed) = multiplexed
                && arch == Arch::X86
                && u32::from(multiplexed.slot) == number
            {
                for mut args in alternatives(rule) {
                    args.retain(|arg| arg.index != 0);
                    args.insert(0, ArgRule { value: multiplexed.call.into(), ..ArgRule::default() });
                    list.push((conditions(&args, wide), action));
                }
            }
            if self::number(name, arch) == Some(number) {
                list.extend(alternatives(rule).iter().map(|args| (conditions(args, wide), action)));
            }
        }
    }
    list
}

fn conditions(args: &[ArgRule], wide: bool) -> Vec<Condition> {
    let mut list: Vec<_> = args.iter().map(|arg| Condition::new(arg, wide)).collect();
    list.retain(|one| one.mask != 0);
    list.sort_by_key(|one| one.index);
    list
}

/// The conjunctions that a rule stands for.
pub(super) fn alternatives(rule: &SyscallRule) -> Vec<Vec<ArgRule>> {
    let repeated = (0..6).any(|index| rule.args.iter().filter(|a| a.index == index).count() > 1);
    if repeated { rule.args.iter().map(|arg| vec![arg.clone()]).collect() } else { vec![rule.args.clone()] }
}
