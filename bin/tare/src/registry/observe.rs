//! What the operator gets to see: the options.

use crate::failure::{Failure, Result};
use ::serve::{Config, Hook, Sink};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where distributions keep the authorities of the system.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Time between two looks whether a log was taken away.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(next_help_heading = "Watching")]
pub(super) struct ObserveArgs {
    /// Write a line of JSON for every request; `-` is standard error. A file that is taken away is made anew
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Address and port where Prometheus gets figures (`/metrics`) and `/health` is answered
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Vec<SocketAddr>,
    /// Send events of what was put and deleted to this address, as CloudEvents (repeated)
    #[arg(long, value_name = "URL")]
    webhook: Vec<String>,
    /// File with the token that is sent with events
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_token: Option<PathBuf>,
}

impl ObserveArgs {
    pub(super) fn apply(&self, config: &mut Config) -> Result<()> {
        config.figures = self.metrics.clone();
        config.observing.access = self.access_log.as_deref().map(open_log).transpose()?;
        let token = self.webhook_token.as_deref().map(read_token).transpose()?;
        let authorities: Vec<PathBuf> =
            AUTHORITIES.iter().map(PathBuf::from).filter(|path| path.is_file()).take(1).collect();
        let hook = |url: &String| Hook {
            url: url.clone(),
            token: token.clone(),
            authorities: authorities.clone(),
        };
        config.observing.hooks = self.webhook.iter().map(hook).collect();
        Ok(())
    }
}

fn read_token(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    let token = text.trim();
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(Failure::new(format!("{}: is no token", path.display()))),
    }
}

fn open_log(path: &Path) -> Result<Sink> {
    if path == Path::new("-") {
        return Ok(Arc::new(|line| {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }));
    }
    let open = |path: &Path| File::options().append(true).create(true).open(path);
    let file = open(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    let path = path.to_owned();
    let state = Mutex::new((file, Instant::now()));
    Ok(Arc::new(move |line| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, looked) = &mut *state;
        if looked.elapsed() > LOOK {
            *looked = Instant::now();
            let inode = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
            let named = std::fs::metadata(&path).map(inode);
            let same = named.is_ok_and(|named| file.metadata().is_ok_and(|it| inode(it) == named));
            // logrotate has moved it; where it cannot be made anew, the old one is better than none.
            if !same && let Ok(fresh) = open(&path) {
                *file = fresh;
            }
        }
        let _ = file.write_all(line.as_bytes());
    }))
}
