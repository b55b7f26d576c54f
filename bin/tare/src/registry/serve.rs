//! `tare registry serve`.

use super::age;
use super::gc::Keep;
use crate::failure::Result;
use ::serve::{Config, Durability, Server};
use clap::Args;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Serve a registry
///
/// Speaks the OCI distribution specification 1.1 on a directory, over HTTP/1.1 and 2. Nothing has to be
/// configured: on a loopback address anybody on this machine may pull and push. It ends on SIGTERM,
/// when the requests that are being answered have ended.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tare registry serve --listen 127.0.0.1:5000 --root /var/lib/registry"
)]
pub(super) struct Serve {
    /// Address and port to listen on; port 0 is any that is free (repeated)
    #[arg(long, value_name = "ADDR:PORT", required = true)]
    listen: Vec<SocketAddr>,
    /// Directory of the registry; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Do not wait for the disk: what was pushed survives the server's death, not a power cut
    #[arg(long)]
    no_sync: bool,
    #[command(flatten)]
    keep: Keep,
    /// Time between two looks for what nothing refers to; 0 for none
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = age::parse)]
    gc_interval: Duration,
}

pub(super) fn run(arguments: &Serve) -> Result<()> {
    let mut config = Config::new(&arguments.root);
    config.listen = arguments.listen.clone();
    config.keeping = arguments.keep.keeping();
    config.collect = Some(arguments.gc_interval).filter(|interval| !interval.is_zero());
    if arguments.no_sync {
        config.durability = Durability::None;
    }
    config.faults = Arc::new(|text| {
        let _ = writeln!(std::io::stderr(), "tare: {text}");
    });
    raise_descriptors();
    let server = Server::start(&config)?;
    for address in server.addresses() {
        // Whoever started it with port 0 reads the address here.
        let _ = writeln!(std::io::stdout(), "listening on {address}");
    }
    server.run()?;
    Ok(())
}

/// A connection is a descriptor or two: as many as the system allows.
fn raise_descriptors() {
    const RLIMIT_NOFILE: u32 = 7;
    if let Ok((_, hard)) = sys::sched::limit(RLIMIT_NOFILE) {
        let _ = sys::sched::set_limit(RLIMIT_NOFILE, hard, hard);
    }
}
