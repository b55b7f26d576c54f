//! The supervisor's loop.

use super::Attach;
use super::clients::Clients;
use super::health::{self, Checks};
use super::notify::Notify;
use super::restart::{self, BackOff};
use super::rights::Tail;
use super::streams::Streams;
use crate::error::{During, Error, Kind, Result};
use crate::files;
use crate::ground::Ground;
use crate::launch::network::{self, Joined};
use crate::launch::system::{self, Init};
use crate::launch::way::Way;
use crate::launch::{Prepared, Users};
use crate::log::Writer;
use crate::place::{self, Container, Engine, PAUSED, SOCKET, STATE};
use crate::record::{Config, State, status};
use crate::wire::{self, Frame, kind};
use net::NameService;
use runtime::state::Record;
use store::Garbage;
use sys::signal::{self, SignalSet};
use sys::time::monotonic_ms;
use sys::wait::{self, Exit, PollFd};
use sys::{Fd, fs, socket};

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGPIPE: i32 = 13;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;
/// docker's time between the stop signal and the end.
pub(crate) const STOP_TIMEOUT_MS: u64 = 10_000;
/// Who has not taken the last output by then gets no more.
const FAREWELL_MS: u64 = 5_000;
const LISTEN_BACKLOG: u32 = 128;
/// A process that was killed and does not end waits for a device.
const KILL_AGAIN_MS: u64 = 2_000;

pub(super) struct Supervisor<'e> {
    pub(super) engine: &'e Engine,
    pub(super) config: Config,
    pub(super) state: State,
    pub(super) dir: Fd,
    lock: Fd,
    signals: Fd,
    prepared: Option<Prepared>,
    streams: Streams,
    pub(super) clients: Clients,
    pub(super) log: Writer,
    /// The end of what it has said since its start.
    tail: Tail,
    pub(super) record: Option<Record>,
    pub(super) joined: Option<Joined>,
    /// Where the networks of an ordinary user are.
    ground: Option<Ground>,
    /// The networks that it was in: closed when nobody waits for anything any more.
    left: Option<net::Networks>,
    /// When it was started, while it runs.
    started_ms: Option<u64>,
    /// When SIGKILL follows.
    kill_at: Option<u64>,
    start_at: Option<u64>,
    /// When it has run for as long as it may.
    end_at: Option<u64>,
    /// It was ended because it has run for as long as it may.
    is_late: bool,
    /// It was ended to be started again, whatever the policy says.
    starts_again: bool,
    back_off: BackOff,
    pub(super) checks: Option<Checks>,
    notify: Option<Notify>,
}

impl<'e> Supervisor<'e> {
    pub(super) fn new(
        engine: &'e Engine,
        container: Container,
        users: Users,
        outer: Option<&Fd>,
        lock: Fd,
        ground: Option<Ground>,
    ) -> Result<Self> {
        let Container { config, state, dir, .. } = container;
        let lives = matches!(state.status.as_str(), status::RUNNING | status::PAUSED);
        if lives {
            let text = format!("container {}: it runs without a supervisor", config.name);
            return Err(Error::new(Kind::State, text).with_hint("stop or kill it first"));
        }
        let set = SignalSet::of(&[SIGCHLD, SIGTERM, SIGINT, SIGHUP]);
        signal::block(set).during(|| "holding signals back")?;
        let signals = signal::signal_fd(set).during(|| "holding signals back")?;
        signal::ignore(SIGPIPE).during(|| "ignoring a signal")?;
        let log = Writer::open(&dir, &config)?;
        files::remove(&dir, PAUSED)?;
        let clients = Clients::new(listen(&dir)?);
        let prepared = Some(Prepared::new(engine, &config, users, outer)?);
        Ok(Self {
            engine,
            state,
            dir,
            lock,
            signals,
            prepared,
            streams: Streams::default(),
            clients,
            log,
            tail: Tail::default(),
            record: None,
            joined: None,
            ground,
            left: None,
            started_ms: None,
            kill_at: None,
            start_at: None,
            end_at: None,
            is_late: false,
            starts_again: false,
            back_off: BackOff::default(),
            checks: Checks::new(&config),
            notify: Notify::new(engine, &config)?,
            config,
        })
    }

    /// The first start, whose failure is the starter's to tell.
    pub(super) fn begin(&mut self, client: &mut Option<Fd>, attach: Attach) -> Result<()> {
        self.state.stopped = false;
        self.state.restarts = 0;
        self.state.health = None;
        if attach != Attach::default() {
            self.engine.tell("attach", &self.config, &[]);
        }
        if let Err(error) = self.start() {
            self.state.error = error.to_string();
            self.state.exit_code = match error.kind() {
                Kind::ProgramNotFound => 127,
                Kind::ProgramNotExecutable => 126,
                _ => 128,
            };
            let _ = files::remove(&self.dir, SOCKET);
            self.save();
            return Err(error);
        }
        if let Some(socket) = client.take() {
            // The container runs on, whatever has become of who started it.
            let _ = wire::send(&socket, kind::STARTED, &self.state.pid.to_be_bytes());
            self.clients.add(socket, attach.bits());
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        let Some(prepared) = &self.prepared else { return Ok(()) };
        let (streams, terminal) = Streams::make(&self.config)?;
        let (ours, theirs) =
            terminal.map_or((None, None), |(ours, theirs)| (Some(ours), Some(theirs)));
        let started = prepared.start(self.engine, &self.config, theirs);
        Streams::release()?;
        let started = started?;
        self.streams = streams;
        if let Some(socket) = &ours {
            self.streams.receive(socket, &self.config)?;
        }
        for warning in &started.warnings {
            self.log.write(true, format!("tare: {warning}\n").as_bytes());
        }
        let record = started.record;
        if let Some(joined) = &started.joined {
            self.state.networks.clone_from(&joined.attached);
            self.state.ports.clone_from(&joined.ports);
            self.engine.tell_networks("connect", &self.config.id, &joined.attached);
        }
        self.joined = started.joined;
        self.state.status = status::RUNNING.into();
        (self.state.pid, self.state.pid_start) = (record.pid, record.pid_start);
        self.state.boot = place::boot();
        self.state.started = place::now();
        self.state.finished.clear();
        self.state.exit_code = 0;
        self.state.oom_killed = false;
        self.state.error.clear();
        self.state.supervisor = sys::process::id();
        let now = monotonic_ms();
        self.started_ms = Some(now);
        self.record = Some(record);
        let limit = self.config.timeout_s;
        self.end_at = (limit > 0).then(|| now.saturating_add(limit.saturating_mul(1000)));
        if let Some(checks) = &mut self.checks {
            self.state.health = Some(checks.begin());
        }
        self.save();
        self.engine.tell_volumes("mount", &self.config);
        self.engine.tell("start", &self.config, &[]);
        self.notify.iter().for_each(Notify::started);
        Ok(())
    }

    pub(super) fn save(&self) {
        // Nobody is served by an end for want of a record: the lock still says that it runs.
        let _ = files::rewrite(&self.dir, STATE, &self.state);
    }

    /// Until the container has ended for good.
    pub(super) fn run(&mut self) {
        while self.record.is_some() || self.start_at.is_some() {
            self.turn();
            self.follow_clock();
        }
        self.leave();
    }

    fn turn(&mut self) {
        let streams = self.streams.poll(self.clients.keep_up());
        let mut fds = vec![PollFd::new(&self.signals, wait::POLLIN)];
        fds.extend(streams);
        fds.push(self.checks.as_ref().map_or_else(PollFd::none, Checks::poll));
        fds.push(self.notify.as_ref().map_or_else(PollFd::none, Notify::poll));
        fds.push(self.ground.as_ref().map_or_else(PollFd::none, Ground::poll));
        fds.push(self.way().map_or_else(PollFd::none, Way::poll));
        let asked = fds.len();
        if let Some(names) = self.joined.as_ref().and_then(|joined| joined.names.as_ref()) {
            names.interests(&mut fds);
        }
        let first = fds.len();
        self.clients.poll(self.streams.takes_input(), &mut fds);
        if wait::poll(&mut fds, self.pause_ms()).is_err() {
            return;
        }
        let ready = [fds[1].ready(), fds[2].ready(), fds[3].ready()];
        let (log, clients, tail) = (&mut self.log, &mut self.clients, &mut self.tail);
        let has_one_stream = system::has_terminal(&self.config);
        self.streams.serve(ready, &mut |is_error, bytes| {
            if is_error || has_one_stream {
                tail.push(bytes);
            }
            log.write(is_error, bytes);
            clients.output(is_error, bytes);
        });
        if fds[4].ready() != 0
            && let Some(checks) = &mut self.checks
        {
            let _ = checks.read();
        }
        if fds[5].ready() != 0 {
            self.notify.iter().for_each(Notify::serve);
        }
        if fds[6].ready() != 0 {
            self.ground.iter().for_each(Ground::serve);
        }
        if fds[7].ready() != 0
            && let Some(way) = self.joined.as_mut().and_then(|joined| joined.way.as_mut())
        {
            way.ended();
        }
        if let Some(names) = self.joined.as_mut().and_then(|joined| joined.names.as_mut()) {
            names.serve(&fds[asked..first]);
        }
        let mut frames = Vec::new();
        self.clients.serve(&fds[first..], &mut |frame, wants| {
            let wants = if frame.kind == kind::ATTACH {
                frame.payload.first().copied().unwrap_or(0)
            } else {
                wants
            };
            frames.push((frame.clone(), wants != 0));
            wants
        });
        frames.iter().for_each(|(frame, is_attached)| self.hear(frame, *is_attached));
        if fds[0].ready() != 0 {
            self.take_signals();
        }
    }

    /// What leads out of an ordinary user's container.
    fn way(&self) -> Option<&Way> {
        self.joined.as_ref().and_then(|joined| joined.way.as_ref())
    }

    fn pause_ms(&self) -> Option<u64> {
        let now = monotonic_ms();
        let checks = self.checks.as_ref().filter(|_| self.record.is_some());
        let next = [self.kill_at, self.start_at, self.end_at, checks.and_then(Checks::next_ms)];
        let next = next
            .into_iter()
            .chain([self.way().and_then(Way::next_ms)])
            .flatten()
            .min()
            .map(|at| at.saturating_sub(now));
        let names = self.joined.as_ref().and_then(|joined| joined.names.as_ref());
        next.into_iter().chain(names.and_then(NameService::timeout_ms)).min()
    }

    fn follow_clock(&mut self) {
        let now = monotonic_ms();
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = self.record.as_ref().map(|_| now + KILL_AGAIN_MS);
            self.signal(SIGKILL);
        }
        if self.end_at.is_some_and(|at| at <= now) {
            self.end_at = None;
            self.is_late = true;
            self.state.stopped = true;
            self.stop(SIGKILL, 0);
        }
        if self.start_at.is_some_and(|at| at <= now) {
            self.start_at = None;
            self.state.restarts += 1;
            if let Err(error) = self.start() {
                self.state.error = error.to_string();
                self.decide(126, false);
            }
        }
        if let Some(way) = self.joined.as_mut().and_then(|joined| joined.way.as_mut()) {
            way.follow_clock();
        }
        let is_paused = fs::exists(&self.dir, PAUSED);
        if self.record.is_some()
            && !is_paused
            && let Some((checks, prepared)) = self.checks.as_mut().zip(self.prepared.as_ref())
            && let Some(health) = &mut self.state.health
            && let Some(change) = checks.follow_clock(prepared, health)
        {
            self.health_changed(&change);
        }
        self.tell_probes();
        self.tell_check();
    }

    /// Records the health checks that have begun or ended.
    fn tell_probes(&mut self) {
        for event in self.checks.iter_mut().flat_map(Checks::take_events) {
            let code = event.exit_code.map(|code| code.to_string());
            let mut attributes = vec![("execID", event.exec_id.as_str())];
            attributes.extend(code.as_deref().map(|code| ("exitCode", code)));
            self.engine.tell(&event.action, &self.config, &attributes);
        }
    }

    fn take_signals(&mut self) {
        while let Ok(received) = signal::read_signal(&self.signals) {
            if received.signal != SIGCHLD {
                // The machine goes down, or somebody means the container by its supervisor.
                self.stop(0, STOP_TIMEOUT_MS as i32);
            }
        }
        while let Ok(Some((pid, exit))) = wait::child(-1, false) {
            if self.record.as_ref().is_some_and(|record| record.pid == pid) {
                self.ended(exit);
            } else if let Some(checks) = &mut self.checks
                && let Some(health) = &mut self.state.health
                && let Some(change) = checks.ended(pid, exit, health)
            {
                self.tell_probes();
                match change {
                    Some(change) => self.health_changed(&change),
                    None => self.save(),
                }
                self.tell_check();
            }
        }
    }

    /// Tells whoever has asked for a check what came of it, once it is recorded.
    fn tell_check(&mut self) {
        if let Some((code, said)) = self.checks.as_mut().and_then(Checks::take_answer) {
            let mut payload = code.to_be_bytes().to_vec();
            let room = wire::FRAME_LIMIT_BYTES - payload.len();
            payload.extend(said.bytes().take(room));
            self.clients.tell(kind::CHECKED, &payload);
        }
    }

    /// Tells of it, and does what the user wants to be done with an unhealthy container.
    fn health_changed(&mut self, change: &str) {
        self.save();
        self.engine.tell(&format!("health_status: {change}"), &self.config, &[]);
        if change == "healthy" {
            self.notify.iter().for_each(Notify::healthy);
        }
        if change != health::UNHEALTHY {
            return;
        }
        match self.config.health_on_failure.as_str() {
            "kill" => {
                self.state.stopped = true;
                self.stop(SIGKILL, 0);
            }
            "stop" => {
                self.state.stopped = true;
                let seconds = self.config.stop_timeout.unwrap_or(STOP_TIMEOUT_MS as i64 / 1000);
                self.stop(0, i32::try_from(seconds.saturating_mul(1000)).unwrap_or(-1));
            }
            "restart" => {
                self.starts_again = true;
                self.stop(SIGKILL, 0);
            }
            _ => return,
        }
        // Whoever has asked is told by the end.
        drop(self.checks.as_mut().and_then(Checks::take_answer));
        self.save();
    }

    fn hear(&mut self, frame: &Frame, is_attached: bool) {
        match frame.kind {
            kind::ATTACH if is_attached => self.engine.tell("attach", &self.config, &[]),
            kind::STDIN => self.streams.input(&frame.payload),
            kind::STDIN_END if self.config.stdin_once => self.streams.end_input(),
            kind::RESIZE => {
                if let [a, b, c, d] = frame.payload[..] {
                    let (rows, columns) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                    self.streams.resize(rows, columns);
                    let (height, width) = (rows.to_string(), columns.to_string());
                    let size = [("height", height.as_str()), ("width", width.as_str())];
                    self.engine.tell("resize", &self.config, &size);
                }
            }
            kind::SIGNAL => {
                let mut signal = frame.number().unwrap_or(SIGKILL);
                // Ctrl-C is no wish to reboot, which is what inits take it for.
                let is_end = is_attached && matches!(signal, SIGINT | SIGTERM);
                if is_end && Init::of(&self.config).is_some_and(Init::is_whole) {
                    signal = self.stop_signal();
                }
                if signal == SIGKILL || signal == self.stop_signal() {
                    self.state.stopped = true;
                    self.save();
                }
                self.signal(signal);
                self.engine.tell("kill", &self.config, &[("signal", &signal.to_string())]);
            }
            kind::CHECK => {
                if let Some(checks) = &mut self.checks {
                    checks.ask();
                }
            }
            kind::CONNECT | kind::DISCONNECT => self.change_networks(frame),
            kind::HEALTH => self.change_checks(frame),
            kind::STOP => {
                let time = frame.payload.get(4..8).and_then(|it| it.try_into().ok());
                self.state.stopped = true;
                self.save();
                self.stop(frame.number().unwrap_or(0), time.map_or(-1, i32::from_be_bytes));
            }
            _ => {}
        }
    }

    fn stop_signal(&self) -> i32 {
        signal::parse(&self.config.stop_signal).unwrap_or(SIGTERM)
    }

    /// Signal 0 is the container's own.
    fn stop(&mut self, signal: i32, timeout_ms: i32) {
        if self.record.is_none() {
            self.start_at = None;
            self.state.status = status::EXITED.into();
            return;
        }
        let signal = if signal == 0 { self.stop_signal() } else { signal };
        // Whoever pauses it at this moment lets it go on when the note is gone.
        let _ = files::remove(&self.dir, PAUSED);
        if let Some(prepared) = &self.prepared {
            // It need not be paused.
            let _ = runtime::verbs::resume(&prepared.host, &prepared.id);
        }
        self.signal(signal);
        if let Ok(timeout_ms) = u64::try_from(timeout_ms) {
            let at = monotonic_ms() + timeout_ms;
            self.kill_at = Some(self.kill_at.map_or(at, |known| known.min(at)));
        }
        self.engine.tell("kill", &self.config, &[("signal", &signal.to_string())]);
    }

    /// A container that has just ended needs none any more.
    fn signal(&self, signal: i32) {
        if let Some(prepared) = self.prepared.as_ref().filter(|_| self.record.is_some()) {
            let _ = runtime::verbs::kill(&prepared.host, &prepared.id, signal, false);
        }
    }

    /// The container's first process has ended, and so have all others of its pid namespace.
    fn ended(&mut self, exit: Exit) {
        let (log, clients, tail) = (&mut self.log, &mut self.clients, &mut self.tail);
        let has_one_stream = system::has_terminal(&self.config);
        self.streams.drain(&mut |is_error, bytes| {
            if is_error || has_one_stream {
                tail.push(bytes);
            }
            log.write(is_error, bytes);
            clients.output(is_error, bytes);
        });
        if let Some(hint) = tail.hint(&self.config, exit.shell_code()) {
            let end = if self.config.tty { "\r\n" } else { "\n" };
            let line = format!("hint: {hint}{end}");
            log.write(!has_one_stream, line.as_bytes());
            clients.output(!has_one_stream, line.as_bytes());
        }
        tail.clear();
        self.streams = Streams::default();
        self.log.finish();
        self.state.log_lost += std::mem::take(&mut self.log.lost);
        let plan = self.record.take().and_then(|record| record.cgroup);
        self.state.oom_killed =
            plan.is_some_and(|plan| plan.oom_kill_count().is_ok_and(|count| count > 0));
        if self.state.oom_killed {
            self.engine.tell("oom", &self.config, &[]);
        }
        if let Some(prepared) = &self.prepared {
            let deleted =
                runtime::verbs::delete(&prepared.host, &prepared.id, true, &mut Vec::new());
            if let Err(error) = deleted {
                self.state.error = error.to_string();
            }
        }
        if let Some(joined) = self.joined.take() {
            self.left = network::leave(self.engine, &self.config);
            drop(joined);
            self.state.ports.clear();
        }
        let _ = files::remove(&self.dir, PAUSED);
        if let Some(checks) = &mut self.checks {
            checks.stop();
        }
        (self.kill_at, self.end_at) = (None, None);
        // Somebody may have renamed it, or given it another policy.
        if let Ok(Some(now)) = files::read::<Config>(&self.dir, place::CONFIG) {
            (self.config.name, self.config.restart) = (now.name, now.restart);
        }
        let (code, reboots) = system::outcome(&self.config, exit);
        // podman's code for it.
        let code = if std::mem::take(&mut self.is_late) { -1 } else { code };
        let starts_again = std::mem::take(&mut self.starts_again) || reboots;
        self.decide(code, starts_again && !self.state.stopped);
    }

    /// What follows an end with this code, or one that asks for another start.
    fn decide(&mut self, code: i32, reboots: bool) {
        let state = &mut self.state;
        (state.exit_code, state.pid, state.pid_start) = (code, 0, 0);
        state.finished = place::now();
        let is_due =
            reboots || restart::is_due(&self.config.restart, code, state.restarts, state.stopped);
        state.status = if is_due { status::RESTARTING } else { status::EXITED }.into();
        // A start that fails is no run: what follows it waits longer each time.
        let started = self.started_ms.take();
        let run_ms = started.map_or(0, |at| monotonic_ms().saturating_sub(at));
        let duration = (run_ms / 1000).to_string();
        self.engine.tell(
            "die",
            &self.config,
            &[("execDuration", &duration), ("exitCode", &code.to_string())],
        );
        // docker tells of what a container leaves behind its end.
        let left = std::mem::take(&mut self.state.networks);
        self.engine.tell_networks("disconnect", &self.config.id, &left);
        if started.is_some() {
            self.engine.tell_volumes("unmount", &self.config);
        }
        if is_due {
            self.start_at = Some(monotonic_ms() + self.back_off.next(run_ms));
            self.save();
            self.tell_exit(true);
        }
    }

    fn tell_exit(&mut self, again: bool) {
        let mut payload = self.state.exit_code.to_be_bytes().to_vec();
        payload.push(u8::from(again));
        self.clients.tell(kind::EXIT, &payload);
    }

    /// Lets go of everything in an order in which the next command finds what it expects: the word that the container
    /// has ended comes last. Whoever connects before the lock is free gets it, too.
    fn leave(&mut self) {
        self.prepared = None;
        self.ground = None;
        let mut garbage = None;
        let mut is_there = true;
        if self.config.auto_remove {
            match self.engine.take_for_good(&self.config.id, &self.config.name) {
                Ok(taken) => {
                    self.engine.tell("destroy", &self.config, &[]);
                    (garbage, is_there) = (taken, false);
                    if let Some(remove) = self.engine.place.removes_image
                        && self.config.auto_remove_image
                    {
                        remove(&self.engine.place, &self.config);
                    }
                }
                Err(error) => self.state.error = error.to_string(),
            }
        }
        if is_there {
            self.save();
        }
        if self.state.stopped {
            self.engine.tell("stop", &self.config, &[]);
        }
        // Behind the lock the name is the next supervisor's.
        let _ = files::remove(&self.dir, SOCKET);
        self.clients.close();
        let _ = fs::lock(&self.lock, fs::Lock::Release);
        self.tell_exit(false);
        self.clients.finish(monotonic_ms() + FAREWELL_MS);
        // Nobody finds it any more; what is left of it, the next command sweeps.
        let _ = garbage.map(Garbage::remove);
    }
}

/// Where clients connect. The path of a socket is short, and that of a store may be long.
fn listen(dir: &Fd) -> Result<Fd> {
    const WHAT: &str = "listening for clients";
    files::remove(dir, SOCKET)?;
    let listener = socket::unix(socket::Kind::Stream).during(|| WHAT)?;
    socket::bind(&listener, format!("/proc/self/fd/{}/{SOCKET}", dir.raw())).during(|| WHAT)?;
    socket::listen(&listener, LISTEN_BACKLOG).during(|| WHAT)?;
    Ok(listener)
}
