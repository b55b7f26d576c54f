//! Programs whose every system call the test decides: to end them at any point, to let any call
//! fail, or to do something else meanwhile.
//!
//! The means is a filter that hands calls to a listener (seccomp_unotify(2)), not ptrace: the
//! program may itself be traced, and is as much or as little dumpable as without.

use crate::program;
use std::collections::BTreeSet;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use sys::seccomp::{Answer, Notice};
use sys::{Errno, Fd, process, seccomp, wait};

/// How long the watched program may take to install its filter.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// How long a look at the listener waits before it sees whether to stop.
const TURN_MS: u64 = 50;
const EXECVE: i32 = 59;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel carries it out.
    Continue,
    /// It fails.
    Fail(Errno),
    /// The process that makes it is killed before it is made.
    Kill,
}

/// A watched program.
pub struct Watched {
    child: Child,
    calls: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    /// Who made calls.
    callers: Arc<Mutex<BTreeSet<u32>>>,
    thread: Option<JoinHandle<bool>>,
}

impl Watched {
    /// Starts a command that [`command`] began. `decide` is asked about every system call from the program's first on,
    /// with the number of calls that came before, whichever process makes it.
    pub fn start(
        command: &mut Command,
        mut decide: impl FnMut(usize, &Notice) -> Verdict + Send + 'static,
    ) -> Self {
        let child = command.spawn().expect("starting the watched program");
        let listener = listener_of(child.id() as i32);
        let (calls, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stopped) = (Arc::clone(&calls), Arc::clone(&stop));
        let callers = Arc::new(Mutex::new(BTreeSet::new()));
        let noted = Arc::clone(&callers);
        let thread = std::thread::spawn(move || {
            let mut started = false;
            serve(&listener, &stopped, &mut |notice| {
                noted.lock().unwrap().insert(notice.pid);
                if !started {
                    started = notice.number == EXECVE;
                    return Verdict::Continue;
                }
                decide(counter.fetch_add(1, Ordering::Relaxed), notice)
            })
        });
        Self { child, calls, stop, callers, thread: Some(thread) }
    }

    /// Waits for the program itself, not for what it leaves behind.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("waiting for the watched program")
    }

    /// The same for at most this long; nothing: it goes on.
    pub fn wait_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait().expect("waiting for the watched program");
            if ended.is_some() || Instant::now() > end {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether the program and every process that it left behind are gone.
    pub fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until every process that the program left behind is gone. `false`: some are not.
    pub fn is_gone_within(mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let Some(thread) = self.thread.take() else { return true };
        while !thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.stop.store(true, Ordering::Relaxed);
        thread.join().expect("the watcher does not panic")
    }
}

impl Drop for Watched {
    /// Whatever is left would go on without an answer to any of its calls.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        if !thread.join().unwrap_or_default() {
            for pid in self.callers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
                if status.is_ok_and(|text| text.contains("\nSeccomp:\t2\n")) {
                    let _ = process::kill(*pid as i32, 9);
                }
            }
        }
    }
}

/// Begins the command that runs a built program watched; arguments and streams are to be added.
pub fn command(name: &str) -> Command {
    let mut watched = Command::new(program("watched"));
    watched.arg(program(name));
    watched
}

fn listener_of(pid: i32) -> Fd {
    let pidfd = process::open_pid(pid).expect("opening the watched program");
    let end = Instant::now() + START_DEADLINE;
    while Instant::now() < end {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let link = std::fs::read_link(entry.path()).unwrap_or_default();
            let is_listener = link.to_string_lossy().ends_with("seccomp notify");
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (true, Some(number)) = (is_listener, number)
                && let Ok(listener) = process::descriptor_of(&pidfd, number)
            {
                return listener;
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    panic!("the watched program did not install its filter");
}

/// Answers until no process is left under the filter (`true`) or until told to stop.
fn serve(listener: &Fd, stop: &AtomicBool, decide: &mut dyn FnMut(&Notice) -> Verdict) -> bool {
    loop {
        let mut fds = [wait::PollFd::new(listener, wait::POLLIN)];
        let ready = match wait::poll(&mut fds, Some(TURN_MS)) {
            Ok(_) => fds[0].ready(),
            Err(_) => 0,
        };
        if ready & wait::POLLIN == 0 {
            if ready & wait::POLLHUP != 0 {
                return true;
            }
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            continue;
        }
        // A caller that was killed meanwhile needs no answer.
        let Ok(notice) = seccomp::receive(listener) else { continue };
        let answer = match decide(&notice) {
            Verdict::Continue => Answer::Continue,
            Verdict::Fail(errno) => Answer::Fail(errno),
            Verdict::Kill => {
                let _ = process::kill(notice.pid as i32, 9);
                continue;
            }
        };
        let _ = seccomp::answer(listener, notice.id, answer);
    }
}
