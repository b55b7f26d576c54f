//! The health check of a container changes while it runs.

use super::health::Checks;
use super::run::Supervisor;
use crate::error::Result;
use crate::files;
use crate::place;
use crate::record::Config;
use crate::wire::{Frame, NUMBER_BYTES, kind};

impl Supervisor<'_> {
    /// Takes the check from the record, where a client has changed it, and answers.
    pub(super) fn change_checks(&mut self, frame: &Frame) {
        let Some((number, _)) = frame.payload.split_at_checked(NUMBER_BYTES) else { return };
        let error = self.renew_checks().err().map_or_else(Vec::new, |error| error.encode());
        self.clients.tell(kind::ANSWER, &[number, &error].concat());
    }

    /// What was found out by the old check says nothing of the new one.
    fn renew_checks(&mut self) -> Result<()> {
        let Some(now) = files::read::<Config>(&self.dir, place::CONFIG)? else { return Ok(()) };
        self.config.healthcheck = now.healthcheck;
        self.config.health_on_failure = now.health_on_failure;
        self.config.health_log_count = now.health_log_count;
        self.config.health_log_size = now.health_log_size;
        let is_awaited = self.checks.as_ref().is_some_and(Checks::is_awaited);
        if let Some(mut old) = self.checks.take() {
            old.stop();
        }
        self.checks = Checks::new(&self.config);
        self.state.health = None;
        match &mut self.checks {
            Some(checks) if self.record.is_some() => {
                self.state.health = Some(checks.begin());
                if is_awaited {
                    checks.ask();
                }
            }
            // Nothing is checked any more, which is not well.
            _ if is_awaited => self.clients.tell(kind::CHECKED, &1i32.to_be_bytes()),
            _ => {}
        }
        self.save();
        Ok(())
    }
}
