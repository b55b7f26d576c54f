//! Hooks: programs of the user's that are told the container's state.

use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Hook, State};
use sys::wait::{self, Exit, POLLIN, PollFd};
use sys::{CStrings, CWD, Errno, Fd, fs, process, signal, time};

/// What of a failed hook's standard error is shown.
const OUTPUT_LIMIT_BYTES: usize = 4096;

/// Runs hooks in order; the first failure ends it.
pub fn run_all(kind: &str, hooks: &[Hook], state: &State) -> Result<()> {
    run_each(kind, hooks, state, &Place::Bundle)
}

/// As [`run_all`], in the current directory; hooks without an environment of their own get
/// `inherited`.
pub fn run_all_here(
    kind: &str,
    hooks: &[Hook],
    state: &State,
    inherited: Option<&CStrings>,
) -> Result<()> {
    run_each(kind, hooks, state, &Place::Here(inherited))
}

/// Where hooks start.
enum Place<'a> {
    /// In the bundle's directory.
    Bundle,
    /// In the current directory, those without an environment with this one.
    Here(Option<&'a CStrings>),
}

fn run_each(kind: &str, hooks: &[Hook], state: &State, place: &Place<'_>) -> Result<()> {
    for (index, hook) in hooks.iter().enumerate() {
        run(hook, state, place).map_err(|error| {
            error.context(format!("error running {kind} hook #{index}: {}", hook.path))
        })?;
    }
    Ok(())
}

/// Runs hooks in order and goes on after a failure; returns every failure as a sentence.
pub fn run_all_anyway(kind: &str, hooks: &[Hook], state: &State) -> Vec<String> {
    let run = |(index, hook): (usize, &Hook)| {
        let error = run(hook, state, &Place::Bundle).err()?;
        let (path, text) = (&hook.path, format!("{error}"));
        Some(match text.strip_prefix(EXIT_STATUS) {
            // In crun's words, for whoever looks for them in a log.
            Some(rest) => format!("{kind} hook failed with exit code {rest} (#{index}, {path})"),
            None => format!("error running {kind} hook #{index}: {path}: {text}"),
        })
    };
    hooks.iter().enumerate().filter_map(run).collect()
}

fn os(attempt: &str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::os(attempt, errno)
}

fn run(hook: &Hook, state: &State, place: &Place<'_>) -> Result<()> {
    let (stdin, to_hook) = fs::pipe().map_err(os("making a pipe"))?;
    let (from_hook, stderr) = fs::pipe().map_err(os("making a pipe"))?;
    let args = CStrings::new(match hook.args.is_empty() {
        true => core::slice::from_ref(&hook.path),
        false => &hook.args,
    })
    .map_err(os("preparing its arguments"))?;
    let redirected = [redirect(state, STDOUT, place)?, redirect(state, STDERR, place)?];
    let own = CStrings::new(&hook.env).map_err(os("preparing its environment"))?;
    let env = match place {
        Place::Here(Some(inherited)) if hook.env.is_empty() => inherited,
        _ => &own,
    };
    let forked = process::fork_plain().map_err(os("starting it"))?;
    let Some(child) = forked else {
        if matches!(place, Place::Bundle) {
            let _ = fs::chdir(&state.bundle);
        }
        let [out, err] = &redirected;
        let streams = [&stdin, out.as_ref().unwrap_or(&stderr), err.as_ref().unwrap_or(&stderr)];
        become_hook(&hook.path, streams, &args, env)
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

const EXIT_STATUS: &str = "exit status ";
const SIGPIPE: i32 = 13;
const SIGKILL: i32 = 9;
/// What a filter kills with.
const SIGSYS: i32 = 31;

/// crun's annotations: files of the host's that hooks write to.
const STDOUT: &str = "run.oci.hooks.stdout";
const STDERR: &str = "run.oci.hooks.stderr";

/// Opens the file that the output goes to. Hooks in the container cannot see it.
fn redirect(state: &State, annotation: &str, place: &Place<'_>) -> Result<Option<Fd>> {
    let inside = matches!(place, Place::Here(Some(_)));
    let Some(path) = state.annotations.get(annotation).filter(|_| !inside) else {
        return Ok(None);
    };
    let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_APPEND;
    fs::open_at(CWD, path, flags, 0o600)
        .map(Some)
        .map_err(|errno| Error::os(format!("annotations: {annotation}: opening {path:?}"), errno))
}

fn become_hook(
    path: &str,
    [stdin, stdout, stderr]: [&Fd; 3],
    args: &CStrings,
    env: &CStrings,
) -> ! {
    signal::reset_all();
    let _ = signal::set_mask(signal::SignalSet::default());
    let ready = fs::duplicate_to(stdin, 0)
        .and_then(|()| fs::duplicate_to(stdout, 1))
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
        Exit::Code(code) => format!("{EXIT_STATUS}{code}"),
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
