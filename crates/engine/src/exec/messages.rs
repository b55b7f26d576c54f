//! What a program says on its standard error, on its way to the caller's: the end of it is kept, to name what the program
//! has lacked.

use crate::client;
use crate::error::{During, Result};
use crate::record::Config;
use crate::supervisor::rights::Tail;
use oci::runtime::Process;
use runtime::config::ContainerId;
use runtime::{ExecOptions, Executed, Host};
use sys::wait::{self, POLLIN, PollFd};
use sys::{BorrowedFd, Errno, Fd, fs, process, signal};

const STDERR: BorrowedFd<'static> = BorrowedFd::from_raw(2);
const READ_BYTES: usize = 16 * 1024;
const WHAT: &str = "passing on what the program says";

/// The way to the caller's standard error.
struct Messages {
    /// Nothing at the end, or when the caller does not listen any more.
    pipe: Option<Fd>,
    own: Fd,
    tail: Tail,
}

impl Messages {
    /// Passes on what is there; says whether there may be more.
    fn pass(&mut self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut buffer = [0u8; READ_BYTES];
        match fs::read(pipe, &mut buffer) {
            Ok(count) if count > 0 => {
                self.tail.push(&buffer[..count]);
                // The program learns that nobody listens as it would have without anybody between.
                if fs::write_all(&self.own, &buffer[..count]).is_err() {
                    self.pipe = None;
                }
                true
            }
            Err(Errno::EAGAIN | Errno::EINTR) => false,
            _ => {
                self.pipe = None;
                false
            }
        }
    }
}

/// Executes a program, and returns its exit code.
pub(super) fn exec(
    host: &Host,
    id: &ContainerId,
    process: Process,
    config: &Config,
) -> Result<i32> {
    let (ours, theirs) = fs::pipe().during(|| WHAT)?;
    let Ok(own) = fs::duplicate(STDERR, 3) else {
        // There is nobody who could be told.
        return plain(host, id, process);
    };
    fs::duplicate_to(&theirs, 2).during(|| WHAT)?;
    drop(theirs);
    let signals = client::catch(true)?;
    let options = ExecOptions { process, detach: true, ..ExecOptions::default() };
    let executed = runtime::exec(host, id, options, &mut Vec::new());
    fs::duplicate_to(&own, 2).during(|| WHAT)?;
    let pid = match executed? {
        Executed::Running(pid) => pid,
        Executed::Ended(exit) => return Ok(exit.shell_code()),
    };
    fs::set_nonblocking(&ours, true).during(|| WHAT)?;
    let mut messages = Messages { pipe: Some(ours), own, tail: Tail::default() };
    let code = follow(&mut messages, pid, &signals)?;
    while messages.pass() {}
    if let Some(hint) = messages.tail.hint(config, code) {
        let _ = fs::write_all(&messages.own, format!("hint: {hint}\n").as_bytes());
    }
    go_on(messages)?;
    Ok(code)
}

fn plain(host: &Host, id: &ContainerId, process: Process) -> Result<i32> {
    let options = ExecOptions { process, ..ExecOptions::default() };
    match runtime::exec(host, id, options, &mut Vec::new())? {
        Executed::Running(_) => Ok(0),
        Executed::Ended(exit) => Ok(exit.shell_code()),
    }
}

/// Until the program has ended.
fn follow(messages: &mut Messages, pid: i32, signals: &Fd) -> Result<i32> {
    let program = process::open_pid(pid).during(|| WHAT)?;
    loop {
        let mut fds = [
            PollFd::new(signals, POLLIN),
            PollFd::new(&program, POLLIN),
            messages.pipe.as_ref().map_or_else(PollFd::none, |pipe| PollFd::new(pipe, POLLIN)),
        ];
        wait::poll(&mut fds, None).during(|| WHAT)?;
        if fds[0].ready() != 0 {
            while let Ok(received) = signal::read_signal(signals) {
                // One that is just ending needs none any more.
                let _ = process::signal_pidfd(&program, received.signal);
            }
        }
        if fds[2].ready() != 0 {
            messages.pass();
        }
        if fds[1].ready() != 0 {
            let ended = wait::child(pid, true).during(|| WHAT)?;
            return Ok(ended.map_or(0, |(_, exit)| exit.shell_code()));
        }
    }
}

/// What the program has left behind may have something to say: a process of its own passes it on, and ends with the last
/// of them.
fn go_on(mut messages: Messages) -> Result<()> {
    let Some(pipe) = &messages.pipe else { return Ok(()) };
    fs::set_nonblocking(pipe, false).during(|| WHAT)?;
    if process::fork_plain().during(|| WHAT)?.is_some() {
        return Ok(());
    }
    super::stay_behind();
    while messages.pass() {}
    process::exit(0)
}
