//! Writes classic BPF backwards, from the last instruction to the first.
//!
//! Jumps of classic BPF go forwards only. Written backwards, every target is there before the jump
//! to it, so its distance is known and a jump that is too far gets its stepping stone at once; no
//! second pass is needed.

use super::Instruction;
use alloc::vec::Vec;

/// `linux/bpf_common.h`.
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;

/// An instruction of the program: its distance from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target(usize);

/// A test of the accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal(u32),
    Greater(u32),
    GreaterOrEqual(u32),
    AnyBit(u32),
}

#[derive(Default)]
pub(super) struct Assembler {
    /// Last instruction first.
    reversed: Vec<Instruction>,
    returns: Vec<(u32, Target)>,
    /// The newest stand-in of a target that is out of reach.
    stand_ins: Vec<(Target, Target)>,
}

impl Assembler {
    pub(super) fn new() -> Self {
        // Moby's profile takes 235; a bump allocator never gets a grown vector's old memory back.
        Self { reversed: Vec::with_capacity(512), ..Self::default() }
    }

    /// Number of instructions so far.
    pub(super) fn len(&self) -> usize {
        self.reversed.len()
    }

    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// The end of the program with `value`.
    pub(super) fn ret(&mut self, value: u32) -> Target {
        if let Some(&(_, target)) = self.returns.iter().find(|(known, _)| *known == value) {
            return target;
        }
        let target = self.push(RETURN, 0, 0, value);
        self.returns.push((value, target));
        target
    }

    /// Loads the word at `offset` of `struct seccomp_data`, goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.fall_into(next);
        self.push(LOAD_WORD, 0, 0, offset)
    }

    /// Clears all bits but those of `mask`, goes on at `next`.
    pub(super) fn and(&mut self, mask: u32, next: Target) -> Target {
        self.fall_into(next);
        self.push(AND, 0, 0, mask)
    }

    /// Goes on at one of two places.
    pub(super) fn branch(&mut self, test: Test, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        let (code, k) = match test {
            Test::Equal(k) => (JUMP_EQUAL, k),
            Test::Greater(k) => (JUMP_GREATER, k),
            Test::GreaterOrEqual(k) => (JUMP_GREATER_OR_EQUAL, k),
            Test::AnyBit(k) => (JUMP_ANY_BIT, k),
        };
        // At most two rounds place a stand-in: then both are within two instructions.
        loop {
            match (self.offset(yes), self.offset(no)) {
                (None, _) => self.stand_in(yes),
                (_, None) => self.stand_in(no),
                (Some(yes), Some(no)) => return self.push(code, yes, no, k),
            }
        }
    }

    /// The offset from the next instruction to `target` or to what stands for it.
    fn offset(&self, target: Target) -> Option<u8> {
        let nearest =
            self.stand_ins.iter().find(|(known, _)| *known == target).map_or(target, |pair| pair.1);
        u8::try_from(self.distance(nearest)).ok()
    }

    fn distance(&self, target: Target) -> usize {
        self.len() - 1 - target.0
    }

    /// Puts a copy of a return, or a jump to anything else, in front of the program.
    fn stand_in(&mut self, target: Target) {
        let near = self.repeat(target);
        match self.stand_ins.iter_mut().find(|(known, _)| *known == target) {
            Some(pair) => pair.1 = near,
            None => self.stand_ins.push((target, near)),
        }
    }

    /// Makes sure that the program as it is starts with `target`.
    fn fall_into(&mut self, target: Target) {
        if self.distance(target) != 0 {
            self.repeat(target);
        }
    }

    fn repeat(&mut self, target: Target) -> Target {
        match self.reversed.get(target.0) {
            Some(&Instruction { code: RETURN, k, .. }) => self.push(RETURN, 0, 0, k),
            // The distance fits: the program is far smaller than 4 G instructions.
            _ => self.push(JUMP, 0, 0, self.distance(target) as u32),
        }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Target {
        self.reversed.push(Instruction { code, jt, jf, k });
        Target(self.reversed.len() - 1)
    }
}
