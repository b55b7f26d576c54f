//! `tare registry htpasswd`.

use crate::failure::{Failure, Result};
use clap::Args;
use std::io::{BufRead, Write};

/// Hash a password for --htpasswd
///
/// Reads the password from standard input and prints a line for the file. What a user had before has to be
/// taken out of it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare registry htpasswd ann >>/etc/registry/htpasswd")]
pub(super) struct Htpasswd {
    /// Name of the user
    #[arg(value_name = "USER")]
    user: String,
}

pub(super) fn run(arguments: &Htpasswd) -> Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    let line = ::serve::hash_password(&arguments.user, password).map_err(Failure::new)?;
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
