//! Random profiles and the calls that show where they differ.

use super::machine::Data;
use super::model;
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

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind { pub one_action: bool, pub small: bool, pub ops: &'static [usize], pub args: usize, pub indexes: usize }

const VALUES: [u64; 16] = [
    0, 1, 2, 5, 7, 8, 38, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005,
    0x2_0000_0001, 0x7fff_ffff_ffff_ffff, 0xffff_ffff_0000_0000, u64::MAX,
];
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
const OPERATORS: [Operator; 7] = [
    Operator::NotEqual,
    Operator::Less,
    Operator::LessOrEqual,
    Operator::Equal,
    Operator::GreaterOrEqual,
    Operator::Greater,
    Operator::MaskedEqual,
];

/// A profile whose system calls are from `names`.
pub(super) fn profile(random: &mut Random, names: &[String], kind: Kind) -> Seccomp {
    let (default_action, default_errno_ret) = random.pick(&ACTIONS);
    let mut architectures = vec![Arch::X86_64];
    for arch in [Arch::X86, Arch::X32, Arch::Arm, Arch::Aarch64] {
        if random.one_in(2) {
            architectures.push(arch);
        }
    }
    // A few favourites, so that rules meet.
    let favourites: Vec<String> = (0..4).map(|_| random.pick(names)).collect();
    let only = random.pick(&ACTIONS);
    let rules = 1 + random.below(12);
    let syscalls = (0..rules)
        .map(|_| {
            let (action, errno_ret) =
                if kind.one_action { only } else { random.pick(&ACTIONS) };
            let conditional = !random.one_in(3);
            let count = if conditional { 1 + random.below(3) } else { 1 + random.below(60) };
            let names = (0..count)
                .map(|_| if conditional { random.pick(&favourites) } else { random.pick(names) })
                .collect();
            let args = if conditional { arguments(random, kind) } else { Vec::new() };
            SyscallRule { names, action, errno_ret, args }
        })
        .collect();
    Seccomp { default_action, default_errno_ret, architectures, syscalls, ..Seccomp::default() }
}

fn arguments(random: &mut Random, kind: Kind) -> Vec<ArgRule> {
    let count = if random.one_in(2) { 1 } else { 1 + random.below(kind.args) };
    let values = if kind.small { &VALUES[..10] } else { &VALUES[..] };
    let masks = if kind.small { &MASKS[..6] } else { &MASKS[..] };
    (0..count)
        .map(|_| {
            let op = OPERATORS[random.pick(kind.ops)];
            let value = if op == Operator::MaskedEqual { random.pick(masks) } else { random.pick(values) };
            let index = random.below(kind.indexes) as u32;
            ArgRule { index, value, value_two: random.pick(values), op }
        })
        .collect()
}

/// Numbers at which something can change, on every architecture that the kernel may report.
pub(super) fn calls(random: &mut Random, profile: &Seccomp, arguments: usize) -> Vec<Data> {
    let low = (0..=600).chain(0xf_0000..0xf_0010);
    let edges = [X32_BIT - 1, 0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, 0xc000_0000, u32::MAX - 1, u32::MAX];
    let numbers: Vec<u32> =
        low.clone().chain(low.map(|number| number | X32_BIT)).chain(edges).collect();
    let mut list = Vec::new();
    for arch in [Arch::X86_64, Arch::X86, Arch::Arm, Arch::Aarch64, Arch::Riscv64] {
        for &number in &numbers {
            let abi = if arch == Arch::X86_64 && number & X32_BIT != 0 { Arch::X32 } else { arch };
            let values = interesting(profile, abi, number);
            let count = if values.is_empty() { 1 } else { arguments };
            for _ in 0..count {
                let mut args = [0; 6];
                for (index, arg) in args.iter_mut().enumerate() {
                    let own: Vec<u64> = values.iter().filter(|v| v.0 == index).map(|v| v.1).collect();
                    *arg = if own.is_empty() { random.pick(&VALUES) } else { random.pick(&own) };
                }
                list.push(Data { arch: audit_arch(arch), number, args });
            }
        }
    }
    list
}

/// Values around those that the profile compares a call's arguments with.
fn interesting(profile: &Seccomp, arch: Arch, number: u32) -> Vec<(usize, u64)> {
    let mut list = Vec::new();
    for (conditions, _) in model::clauses(profile, arch, number) {
        for one in conditions {
            for delta in [0, 1, u64::MAX, 1 << 32, u64::MAX << 32] {
                list.push((one.index, one.value.wrapping_add(delta)));
            }
            list.extend([(one.index, 0), (one.index, u64::MAX), (one.index, one.value | 0xffff_0000)]);
        }
    }
    list
}
