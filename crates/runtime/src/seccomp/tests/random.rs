//! Random profiles, and the calls that show where two filters differ.

use super::machine::Data;
use super::model::Model;
use crate::seccomp::arch::X32_BIT;
use crate::seccomp::audit_arch;
use oci::runtime::{Action, Arch, ArgRule, Operator, Seccomp, SyscallRule};

/// xorshift64*: the same numbers on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 32) as usize % end
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// Which profiles to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No conditions, any actions.
    Unconditional,
    /// One action, one condition a rule, values of 32 bits.
    Single,
    /// One action, one condition a rule, values of 64 bits, only (in)equality and masks.
    Wide,
    /// Any actions, one argument, only equality.
    Conflicting,
    /// Anything.
    Anything,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Unconditional, Self::Single, Self::Wide, Self::Conflicting, Self::Anything];
}

#[rustfmt::skip]
const VALUES: [u64; 16] = [
    0, 1, 2, 5, 7, 8, 38, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005,
    0x2_0000_0001, 0x7fff_ffff_ffff_ffff, 0xffff_ffff_0000_0000, u64::MAX,
];
/// This many of [`VALUES`] and [`MASKS`] have 32 bits.
const NARROW_VALUES: usize = 10;
const NARROW_MASKS: usize = 6;
#[rustfmt::skip]
const MASKS: [u64; 9] = [
    0, 1, 7, 0xff, 0xffff_ffff, 0x7e02_0000, 0x1_0000_0000, 0xffff_ffff_0000_0000, u64::MAX,
];
const ACTIONS: [(Action, Option<u32>); 9] = [
    (Action::Allow, None),
    (Action::Errno, None),
    (Action::Errno, Some(38)),
    (Action::Errno, Some(1)),
    (Action::Trace, Some(7)),
    (Action::Log, None),
    (Action::Trap, None),
    (Action::KillProcess, None),
    (Action::Kill, None),
];
pub(super) const OPERATORS: [Operator; 7] = [
    Operator::Equal,
    Operator::NotEqual,
    Operator::MaskedEqual,
    Operator::Less,
    Operator::LessOrEqual,
    Operator::GreaterOrEqual,
    Operator::Greater,
];

/// A profile whose system calls are from `names`.
pub(super) fn profile(random: &mut Random, names: &[String], kind: Kind) -> Seccomp {
    let (default_action, default_errno_ret) = random.pick(&ACTIONS);
    let mut architectures = vec![Arch::X86_64];
    for arch in [Arch::X86, Arch::X32, Arch::Arm, Arch::Aarch64] {
        if random.below(2) == 0 {
            architectures.push(arch);
        }
    }
    // A few favourites, so that rules meet.
    let favourites: Vec<String> = (0..4).map(|_| random.pick(names)).collect();
    let only = random.pick(&ACTIONS);
    let syscalls = (0..=random.below(12))
        .map(|_| {
            let free = matches!(kind, Kind::Unconditional | Kind::Conflicting | Kind::Anything);
            let (action, errno_ret) = if free { random.pick(&ACTIONS) } else { only };
            let plain = kind == Kind::Unconditional || random.below(3) == 0;
            let names = if plain {
                (0..=random.below(60)).map(|_| random.pick(names)).collect()
            } else {
                (0..=random.below(3)).map(|_| random.pick(&favourites)).collect()
            };
            let args = if plain { Vec::new() } else { arguments(random, kind) };
            SyscallRule { names, action, errno_ret, args }
        })
        .collect();
    Seccomp { default_action, default_errno_ret, architectures, syscalls, ..Seccomp::default() }
}

fn arguments(random: &mut Random, kind: Kind) -> Vec<ArgRule> {
    let (operators, indexes) = match kind {
        Kind::Conflicting => (&OPERATORS[..1], 1),
        Kind::Wide => (&OPERATORS[..3], 3),
        _ => (&OPERATORS[..], 3),
    };
    let narrow = matches!(kind, Kind::Single | Kind::Conflicting);
    let values = if narrow { &VALUES[..NARROW_VALUES] } else { &VALUES[..] };
    let masks = if narrow { &MASKS[..NARROW_MASKS] } else { &MASKS[..] };
    let count = if kind == Kind::Anything { 1 + random.below(3) } else { 1 };
    (0..count)
        .map(|_| {
            let op = random.pick(operators);
            let value = random.pick(if op == Operator::MaskedEqual { masks } else { values });
            let index = random.below(indexes) as u32;
            ArgRule { index, value, value_two: random.pick(values), op }
        })
        .collect()
}

/// Every number at which something can change, on every architecture that the kernel may report;
/// numbers with conditional rules with `arguments` different sets of arguments.
pub(super) fn calls(random: &mut Random, model: &Model, arguments: usize) -> Vec<Data> {
    let low = (0..=600).chain(0xf_0000..0xf_0010);
    let edges = [X32_BIT - 1, i32::MAX as u32, 1 << 31, 0xbfff_ffff, 0xc000_0000, u32::MAX - 1];
    let numbers: Vec<u32> =
        low.clone().chain(low.map(|low| low | X32_BIT)).chain(edges).chain([u32::MAX]).collect();
    let mut list = Vec::new();
    for arch in [Arch::X86_64, Arch::X86, Arch::Arm, Arch::Aarch64, Arch::Riscv64] {
        for &number in &numbers {
            let mut data = Data { arch: audit_arch(arch), number, args: [0; 6] };
            let compared = model.compared(&data);
            for _ in 0..if compared.is_empty() { 1 } else { arguments } {
                for (index, arg) in data.args.iter_mut().enumerate() {
                    *arg = argument(random, &compared, index);
                }
                list.push(data);
            }
        }
    }
    list
}

/// A value that the profile compares the argument with, or one near it.
fn argument(random: &mut Random, compared: &[(usize, u64)], index: usize) -> u64 {
    let own: Vec<u64> = compared.iter().filter(|one| one.0 == index).map(|one| one.1).collect();
    if own.is_empty() || random.below(8) == 0 {
        return random.pick(&VALUES);
    }
    let value = random.pick(&own);
    match random.below(7) {
        0 => value.wrapping_add(1),
        1 => value.wrapping_sub(1),
        2 => value.wrapping_add(1 << 32),
        3 => value.wrapping_sub(1 << 32),
        4 => value | 0xffff_0000,
        _ => value,
    }
}
