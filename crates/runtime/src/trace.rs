//! What is told to whoever looks for a fault: the stages of a container's way to its program.
//!
//! The words are those of runc's debug log, for they are what people and their scripts look for.

use crate::channel::{Channel, Request};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::fmt;

/// The init exists; it is about to enter or has entered its namespaces.
pub(crate) const FORKED: &str = "nsexec container setup";
/// The init, or an executed process, runs its own code.
pub(crate) const CHILD: &str = "child process in init()";
/// All is made; what comes next is the program.
pub(crate) const READY: &str = "init: closing the pipe to signal completion";
/// As [`READY`], for `exec`.
pub(crate) const EXECUTING: &str = "setns_init: about to exec";

/// Where such messages go; by default nowhere.
#[derive(Clone, Default)]
#[allow(clippy::type_complexity, reason = "an optional shared function is what it says")]
pub struct Trace(Option<Rc<dyn Fn(&str)>>);

impl Trace {
    /// Every message goes to `listener`.
    pub fn to(listener: impl Fn(&str) + 'static) -> Self {
        Self(Some(Rc::new(listener)))
    }

    /// Parent: says something.
    pub(crate) fn say(&self, message: &str) {
        if let Some(listener) = &self.0 {
            listener(message);
        }
    }

    /// Parent: says what is made only if somebody listens.
    pub(crate) fn say_with(&self, message: impl FnOnce() -> String) {
        if let Some(listener) = &self.0 {
            listener(&message());
        }
    }

    /// Child: has the parent say something. The log is not the container's to hold open.
    pub(crate) fn ask_to_say(&self, channel: &Channel, message: &str) {
        if self.0.is_some() {
            // A message that is lost is no reason to fail.
            let _ = channel.tell(&Request::Note(message.to_string()));
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Trace(on)" } else { "Trace(off)" })
    }
}
