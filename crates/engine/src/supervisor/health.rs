//! Health checks: a command that is run in the container now and then.

use crate::error::{During, Error, Kind, Result};
use crate::launch::Prepared;
use crate::place::{self, Container, Engine};
use crate::record::{Config, Health, Probe};
use oci::image::Healthcheck;
use runtime::config::ContainerId;
use runtime::{ExecOptions, Executed, Host};
use sys::time::monotonic_ms;
use sys::wait::{self, Exit, POLLIN, PollFd};
use sys::{Errno, Fd, fs, process};

const SIGKILL: i32 = 9;
/// As docker: the last results, and so much of what they said.
const RESULTS: usize = 5;
const OUTPUT_BYTES: usize = 4096;
/// A full pipe is read by then.
const LAST_READS: usize = 16;
const NEVER_MS: u64 = u64::MAX / 8;
/// What 0 stands for, of which there is never more in a record.
const RESULTS_LIMIT: usize = 1000;
const OUTPUT_LIMIT_BYTES: usize = 64 * 1024;
const NS_IN_MS: i64 = 1_000_000;

const STARTING: &str = "starting";
const HEALTHY: &str = "healthy";
pub(super) const UNHEALTHY: &str = "unhealthy";

/// The check of one container.
pub(super) struct Checks {
    command: Vec<String>,
    interval_ms: u64,
    timeout_ms: u64,
    start_period_ms: u64,
    start_interval_ms: u64,
    retries: u32,
    /// Results that are kept, and bytes of what a command says.
    results: usize,
    output_bytes: usize,
    begun_ms: u64,
    next_ms: u64,
    running: Option<Running>,
    /// Somebody waits for a check that begins from now on.
    is_asked: bool,
    /// What came of it.
    answer: Option<(i32, String)>,
    /// What is to be recorded.
    events: Vec<Event>,
}

/// A check that has begun, or ended, in docker's words: those of any program that is executed in a container.
pub(super) struct Event {
    pub(super) action: String,
    pub(super) exec_id: String,
    pub(super) exit_code: Option<i32>,
}

struct Running {
    /// Somebody waits for it.
    is_asked: bool,
    helper: Helper,
    /// What the command says.
    pipe: Option<Fd>,
    output: Vec<u8>,
    deadline_ms: u64,
    start: String,
    is_late: bool,
    exec_id: String,
}

/// The process that entered the container, and waits for the command.
struct Helper {
    pid: i32,
    /// It tells the command's id.
    command: Fd,
}

/// A limit as a user says it.
fn limit(said: Option<u32>, usual: usize, most: usize) -> usize {
    match said {
        None => usual,
        Some(0) => most,
        Some(number) => usize::try_from(number).unwrap_or(most).min(most),
    }
}

/// The command as words; none for none.
fn command(check: &Healthcheck) -> Vec<String> {
    match check.test.split_first() {
        Some((kind, words)) if kind == "CMD" => words.to_vec(),
        Some((kind, words)) if kind == "CMD-SHELL" => {
            vec!["/bin/sh".into(), "-c".into(), words.join(" ")]
        }
        _ => Vec::new(),
    }
}

impl Checks {
    pub(super) fn new(config: &Config) -> Option<Self> {
        let check = config.healthcheck.as_ref()?;
        let command = command(check);
        let ms = |ns: i64, default: u64| match ns {
            0 => default,
            // podman's `disable`: only who asks for a check gets one.
            ns if ns < 0 => NEVER_MS,
            ns => u64::try_from(ns / NS_IN_MS).unwrap_or(default).max(1),
        };
        (!command.is_empty()).then(|| Self {
            command,
            interval_ms: ms(check.interval, 30_000),
            timeout_ms: ms(check.timeout, 30_000),
            start_period_ms: ms(check.start_period, 0),
            start_interval_ms: ms(check.start_interval, 5_000),
            retries: u32::try_from(check.retries).unwrap_or(0),
            results: limit(config.health_log_count, RESULTS, RESULTS_LIMIT),
            output_bytes: limit(config.health_log_size, OUTPUT_BYTES, OUTPUT_LIMIT_BYTES),
            begun_ms: 0,
            next_ms: 0,
            running: None,
            is_asked: false,
            answer: None,
            events: Vec::new(),
        })
    }

    /// Has a check run as soon as none does.
    pub(super) fn ask(&mut self) {
        self.is_asked = true;
        self.next_ms = 0;
    }

    /// What is to be recorded since the last time.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Somebody may look for a check by what is called so.
    fn begun(&mut self) -> String {
        // Without a number it is one all the same.
        let exec_id = place::random_id().unwrap_or_default();
        for action in ["exec_create", "exec_start"] {
            let action = format!("{action}: {}", self.command.join(" "));
            self.events.push(Event { action, exec_id: exec_id.clone(), exit_code: None });
        }
        exec_id
    }

    /// Whether somebody waits for a check.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_asked || self.running.as_ref().is_some_and(|running| running.is_asked)
    }

    /// What came of a check that was asked for.
    pub(super) fn take_answer(&mut self) -> Option<(i32, String)> {
        self.answer.take()
    }

    /// The container has started.
    pub(super) fn begin(&mut self) -> Health {
        self.begun_ms = monotonic_ms();
        self.next_ms = self.begun_ms + self.pause_ms(self.begun_ms, true);
        Health { status: STARTING.into(), ..Health::default() }
    }

    fn pause_ms(&self, now: u64, is_starting: bool) -> u64 {
        let in_period = now < self.begun_ms + self.start_period_ms;
        if in_period && is_starting {
            self.start_interval_ms.min(self.interval_ms)
        } else {
            self.interval_ms
        }
    }

    pub(super) fn poll(&self) -> PollFd {
        let pipe = self.running.as_ref().and_then(|running| running.pipe.as_ref());
        pipe.map_or_else(PollFd::none, |pipe| PollFd::new(pipe, POLLIN))
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        match &self.running {
            Some(running) if running.is_late => None,
            Some(running) => Some(running.deadline_ms),
            None => Some(self.next_ms).filter(|at| *at < NEVER_MS),
        }
    }

    /// Takes what the command says; says whether there may be more at once.
    pub(super) fn read(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        let Some(pipe) = &running.pipe else { return false };
        let mut buffer = [0u8; OUTPUT_BYTES];
        match fs::read(pipe, &mut buffer) {
            Ok(count) if count > 0 => {
                let room = self.output_bytes.saturating_sub(running.output.len());
                running.output.extend_from_slice(&buffer[..count.min(room)]);
                return true;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            _ => running.pipe = None,
        }
        false
    }

    /// Starts a check that is due, and ends one that takes too long. Says what changed.
    pub(super) fn follow_clock(
        &mut self,
        prepared: &Prepared,
        health: &mut Health,
    ) -> Option<String> {
        let now = monotonic_ms();
        if let Some(running) = &mut self.running {
            if !running.is_late && running.deadline_ms <= now {
                running.is_late = true;
                kill(&running.helper);
            }
            return None;
        }
        if self.next_ms > now {
            return None;
        }
        match start(&prepared.host, &prepared.id, &self.command) {
            Ok((helper, pipe)) => {
                let _ = fs::set_nonblocking(&pipe, true);
                let exec_id = self.begun();
                self.running = Some(Running {
                    exec_id,
                    is_asked: std::mem::take(&mut self.is_asked),
                    helper,
                    pipe: Some(pipe),
                    output: Vec::new(),
                    deadline_ms: now + self.timeout_ms,
                    start: place::now(),
                    is_late: false,
                });
                None
            }
            Err(error) => {
                self.next_ms = now + self.interval_ms;
                let time = place::now();
                let probe = Probe {
                    start: time.clone(),
                    end: time,
                    exit_code: -1,
                    output: error.to_string(),
                };
                if std::mem::take(&mut self.is_asked) {
                    self.answer = Some((probe.exit_code, probe.output.clone()));
                }
                self.judge(probe, now, health)
            }
        }
    }

    /// A child has ended. Nothing: it was none of this. Otherwise says what changed, if anything did.
    #[allow(
        clippy::option_option,
        reason = "whether it was a check, and whether it changed anything"
    )]
    pub(super) fn ended(
        &mut self,
        pid: i32,
        exit: Exit,
        health: &mut Health,
    ) -> Option<Option<String>> {
        if self.running.as_ref()?.helper.pid != pid {
            return None;
        }
        // What it has left running may hold the pipe, and write on: that is nobody's news any more.
        (0..LAST_READS).any(|_| !self.read());
        let running = self.running.take()?;
        let mut probe = Probe {
            start: running.start,
            end: place::now(),
            exit_code: exit.shell_code(),
            output: String::from_utf8_lossy(&running.output).into_owned(),
        };
        if running.is_late {
            probe.exit_code = -1;
            probe.output =
                format!("Health check exceeded timeout ({} ms): {}", self.timeout_ms, probe.output);
        }
        self.events.push(Event {
            action: "exec_die".into(),
            exec_id: running.exec_id,
            exit_code: Some(exit.shell_code()),
        });
        if running.is_asked {
            self.answer = Some((probe.exit_code, probe.output.clone()));
        }
        let now = monotonic_ms();
        let change = self.judge(probe, now, health);
        // Whoever has asked meanwhile gets another one.
        self.next_ms = match self.is_asked {
            true => 0,
            false => now + self.pause_ms(now, health.status == STARTING),
        };
        Some(change)
    }

    fn judge(&self, probe: Probe, now: u64, health: &mut Health) -> Option<String> {
        let (is_good, old) = (probe.exit_code == 0, health.status.clone());
        health.log.push(probe);
        let extra = health.log.len().saturating_sub(self.results);
        health.log.drain(..extra);
        if is_good {
            health.failing_streak = 0;
            health.status = HEALTHY.into();
        } else if old != STARTING || now >= self.begun_ms + self.start_period_ms {
            health.failing_streak += 1;
            let retries = if self.retries == 0 { 3 } else { self.retries };
            if health.failing_streak >= retries {
                health.status = UNHEALTHY.into();
            }
        }
        (health.status != old).then(|| health.status.clone())
    }

    /// The container has ended: its processes are gone, and the helper in a moment.
    pub(super) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = process::kill(running.helper.pid, SIGKILL);
        }
    }
}

fn kill(helper: &Helper) {
    let mut id = [0u8; 4];
    // The helper ends with the command; one that has not told its id yet has none.
    let id = match fs::read(&helper.command, &mut id) {
        Ok(4) => i32::from_ne_bytes(id),
        _ => helper.pid,
    };
    let _ = process::kill(id, SIGKILL);
}

/// Starts a command in the container by a helper; returns what the command says, too.
fn start(host: &Host, id: &ContainerId, command: &[String]) -> Result<(Helper, Fd)> {
    const WHAT: &str = "starting the health check";
    let (ours, theirs) = fs::pipe().during(|| WHAT)?;
    let (known, told) = fs::pipe().during(|| WHAT)?;
    fs::set_nonblocking(&known, true).during(|| WHAT)?;
    let Some(child) = process::fork_plain().during(|| WHAT)? else {
        process::exit(enter(host, id, command, &theirs, &told));
    };
    Ok((Helper { pid: child.pid, command: known }, ours))
}

/// In the helper: runs the command, and returns its code.
fn enter(host: &Host, id: &ContainerId, command: &[String], pipe: &Fd, told: &Fd) -> i32 {
    sys::signal::reset_all();
    let _ = sys::signal::set_mask(sys::signal::SignalSet(0));
    let run = || -> Result<i32> {
        let (_, record, _) = runtime::verbs::look_up(host, id)?;
        let mut process = record.process;
        process.args = command.to_vec();
        process.terminal = false;
        for standard in [1, 2] {
            fs::duplicate_to(pipe, standard).during(|| "connecting the health check")?;
        }
        let options = ExecOptions { process, detach: true, ..ExecOptions::default() };
        let Executed::Running(pid) = runtime::exec(host, id, options, &mut Vec::new())? else {
            return Ok(1);
        };
        // The command may have said something by now.
        let _ = fs::write(told, &pid.to_ne_bytes());
        let ended = wait::child(pid, true).during(|| "waiting for the health check")?;
        Ok(ended.map_or(1, |(_, exit)| exit.shell_code()))
    };
    run().unwrap_or_else(|error| {
        let _ = fs::write_all(pipe, error.to_string().as_bytes());
        if error.kind() == Kind::ProgramNotFound { 127 } else { 126 }
    })
}

/// `healthcheck run`: the container's check, once, now, by its supervisor, who keeps the result. Returns its exit code
/// and what it said.
pub fn run_once(engine: &Engine, container: &Container) -> Result<(i32, String)> {
    let none = || {
        let text = format!("container {} has no defined healthcheck", container.config.name);
        Error::invalid(text)
    };
    let checks = Checks::new(&container.config).ok_or_else(none)?;
    if let Ok(mut session) = crate::client::connect(container, super::Attach::default())
        && let Some(answer) = session.check()?
    {
        return Ok(answer);
    }
    let id = ContainerId::parse(&container.config.id)?;
    let (helper, pipe) = start(&engine.place.host, &id, &checks.command)?;
    let (said, is_late) = listen(&helper, &pipe, &checks)?;
    let ended = wait::child(helper.pid, true).during(|| "waiting for the health check")?;
    let code = ended.filter(|_| !is_late).map_or(1, |(_, exit)| exit.shell_code());
    Ok((code, String::from_utf8_lossy(&said).into_owned()))
}

/// What a check says until its command has ended, and whether that took too long. What it leaves running may hold the
/// pipe for ever.
fn listen(helper: &Helper, pipe: &Fd, checks: &Checks) -> Result<(Vec<u8>, bool)> {
    const WHAT: &str = "listening to the health check";
    let end = process::open_pid(helper.pid).during(|| WHAT)?;
    fs::set_nonblocking(pipe, true).during(|| WHAT)?;
    let deadline_ms = monotonic_ms() + checks.timeout_ms;
    let (mut said, mut is_late, mut is_open) = (Vec::new(), false, true);
    loop {
        let pipe_end = if is_open { PollFd::new(pipe, POLLIN) } else { PollFd::none() };
        let mut fds = [PollFd::new(&end, POLLIN), pipe_end];
        let left_ms = (!is_late).then(|| deadline_ms.saturating_sub(monotonic_ms()));
        wait::poll(&mut fds, left_ms).during(|| WHAT)?;
        let has_ended = fds[0].ready() != 0;
        // When it has ended, all that it has said is there.
        for _ in 0..LAST_READS {
            let mut buffer = [0u8; OUTPUT_BYTES];
            let Ok(count) = fs::read(pipe, &mut buffer) else { break };
            if count == 0 {
                is_open = false;
                break;
            }
            let room = checks.output_bytes.saturating_sub(said.len());
            said.extend_from_slice(&buffer[..count.min(room)]);
        }
        if has_ended {
            return Ok((said, is_late));
        }
        if !is_late && monotonic_ms() >= deadline_ms {
            is_late = true;
            kill(helper);
        }
    }
}
