//! A store whose containers go with it.

use super::images_scratch::Scratch;
use super::running::box_with;
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// A scratch store with the image `box:1`. Modules of tests add what only they need of it.
pub(super) struct Engine(pub(super) Scratch);

impl Engine {
    /// With an image that starts a shell; nothing where containers cannot be made.
    pub(super) fn new(test: &str) -> Option<Self> {
        Self::changed(test, &["CMD [\"sh\"]"])
    }

    /// With an image that only waits.
    pub(super) fn idle(test: &str) -> Option<Self> {
        Self::changed(test, &["CMD [\"sleep\", \"1000\"]"])
    }

    /// With an image of another configuration.
    pub(super) fn changed(test: &str, changes: &[&str]) -> Option<Self> {
        box_with(test, changes).map(Self)
    }

    /// Runs `tare`, which has to succeed.
    pub(super) fn ok(&self, args: &[&str]) -> String {
        self.0.ok(args)
    }

    /// A field of what `inspect` shows.
    pub(super) fn field(&self, name: &str, field: &str) -> String {
        self.ok(&["container", "inspect", "--format", &format!("{{{{{field}}}}}"), name])
    }

    /// Waits until something is so.
    pub(super) fn until(&self, what: &str, is: impl Fn() -> bool) {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        e2e::clean_up(self.0.command(&["rm", "-af"]));
    }
}
