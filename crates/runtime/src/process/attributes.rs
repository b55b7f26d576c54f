//! Scheduling, memory policy, personality: what does not depend on who the process is.

use super::Plan;
use crate::config;
use crate::error::{Attempt, Error, Result};
use alloc::format;
use alloc::vec::Vec;
use oci::runtime::{IoPriority, MemoryPolicy, Scheduler};
use sys::{Errno, sched};

pub(super) fn apply(plan: &Plan) -> Result<()> {
    reset_affinity(plan);
    if let Some(scheduler) = &plan.process.scheduler {
        set_scheduler(scheduler)?;
    }
    if let Some(io) = &plan.process.io_priority {
        set_io_priority(io)?;
    }
    if let Some(policy) = &plan.memory_policy {
        set_memory_policy(policy)?;
    }
    if let Some(personality) = &plan.personality {
        let value = config::personality_value(personality)?;
        sys::process::set_personality(value)
            .attempt(|| format!("linux.personality: setting {}", personality.domain))?;
    }
    Ok(())
}

fn set_scheduler(scheduler: &Scheduler) -> Result<()> {
    let attr = sched::SchedAttr {
        policy: config::scheduler_policy(&scheduler.policy)?,
        flags: u64::from(config::scheduler_flags(&scheduler.flags)?),
        nice: scheduler.nice,
        priority: scheduler.priority as u32,
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline,
        period: scheduler.period,
        ..sched::SchedAttr::default()
    };
    sched::set_scheduler(attr).map_err(|errno| {
        let error = Error::os(format!("process.scheduler: setting {}", scheduler.policy), errno);
        // The kernel wants every CPU of the machine in the set of a process with deadlines.
        const DEADLINE: u32 = 6;
        match errno {
            Errno::EPERM if attr.policy == DEADLINE => error.with_hint(
                "process scheduler can't be used together with AllowedCPUs \
                 (linux.resources.cpu.cpus)",
            ),
            _ => error,
        }
    })
}

/// A caller's own set of CPUs is not the container's, which gets all that its cpuset allows.
fn reset_affinity(plan: &Plan) {
    let asked = plan.process.exec_cpu_affinity.as_ref();
    if asked.is_some_and(|asked| !asked.initial.is_empty() || !asked.final_.is_empty()) {
        return;
    }
    /// The kernel takes the CPUs that there are from a mask of more; Linux is built for 8192.
    const ALL: [u64; 128] = [u64::MAX; 128];
    // A filter around this process may forbid it; the set is then the caller's, as it ever was.
    let _ = sched::set_affinity(&ALL);
}

fn set_io_priority(io: &IoPriority) -> Result<()> {
    const CLASS_SHIFT: u32 = 13;
    let class = config::io_class(&io.class)?;
    sched::set_io_priority(class << CLASS_SHIFT | io.priority as u32)
        .attempt(|| format!("process.ioPriority: setting {}", io.class))
}

fn set_memory_policy(policy: &MemoryPolicy) -> Result<()> {
    let mode = config::memory_mode(&policy.mode)? | config::memory_policy_flags(&policy.flags)?;
    let nodes = parse_list(&policy.nodes)
        .map_err(|why| Error::invalid(format!("linux.memoryPolicy.nodes: {why}")))?;
    sched::set_memory_policy(mode, &nodes)
        .attempt(|| format!("linux.memoryPolicy: setting {}", policy.mode))
}

/// Binds the process to a list of CPUs; an empty one changes nothing.
pub(crate) fn set_affinity(field: &str, list: &str) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let mask = parse_list(list).map_err(|why| Error::invalid(format!("{field}: {why}")))?;
    sched::set_affinity(&mask).attempt(|| format!("{field}: binding to CPUs {list}"))
}

/// Reads a list such as `0-3,7` into a bit mask of whole words.
pub fn parse_list(text: &str) -> core::result::Result<Vec<u64>, alloc::string::String> {
    /// More CPUs and nodes than Linux can be built for.
    const LIMIT: u32 = 16384;
    /// Each of the kernel's most CPUs (8192) by itself takes 40 KB.
    const LIMIT_BYTES: usize = 64 << 10;
    if text.len() > LIMIT_BYTES {
        return Err(format!("a list of more than {LIMIT_BYTES} bytes"));
    }
    let mut mask: Vec<u64> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|&n| n < LIMIT);
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..=last,
            _ => return Err(format!("{part:?} is not a number or a range")),
        };
        for bit in range {
            let word = bit as usize / 64;
            if mask.len() <= word {
                mask.resize(word + 1, 0);
            }
            mask[word] |= 1 << (bit % 64);
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_masks() {
        assert_eq!(parse_list(""), Ok(vec![]));
        assert_eq!(parse_list("0-2, 5"), Ok(vec![0b100111]));
        assert_eq!(parse_list("64"), Ok(vec![0, 1]));
        for bad in ["a", "3-1", "-1", "1-", "16384", "0-99999999999"] {
            assert!(parse_list(bad).is_err(), "{bad}");
        }
        assert!(parse_list(&"0-16383,".repeat(8192)).is_ok());
        assert!(parse_list(&"0-16383,".repeat(8193)).is_err());
    }
}
