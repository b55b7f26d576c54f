//! `tare attach`.

use super::defaults;
use super::run::finish;
use super::which;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::settings::{Global, load_conf};
use clap::Args;
use engine::record::status;
use engine::{Attach, RelayOptions};

/// Connect to the streams of a container that runs
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the program [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, hide_default_value = true, action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// Keys that leave a container with a terminal alone [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    container: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &AttachArgs) -> Result<u8> {
    let engine = super::open(global, false)?;
    let container = which::one(&engine, arguments.container.as_ref(), arguments.latest)?;
    match container.status() {
        status::RUNNING => {}
        status::PAUSED => {
            return Err(Failure::new("You cannot attach to a paused container, unpause it first"));
        }
        status::RESTARTING => {
            return Err(Failure::new(
                "You cannot attach to a restarting container, wait until it is running",
            ));
        }
        _ => return Err(Failure::new("You cannot attach to a stopped container, start it first")),
    }
    let attach = Attach {
        stdin: container.config.interactive && !arguments.no_stdin,
        stdout: true,
        stderr: true,
    };
    let conf = load_conf(global, &Caller::new())?;
    let options = RelayOptions {
        stdin: attach.stdin,
        tty: container.config.tty,
        sig_proxy: arguments.sig_proxy,
        detach_keys: defaults::detach_keys(arguments.detach_keys.as_deref(), &conf)?,
    };
    let session = engine::connect(&container, attach)?;
    finish(&engine, session.relay(&options)?, &container.config.id)
}
