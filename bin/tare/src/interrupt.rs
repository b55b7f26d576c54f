//! Ctrl-C while images are fetched: what is whole is kept before the command ends.
//!
//! A kill does no harm, either; but then what has come since the last commit is fetched again.

use crate::failure::Failure;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use sys::signal::{self, SignalSet};
use sys::wait::{POLLIN, PollFd};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 128 + SIGINT as u8;
/// How long the end may take: somebody may wait for a registry that says nothing. The second Ctrl-C does not wait.
const GRACE: Duration = Duration::from_secs(3);

static STOP: AtomicBool = AtomicBool::new(false);

/// Makes signals that end the process set what is returned. Threads that have begun before are not covered.
pub(crate) fn watch() -> &'static AtomicBool {
    let signals = SignalSet::of(&[SIGINT, SIGTERM]);
    // Without it the process ends at once, as any other.
    if let Ok(before) = signal::block(signals) {
        match signal::signal_fd(signals) {
            Ok(signals) => drop(std::thread::spawn(move || wait(&signals))),
            Err(_) => drop(signal::set_mask(before)),
        }
    }
    &STOP
}

fn wait(signals: &sys::Fd) {
    next(signals, None);
    STOP.store(true, Ordering::Relaxed);
    next(signals, Some(GRACE));
    std::process::exit(INTERRUPTED.into());
}

/// Waits for the next signal, or until the time is over.
fn next(signals: &sys::Fd, limit: Option<Duration>) {
    let mut fds = [PollFd::new(signals, POLLIN)];
    let limit = limit.map(|limit| limit.as_millis() as u64);
    let _ = sys::wait::poll(&mut fds, limit);
    let _ = signal::read_signal(signals);
}

/// What is told instead of a failure that an interruption has caused.
pub(crate) fn told(failure: Failure, what: &str) -> Failure {
    match STOP.load(Ordering::Relaxed) {
        false => failure,
        true => Failure::from_parts(
            INTERRUPTED,
            format!("{what}: interrupted"),
            Some("the same command goes on with what is missing"),
        ),
    }
}
