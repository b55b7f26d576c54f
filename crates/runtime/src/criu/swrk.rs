//! Starting criu, and talking to it.

use super::message::{Answer, Message};
use super::{CriuOptions, FEATURE_CHECK, LSM_VERSION, NOTIFY, OLDEST_VERSION, PRE_DUMP, VERSION};
use crate::channel::{self, Request};
use crate::error::{Attempt, Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::process::{self, Child};
use sys::wait::{self, Exit, POLLIN, PollFd};
use sys::{CStrings, CWD, Errno, Fd, fs, signal, socket};

/// Number of the socket in criu; the directories of images and logs, and further descriptors that it
/// inherits, come behind.
const SOCKET: i32 = 3;
/// Numbers of these directories.
pub(super) const IMAGES: u64 = 4;
pub(super) const WORK: u64 = 5;
/// The first of the others.
pub(super) const FIRST_OTHER: usize = 6;
/// No other descriptor lies below: two namespaces at most come behind the directories.
const RESERVED_BELOW: i32 = 16;
/// criu's own limit of a message.
const ANSWER_LIMIT_BYTES: usize = 40 * 1024;
/// How long criu may take to end after its last word: it may have to thaw and detach from thousands
/// of processes.
const END_DEADLINE_MS: u64 = 60_000;
/// What of a log's end is looked through for errors, and how many are shown.
const LOG_TAIL_BYTES: u64 = 64 * 1024;
const LOG_LINES_LIMIT: usize = 5;

/// A word of criu's in between, and the descriptors that came with it.
pub(super) type OnNotify<'a> = &'a mut dyn FnMut(&Answer, Vec<Fd>) -> Result<()>;

/// A criu that waits for its request.
pub(super) struct Swrk {
    socket: Fd,
    child: Child,
}

impl Swrk {
    /// Starts criu. `meet` is called with its process before that goes on; `prepare` then in it,
    /// before it becomes criu: it returns the descriptors that criu gets behind the socket.
    ///
    /// criu opens directories through `/proc/PID/fd` of whoever made the socket. That is its own
    /// process, so that they are in its own mount namespace.
    pub(super) fn start(
        options: &CriuOptions,
        meet: &mut dyn FnMut(i32) -> Result<()>,
        prepare: &mut dyn FnMut() -> Result<Vec<Fd>>,
    ) -> Result<Self> {
        let attempt = || format!("starting {}", options.program);
        let args = CStrings::new(&["criu", "swrk", "3"]).attempt(attempt)?;
        let env = CStrings::new(&options.environment).attempt(attempt)?;
        let reserved = reserve().attempt(attempt)?;
        let (parent_end, mut child_end) = channel::pair()?;
        let (ours, theirs) = socket::pair(socket::Kind::SeqPacket).attempt(attempt)?;
        let Some(child) = process::fork_plain().attempt(attempt)? else {
            drop((parent_end, ours));
            let ready = child_end.wait_for_go().and_then(|()| prepare());
            let ready = ready.and_then(|fds| connect(&theirs, fds).attempt(attempt));
            let error = match ready {
                Ok(()) => Error::os(attempt(), process::exec(&options.program, &args, &env)),
                Err(error) => error,
            };
            child_end.fail(&error);
            process::exit(1)
        };
        drop((reserved, theirs, child_end));
        let served = meet(child.pid).and_then(|()| parent_end.go()).and_then(|()| match parent_end
            .receive()?
        {
            Some(Request::Failed(error)) => Err(error),
            _ => socket::receive(&ours, &mut [0]).attempt(attempt),
        });
        match served {
            Ok((_, mut fds)) if fds.len() == 1 => Ok(Self { socket: fds.remove(0), child }),
            other => {
                let _ = process::signal_pidfd(&child.pidfd, 9);
                let _ = wait::child(child.pid, true);
                Err(other.err().unwrap_or_else(|| Error::os(attempt(), Errno::EPIPE)))
            }
        }
    }

    /// The process.
    pub(super) fn pid(&self) -> i32 {
        self.child.pid
    }

    /// Sends the request and serves criu until it has answered it, and has ended. Why it failed is
    /// looked for in `log`.
    pub(super) fn request(
        self,
        kind: u64,
        opts: Option<&Message>,
        log: &str,
        on_notify: OnNotify<'_>,
    ) -> Result<Answer> {
        let mut request = Message::default();
        request.number(1, kind);
        if let Some(opts) = opts {
            request.message(2, opts);
        }
        if kind == FEATURE_CHECK {
            // Memory tracking and lazy pages.
            let mut features = Message::default();
            features.number(1, 1);
            features.number(2, 1);
            request.message(5, &features);
        }
        let served = self.serve(&request, log, on_notify);
        let ended = self.finish();
        let answer = served?;
        // After this request it waits for another one, and takes our going for a failure.
        if kind != PRE_DUMP {
            ended?;
        }
        Ok(answer)
    }

    fn serve(&self, request: &Message, log: &str, on_notify: OnNotify<'_>) -> Result<Answer> {
        self.send(request)?;
        loop {
            let (answer, fds) = self.receive(log)?;
            match answer.kind {
                NOTIFY => on_notify(&answer, fds)?,
                _ if answer.success => return Ok(answer),
                _ => return Err(failed(&answer, log)),
            }
            let mut heard = Message::default();
            heard.number(1, NOTIFY);
            heard.number(3, 1);
            self.send(&heard)?;
        }
    }

    fn send(&self, message: &Message) -> Result<()> {
        socket::send(&self.socket, message.as_bytes(), &[])
            .map(drop)
            .attempt(|| "sending criu a request")
    }

    fn receive(&self, log: &str) -> Result<(Answer, Vec<Fd>)> {
        let mut buffer = alloc::vec![0u8; ANSWER_LIMIT_BYTES];
        let (length, fds) = match socket::receive(&self.socket, &mut buffer) {
            Err(Errno::ECONNRESET) => Ok((0, Vec::new())),
            result => result,
        }
        .attempt(|| "waiting for criu")?;
        if length == 0 {
            let message = String::from("it ended without an answer");
            return Err(failed(&Answer { message, ..Answer::default() }, log));
        }
        let damaged = || Error::new(Kind::Corrupt, "criu's answer cannot be read");
        Answer::read(&buffer[..length]).map(|answer| (answer, fds)).ok_or_else(damaged)
    }

    /// Waits until criu has ended: when something has failed, it takes back what it has done.
    fn finish(self) -> Result<()> {
        let Self { socket, child } = self;
        drop(socket);
        let mut fds = [PollFd::new(&child.pidfd, POLLIN)];
        if wait::poll(&mut fds, Some(END_DEADLINE_MS)) == Ok(0) {
            let _ = process::signal_pidfd(&child.pidfd, 9);
        }
        match wait::child(child.pid, true).attempt(|| "waiting for criu")? {
            Some((_, Exit::Code(0))) | None => Ok(()),
            Some((_, exit)) => {
                let what = format!("criu ended with status {}", exit.shell_code());
                Err(Error::new(Kind::Os, what))
            }
        }
    }
}

/// In the process that becomes criu: makes criu's socket, sends the other end to the parent, and puts
/// everything where criu expects it.
fn connect(parent: &Fd, others: Vec<Fd>) -> sys::Result<()> {
    let (crius, parents) = socket::pair(socket::Kind::SeqPacket)?;
    socket::send(parent, b"s", &[parents.raw()])?;
    for (fd, number) in core::iter::once(&crius).chain(&others).zip(SOCKET..RESERVED_BELOW) {
        fs::duplicate_to(fd, number)?;
    }
    // What the caller left open is nothing to criu.
    let _ = fs::cloexec_from((SOCKET + 1) as u32 + others.len() as u32);
    signal::reset_all();
    signal::set_mask(signal::SignalSet::default())?;
    // They are open until exec.
    core::mem::forget((crius, others));
    Ok(())
}

/// Keeps every descriptor below [`RESERVED_BELOW`] in use: what is opened next is not in the way of
/// criu's.
fn reserve() -> sys::Result<Vec<Fd>> {
    let mut kept = Vec::new();
    loop {
        let fd = fs::open_at(CWD, "/", fs::O_PATH, 0)?;
        if fd.raw() >= RESERVED_BELOW {
            return Ok(kept);
        }
        kept.push(fd);
    }
}

/// Why criu failed. Its answer has the first error, which may have been harmless; the last one of
/// its log is nearer to the truth.
fn failed(answer: &Answer, log: &str) -> Error {
    let lines = log_errors(log).unwrap_or_default();
    let told = lines.iter().rev().find(|line| !line.contains("FAILED"));
    let why = match (told, answer.message.trim()) {
        (Some(line), _) => line.rsplit_once("): ").map_or(line.as_str(), |(_, why)| why).into(),
        (None, "") => format!("{}", Errno(answer.errno)),
        (None, message) => String::from(message),
    };
    let error = Error::new(Kind::Os, format!("criu failed: {why}"));
    match lines.is_empty() {
        true => error,
        false => error.with_hint(format!("{log} has more:\n{}", lines.join("\n"))),
    }
}

/// The last errors in a log.
fn log_errors(path: &str) -> sys::Result<Vec<String>> {
    let file = fs::open_read(path)?;
    let size = fs::stat_fd(&file)?.st_size as u64;
    fs::seek(&file, size.saturating_sub(LOG_TAIL_BYTES))?;
    let text = fs::read_to_end(&file, 2 * LOG_TAIL_BYTES as usize)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let errors: Vec<&str> = text.lines().filter(|line| line.contains("Error")).collect();
    let first = errors.len().saturating_sub(LOG_LINES_LIMIT);
    Ok(errors[first..].iter().map(|line| String::from(*line)).collect())
}

/// Asks criu something that needs no container.
fn ask(options: &CriuOptions, kind: u64) -> Result<Answer> {
    Swrk::start(options, &mut |_| Ok(()), &mut || Ok(Vec::new()))?.request(
        kind,
        None,
        "",
        &mut |_, _| Ok(()),
    )
}

/// Checks that criu is new enough for everything that is asked of it.
pub(super) fn check_version(options: &CriuOptions) -> Result<()> {
    let version = ask(options, VERSION)?.version;
    let shown = |version: u64| format!("{}.{}", version / 10_000, version / 100 % 100);
    let lsm = options.lsm_profile.is_some() || options.lsm_mount_context.is_some();
    let needed = if lsm { LSM_VERSION } else { OLDEST_VERSION };
    if version < needed {
        let what = format!("criu {} is installed, {} is needed", shown(version), shown(needed));
        return Err(Error::new(Kind::Unsupported, what));
    }
    Ok(())
}

/// Checks that criu and the kernel have what the options need.
pub(super) fn check_features(options: &CriuOptions) -> Result<()> {
    let lazy = options.has(super::Switch::LazyPages);
    if !lazy && !options.pre_dump {
        return Ok(());
    }
    let answer = ask(options, FEATURE_CHECK)?;
    let missing = match (options.pre_dump && !answer.mem_track, lazy && !answer.lazy_pages) {
        (true, _) => "--pre-dump: criu or the kernel cannot track changes of memory",
        (_, true) => "--lazy-pages: criu or the kernel cannot fetch memory when it is touched",
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Unsupported, missing))
}
