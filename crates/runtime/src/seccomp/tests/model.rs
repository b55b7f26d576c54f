//! What a profile means, without regard to cost: every rule is looked at for every system call.

use super::machine::Data;
use crate::seccomp::arch::{self, X32_BIT, audit_arch};
use crate::seccomp::tables::{Name, number_of};
use oci::runtime::{Action, Arch, ArgRule, Operator, Seccomp, SyscallRule};
use std::cmp::Reverse;
use std::collections::BTreeMap;

pub(super) const KILL: u32 = 0;
pub(super) const NOT_IMPLEMENTED: u32 = 0x0005_0000 | 38;

/// A conjunction and its action.
type Clause = (Vec<Condition>, u32);

/// A profile on an x86-64 machine.
pub(super) struct Model {
    default: u32,
    included: Vec<Arch>,
    /// The largest number that the profile names. Empty if newer ones are no special case.
    last: BTreeMap<Arch, u32>,
    /// The alternatives for a call, in the order of the profile.
    clauses: BTreeMap<(Arch, u32), Vec<Clause>>,
}

impl Model {
    pub(super) fn new(profile: &Seccomp) -> Self {
        let mut included = profile.architectures.clone();
        included.push(Arch::X86_64);
        included.retain(|&arch| arch::abi(arch).is_some());
        let mut model = Self {
            default: value(profile.default_action, profile.default_errno_ret),
            included,
            last: BTreeMap::new(),
            clauses: BTreeMap::new(),
        };
        for rule in &profile.syscalls {
            for name in &rule.names {
                for arch in model.included.clone() {
                    model.add(rule, name, arch);
                }
            }
        }
        if matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace) {
            model.last.clear();
        }
        model
    }

    fn add(&mut self, rule: &SyscallRule, name: &str, arch: Arch) {
        let Some(name) = Name::find(name) else { return };
        let action = value(rule.action, rule.errno_ret);
        let wide = matches!(arch, Arch::X86_64 | Arch::Aarch64);
        let mut push = |number, args: &[ArgRule]| {
            if action != self.default {
                let clause = (conditions(args, wide), action);
                self.clauses.entry((arch, number)).or_default().push(clause);
            }
        };
        let multiplexed = name.multiplexed().filter(|_| arch == Arch::X86);
        if let Some(multiplexed) = multiplexed {
            for mut args in alternatives(rule) {
                args.retain(|arg| arg.index != 0);
                args.push(ArgRule { value: multiplexed.call.into(), ..ArgRule::default() });
                push(multiplexed.slot.into(), &args);
            }
        }
        let Some(number) = number(name, arch) else { return };
        for args in alternatives(rule) {
            push(number, &args);
        }
        if multiplexed.is_none() && number != 0 {
            let last = self.last.entry(arch).or_default();
            *last = number.max(*last);
        }
    }

    /// The return value of the filter.
    pub(super) fn decide(&self, data: &Data) -> u32 {
        if self.is_newer(data) {
            return NOT_IMPLEMENTED;
        }
        let Some(arch) = self.abi_of(data) else {
            let skipped = data.number == u32::MAX && data.arch == audit_arch(Arch::X86_64);
            return if skipped { self.default } else { KILL };
        };
        let Some(clauses) = self.clauses.get(&(arch, data.number)) else { return self.default };
        if let Some((_, action)) = clauses.iter().find(|(conditions, _)| conditions.is_empty()) {
            return *action;
        }
        let matching = clauses.iter().filter(|(all, _)| all.iter().all(|one| one.holds(data)));
        // `min_by_key` takes the first of equal ones.
        matching.min_by_key(|(all, _)| rank(all)).map_or(self.default, |(_, action)| *action)
    }

    /// runc's stub, which stands in front of libseccomp's filter.
    pub(super) fn is_newer(&self, data: &Data) -> bool {
        self.last.iter().any(|(&arch, &last)| {
            let x32 = data.arch == audit_arch(Arch::X86_64) && data.number & X32_BIT != 0;
            audit_arch(arch) == data.arch && (arch == Arch::X32) == x32 && data.number > last
        })
    }

    fn abi_of(&self, data: &Data) -> Option<Arch> {
        self.included.iter().copied().find(|&arch| {
            audit_arch(arch) == data.arch
                && match arch {
                    Arch::X86_64 => data.number < X32_BIT,
                    Arch::X32 => data.number >= X32_BIT,
                    _ => true,
                }
        })
    }

    /// Argument numbers and values that decide about a call.
    pub(super) fn compared(&self, data: &Data) -> Vec<(usize, u64)> {
        let Some(arch) = self.abi_of(data) else { return Vec::new() };
        let Some(clauses) = self.clauses.get(&(arch, data.number)) else { return Vec::new() };
        if self.is_newer(data) || clauses.iter().any(|(all, _)| all.is_empty()) {
            return Vec::new();
        }
        clauses.iter().flat_map(|(all, _)| all).map(|one| (one.index, one.value)).collect()
    }
}

pub(super) fn number(name: Name, arch: Arch) -> Option<u32> {
    let abi = arch::abi(arch)?;
    Some(number_of(name.slot(abi.column)?) | abi.bit)
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

/// One condition, cut to the words of the ABI.
#[derive(Clone, Copy, Debug)]
struct Condition {
    index: usize,
    op: Operator,
    word: u64,
    mask: u64,
    value: u64,
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
        compare(self.op, data.args[self.index] & self.word, self.mask, self.value)
    }
}

pub(super) fn compare(op: Operator, found: u64, mask: u64, value: u64) -> bool {
    match op {
        Operator::NotEqual => found != value,
        Operator::Less => found < value,
        Operator::LessOrEqual => found <= value,
        Operator::Equal => found == value,
        Operator::GreaterOrEqual => found >= value,
        Operator::Greater => found > value,
        Operator::MaskedEqual => found & mask == value,
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

fn conditions(args: &[ArgRule], wide: bool) -> Vec<Condition> {
    let mut list: Vec<_> = args.iter().map(|arg| Condition::new(arg, wide)).collect();
    list.retain(|one| one.mask != 0);
    list.sort_by_key(|one| one.index);
    list
}

/// The conjunctions that a rule stands for.
pub(super) fn alternatives(rule: &SyscallRule) -> Vec<Vec<ArgRule>> {
    let count = |index| rule.args.iter().filter(|arg| arg.index == index).count();
    if (0..6).any(|index| count(index) > 1) {
        rule.args.iter().map(|arg| vec![arg.clone()]).collect()
    } else {
        vec![rule.args.clone()]
    }
}
