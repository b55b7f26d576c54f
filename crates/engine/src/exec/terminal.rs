//! A program with a terminal, which its user may leave alone: its terminal is then held by a process that does nothing
//! else, until the program ends.

use super::Exec;
use crate::client::{self, Keys, RawTerminal};
use crate::error::{During, Error, Result};
use crate::record::Config;
use crate::supervisor::rights::Tail;
use oci::runtime::{ConsoleSize, Process};
use runtime::config::ContainerId;
use runtime::{Console, ExecOptions, Executed, Host};
use sys::wait::{self, POLLIN, PollFd};
use sys::{BorrowedFd, Errno, Fd, fs, process, signal, socket, tty};

const STDIN: BorrowedFd<'static> = BorrowedFd::from_raw(0);
const STDOUT: BorrowedFd<'static> = BorrowedFd::from_raw(1);
const SIGWINCH: i32 = 28;
const READ_BYTES: usize = 16 * 1024;
/// What a terminal's user types for the end of input.
const END: u8 = 4;
const WHAT: &str = "copying the program's terminal";

/// Executes it, and copies its terminal to the caller's; returns its exit code, or nothing when it is left alone.
pub(super) fn exec(
    host: &Host,
    id: &ContainerId,
    mut process: Process,
    request: &Exec,
    config: &Config,
) -> Result<Option<i32>> {
    if let Ok(size) = tty::size(STDIN).or_else(|_| tty::size(STDOUT)) {
        let (height, width) = (u64::from(size.rows), u64::from(size.columns));
        process.console_size = Some(ConsoleSize { height, width });
    }
    let (ours, theirs) = socket::pair(socket::Kind::Stream).during(|| WHAT)?;
    let console = Console::Passed(theirs);
    let options = ExecOptions { process, detach: true, console, ..ExecOptions::default() };
    let pid = match runtime::exec(host, id, options, &mut Vec::new())? {
        Executed::Running(pid) => pid,
        Executed::Ended(exit) => return Ok(Some(exit.shell_code())),
    };
    let mut name = [0u8; 64];
    let (_, mut fds) = socket::receive(&ours, &mut name).during(|| WHAT)?;
    let master = fds.pop().ok_or_else(|| Error::os(WHAT, Errno::EPIPE))?;
    if request.detach {
        return hold(master).map(|()| None);
    }
    let raw = if request.interactive { RawTerminal::set() } else { None };
    let mut tail = Tail::default();
    let copied = copy(&master, pid, request, &mut tail);
    drop(raw);
    let code = copied?;
    match code {
        Some(code) => {
            if let Some(hint) = tail.hint(config, code) {
                let _ = fs::write_all(STDOUT, format!("hint: {hint}\n").as_bytes());
            }
        }
        None => hold(master)?,
    }
    Ok(code)
}

/// Until the program has ended; nothing where it is left alone before.
fn copy(master: &Fd, pid: i32, request: &Exec, tail: &mut Tail) -> Result<Option<i32>> {
    let signals = client::catch(true)?;
    let program = process::open_pid(pid).during(|| WHAT)?;
    let mut keys = Keys::new(request.detach_keys.clone());
    let (mut reads, mut shows) = (request.interactive, true);
    loop {
        let mut fds = [
            PollFd::new(&signals, POLLIN),
            PollFd::new(&program, POLLIN),
            if shows { PollFd::new(master, POLLIN) } else { PollFd::none() },
            if reads { PollFd::new(STDIN, POLLIN) } else { PollFd::none() },
        ];
        wait::poll(&mut fds, None).during(|| WHAT)?;
        if fds[0].ready() != 0 {
            while let Ok(received) = signal::read_signal(&signals) {
                match received.signal {
                    SIGWINCH => {
                        if let Ok(size) = tty::size(STDIN) {
                            let _ = tty::set_size(master, size);
                        }
                    }
                    // One that is just ending needs none any more.
                    number => drop(process::signal_pidfd(&program, number)),
                }
            }
        }
        if fds[2].ready() != 0 {
            shows = show(master, tail);
        }
        if fds[3].ready() != 0 {
            let mut buffer = [0u8; READ_BYTES];
            let count = fs::read(STDIN, &mut buffer).unwrap_or(0);
            reads = count > 0;
            let mut out = if reads { Vec::new() } else { vec![END] };
            let leaves = keys.filter(&buffer[..count], &mut out);
            let _ = fs::write_all(master, &out);
            if leaves {
                return Ok(None);
            }
        }
        if fds[1].ready() != 0 {
            let ended = wait::child(pid, true).during(|| WHAT)?;
            while shows && is_ready(master) {
                shows = show(master, tail);
            }
            return Ok(Some(ended.map_or(0, |(_, exit)| exit.shell_code())));
        }
    }
}

fn is_ready(master: &Fd) -> bool {
    let mut fds = [PollFd::new(master, POLLIN)];
    wait::poll(&mut fds, Some(0)).is_ok_and(|count| count > 0) && fds[0].ready() & POLLIN != 0
}

/// Whether there may be more.
fn show(master: &Fd, tail: &mut Tail) -> bool {
    let mut buffer = [0u8; READ_BYTES];
    match fs::read(master, &mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            tail.push(&buffer[..count]);
            fs::write_all(STDOUT, &buffer[..count]).is_ok()
        }
    }
}

/// Leaves the terminal to a process of its own: without anybody who holds it the program would be told that its user
/// has hung up.
fn hold(master: Fd) -> Result<()> {
    if process::fork_plain().during(|| WHAT)?.is_some() {
        return Ok(());
    }
    super::stay_behind();
    let mut buffer = [0u8; READ_BYTES];
    while fs::read(&master, &mut buffer).is_ok_and(|count| count > 0) {}
    process::exit(0)
}
