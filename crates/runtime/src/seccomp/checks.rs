//! Instructions that compare arguments.
//!
//! A check is entered with anything in the accumulator and ends in a return.

use super::assembler::{Assembler, Target, Test};
use super::conditions::{Condition, Next, Node};
use oci::runtime::Operator;

/// Offset of `args` in `struct seccomp_data`. Every architecture with a table is little-endian, so
/// the low word of an argument comes first.
const ARGUMENTS: u32 = 16;

/// Tries a level's conditions in order, goes to `otherwise` if none leads to an action.
pub(super) fn emit(asm: &mut Assembler, level: &[Node], otherwise: Target) -> Target {
    let mut next = otherwise;
    let mut rest = level;
    while let Some(last) = rest.last() {
        let together = rest.iter().rev().take_while(|node| is_case_of(node, last)).count().max(1);
        let (before, group) = rest.split_at(rest.len() - together);
        next = if last.condition.is_equality() {
            emit_cases(asm, group, last.condition, next)
        } else {
            emit_comparison(asm, last, next)
        };
        rest = before;
    }
    next
}

/// Whether two conditions test the same bits for equality and differ in the low word only. Then at
/// most one of them holds, and they share their loads. With one operator they do differ, because
/// equal conditions of a level are one node; `SCMP_CMP_EQ` and a full mask need not.
fn is_case_of(node: &Node, other: &Node) -> bool {
    let (one, two) = (node.condition, other.condition);
    one.is_equality()
        && one.operator == two.operator
        && one.argument == two.argument
        && one.mask == two.mask
        && high(one.value) == high(two.value)
}

fn emit_cases(asm: &mut Assembler, cases: &[Node], shared: Condition, no: Target) -> Target {
    let (low_mask, high_mask) = (low(shared.mask), high(shared.mask));
    // A single test of masked bits for 0 needs no AND.
    let bits = cases.len() == 1 && low(shared.value) == 0 && low_mask != u32::MAX;
    let mut entry = no;
    for case in cases.iter().rev() {
        let body = emit_next(asm, case, no);
        entry = match low_mask {
            0 => body,
            mask if bits => asm.branch(Test::AnyBit(mask), no, body),
            _ => asm.branch(Test::Equal(low(case.condition.value)), body, entry),
        };
    }
    if low_mask != 0 {
        if low_mask != u32::MAX && !bits {
            entry = asm.and(low_mask, entry);
        }
        entry = asm.load(low_word(shared), entry);
    }
    if high_mask != 0 {
        entry = asm.branch(Test::Equal(high(shared.value)), entry, no);
        if high_mask != u32::MAX {
            entry = asm.and(high_mask, entry);
        }
        entry = asm.load(high_word(shared), entry);
    }
    entry
}

fn emit_comparison(asm: &mut Assembler, node: &Node, no: Target) -> Target {
    let condition = node.condition;
    let yes = emit_next(asm, node, no);
    let value = low(condition.value);
    // `<` and `<=` are the negation of what the machine can test.
    let (test, above, below) = match condition.operator {
        Operator::GreaterOrEqual => (Test::GreaterOrEqual(value), yes, no),
        Operator::Less => (Test::GreaterOrEqual(value), no, yes),
        Operator::Greater => (Test::Greater(value), yes, no),
        Operator::LessOrEqual => (Test::Greater(value), no, yes),
        Operator::NotEqual | Operator::Equal | Operator::MaskedEqual => {
            return emit_difference(asm, condition, yes, no);
        }
    };
    let entry = asm.branch(test, above, below);
    let entry = asm.load(low_word(condition), entry);
    if !condition.is_wide() {
        return entry;
    }
    let entry = match high(condition.value) {
        // Nothing is below 0.
        0 => asm.branch(Test::Equal(0), entry, above),
        value => {
            let entry = asm.branch(Test::Equal(value), entry, below);
            asm.branch(Test::Greater(value), above, entry)
        }
    };
    asm.load(high_word(condition), entry)
}

fn emit_difference(asm: &mut Assembler, condition: Condition, yes: Target, no: Target) -> Target {
    let entry = asm.branch(Test::Equal(low(condition.value)), no, yes);
    let entry = asm.load(low_word(condition), entry);
    if !condition.is_wide() {
        return entry;
    }
    let entry = asm.branch(Test::Equal(high(condition.value)), entry, yes);
    asm.load(high_word(condition), entry)
}

fn emit_next(asm: &mut Assembler, node: &Node, otherwise: Target) -> Target {
    match &node.next {
        Next::Return(action) => asm.ret(*action),
        Next::Level(level) => emit(asm, level, otherwise),
    }
}

fn low_word(condition: Condition) -> u32 {
    ARGUMENTS + 8 * condition.argument as u32
}

fn high_word(condition: Condition) -> u32 {
    low_word(condition) + 4
}

fn low(value: u64) -> u32 {
    value as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}
