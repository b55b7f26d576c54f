//! Hooks: programs of the user's that are told the container's state.

use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Hook, State};
use sys::wait::{self, Exit, POLLIN, PollFd};
use sys::{CStrings, Errno, Fd, fs, process, signal, time};

/// What of a failed hook's standard error is shown.
const OUTPUT_LIMIT_BYTES: usize = 4096;

/// Runs hooks in order; the first failure ends it.
pub fn run_all(kind: &str, hooks: &[Hook], state: &State) -> Result<()> {
    run_each(kind, hooks, state, None)
}

/// As [`run_all`]; hooks without an environment of their own get `inherited`.
pub fn run_all_inside(
    kind: &str,
    hooks: &[Hook],
    state: &State,
    inherited: &CStrings,
) -> Result<()> {
    run_each(kind, hooks, state, Some(inherited))
}

fn run_each(kind: &str, hooks: &[Hook], state: &State, inherited: Option<&CStrings>) -> Result<()> {
    for (index, hook) in hooks.iter().enumerate() {
        run(hook, state, inherited).map_err(|error| {
            error.context(format!("error running {kind} hook #{index}: {}", hook.path))
        })?;
    }
    Ok(())
}

/// Runs hooks in order and goes on after a failure; returns every failure as a sentence.
pub fn run_all_anyway(kind: &str, hooks: &[Hook], state: &State) -> Vec<String> {
    let run = |(index, hook): (usize, &Hook)| {
        let error = run(hook, state, None).err()?;
        Some(format!("error running {kind} hook #{index}: {}: {error}", hook.path))
    };
    hooks.iter().enumerate().filter_map(run).collect()
}

fn os(attempt: &str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::os(attempt, errno)
}

fn run(hook: &Hook, state: &State, inherited: Option<&CStrings>) -> Result<()> {
    let (stdin, to_hook) = fs::pipe().map_err(os("making a pipe"))?;
    let (from_hook, stderr) = fs::pipe().map_err(os("making a pipe"))?;
    let args = CStrings::new(match hook.args.is_empty() {
        true => core::slice::from_ref(&hook.path),
        false => &hook.args,
    })
    .map_err(os("preparing its arguments"))?;
    let own = CStrings::new(&hook.env).map_err(os("preparing its environment"))?;
    let env = inherited.filter(|_| hook.env.is_empty()).unwrap_or(&own);
    let forked = process::fork_plain().map_err(os("starting it"))?;
    let Some(child) = forked else {
        // Where the bundle can be seen, hooks start in it. Inside the container there is none.
        if state.status != oci::runtime::Status::Created {
            let _ = fs::chdir(&state.bundle);
        }
        become_hook(&hook.path, &stdin, &stderr, &args, env)
    };
    drop((stdin, stderr));
    // A hook that does not read its input gets none; SIGPIPE must not end the runtime for that.
    let _ = signal::ignore(SIGPIPE);
    let _ = fs::write_all(&to_hook, oci::json::write(state).as_bytes());
    drop(to_hook);
    let (exit, output) = wait_for(child, &from_hook, hook.timeout)?;
    match exit {
        Exit::Code(0) => Ok(()),
        exit => Err(Error::new(Kind::Os, failure(exit, &output))),
    }
}

const SIGPIPE: i32 = 13;
const SIGKILL: i32 = 9;
/// What a filter kills with.
const SIGSYS: i32 = 31;

fn become_hook(path: &str, stdin: &Fd, stderr: &Fd, args: &CStrings, env: &CStrings) -> ! {
    signal::reset_all();
    let _ = signal::set_mask(signal::SignalSet::default());
    let ready = fs::duplicate_to(stdin, 0)
        .and_then(|()| fs::duplicate_to(stderr, 1))
        .and_then(|()| fs::duplicate_to(stderr, 2))
        .and_then(|()| match fs::cloexec_from(3) {
            Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => Ok(()),
            result => result,
        });
    let errno = ready.err().unwrap_or_else(|| process::exec(path, args, env));
    let message = format!("{errno}");
    let _ = fs::write_all(sys::BorrowedFd::from_raw(2), message.as_bytes());
    process::exit(127)
}

fn failure(exit: Exit, output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    let how = match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(SIGSYS) => format!("killed by signal {SIGSYS}: bad system call"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
    };
    match output.trim() {
        "" => how,
        output => format!("{how}, output: {output}"),
    }
}

/// Collects the output until the hook has ended. A hook that is still running at its timeout is
/// killed. Descendants may keep the pipe open, so the process is what counts.
fn wait_for(child: process::Child, output: &Fd, timeout_s: Option<i64>) -> Result<(Exit, Vec<u8>)> {
    // The configuration's check keeps the number small; the record of an older version may not.
    let limit_ms = |seconds: i64| (seconds.max(0) as u64).saturating_mul(1000);
    let deadline = timeout_s.map(|seconds| time::monotonic_ms().saturating_add(limit_ms(seconds)));
    let mut kept = Vec::new();
    let mut open = true;
    loop {
        let left = deadline.map(|deadline| deadline.saturating_sub(time::monotonic_ms()));
        let mut fds = [
            PollFd::new(&child.pidfd, POLLIN),
            if open { PollFd::new(output, POLLIN) } else { PollFd::none() },
        ];
        let ready = wait::poll(&mut fds, left).map_err(os("waiting for it"))?;
        if fds[1].ready() != 0 {
            let mut buffer = [0u8; 1024];
            match fs::read(output, &mut buffer) {
                Ok(0) | Err(_) => open = false,
                Ok(count) => {
                    let room = OUTPUT_LIMIT_BYTES - kept.len();
                    kept.extend_from_slice(&buffer[..count.min(room)]);
                }
            }
            continue;
        }
        if fds[0].ready() != 0 {
            let ended = wait::child(child.pid, true).map_err(os("waiting for it"))?;
            return Ok((ended.map_or(Exit::Code(0), |(_, exit)| exit), kept));
        }
        if ready == 0 && left == Some(0) {
            let _ = process::signal_pidfd(&child.pidfd, SIGKILL);
            let _ = wait::child(child.pid, true);
            let seconds = timeout_s.unwrap_or(0);
            return Err(Error::new(Kind::Busy, format!("timed out after {seconds} s")));
        }
    }
}
