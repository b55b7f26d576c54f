//! Steps between which tests kill the process.
//!
//! In the shipped program a step is nothing.

#[cfg(not(test))]
#[inline]
pub(crate) fn step(_name: &str) {}

#[cfg(test)]
pub(crate) use counted::{arm, dawdle, step};

#[cfg(test)]
mod counted {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);
    static DAWDLES: AtomicBool = AtomicBool::new(false);

    /// Lets the process die at its `steps`th step from now, 1 being the next.
    pub(crate) fn arm(steps: u64) {
        LEFT.store(steps, Ordering::SeqCst);
    }

    /// Lets the process rest at some of its steps, so that others come in between.
    pub(crate) fn dawdle() {
        DAWDLES.store(true, Ordering::SeqCst);
    }

    pub(crate) fn step(_name: &str) {
        const SIGKILL: i32 = 9;
        if DAWDLES.load(Ordering::Relaxed) {
            let mut random = [0];
            sys::time::random(&mut random).unwrap();
            // One step in eight: long enough for another process's whole work, or for a part of it.
            if random[0] < 32 {
                sys::time::sleep_ms(u64::from(random[0] % 8));
            }
        }
        if LEFT.load(Ordering::Relaxed) == u64::MAX {
            return;
        }
        if LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = sys::process::kill(sys::process::id(), SIGKILL);
        }
    }
}
