//! What one does to a container that runs: by its supervisor, or where that was killed, directly.

use crate::client;
use crate::error::{During, Error, Kind, Result};
use crate::launch::system::Init;
use crate::locks::{self, LOOKERS_WAIT_MS, Taken};
use crate::place::{self, Container, Engine, LOCK, PAUSED, STATE};
use crate::record::{self, Config, status};
use crate::supervisor::{Attach, Session};
use crate::{files, launch};
use oci::runtime::{Mount, Status};
use runtime::Host;
use runtime::config::ContainerId;
use sys::fs::{self, Lock};
use sys::{signal, time, wait};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// A killed process that does not end within this waits for a device.
const KILL_WAIT_MS: u64 = 15_000;
/// What is told of a process that is not there.
const MISSING: [&str; 2] = ["no such file or directory", "no such process"];
/// A process that is about to end does it within this.
pub(crate) const END_WAIT_MS: u64 = 2000;
/// Nobody is so unlucky.
const NOTES_LIMIT: usize = 16;
/// Between looks at what nobody tells of.
const LOOK_MS: u64 = 20;

impl Engine {
    /// Sends a signal to a container's program.
    pub fn signal(&self, container: &Container, signal: i32) -> Result<()> {
        let id = &container.config.id;
        loop {
            let Some(now) = self.load(id)?.filter(Container::is_running) else {
                return Err(not_running(&container.config));
            };
            if let Ok(session) = client::connect(&now, Attach::default())
                && session.signal(signal).is_ok()
            {
                Self::settle(&now, signal, session);
                return Ok(());
            }
            if !now.supervised {
                return match self.signal_directly(&now, signal) {
                    Err(error) if has_ended(&error) => Err(not_running(&container.config)),
                    result => result,
                };
            }
            // It ends, or its supervisor was killed, at this moment.
            time::sleep_ms(LOOK_MS);
        }
    }

    /// What is killed is dead when its killer returns, as docker's are.
    fn settle(container: &Container, signal: i32, mut session: Session) {
        let is_deadly = signal == SIGKILL && container.config.restart.policy.is_empty();
        if is_deadly {
            let _ = session.wait(true);
        }
    }

    fn signal_directly(&self, container: &Container, signal: i32) -> Result<()> {
        let id = ContainerId::parse(&container.config.id)?;
        runtime::verbs::kill(&self.host_of(container), &id, signal, false)?;
        self.tell("kill", &container.config, &[("signal", &signal.to_string())]);
        Ok(())
    }

    fn host_of(&self, _container: &Container) -> Host {
        self.place.host.clone()
    }

    /// Ends a container: its stop signal (or another one than 0), and SIGKILL after some seconds, or with fewer than 0
    /// never. One that does not run is as it should be. Says how it ended, where somebody knows.
    pub fn stop(&self, container: &Container, signal: i32, timeout_s: i64) -> Result<Option<i32>> {
        let timeout_ms = match timeout_s {
            seconds if seconds < 0 => -1,
            seconds => i32::try_from(seconds.saturating_mul(1000)).unwrap_or(i32::MAX),
        };
        loop {
            let Some(now) = self.load(&container.config.id)? else { return Ok(None) };
            if let Ok(mut session) = client::connect(&now, Attach::default()) {
                // One that has just ended does not listen any more, and says so all the same.
                let _ = session.stop(signal, timeout_ms);
                if let Some(code) = session.wait(true)? {
                    return Ok(Some(code));
                }
            }
            match (now.supervised, now.is_running()) {
                (false, true) => {
                    return self.stop_directly(&now, signal, timeout_ms).map(|()| None);
                }
                (false, false) => return Ok(None),
                // Somebody starts or ends it, or has killed its supervisor, at this moment. One that starts listens soon.
                (true, _) => time::sleep_ms(LOOK_MS),
            }
        }
    }

    fn stop_directly(&self, container: &Container, number: i32, timeout_ms: i32) -> Result<()> {
        let own = signal::parse(&container.config.stop_signal).unwrap_or(SIGTERM);
        let number = if number == 0 { own } else { number };
        let pidfd = sys::process::open_pid(container.state.pid);
        self.release_console(container);
        if fs::exists(&container.dir, PAUSED) {
            files::remove(&container.dir, PAUSED)?;
            let _ = self.freeze_as_noted(container);
        }
        match self.signal_directly(container, number) {
            Err(error) if has_ended(&error) => {}
            result => result?,
        }
        if let Ok(pidfd) = pidfd {
            let timeout = u64::try_from(timeout_ms).ok();
            let mut fds = [wait::PollFd::new(&pidfd, wait::POLLIN)];
            let ready =
                wait::poll(&mut fds, timeout).during(|| "waiting for the container's end")?;
            if ready == 0 {
                let _ = self.signal_directly(container, SIGKILL);
                wait::poll(&mut fds, Some(KILL_WAIT_MS))
                    .during(|| "waiting for the container's end")?;
            }
        }
        self.bury(container)
    }

    /// Gives the program of a system container a console that nobody looks at, where the one that it has has hung up with
    /// its supervisor: systemd tries for a second to open that, for each line that it would show.
    pub(crate) fn release_console(&self, container: &Container) {
        const NULL: (u32, u32) = (1, 3);
        let is_waiting =
            !container.supervised && Init::of(&container.config) == Some(Init::Systemd);
        let path = format!("/proc/{}/root/dev/console", container.state.pid);
        let device = fs::stat_at(sys::CWD, &path, fs::AT_SYMLINK_NOFOLLOW);
        if !is_waiting || device.is_ok_and(|it| fs::split_dev(it.st_rdev) == NULL) {
            return;
        }
        let null = Mount {
            destination: "/dev/console".into(),
            kind: "bind".into(),
            source: "/dev/null".into(),
            options: vec!["bind".into()],
            ..Mount::default()
        };
        if let Ok(id) = ContainerId::parse(&container.config.id) {
            let (host, null) = (self.host_of(container), [null]);
            // A terminal that is gone cannot be covered. Where one of both fails, everything takes longer.
            let _ = runtime::verbs::remove_mounts(&host, &id, &null);
            let _ = runtime::verbs::add_mounts(&host, &id, &null);
        }
    }

    /// Takes away what the runtime keeps of a container that has ended without a supervisor.
    fn bury(&self, container: &Container) -> Result<()> {
        let lock = container.open_lock()?;
        if locks::take(&lock, LOOKERS_WAIT_MS)? != Taken::Held {
            return Ok(());
        }
        let id = ContainerId::parse(&container.config.id)?;
        runtime::verbs::delete(&self.host_of(container), &id, true, &mut Vec::new())?;
        launch::network::leave(self, &container.config);
        files::remove(&container.dir, PAUSED)?;
        let Some(mut now) = self.load_locked(&container.config.id)? else { return Ok(()) };
        now.state.status = status::EXITED.into();
        now.state.pid = 0;
        now.state.stopped = true;
        now.state.finished = crate::place::now();
        files::rewrite(&now.dir, STATE, &now.state)
    }

    /// Waits until a container has no supervisor and no process; returns its exit code.
    pub fn wait_for_end(&self, id: &str) -> Result<i32> {
        loop {
            let Some(container) = self.load(id)? else { return Ok(0) };
            if container.supervised {
                // One that is removed meanwhile has none to open.
                if let Ok(lock) = fs::open_at(&container.dir, LOCK, fs::O_RDONLY, 0) {
                    fs::lock(&lock, Lock::Shared).during(|| "waiting for a container")?;
                }
            } else if container.is_running() {
                time::sleep_ms(LOOK_MS);
            } else {
                return Ok(container.state.exit_code);
            }
        }
    }

    /// The exit code of a container whose supervisor does not speak any more, if it has ended as it should have.
    pub fn ended_with(&self, id: &str) -> Result<Option<i32>> {
        let deadline = time::monotonic_ms() + KILL_WAIT_MS;
        loop {
            match self.load(id)? {
                // It lets go of its lock at this moment.
                Some(now) if now.supervised && time::monotonic_ms() < deadline => {
                    time::sleep_ms(LOOK_MS);
                }
                Some(now) if now.status() == status::EXITED && !now.is_corrected => {
                    return Ok(Some(now.state.exit_code));
                }
                _ => return Ok(None),
            }
        }
    }

    /// Kills and removes a container, whatever it does.
    pub fn remove_by_force(&self, container: &Container, timeout_s: i64) -> Result<()> {
        let deadline = time::monotonic_ms() + KILL_WAIT_MS;
        loop {
            let Some(now) = self.load(&container.config.id)? else {
                // Of one that was made only in part there is nothing else to look at.
                return self.take_away(&container.config.id, &container.config.name);
            };
            if now.supervised || now.is_running() {
                match timeout_s {
                    seconds if seconds > 0 => drop(self.stop(&now, 0, seconds)?),
                    _ => drop(self.stop(&now, SIGKILL, 0)?),
                }
            }
            let Some(now) = self.load(&container.config.id)? else { return Ok(()) };
            self.unmount(&now, true)?;
            match self.remove(&now) {
                Err(error) if error.kind() == Kind::State && time::monotonic_ms() < deadline => {
                    time::sleep_ms(LOOK_MS);
                }
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                result => return result,
            }
        }
    }

    /// Removes volumes that were made for a container alone; one that another uses stays.
    pub fn remove_anonymous(&self, mounts: &[record::Mount]) {
        for mount in mounts.iter().filter(|mount| mount.anonymous) {
            let _ = self.remove_volume(&mount.name);
        }
    }

    /// Bytes that a container has written.
    pub fn writable_bytes(&self, id: &str) -> u64 {
        bytes_below(self.path_of(id).join("upper"))
    }

    /// Bytes of a volume.
    pub fn volume_bytes(&self, name: &str) -> u64 {
        bytes_below(self.volume_path(name))
    }

    /// Stops the processes of a container for a while.
    pub fn pause(&self, container: &Container) -> Result<()> {
        let name = &container.config.name;
        match container.status() {
            status::RUNNING => {}
            status::PAUSED => return Err(state(format!("container {name} is already paused"))),
            _ => return Err(state(format!("container {name} is not running"))),
        }
        // One that is stopped and does not look so would never go on.
        files::write_bytes(&container.dir, PAUSED, b"", false)?;
        let meanwhile = || state(format!("container {name}: somebody else lets it go on"));
        let paused = self.freeze_as_noted(container);
        if let Err(error) = paused.and_then(|is_so| if is_so { Ok(()) } else { Err(meanwhile()) }) {
            let _ = files::remove(&container.dir, PAUSED);
            let _ = self.freeze_as_noted(container);
            return Err(self.unless_ended(container, error));
        }
        self.tell("pause", &container.config, &[]);
        Ok(())
    }

    /// Stops the processes of a container, or lets them go on, as the note in its directory says in the end; says which.
    /// Whoever changes the note does this afterwards, so that the last one makes it true, whoever that is.
    fn freeze_as_noted(&self, container: &Container) -> Result<bool> {
        let id = ContainerId::parse(&container.config.id)?;
        let host = self.host_of(container);
        for _ in 0..NOTES_LIMIT {
            let is_paused = fs::exists(&container.dir, PAUSED);
            let (_, _, now) = runtime::verbs::look_up(&host, &id)?;
            let done = match (is_paused, now) {
                (true, Status::Paused) => Ok(()),
                (true, _) => runtime::verbs::pause(&host, &id),
                (false, Status::Paused) => runtime::verbs::resume(&host, &id),
                (false, _) => Ok(()),
            };
            if let Err(error) = done {
                let (_, _, now) = runtime::verbs::look_up(&host, &id)?;
                // Somebody else has done it at the same time.
                if (now == Status::Paused) != is_paused {
                    return Err(error.into());
                }
            }
            if fs::exists(&container.dir, PAUSED) == is_paused {
                return Ok(is_paused);
            }
        }
        Err(state(format!("container {}: others pause it again and again", container.config.name)))
    }

    /// Lets them go on.
    pub fn unpause(&self, container: &Container) -> Result<()> {
        if container.status() != status::PAUSED {
            return Err(state(format!("container {} is not paused", container.config.name)));
        }
        files::remove(&container.dir, PAUSED)?;
        if let Err(error) = self.freeze_as_noted(container) {
            if place::is_alive(&container.state) {
                let _ = files::write_bytes(&container.dir, PAUSED, b"", false);
            }
            return Err(self.unless_ended(container, error));
        }
        self.tell("unpause", &container.config, &[]);
        Ok(())
    }

    /// What is told of something that has failed: if the container does not run any more, that.
    pub(crate) fn unless_ended(&self, container: &Container, error: Error) -> Error {
        let text = error.to_string();
        // A process that ends has no directories any more a moment before it is dead.
        let may_end = MISSING.iter().any(|missing| text.ends_with(missing));
        let deadline = time::monotonic_ms() + if may_end { END_WAIT_MS } else { 0 };
        loop {
            match self.load(&container.config.id) {
                Ok(Some(now)) if now.is_running() && place::is_alive(&now.state) => {}
                _ => return not_running(&container.config),
            }
            if time::monotonic_ms() >= deadline {
                return error;
            }
            time::sleep_ms(LOOK_MS);
        }
    }
}

/// As docker says it.
pub(crate) fn not_running(config: &Config) -> Error {
    state(format!("container {} is not running", config.id))
}

/// Whether the runtime says that there is nothing to send a signal to.
fn has_ended(error: &Error) -> bool {
    matches!(error.kind(), Kind::State | Kind::NotFound)
}

fn state(text: String) -> Error {
    Error::new(Kind::State, text)
}

/// Enters the namespace of users of a process, where it is another one than this process'.
pub(crate) fn enter_users(pid: i32) -> Result<bool> {
    let (theirs, own) = (format!("/proc/{pid}/ns/user"), "/proc/self/ns/user");
    let same = |path: &str| std::fs::read_link(path).ok();
    // The host's root sees everything from where it is, and the runtime's records, too.
    if sys::ids::is_administrator() || same(&theirs) == same(own) {
        return Ok(false);
    }
    let namespace = fs::open_read(&theirs).during(|| format!("opening {theirs}"))?;
    sys::process::set_namespace(&namespace, sys::process::CLONE_NEWUSER)
        .during(|| "entering the container's user namespace")?;
    let _ = launch::become_root();
    Ok(true)
}

/// Bytes of a tree, as far as it can be read.
fn bytes_below(top: std::path::PathBuf) -> u64 {
    let mut dirs = vec![top];
    let mut total = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            match metadata.is_dir() {
                true => dirs.push(entry.path()),
                false => total += metadata.len(),
            }
        }
    }
    total
}
