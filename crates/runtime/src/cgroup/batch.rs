//! Memory limits that one batch of the kernel's would use up.
//!
//! The kernel charges memory in batches, where the limit leaves room for one, and keeps what is not
//! used yet for the processor that asked (`MEMCG_CHARGE_BATCH`). Where a batch is all that the limit
//! allows, a process that goes on on another processor, as most do in execve, has nothing left: the
//! kernel takes the rest back from the first one, does not wait for it, and kills the process. So
//! such a container begins a page below a batch, which is then never taken, and gets its limit when
//! its init has pages of its own, next to which there is no room for a batch either.

use oci::runtime::{Memory, Resources};

/// `MEMCG_CHARGE_BATCH` (include/linux/memcontrol.h) is 64 pages since Linux 6.1, and was 32.
const BATCH_BYTES: i64 = 64 * PAGE_BYTES;
const PAGE_BYTES: i64 = 4096;
/// What an init has at least at the end of its work: 17 to 24 pages.
const INIT_BYTES: i64 = 16 * PAGE_BYTES;

/// What such a container begins with, if `resources` have a limit of that kind.
pub(crate) fn begin_with(resources: &Resources) -> Option<Resources> {
    let limit = resources.memory.as_ref()?.limit?;
    let overridden = resources.unified.iter().any(|(key, _)| key == "memory.max");
    if overridden || !(BATCH_BYTES..BATCH_BYTES + INIT_BYTES).contains(&limit) {
        return None;
    }
    let mut first = resources.clone();
    first.memory.as_mut()?.limit = Some(BATCH_BYTES - PAGE_BYTES);
    Some(first)
}

/// What it gets then.
pub(crate) fn go_on_with(resources: &Resources) -> Resources {
    let memory = resources.memory.as_ref();
    let memory = memory.map(|Memory { limit, swap, .. }| Memory {
        limit: *limit,
        swap: *swap,
        ..Memory::default()
    });
    Resources { memory, ..Resources::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_of_about_a_batch_begin_lower() {
        let limit = |kib: i64, more: &str| {
            let text = format!(r#"{{"memory":{{"limit":{},"swap":1048576}}{more}}}"#, kib * 1024);
            let resources: Resources = oci::json::read(text.as_bytes()).unwrap();
            begin_with(&resources).map(|first| {
                assert_eq!(go_on_with(&resources).memory, resources.memory);
                first.memory.unwrap().limit.unwrap() / 1024
            })
        };
        for (kib, expected) in [(255, None), (256, Some(252)), (319, Some(252)), (320, None)] {
            assert_eq!(limit(kib, ""), expected, "{kib}");
        }
        assert_eq!(limit(256, r#","unified":{"memory.max":"max"}"#), None);
        assert_eq!(begin_with(&Resources::default()), None);
    }
}
