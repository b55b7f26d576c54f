//! `tare run` and `tare create`.

use super::options::ContainerArgs;
use super::{config, defaults, directory, host, image, rmi};
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::settings::{Global, Settings};
use clap::Args;
use engine::{Attach, Engine, Made, Outcome, RelayOptions};
use std::path::Path;

/// Run a program in a container
///
/// IMAGE is one of the store, and is pulled if it is not there; what the container writes stays with it until it is
/// removed. `host:PROGRAM` packs a program of this machine with exactly the files that it needs (its libraries, and the
/// interpreter of a script) and runs it: neither a registry nor root is needed, and the root file system is
/// read-only, with a writable /tmp, /run, /var/tmp and /root.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "tare run [OPTIONS] IMAGE [COMMAND] [ARG]...",
    after_help = "Examples:\n  tare run --rm debian:13 cat /etc/os-release\n  tare run -d --name web --network host nginx\n  \
                  tare run -it --rm alpine\n  tare run host:/bin/sh -c 'echo hello from pid $$'"
)]
pub(crate) struct Run {
    /// Leave it alone once it runs, and print its ID
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave a container with a terminal alone [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to the program [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, hide_default_value = true, action = clap::ArgAction::Set)]
    sig_proxy: bool,
    #[command(flatten)]
    container: ContainerArgs,
}

/// Make a container, and do not start it
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "tare create [OPTIONS] IMAGE [COMMAND] [ARG]...",
    after_help = "Example:\n  tare start -a $(tare create debian:13 date)"
)]
pub(crate) struct Create {
    #[command(flatten)]
    container: ContainerArgs,
}

/// Makes a container, and prints its ID.
pub(crate) fn create(global: &Global, arguments: &Create) -> Result<()> {
    let arguments = defaults::complete(global, &arguments.container)?;
    rmi::check(&arguments)?;
    let engine = super::open_for(global, &arguments)?;
    let made = make(global, &engine, &arguments, false, false)?;
    crate::output::write(format!("{}\n", made.id).as_bytes())
}

/// Runs a container; returns the program's exit code.
pub(crate) fn run(global: &Global, arguments: &Run) -> Result<u8> {
    check(arguments)?;
    super::seal()?;
    let container = &defaults::complete(global, &arguments.container)?;
    let engine = super::open_for(global, container)?;
    let made = make(global, &engine, container, true, arguments.detach)?;
    let attach = streams(container, arguments.detach)?;
    let started = engine::start(engine.place(), &made.id, attach);
    let session = match started {
        Ok(session) => session,
        Err(error) => {
            let (id, auto_remove) = (made.id.clone(), container.goes());
            drop(made);
            // What somebody else removes at this moment is gone, too.
            if auto_remove && let Ok(Some(made)) = engine.load(&id) {
                let _ = engine.remove(&made);
            }
            return Err(error.into());
        }
    };
    let id = made.id.clone();
    super::beyond::write_pids(&engine, &container.beyond, &id, session.pid)?;
    drop(made);
    if arguments.detach {
        crate::output::write(format!("{id}\n").as_bytes())?;
        return Ok(0);
    }
    let keys = arguments.detach_keys.as_ref().or(container.defaults.detach_keys.as_ref());
    let keys = keys.map_or(defaults::DETACH_KEYS, String::as_str);
    let options = RelayOptions {
        stdin: attach.stdin,
        tty: container.tty,
        sig_proxy: arguments.sig_proxy,
        detach_keys: engine::parse_keys(keys)?,
    };
    let outcome = session.relay(&options)?;
    if container.beyond.rmi && matches!(outcome, Outcome::Exited(_)) {
        rmi::tell(&engine, container.image());
    }
    finish(&engine, outcome, &id)
}

/// The exit code of a relay's end.
pub(super) fn finish(engine: &Engine, outcome: Outcome, id: &str) -> Result<u8> {
    match outcome {
        Outcome::Exited(code) => Ok(u8::try_from(code).unwrap_or(255)),
        Outcome::Detached => {
            if let Ok(Some(container)) = engine.load(id) {
                engine.tell("detach", &container.config, &[]);
            }
            Ok(0)
        }
        Outcome::Lost => {
            // Whoever has connected at the very end has not been told.
            if let Some(code) = engine.ended_with(id)? {
                return Ok(u8::try_from(code).unwrap_or(255));
            }
            let short = id.get(..12).unwrap_or(id);
            Err(Failure::new(format!(
                "container {short}: its supervisor has ended, or does not answer"
            ))
            .hint(format!("`tare inspect {short}` shows what is known of it")))
        }
    }
}

fn check(arguments: &Run) -> Result<()> {
    let container = &arguments.container;
    let has_terminal = sys::tty::is_terminal(sys::BorrowedFd::from_raw(0));
    if container.tty && container.interactive && !arguments.detach && !has_terminal {
        if Called::is_podman() {
            // It goes on without one.
            crate::settings::warn(
                "The input device is not a TTY. The --tty and --interactive flags might not work properly",
            );
            return Ok(());
        }
        let what = "cannot attach stdin to a TTY-enabled container because stdin is not a terminal";
        return Err(Failure::new(what).hint("leave -t out"));
    }
    rmi::check(container)?;
    if arguments.detach && !container.attach.is_empty() {
        return Err(Failure::new("conflicting options: cannot specify both --attach and --detach"));
    }
    Ok(())
}

/// The streams of the first client.
fn streams(arguments: &ContainerArgs, detach: bool) -> Result<Attach> {
    if detach {
        return Ok(Attach::default());
    }
    if arguments.attach.is_empty() {
        return Ok(Attach { stdin: arguments.interactive, stdout: true, stderr: true });
    }
    let mut attach = Attach::default();
    for stream in &arguments.attach {
        match stream.to_ascii_lowercase().as_str() {
            "stdin" => attach.stdin = true,
            "stdout" => attach.stdout = true,
            "stderr" => attach.stderr = true,
            _ => {
                return Err(Failure::new(format!(
                    "valid streams are STDIN, STDOUT and STDERR, not {stream:?}"
                )));
            }
        }
    }
    Ok(attach)
}

/// Makes the container that options describe.
fn make(
    global: &Global,
    engine: &Engine,
    arguments: &ContainerArgs,
    by_run: bool,
    detach: bool,
) -> Result<Made> {
    if let Some(path) = &arguments.cidfile {
        check_cidfile(path)?;
    }
    let program = arguments.image().strip_prefix("host:").filter(|name| !name.is_empty());
    let found = match program {
        _ if arguments.rootfs => directory::prepare(engine, arguments)?,
        Some(program) => image::Found {
            config: host::prepare(arguments, program)?,
            layers: Vec::new(),
            volumes: Vec::new(),
        },
        None => {
            if !arguments.with.is_empty() {
                return Err(Failure::new(
                    "--with: it packs programs of this machine for host:PROGRAM",
                ));
            }
            image::read(&Settings::local(global), engine.store(), arguments)?
        }
    };
    super::beyond::replace(engine, arguments)?;
    let layers = found.layers.clone();
    let mut config = config::build(engine, arguments, found)?;
    super::devices::choose(global, &arguments.security, &mut config)?;
    config.by_run = by_run;
    let streams = streams(arguments, detach)?;
    config.stdin_once = config.interactive && streams.stdin;
    for (is_attached, name) in
        [(streams.stdin, "stdin"), (streams.stdout, "stdout"), (streams.stderr, "stderr")]
    {
        if is_attached {
            config.attach.push(name.into());
        }
    }
    if config.mounts.iter().any(|mount| matches!(mount.kind.as_str(), "volume" | "image")) {
        super::mounts::provide(&Settings::local(global), engine, arguments, &mut config)?;
    }
    super::secrets::choose(engine, &arguments.secret, &mut config)?;
    let mounts = config.mounts.clone();
    let made = engine.create(config, &layers).inspect_err(|_| engine.remove_anonymous(&mounts))?;
    if let Some(path) = &arguments.cidfile {
        std::fs::write(path, &made.id)
            .map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))?;
    }
    Ok(made)
}

fn check_cidfile(path: &Path) -> Result<()> {
    match path.exists() {
        true => Err(Failure::new(format!(
            "container ID file found, make sure the other container isn't running or delete {}",
            path.display()
        ))),
        false => Ok(()),
    }
}
