//! `tare unshare`: a command in the user namespace that an ordinary user's containers are made in.

use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::Args;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Run a program in the user namespace of an ordinary user's containers
///
/// Files that containers have written with other ids than the user's can be seen, changed and removed there. Without a
/// command it is the user's shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare unshare cat /proc/self/uid_map\n  tare unshare rm -r ~/left-over"
)]
pub(crate) struct Unshare {
    /// Join the network of podman's own namespace: there is none here
    #[arg(long, hide = true)]
    rootless_netns: bool,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Unshare) -> Result<u8> {
    if arguments.rootless_netns {
        return Err(Failure::new(
            "--rootless-netns: containers have no network namespace in common",
        )
        .hint("`tare run --network container:NAME` joins that of a container"));
    }
    if sys::ids::is_administrator() {
        return Err(Failure::new(
            "please use unshare with rootless: root sees all files as they are",
        ));
    }
    let place = crate::container::place(global, &Caller::new())?;
    engine::enter_namespaces(&place)?;
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let (program, args) = match arguments.command.split_first() {
        Some((program, args)) => (program.into(), args),
        None => (shell, &[][..]),
    };
    let error = Command::new(&program)
        .args(args)
        .env("_CONTAINERS_ROOTLESS_UID", place.uid.to_string())
        .exec();
    let shown = program.to_string_lossy();
    let failure = Failure::new(format!("{shown}: {error}"));
    failure.tell();
    Ok(match error.kind() {
        std::io::ErrorKind::NotFound => 127,
        _ => 126,
    })
}
