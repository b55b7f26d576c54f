//! `tare start`.

use super::defaults;
use super::run::finish;
use super::which::Which;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::{Global, load_conf};
use clap::Args;
use engine::{Attach, Container, Engine, RelayOptions};
use std::time::{Duration, Instant};

/// Whoever else starts, ends or removes a container is done by then.
const OTHERS_WAIT: Duration = Duration::from_secs(60);
/// Between looks at what they do.
const LOOK: Duration = Duration::from_millis(20);

/// Start containers that do not run
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare start -ai shell")]
pub(crate) struct Start {
    /// Show the container's output, pass signals on, and end with its code
    #[arg(short, long)]
    attach: bool,
    /// Pass standard input on, too
    #[arg(short, long)]
    interactive: bool,
    /// Keys that leave a container with a terminal alone [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to the program [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, hide_default_value = true, action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// Not here: `tare-runtime restore` brings checkpoints back
    #[arg(long, hide = true, value_name = "NAME")]
    checkpoint: Option<String>,
    /// Not here, like --checkpoint
    #[arg(long, hide = true, value_name = "DIR")]
    checkpoint_dir: Option<String>,
    /// All containers that do not run
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present_any = ["all", "latest", "filter", "cidfile"], value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Start) -> Result<u8> {
    if arguments.checkpoint.is_some() || arguments.checkpoint_dir.is_some() {
        return Err(Failure::new("--checkpoint: containers of this verb have none")
            .hint("`tare-runtime checkpoint` and `restore` do it for bundles"));
    }
    if arguments.all && !arguments.containers.is_empty() {
        let text = "either start all containers or the container(s) provided in the arguments";
        return Err(Failure::new(text));
    }
    super::seal()?;
    let engine = super::open(global, false)?;
    let idle = |container: &Container| !container.is_running() && !container.supervised;
    let all: Option<&dyn Fn(&Container) -> bool> = if arguments.all { Some(&idle) } else { None };
    let names = arguments.which.names(&engine, &arguments.containers, all)?;
    if !arguments.attach && !arguments.interactive {
        return super::each(&engine, &names, |container| {
            start(&engine, &container, Attach::default()).map(drop)
        });
    }
    let [name] = &names[..] else {
        return Err(Failure::new("you cannot start and attach multiple containers at once"));
    };
    let container = engine.find(name)?;
    let config = &container.config;
    let attach =
        Attach { stdin: arguments.interactive && config.interactive, stdout: true, stderr: true };
    let conf = load_conf(global, &Caller::new())?;
    let options = RelayOptions {
        stdin: attach.stdin,
        tty: config.tty,
        sig_proxy: arguments.sig_proxy,
        detach_keys: defaults::detach_keys(arguments.detach_keys.as_deref(), &conf)?,
    };
    match start(&engine, &container, attach)? {
        Some(session) => finish(&engine, session.relay(&options)?, &config.id),
        None => {
            let session = engine::connect(&container, attach)?;
            finish(&engine, session.relay(&options)?, &config.id)
        }
    }
}

/// Starts a container; nothing if it runs.
pub(super) fn start(
    engine: &Engine,
    container: &Container,
    attach: Attach,
) -> Result<Option<engine::Session>> {
    if container.status() == engine::record::status::PAUSED {
        return Err(Failure::new("cannot start a paused container, try unpause instead"));
    }
    let id = &container.config.id;
    if runs(container) {
        return Ok(None);
    }
    let began = Instant::now();
    loop {
        let error = match engine::start(engine.place(), id, attach) {
            Ok(session) => return Ok(Some(session)),
            Err(error) if error.kind() == engine::Kind::Busy => error,
            Err(error) => return Err(error.into()),
        };
        loop {
            match engine.load(id)? {
                None => return Err(Failure::new(format!("No such container: {id}"))),
                Some(now) if runs(&now) => return Ok(None),
                Some(_) if began.elapsed() > OTHERS_WAIT => return Err(error.into()),
                Some(now) if !now.supervised => break,
                Some(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

/// Whether a container needs no start.
fn runs(container: &Container) -> bool {
    let is_restarting = container.status() == engine::record::status::RESTARTING;
    (container.is_running() || is_restarting) && container.supervised
}

/// Prints what was done.
pub(super) fn tell(name: &str) -> Result<()> {
    output::write(format!("{name}\n").as_bytes())
}
