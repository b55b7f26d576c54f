//! `--init`: an own first process that collects orphans and passes signals on (railcar's init).

use crate::channel::Channel;
use crate::error::{Attempt, Error, Result};
use crate::process::{self, Plan, Prepared};
use crate::procfs::Proc;
use sys::signal::{self, SignalSet};
use sys::wait::{self, Exit, POLLIN, PollFd};
use sys::{BorrowedFd, Fd, process as p};

const SIGCHLD: i32 = 17;
/// All processes of the pid namespace but its first.
const EVERYBODY: i32 = -1;
/// Signals that are about this process itself, or that cannot be waited for.
const OWN: [i32; 8] = [9, 19, 11, 7, 8, 4, 5, SIGCHLD];

/// Starts the program as a child and stays as the first process until it ends. Returns only on
/// error.
pub(super) fn run(
    plan: &Plan,
    proc: &Proc,
    prepared: Prepared,
    channel: &mut Channel,
    reporter: Option<Fd>,
) -> Error {
    let kept = [channel.number(), reporter.as_ref().map(Fd::raw)];
    // Before there is anybody who could look.
    let started = close_all(proc, 3 + plan.preserve_fds as i32, kept)
        .and_then(|()| fork_program(plan, prepared, channel, reporter.as_ref()));
    match started {
        Ok(child) => {
            // From here on the program alone holds them: their end says that it is executed.
            drop(reporter);
            stay(plan, channel, Some(child))
        }
        Err(error) => {
            super::report(&error, reporter.as_ref());
            error
        }
    }
}

fn fork_program(
    plan: &Plan,
    prepared: Prepared,
    channel: &mut Channel,
    reporter: Option<&Fd>,
) -> Result<i32> {
    signal::block(SignalSet::ALL).attempt(|| "blocking signals")?;
    let child = p::fork_plain().attempt(|| "starting the program")?;
    match child {
        Some(child) => Ok(child.pid),
        None => {
            let error = match start_session() {
                Ok(()) => process::execute(plan, prepared, &mut |fd| channel.send_listener(fd)),
                Err(error) => error,
            };
            channel.fail(&error);
            super::report(&error, reporter);
            p::exit(1)
        }
    }
}

fn start_session() -> Result<()> {
    signal::set_mask(SignalSet::default()).attempt(|| "unblocking signals")?;
    // With a terminal the session is the first process's and the program shares it.
    match sys::tty::is_terminal(BorrowedFd::from_raw(0)) {
        true => Ok(()),
        false => p::new_session().attempt(|| "starting a session"),
    }
}

/// Closes every descriptor from `first` on. This process never executes anything, so "close on
/// exec" does not rid it of the host's directories, and whoever may look into the first process of
/// its container would get out through them.
fn close_all(proc: &Proc, first: i32, kept: [Option<i32>; 2]) -> Result<()> {
    for number in process::open_descriptors(proc)? {
        if number >= first && !kept.contains(&Some(number)) {
            drop(Fd::from_raw(number));
        }
    }
    Ok(())
}

/// The program alone keeps what was handed to the container.
fn close_inherited(plan: &Plan) {
    for number in 3..3 + plan.preserve_fds as i32 {
        drop(sys::Fd::from_raw(number));
    }
}

/// Stays as the first process for a program that `start` brings in ([`Options::started_late`]),
/// until it and everything else have ended. Returns only on error.
///
/// [`Options::started_late`]: crate::Options::started_late
pub(super) fn wait_for_program(plan: &Plan, proc: &Proc, channel: &mut Channel) -> Error {
    if let Err(error) = close_all(proc, 3, [channel.number(), None]) {
        return error;
    }
    if let Err(errno) = signal::block(SignalSet::ALL) {
        return Error::os("blocking signals", errno);
    }
    stay(plan, channel, None)
}

fn stay(plan: &Plan, channel: &mut Channel, program: Option<i32>) -> ! {
    channel.close();
    close_inherited(plan);
    // The name that `ps` shows; only the look suffers without it.
    let _ = p::set_name("tare-init");
    p::change_title("tare-init");
    p::exit(reap(program).map_or(1, Exit::shell_code))
}

/// Collects children until `program` has ended, or without one until the last has.
fn reap(program: Option<i32>) -> Result<Exit> {
    let set = SignalSet(!SignalSet::of(&OWN).0 | SignalSet::of(&[SIGCHLD]).0);
    let signals = signal::signal_fd(set).attempt(|| "waiting for signals")?;
    let mut last = None;
    loop {
        loop {
            match (wait::child(-1, false), last) {
                (Ok(Some((pid, exit))), _) if program == Some(pid) => return Ok(exit),
                (Ok(Some((_, exit))), _) => last = Some(exit),
                // No child is left.
                (Err(_), Some(exit)) if program.is_none() => return Ok(exit),
                _ => break,
            }
        }
        let mut fds = [PollFd::new(&signals, POLLIN)];
        wait::poll(&mut fds, None).attempt(|| "waiting for signals")?;
        while let Ok(received) = signal::read_signal(&signals) {
            if received.signal != SIGCHLD {
                // The program may have just ended; the next turn sees that.
                let _ = p::kill(program.unwrap_or(EVERYBODY), received.signal);
            }
        }
    }
}
