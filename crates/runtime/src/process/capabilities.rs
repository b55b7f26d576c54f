//! Capability sets.

use crate::config::{CAPABILITIES, capability_number};
use crate::error::{Attempt, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Capabilities;
use sys::ids::{self, CapSets};

/// The five sets of a process, bit n being capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "capabilities(7) documents the sets")]
pub struct CapabilityPlan {
    pub bounding: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub permitted: u64,
    pub ambient: u64,
}

/// As many unknown names are shown as there may be new ones in a few years.
const SHOWN_LIMIT: usize = 32;

impl CapabilityPlan {
    /// Reads the names. An unknown one is a warning: it may be of a newer kernel.
    pub fn new(configured: Option<&Capabilities>, warnings: &mut Vec<String>) -> Self {
        let Some(sets) = configured else { return Self::default() };
        let mut unknown: Vec<&str> = Vec::new();
        let bits = |names: &'_ [String]| {
            names.iter().fold(0u64, |set, name| match capability_number(name) {
                Some(number) => set | 1 << number,
                None => set,
            })
        };
        let plan = Self {
            bounding: bits(&sets.bounding),
            effective: bits(&sets.effective),
            inheritable: bits(&sets.inheritable),
            permitted: bits(&sets.permitted),
            ambient: bits(&sets.ambient),
        };
        let all =
            [&sets.bounding, &sets.effective, &sets.inheritable, &sets.permitted, &sets.ambient];
        for name in all.into_iter().flatten() {
            if capability_number(name).is_none() && !unknown.contains(&name.as_str()) {
                unknown.push(name);
            }
            if unknown.len() > SHOWN_LIMIT {
                break;
            }
        }
        if !unknown.is_empty() {
            // As runc writes a list.
            let unknown = unknown.join(" ").escape_debug().collect::<String>();
            warnings.push(format!("ignoring unknown or unavailable capabilities: [{unknown}]"));
        }
        // The kernel lets nothing be ambient that is not also permitted and inheritable.
        let impossible = plan.ambient & !(plan.permitted & plan.inheritable);
        for (number, name) in CAPABILITIES.iter().enumerate() {
            if impossible & (1 << number) != 0 {
                let why = "it is not both permitted and inheritable";
                warnings.push(format!("can't raise ambient capability {name}: {why}"));
            }
        }
        plan
    }

    /// Takes from the bounding set what the plan does not have.
    pub(super) fn limit_bounding(self) -> Result<()> {
        for number in 0..u64::BITS {
            if self.bounding & (1 << number) != 0 {
                continue;
            }
            match ids::bounding_drop(number) {
                Ok(()) => {}
                // The first number that the kernel does not know ends the list.
                Err(sys::Errno::EINVAL) => return Ok(()),
                // Without CAP_SETPCAP nothing can be dropped; nothing can be gained either if it
                // is not there.
                Err(sys::Errno::EPERM) if ids::bounding_has(number) == Ok(false) => {}
                Err(errno) => {
                    let name = CAPABILITIES.get(number as usize).unwrap_or(&"a capability");
                    let attempt = format!("dropping {name} from the bounding set");
                    return Err(crate::error::Error::os(attempt, errno));
                }
            }
        }
        Ok(())
    }

    /// Sets the other four sets. What the kernel or the caller does not have is left out, as
    /// runc does: a rootless caller may ask for more than it can get.
    pub(super) fn apply(self) -> Result<()> {
        let available = ids::capabilities().attempt(|| "reading the capabilities")?.permitted;
        let sets = CapSets {
            effective: self.effective & self.permitted & available,
            permitted: self.permitted & available,
            inheritable: self.inheritable & (available | self.bounding),
        };
        ids::set_capabilities(sets).attempt(|| "setting the capabilities")?;
        if self.ambient == 0 {
            return Ok(());
        }
        ids::ambient_clear().attempt(|| "clearing the ambient capabilities")?;
        let possible = self.ambient & sets.permitted & sets.inheritable;
        for number in (0..u64::BITS).filter(|number| possible & (1 << number) != 0) {
            ids::ambient_raise(number).attempt(|| "raising an ambient capability")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_one_warning() {
        let sets = Capabilities {
            bounding: vec!["CAP_CHOWN".into(), "CAP_FUTURE".into()],
            effective: vec!["CAP_FUTURE".into(), "CAP_BPF".into(), "CAP\n".into()],
            ..Capabilities::default()
        };
        let mut warnings = Vec::new();
        let plan = CapabilityPlan::new(Some(&sets), &mut warnings);
        assert_eq!((plan.bounding, plan.effective, plan.ambient), (1, 1 << 39, 0));
        assert_eq!(warnings, [r"ignoring unknown or unavailable capabilities: [CAP_FUTURE CAP\n]"]);
    }
}
