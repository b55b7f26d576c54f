//! What each system call number leads to: the rules of one kernel architecture, written out as
//! intervals of equal outcome over all 2^32 numbers.

use super::Error;
use super::arch::{self, Abi, X32_BIT};
use super::conditions::{Condition, Conflict, Level, insert};
use super::profile::{KILL_THREAD, NOT_IMPLEMENTED, Rules, Use};
use super::tables::{self, SLOTS};
use alloc::format;
use alloc::vec::Vec;
use oci::runtime::{Arch, Operator};

/// What happens to a system call number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The filter returns this value.
    Return(u32),
    /// The arguments decide: an index into [`Checks`].
    Check(usize),
}

/// The numbers from `start` up to the next interval's start have one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) start: u32,
    pub(super) outcome: Outcome,
}

/// Conditional rules of all architectures, equal ones once.
pub(super) type Checks = Vec<Level>;

/// Sum of conditional rules over all names and architectures. Each one that matters takes an
/// instruction and the kernel takes 4,096 of these; the rest of the room is for names that share
/// their conditions. Keeps the work on a senseless profile below a second.
const MAX_CONDITIONAL: usize = 1 << 16;

/// One architecture's rules by table slot.
struct Table {
    abi: Abi,
    slots: Vec<Slot>,
    /// The largest number that the profile's author knew, if any.
    last: Option<u32>,
}

#[derive(Clone, Copy)]
enum Slot {
    Unset,
    Always(u32),
    Level(u32),
}

/// The intervals of all `architectures`, which share one value of `seccomp_data.arch`.
pub(super) fn intervals(
    rules: &Rules,
    architectures: &[Arch],
    checks: &mut Checks,
) -> Result<Vec<Interval>, Error> {
    let (mut low, mut x32) = (None, None);
    for &arch in architectures {
        let Some(abi) = arch::abi(arch) else { continue };
        let table = Table::new(rules, arch, abi, checks)?;
        *(if abi.bit == 0 { &mut low } else { &mut x32 }) = Some(table);
    }
    let default = Outcome::Return(rules.default);
    let bad_arch = Outcome::Return(KILL_THREAD);
    let newer = |table: &Option<Table>| {
        let known = table.as_ref().is_some_and(|table| table.last.is_some());
        known.then_some(Outcome::Return(NOT_IMPLEMENTED))
    };
    let mut list = Builder(Vec::with_capacity(256));
    list.push(0, if low.is_some() { default } else { bad_arch });
    if let Some(table) = &low {
        list.push_table(table, default);
    }
    if !architectures.iter().any(|arch| matches!(arch, Arch::X86_64 | Arch::X32)) {
        return Ok(list.0);
    }
    // From here on it is libseccomp's order of tests that decides: bit 30 as a comparison, which
    // takes in numbers with bit 31, after runc's stub, for which it is a bit.
    let base = if x32.is_some() { default } else { bad_arch };
    list.push(X32_BIT, base);
    if let Some(table) = &x32 {
        list.push_table(table, default);
    }
    list.push(0x8000_0000, newer(&low).unwrap_or(base));
    list.push(0xc000_0000, newer(&x32).unwrap_or(base));
    if x32.is_none() {
        // -1 is what a tracer leaves behind that wants a call skipped: never killed.
        list.push(u32::MAX, default);
    }
    Ok(list.0)
}

/// Joins neighbours with equal outcome.
struct Builder(Vec<Interval>);

impl Builder {
    /// The outcome from `start` on; what was said about `start` before does not count any more.
    fn push(&mut self, start: u32, outcome: Outcome) {
        self.0.pop_if(|last| last.start == start);
        if self.0.last().is_none_or(|last| last.outcome != outcome) {
            self.0.push(Interval { start, outcome });
        }
    }

    fn push_table(&mut self, table: &Table, default: Outcome) {
        for (slot, state) in (0_u16..).zip(&table.slots) {
            let number = tables::number_of(slot) | table.abi.bit;
            // The stub stands in front of all rules. Some rules are behind it: those for the direct
            // variants of multiplexed calls, which do not count for `last`.
            if table.last.is_some_and(|last| number > last) {
                break;
            }
            let outcome = match *state {
                Slot::Unset => continue,
                Slot::Always(action) => Outcome::Return(action),
                Slot::Level(check) => Outcome::Check(check as usize),
            };
            self.push(number, outcome);
            self.push(number + 1, default);
        }
        if let Some(last) = table.last {
            self.push(last + 1, Outcome::Return(NOT_IMPLEMENTED));
        }
    }
}

impl Table {
    fn new(rules: &Rules, arch: Arch, abi: Abi, checks: &mut Checks) -> Result<Self, Error> {
        let mut table = Self { abi, slots: alloc::vec![Slot::Unset; SLOTS], last: None };
        let mut levels: Vec<Level> = Vec::new();
        let mut budget = MAX_CONDITIONAL;
        let mut last = 0;
        for used in &rules.uses {
            let explain = |conflict| explain(conflict, arch, used);
            let multiplexed = used.name.multiplexed().filter(|_| abi.multiplexes);
            if let Some(multiplexed) = multiplexed {
                // The first argument says which call it is, so whatever the rule says about the
                // first argument is lost: it would be about a pointer's target.
                let call = Condition {
                    argument: 0,
                    operator: Operator::Equal,
                    mask: u64::MAX,
                    value: multiplexed.call as u64,
                };
                table
                    .add(rules, used, multiplexed.slot, Some(call), &mut levels, &mut budget)
                    .map_err(explain)?;
            }
            let Some(slot) = used.name.slot(abi.column) else { continue };
            if multiplexed.is_none() {
                last = last.max(tables::number_of(slot) | abi.bit);
            }
            table.add(rules, used, slot, None, &mut levels, &mut budget).map_err(explain)?;
        }
        // Number 0 alone is taken for no number at all, as in runc.
        table.last = (rules.stub && last != 0).then_some(last);
        table.intern(levels, checks);
        Ok(table)
    }

    /// Adds what a rule says about a name. `first` replaces conditions on the first argument.
    fn add(
        &mut self,
        rules: &Rules,
        used: &Use,
        slot: u16,
        first: Option<Condition>,
        levels: &mut Vec<Level>,
        budget: &mut usize,
    ) -> Result<(), Conflict> {
        let clauses = rules.clauses.get(used.clauses.clone()).unwrap_or_default();
        let Some(slot) = self.slots.get_mut(slot as usize) else { return Ok(()) };
        for clause in clauses {
            // The first rule without conditions decides, whatever comes later.
            if let Slot::Always(_) = slot {
                return Ok(());
            }
            let replaced = usize::from(
                first.is_some() && clause.conditions.first().is_some_and(|one| one.argument == 0),
            );
            let rest = clause.conditions.iter().skip(replaced).copied();
            let conditions = first.into_iter().chain(rest);
            let conditions: Vec<Condition> =
                conditions.filter_map(|one| one.for_abi(self.abi.wide)).collect();
            if conditions.is_empty() {
                // It makes all earlier rules with conditions meaningless.
                *slot = Slot::Always(clause.action);
                continue;
            }
            *budget = budget.checked_sub(1).ok_or(Conflict::TooMany)?;
            let index = match *slot {
                Slot::Level(index) => index as usize,
                _ => {
                    levels.push(Level::new());
                    *slot = Slot::Level(levels.len() as u32 - 1);
                    levels.len() - 1
                }
            };
            if let Some(level) = levels.get_mut(index) {
                insert(level, &conditions, clause.action)?;
            }
        }
        Ok(())
    }

    /// Moves the levels that are still in use to `checks`.
    fn intern(&mut self, mut levels: Vec<Level>, checks: &mut Checks) {
        for slot in &mut self.slots {
            let Slot::Level(index) = slot else { continue };
            let level = levels.get_mut(*index as usize).map(core::mem::take).unwrap_or_default();
            let known = checks.iter().position(|known| *known == level);
            *index = known.unwrap_or(checks.len()) as u32;
            if known.is_none() {
                checks.push(level);
            }
        }
    }
}

fn explain(conflict: Conflict, arch: Arch, used: &Use) -> Error {
    let reason = match conflict {
        Conflict::Contradiction => format!(
            "contradicts an earlier rule for {}: another action for the same arguments on {}",
            used.name.text(),
            arch.name()
        ),
        Conflict::TooMany => format!("more conditions than a filter can hold on {}", arch.name()),
    };
    Error::new(format!("linux.seccomp.syscalls[{}]", used.rule), reason)
}
