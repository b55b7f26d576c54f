//! Steps between which tests kill the process.
//!
//! In the shipped program a step is nothing.

#[cfg(not(test))]
#[inline]
pub(crate) fn step(_name: &str) {}

#[cfg(test)]
pub(crate) use counted::{arm, step};

#[cfg(test)]
mod counted {
    use std::sync::atomic::{AtomicU64, Ordering};

    static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

    /// Lets the process die at its `steps`th step from now, 1 being the next.
    pub(crate) fn arm(steps: u64) {
        LEFT.store(steps, Ordering::SeqCst);
    }

    pub(crate) fn step(_name: &str) {
        const SIGKILL: i32 = 9;
        if LEFT.load(Ordering::Relaxed) == u64::MAX {
            return;
        }
        if LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = sys::process::kill(sys::process::id(), SIGKILL);
            // The signal comes at once, but perhaps not before the next instruction.
            loop {
                std::thread::park();
            }
        }
    }
}
