//! Conditions on arguments, and the order in which a system call's conditional rules are tried.
//!
//! Rules of one system call form a tree: a level is an ordered list of conditions, each leading to
//! an action or to a level of conditions on further arguments. The first match decides. As long as
//! all rules have one action the order does not matter (a call that matches any of them gets it);
//! where actions differ, the order is libseccomp's: conditions on later arguments first, then
//! equality before `<` before `>`, and among equals of these the narrower range first.

use alloc::vec::Vec;
use oci::runtime::Operator;

/// One comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) operator: Operator,
    /// Bits of the argument that are looked at. Without bits of the high word, that word is not
    /// looked at.
    pub(super) mask: u64,
    pub(super) value: u64,
}

/// Conditions that are tried in order.
pub(super) type Level = Vec<Node>;

/// One condition of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) condition: Condition,
    pub(super) next: Next,
}

/// What follows when a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The return value of the filter.
    Return(u32),
    /// Tried next. If none of these matches, the level above goes on.
    Level(Level),
}

/// Why a rule cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// An earlier rule has the same conditions and another action.
    Contradiction,
    /// See [`MAX_LEVEL`].
    TooMany,
}

/// Each condition takes at least one instruction of the 4,096 that the kernel accepts, so a longer
/// level can never be part of a program. The limit also bounds the search for a place.
const MAX_LEVEL: usize = 4096;

impl Condition {
    /// The condition as an ABI with 64-bit or 32-bit arguments sees it. `None`: it always holds.
    pub(super) fn for_abi(self, wide: bool) -> Option<Self> {
        let word = if wide { u64::MAX } else { u32::MAX as u64 };
        let mask = self.mask & word;
        (mask != 0).then_some(Self { mask, value: self.value & mask, ..self })
    }

    /// Whether the high word takes part.
    pub(super) fn is_wide(self) -> bool {
        self.mask > u32::MAX as u64
    }

    /// Whether this is an equality, with or without mask.
    pub(super) fn is_equality(self) -> bool {
        matches!(self.operator, Operator::Equal | Operator::MaskedEqual)
    }

    /// Whether this condition has to be tried before `other`.
    fn precedes(self, other: Self) -> bool {
        let key = |condition: Self| (condition.argument, condition.class());
        match key(self).cmp(&key(other)) {
            core::cmp::Ordering::Equal if self.class() == 2 => self.value < other.value,
            core::cmp::Ordering::Equal => self.value > other.value,
            ordering => ordering.is_gt(),
        }
    }

    fn class(self) -> u8 {
        match self.operator {
            Operator::Equal | Operator::MaskedEqual | Operator::NotEqual => 3,
            Operator::Less | Operator::LessOrEqual => 2,
            Operator::Greater | Operator::GreaterOrEqual => 1,
        }
    }
}

/// Adds a rule: all `conditions` (at least one, ordered by argument) have to hold for `action`.
///
/// A rule that another one covers disappears; a rule that covers others with the same action
/// replaces them.
pub(super) fn insert(
    level: &mut Level,
    conditions: &[Condition],
    action: u32,
) -> Result<(), Conflict> {
    let Some((&condition, rest)) = conditions.split_first() else { return Ok(()) };
    let mut place = level.len();
    for (at, node) in level.iter_mut().enumerate() {
        if node.condition == condition {
            return descend(&mut node.next, rest, action);
        }
        if condition.precedes(node.condition) {
            place = at;
            break;
        }
    }
    if level.len() >= MAX_LEVEL {
        return Err(Conflict::TooMany);
    }
    level.insert(place, Node { condition, next: chain(rest, action) });
    Ok(())
}

fn descend(next: &mut Next, rest: &[Condition], action: u32) -> Result<(), Conflict> {
    match next {
        Next::Return(known) if rest.is_empty() && *known != action => Err(Conflict::Contradiction),
        // The shorter rule covers the new one, whatever its action is.
        Next::Return(_) => Ok(()),
        Next::Level(level) if rest.is_empty() => {
            if !all_return(level, action) {
                return Err(Conflict::Contradiction);
            }
            *next = Next::Return(action);
            Ok(())
        }
        Next::Level(level) => insert(level, rest, action),
    }
}

fn chain(conditions: &[Condition], action: u32) -> Next {
    match conditions.split_first() {
        None => Next::Return(action),
        Some((&condition, rest)) => {
            Next::Level(alloc::vec![Node { condition, next: chain(rest, action) }])
        }
    }
}

fn all_return(level: &[Node], action: u32) -> bool {
    level.iter().all(|node| match &node.next {
        Next::Return(known) => *known == action,
        Next::Level(level) => all_return(level, action),
    })
}
