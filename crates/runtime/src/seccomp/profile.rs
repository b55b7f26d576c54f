//! Reads `linux.seccomp` the way runc does: what is refused, what is skipped, what is implied.

use super::conditions::Condition;
use super::tables::Name;
use super::{Error, arch};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use oci::runtime::{Action, Arch, ArgRule, FilterFlag, Operator, Seccomp, SyscallRule};

/// `SECCOMP_RET_*` of linux/seccomp.h. The low 16 bits carry the error number.
pub(super) const KILL_THREAD: u32 = 0x0000_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// What a system call gets that is newer than the profile.
pub(super) const NOT_IMPLEMENTED: u32 = ERRNO | ENOSYS;

/// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;
const FLAG_NEW_LISTENER: u32 = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// System calls have six arguments.
const ARGUMENTS: usize = 6;
/// A profile for another kernel or architecture can name hundreds of unknown calls; beyond this
/// many messages only their number is of interest.
const MAX_WARNINGS: usize = 32;

/// A profile with every name looked up and every rule that changes nothing taken out.
#[derive(Debug)]
pub(super) struct Rules {
    /// What a system call gets that no rule matches.
    pub(super) default: u32,
    /// Whether system calls that are newer than the profile get ENOSYS.
    pub(super) stub: bool,
    /// The native architecture first, none twice.
    pub(super) architectures: Vec<Arch>,
    pub(super) clauses: Vec<Clause>,
    pub(super) uses: Vec<Use>,
    pub(super) flags: u32,
    pub(super) notify: bool,
}

/// All conditions, ordered by argument and at most one for each, have to hold for the action.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) action: u32,
    pub(super) conditions: Vec<Condition>,
}

/// A name in a rule.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) name: Name,
    /// Index in the profile, for messages.
    pub(super) rule: usize,
    /// Any of these clauses decides. Empty for a rule that repeats the default action: such a rule
    /// still shows which system calls its author knew.
    pub(super) clauses: Range<usize>,
}

/// Messages, the first [`MAX_WARNINGS`] of them.
#[derive(Default)]
pub(super) struct Warnings {
    messages: Vec<String>,
    left_off: usize,
}

impl Warnings {
    pub(super) fn push(&mut self, message: impl FnOnce() -> String) {
        if self.messages.len() < MAX_WARNINGS {
            self.messages.push(message());
        } else {
            self.left_off += 1;
        }
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if self.left_off > 0 {
            self.messages.push(format!("linux.seccomp: {} more like these", self.left_off));
        }
        self.messages
    }
}

/// Checks a profile and looks up its names.
pub(super) fn read(
    profile: &Seccomp,
    native: Arch,
    warnings: &mut Warnings,
) -> Result<Rules, Error> {
    if profile.default_action == Action::Notify {
        return Err(Error::new(
            "linux.seccomp.defaultAction",
            "SCMP_ACT_NOTIFY cannot be the default: the runtime could not hand the listener over",
        ));
    }
    let default = action_value(
        profile.default_action,
        profile.default_errno_ret,
        || String::from("linux.seccomp.defaultErrnoRet"),
        warnings,
    );
    let names = profile.syscalls.iter().map(|rule| rule.names.len()).sum();
    let mut rules = Rules {
        default,
        // A tracer that is asked can answer ENOSYS itself, and LOG and ALLOW let the call through.
        stub: !matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace),
        architectures: architectures(profile, native, warnings),
        clauses: Vec::with_capacity(profile.syscalls.len()),
        uses: Vec::with_capacity(names),
        flags: 0,
        notify: false,
    };
    for (at, rule) in profile.syscalls.iter().enumerate() {
        rules.read_rule(at, rule, warnings)?;
    }
    rules.read_flags(profile, warnings)?;
    Ok(rules)
}

/// Refuses what is a warning otherwise: a name that is no system call of any architecture.
pub fn refuse_unknown(profile: &Seccomp) -> Result<(), Error> {
    for (at, rule) in profile.syscalls.iter().enumerate() {
        if let Some(index) = rule.names.iter().position(|name| Name::find(name).is_none()) {
            let field = format!("linux.seccomp.syscalls[{at}].names[{index}]");
            return Err(Error::new(field, "unknown system call"));
        }
    }
    Ok(())
}

impl Rules {
    fn read_rule(
        &mut self,
        at: usize,
        rule: &SyscallRule,
        warnings: &mut Warnings,
    ) -> Result<(), Error> {
        let action = action_value(
            rule.action,
            rule.errno_ret,
            || format!("linux.seccomp.syscalls[{at}].errnoRet"),
            warnings,
        );
        let first = self.clauses.len();
        let conditions = read_conditions(at, &rule.args)?;
        if action != self.default {
            if has_repeated_argument(&conditions) {
                // As in runc: two conditions on one argument are alternatives, and then the other
                // conditions of the rule are alternatives as well.
                self.clauses.extend(
                    conditions
                        .into_iter()
                        .map(|condition| Clause { action, conditions: alloc::vec![condition] }),
                );
            } else {
                self.clauses.push(Clause { action, conditions });
            }
        }
        for (index, name) in rule.names.iter().enumerate() {
            let field = || format!("linux.seccomp.syscalls[{at}].names[{index}]");
            if name.is_empty() {
                return Err(Error::new(field(), "a system call has a name"));
            }
            if rule.action == Action::Notify {
                if name == "write" {
                    return Err(Error::new(
                        field(),
                        "SCMP_ACT_NOTIFY cannot be used for the write syscall: with the filter in \
                         force the runtime still has to write the listener's number to its parent",
                    ));
                }
                self.notify = true;
            }
            match Name::find(name) {
                Some(name) => {
                    let clauses = first..self.clauses.len();
                    self.uses.push(Use { name, rule: at, clauses });
                }
                None => warnings.push(|| format!("{}: unknown system call {name:?}", field())),
            }
        }
        Ok(())
    }

    fn read_flags(&mut self, profile: &Seccomp, warnings: &mut Warnings) -> Result<(), Error> {
        if profile.flags.is_none() {
            // As in runc, whose profiles come from encoders that leave out empty lists: no word
            // about flags means that the mitigation of speculative stores stays off.
            self.flags |= FLAG_SPEC_ALLOW;
        }
        for flag in profile.flags.iter().flatten() {
            self.flags |= match flag {
                // Nothing to do, as in runc: the filter is installed by the only thread.
                FilterFlag::Tsync => 0,
                FilterFlag::Log => FLAG_LOG,
                FilterFlag::SpecAllow => FLAG_SPEC_ALLOW,
                FilterFlag::WaitKillableRecv => FLAG_WAIT_KILLABLE_RECV,
            };
        }
        if self.notify {
            self.flags |= FLAG_NEW_LISTENER;
            if profile.listener_path.is_empty() {
                return Err(Error::new(
                    "linux.seccomp.listenerPath",
                    "SCMP_ACT_NOTIFY needs the socket of an agent",
                ));
            }
            return Ok(());
        }
        if self.flags & FLAG_WAIT_KILLABLE_RECV != 0 {
            // The kernel refuses the flag without a listener (EINVAL).
            self.flags &= !FLAG_WAIT_KILLABLE_RECV;
            warnings.push(|| {
                String::from(
                    "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV has no effect \
                     without SCMP_ACT_NOTIFY",
                )
            });
        }
        if !profile.listener_path.is_empty() {
            warnings.push(|| {
                String::from(
                    "linux.seccomp.listenerPath: not used, no rule has the action SCMP_ACT_NOTIFY",
                )
            });
        }
        Ok(())
    }
}

fn architectures(profile: &Seccomp, native: Arch, warnings: &mut Warnings) -> Vec<Arch> {
    let mut list = alloc::vec![native];
    for (at, &arch) in profile.architectures.iter().enumerate() {
        if list.contains(&arch) {
            continue;
        }
        if arch::abi(arch).is_none() {
            warnings.push(|| {
                format!(
                    "linux.seccomp.architectures[{at}]: no system call table for {}, programs of \
                     this architecture are killed",
                    arch.name()
                )
            });
            continue;
        }
        list.push(arch);
    }
    list
}

fn action_value(
    action: Action,
    errno: Option<u32>,
    field: impl Fn() -> String,
    warnings: &mut Warnings,
) -> u32 {
    let value = match action {
        Action::Kill | Action::KillThread => KILL_THREAD,
        Action::KillProcess => KILL_PROCESS,
        Action::Trap => TRAP,
        Action::Log => LOG,
        Action::Notify => NOTIFY,
        Action::Allow => ALLOW,
        Action::Errno | Action::Trace => {
            let errno = errno.unwrap_or(EPERM);
            if errno > u16::MAX as u32 {
                warnings.push(|| format!("{}: only the low 16 bits of {errno} count", field()));
            }
            let base = if action == Action::Errno { ERRNO } else { TRACE };
            return base | errno & u16::MAX as u32;
        }
    };
    if errno.is_some() {
        warnings.push(|| format!("{}: {} has no error number", field(), action.name()));
    }
    value
}

fn read_conditions(rule: usize, args: &[ArgRule]) -> Result<Vec<Condition>, Error> {
    let wrong = |arg: &ArgRule| arg.index as usize >= ARGUMENTS;
    if let Some((at, arg)) = args.iter().enumerate().find(|(_, arg)| wrong(arg)) {
        return Err(Error::new(
            format!("linux.seccomp.syscalls[{rule}].args[{at}].index"),
            format!("{} is not an argument number (0-5)", arg.index),
        ));
    }
    let mut conditions = Vec::with_capacity(args.len());
    // Ordered by argument; a call to sort would bring 8 KB of code.
    let order = 0..ARGUMENTS as u32;
    for arg in order.flat_map(|index| args.iter().filter(move |arg| arg.index == index)) {
        let (mask, value) = match arg.op {
            Operator::MaskedEqual => (arg.value, arg.value_two),
            _ => (u64::MAX, arg.value),
        };
        let argument = arg.index as u8;
        conditions.push(Condition { argument, operator: arg.op, mask, value });
    }
    Ok(conditions)
}

fn has_repeated_argument(conditions: &[Condition]) -> bool {
    let mut seen = [false; ARGUMENTS];
    conditions.iter().any(|condition| {
        seen.get_mut(condition.argument as usize).is_some_and(|seen| core::mem::replace(seen, true))
    })
}
