//! Finds the outcome of a system call number in a few comparisons.
//!
//! Intervals become a search tree of `>=` tests. An interval of a single number between two that
//! are alike costs one `==` instead of two `>=`, so such numbers are taken out of the tree and
//! tested in the leaf they fall into.
//!
//! The tree is weighted: when a filter is installed, the kernel (since 5.11) runs it for every
//! system call number of the machine's table, to remember which numbers are always allowed and need
//! not run it again. The fewer tests an ordinary number takes on average, the faster the
//! installation. For the same reason the tests use loads of the number, comparisons and returns
//! only: anything else and the kernel does not remember.

use super::assembler::{Assembler, Target, Test};
use super::numbers::{Interval, Outcome};
use alloc::vec::Vec;
use core::ops::Range;

/// Single numbers between alike intervals that are tested one after the other. A fifth test costs a
/// `>=` that halves the chain; libseccomp's tree has four in a row as well.
const MAX_CHAIN: usize = 4;

/// How many intervals of a single number in a row are looked at together. Three, because nearly all
/// gaps of real profiles are that short, and the cost is this factor for each interval.
const MAX_SINGLES: usize = 3;

/// Numbers below this are those the kernel tries when a filter is installed; the tables end at 471
/// (the private numbers of arm and x32's are not tried).
const ORDINARY: u32 = 512;

/// An interval of the tree, with exceptions.
#[derive(Clone, Debug)]
struct Segment {
    start: u32,
    end: u32,
    outcome: Outcome,
    exceptions: Range<usize>,
}

/// A single number with an outcome of its own.
#[derive(Clone, Copy, Debug)]
struct Exception {
    number: u32,
    outcome: Outcome,
}

/// Writes the tests for a number that is in the accumulator. `intervals` starts at 0; `place` knows
/// where each outcome is.
pub(super) fn emit(
    asm: &mut Assembler,
    intervals: &[Interval],
    place: &mut dyn FnMut(&mut Assembler, Outcome) -> Target,
) -> Option<Target> {
    let (segments, exceptions) = simplify(intervals);
    let mut tree = Tree { asm, place, exceptions: &exceptions };
    tree.emit(&segments)
}

/// Takes out single numbers between alike intervals.
fn simplify(intervals: &[Interval]) -> (Vec<Segment>, Vec<Exception>) {
    let mut segments: Vec<Segment> = Vec::with_capacity(intervals.len());
    let mut exceptions = Vec::with_capacity(intervals.len());
    let ends = intervals.iter().skip(1).map(|next| next.start - 1).chain([u32::MAX]);
    for (interval, end) in intervals.iter().zip(ends) {
        match alike(&segments, interval.outcome) {
            Some(at) => {
                let singles = segments.split_off(at + 1);
                let Some(segment) = segments.last_mut() else { continue };
                exceptions.extend(
                    singles.iter().map(|one| Exception { number: one.start, outcome: one.outcome }),
                );
                segment.end = end;
                segment.exceptions.end = exceptions.len();
            }
            None => segments.push(Segment {
                start: interval.start,
                end,
                outcome: interval.outcome,
                exceptions: exceptions.len()..exceptions.len(),
            }),
        }
    }
    (segments, exceptions)
}

/// The nearest segment with this outcome that only single numbers separate from the end.
fn alike(segments: &[Segment], outcome: Outcome) -> Option<usize> {
    let singles = segments
        .iter()
        .rev()
        .take(MAX_SINGLES)
        .take_while(|one| one.start == one.end && one.exceptions.is_empty())
        .count();
    let last = segments.len().checked_sub(1)?;
    (1..=singles)
        .filter_map(|back| last.checked_sub(back))
        .find(|&at| segments.get(at).is_some_and(|segment| segment.outcome == outcome))
}

struct Tree<'a> {
    asm: &'a mut Assembler,
    place: &'a mut dyn FnMut(&mut Assembler, Outcome) -> Target,
    exceptions: &'a [Exception],
}

impl Tree<'_> {
    fn emit(&mut self, segments: &[Segment]) -> Option<Target> {
        if let [segment] = segments {
            let exceptions = self.exceptions;
            let own = exceptions.get(segment.exceptions.clone()).unwrap_or_default();
            return Some(self.leaf(segment.outcome, own));
        }
        let (left, right) = segments.split_at_checked(middle(segments))?;
        let border = right.first()?.start;
        let above = self.emit(right)?;
        let below = self.emit(left)?;
        Some(self.asm.branch(Test::GreaterOrEqual(border), above, below))
    }

    fn leaf(&mut self, outcome: Outcome, exceptions: &[Exception]) -> Target {
        if exceptions.len() > MAX_CHAIN
            && let (left, Some(first), right) = split(exceptions)
        {
            let above = self.leaf(outcome, right);
            let below = self.leaf(outcome, left);
            return self.asm.branch(Test::GreaterOrEqual(first.number), above, below);
        }
        let mut next = (self.place)(self.asm, outcome);
        for exception in exceptions.iter().rev() {
            let target = (self.place)(self.asm, exception.outcome);
            next = self.asm.branch(Test::Equal(exception.number), target, next);
        }
        next
    }
}

fn split(exceptions: &[Exception]) -> (&[Exception], Option<Exception>, &[Exception]) {
    let (left, right) = exceptions.split_at(exceptions.len() / 2);
    (left, right.first().copied(), right)
}

/// Where both sides weigh about the same: at least 1, below the length.
fn middle(segments: &[Segment]) -> usize {
    let total: u32 = segments.iter().map(weight).sum();
    let mut left = 0;
    let mut best = (u32::MAX, 1);
    for (at, segment) in segments.iter().enumerate().take(segments.len().saturating_sub(1)) {
        left += weight(segment);
        best = best.min((left.abs_diff(total - left), at + 1));
    }
    best.1
}

/// Ordinary numbers in a segment, and at least 1.
fn weight(segment: &Segment) -> u32 {
    let end = segment.end.saturating_add(1).min(ORDINARY);
    end.saturating_sub(segment.start).max(1)
}
