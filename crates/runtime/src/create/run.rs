//! `run`: create, start, wait and delete in one process.

use super::{Spawned, announce, destroy, spawn};
use crate::channel::Request;
use crate::config::{self, ContainerId};
use crate::error::{Attempt, Result};
use crate::notify::Proxy;
use crate::relay::{self, Relay};
use crate::{Console, Host, Options, Trace, hooks, verbs};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Status;
use sys::wait::Exit;
use sys::{BorrowedFd, socket, tty};

/// Runs a container. Detached, it returns `Exit::Code(0)` once the program runs; else it forwards
/// signals, relays a terminal, and returns how the program ended.
pub fn run(
    host: &Host,
    id: &ContainerId,
    mut options: Options,
    warnings: &mut Vec<String>,
) -> Result<Exit> {
    let (detach, keep) = (options.detach, options.keep);
    let (pid_file, socket) = (options.pid_file.clone(), options.pidfd_socket.clone());
    let terminal = prepare_terminal(&mut options)?;
    // From here on a signal waits until there is somebody to forward it to.
    let signals = if detach { None } else { Some(relay::catch_signals()?) };
    let spawned = spawn(host, id, options, false, warnings)?;
    let proxy = match Proxy::listen(&spawned.dir, host.notify_socket.as_deref()) {
        Ok(proxy) => proxy,
        Err(error) => {
            destroy(&spawned, warnings);
            return Err(error);
        }
    };
    let released = announce(&spawned.child, "standard", pid_file.as_deref(), socket.as_deref())
        .and_then(|()| release(&spawned, &host.trace))
        .and_then(|()| match detach && !spawned.record.init {
            true => super::check_executed(&spawned.child),
            false => Ok(()),
        });
    if let Err(error) = released {
        destroy(&spawned, warnings);
        return Err(error);
    }
    if let Some(all) = &spawned.record.hooks {
        let state = spawned.record.state(Status::Running);
        // Since 1.3 of the specification a failed poststart hook fails the container.
        if let Err(error) = hooks::run_all("poststart", &all.poststart, &state) {
            destroy(&spawned, warnings);
            return Err(error);
        }
    }
    let Some(signals) = signals else {
        spawned.dir.unlock()?;
        let told = proxy.map_or(Ok(()), |proxy| proxy.serve(spawned.child.pid));
        return told.map(|()| Exit::Code(0));
    };
    let relay = match terminal {
        Some(socket) => Some(Relay::receive(&socket).inspect_err(|_| destroy(&spawned, warnings))?),
        None => None,
    };
    // Others may pause it, change its limits, or delete it while it runs.
    let waited =
        spawned.dir.unlock().and_then(|()| relay::wait(&spawned.child, &signals, relay, proxy));
    // Nobody would look after it any more.
    let ended = waited.inspect_err(|_| destroy(&spawned, warnings))?;
    // A reaping first process is this program: it never executes another.
    let failed = !ended.executed && !spawned.record.init;
    if !keep {
        verbs::remove_ended(&spawned.dir, warnings).map_err(|error| {
            error.with_hint(format!("`delete --force {id}` removes what is left of it"))
        })?;
    }
    if failed { Err(super::died_as(Some(ended.exit))) } else { Ok(ended.exit) }
}

/// A foreground container with a terminal is relayed to the caller's.
pub(crate) fn prepare_terminal(options: &mut Options) -> Result<Option<sys::Fd>> {
    if options.detach || !matches!(options.console, Console::Inherit) {
        return Ok(None);
    }
    if options.spec.is_none() {
        let (bundle, path) = super::job::open_bundle(&options.bundle)?;
        options.spec = Some(config::load(&bundle, &path, options.config.as_deref())?);
    }
    let Some(process) = options.spec.as_mut().and_then(|spec| spec.process.as_mut()) else {
        return Ok(None);
    };
    if !process.terminal {
        return Ok(None);
    }
    if process.console_size.is_none()
        && let Ok(size) = tty::size(BorrowedFd::from_raw(0))
    {
        process.console_size = Some(oci::runtime::ConsoleSize {
            height: u64::from(size.rows),
            width: u64::from(size.columns),
        });
    }
    let (ours, theirs) =
        socket::pair(socket::Kind::Stream).attempt(|| "making a console socket")?;
    options.console = Console::Connected(theirs);
    Ok(Some(ours))
}

/// Lets the init execute its program, and waits until it has.
fn release(spawned: &Spawned, trace: &Trace) -> Result<()> {
    spawned.channel.go()?;
    loop {
        match spawned.channel.receive()? {
            // An init that was killed ends the channel too; its exit says so in a moment.
            None => return Ok(()),
            Some(Request::Failed(error)) => return Err(error),
            Some(Request::Listener(number)) => {
                super::listener::forward(&spawned.record, &spawned.child, number)?;
                spawned.channel.answer()?;
            }
            Some(Request::Note(text)) => trace.say(&text),
            Some(_) => {}
        }
    }
}
