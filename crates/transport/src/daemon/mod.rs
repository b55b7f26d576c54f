//! `docker-daemon:`, the images of a running dockerd, over its API.
//!
//! An image is what `docker save` writes (`GET /images/NAME/get`) and `docker load` reads (`POST
//! /images/load`), so that this is [`docker_archive`] through a socket. What comes is put into a file
//! without a name, because manifests and layers are asked for in another order than they come in;
//! what goes is sent as it is made.
//!
//! [`docker_archive`]: crate::docker_archive

mod image;
mod unix;

#[cfg(test)]
mod tests;

pub use image::{DaemonSink, DaemonSource};

use crate::certs::Certificates;
use crate::error::{Error, ErrorKind, Result};
use crate::names;
use crate::registry::{self, Names, connector, tls};
use oci::document;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use unix::{NoResolver, UnixConnector};
use ureq::SendBody;

/// Time for a connection with its TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// Most that is read of an answer that is no image.
const ANSWER_LIMIT_BYTES: usize = 1 << 20;
/// Most of a daemon's words that are shown.
const SHOWN_CHARACTERS: usize = 300;

/// Where a dockerd is.
#[derive(Clone, Debug)]
pub struct Options {
    /// `unix:///PATH`, `tcp://HOST:PORT` or `https://HOST:PORT` with TLS, `http://HOST:PORT` without.
    pub host: String,
    /// A directory with `ca.pem`, `cert.pem` and `key.pem`.
    pub certificates: Option<PathBuf>,
    /// Files with the authorities of the system: they count where the directory has none.
    pub system_authorities: Vec<PathBuf>,
    /// Whoever answers is believed to be the daemon.
    pub insecure: bool,
    /// Where the addresses of names are found.
    pub names: names::Files,
    /// How long the daemon may be silent. Older ones put a whole image together before the first byte.
    pub silence: Duration,
    /// Where images lie while they are read, in a file without a name.
    pub temporary: PathBuf,
}

impl Options {
    /// A daemon on its usual socket.
    pub fn new(temporary: &Path) -> Self {
        Self {
            host: "unix:///var/run/docker.sock".into(),
            certificates: None,
            system_authorities: Vec::new(),
            insecure: false,
            names: names::Files::default(),
            silence: Duration::from_secs(600),
            temporary: temporary.to_owned(),
        }
    }
}

/// A connection to a daemon.
struct Daemon {
    agent: ureq::Agent,
    /// What stands before the path.
    base: String,
    host: String,
}

document! {
    /// What a daemon says of a failure.
    Failure(snake) {
        message: String,
    }

    /// A line of what a daemon says while it loads.
    Progress {
        error: String,
        error_detail: Failure,
    }
}

impl Daemon {
    fn new(options: &Options) -> Result<Self> {
        let host = options.host.clone();
        let refuse = |why: &str| Error::new(ErrorKind::Invalid, format!("`{host}`: {why}"));
        let (scheme, rest) = host
            .split_once("://")
            .ok_or_else(|| refuse("no place of a dockerd: write `unix:///PATH`, for example"))?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_recv_response(Some(options.silence))
            .timeout_per_read(Some(options.silence))
            .timeout_per_write(Some(options.silence));
        let tcp = |scheme: &str, config: ureq::config::Config| {
            let base = format!("{scheme}://{}", rest.trim_end_matches('/'));
            if !oci::reference::is_domain(rest.trim_end_matches('/')) {
                return Err(refuse("write HOST:PORT"));
            }
            let here = Arc::new(AtomicBool::new(true));
            let names = Names { files: options.names.clone(), own: true, here };
            Ok((ureq::Agent::with_parts(config.clone(), connector(config), names), base))
        };
        let (agent, base) = match scheme {
            "unix" if Path::new(rest).is_absolute() => {
                let connector = UnixConnector::new(Path::new(rest));
                let agent = ureq::Agent::with_parts(config.build(), connector, NoResolver);
                (agent, "http://docker".to_owned())
            }
            "unix" => return Err(refuse("the path must be absolute")),
            "http" => tcp("http", config.build())?,
            "tcp" | "https" => {
                tcp("https", config.tls_config(tls(&believing(options), true)?).build())?
            }
            "ssh" => {
                let hint =
                    "forward the socket: `ssh -L /tmp/docker.sock:/var/run/docker.sock HOST`";
                let text = format!("`{host}`: ssh is not there");
                return Err(Error::new(ErrorKind::Unsupported, text).with_hint(hint));
            }
            _ => return Err(refuse("known are `unix://`, `tcp://`, `https://` and `http://`")),
        };
        Ok(Self { agent, base, host })
    }

    /// An image as `docker save` writes it.
    fn save(&self, name: &str) -> Result<impl Read + use<>> {
        let what = format!("docker-daemon:{name}");
        let sent = self.agent.get(format!("{}/images/{name}/get", self.base)).call();
        let response = sent.map_err(|error| self.unreachable(&what, &error))?;
        Ok(self.expect(&what, response)?.into_reader())
    }

    /// Sends an archive to `docker load`.
    fn load(&self, what: &str, archive: impl Read + 'static) -> Result<()> {
        let request = self.agent.post(format!("{}/images/load?quiet=1", self.base));
        let sent = request
            .header("Content-Type", "application/x-tar")
            .send(SendBody::from_owned_reader(archive));
        let response = sent.map_err(|error| self.unreachable(what, &error))?;
        let body = self.read(what, self.expect(what, response)?)?;
        // The status is sent before the images are read.
        for line in String::from_utf8_lossy(&body).lines().filter(|line| !line.trim().is_empty()) {
            let progress: Progress = oci::json::read(line.trim().as_bytes())
                .map_err(|error| self.fail(what, &format!("an answer without sense: {error}")))?;
            let told = match progress.error_detail.message.is_empty() {
                true => progress.error,
                false => progress.error_detail.message,
            };
            if !told.is_empty() {
                return Err(self.fail(what, &shown(&told)));
            }
        }
        Ok(())
    }

    /// The body of an answer, or what the daemon says instead.
    fn expect(&self, what: &str, response: ureq::http::Response<ureq::Body>) -> Result<ureq::Body> {
        let status = response.status().as_u16();
        let body = response.into_body();
        if status == 200 {
            return Ok(body);
        }
        let bytes = self.read(what, body).unwrap_or_default();
        let failure: Failure = oci::json::read(&bytes).unwrap_or_default();
        let told = shown(&failure.message);
        let text = format!("{what}: {} answers {status}: {told}", self.host);
        let kind = if status == 404 { ErrorKind::NotFound } else { ErrorKind::Network };
        Err(Error::new(kind, text))
    }

    fn read(&self, what: &str, body: ureq::Body) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = body.into_reader().take(ANSWER_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.fail(what, &error))?;
        match bytes.len() > ANSWER_LIMIT_BYTES {
            true => Err(self.fail(what, &"an answer of more than 1 MiB")),
            false => Ok(bytes),
        }
    }

    fn fail(&self, what: &str, why: &dyn std::fmt::Display) -> Error {
        Error::new(ErrorKind::Network, format!("{what}: {}: {why}", self.host))
    }

    fn unreachable(&self, what: &str, error: &ureq::Error) -> Error {
        let told = self.fail(what, error);
        let ureq::Error::Io(error) = error else { return told };
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                told.with_hint("is dockerd running? its socket may be another one")
            }
            std::io::ErrorKind::PermissionDenied => {
                told.with_hint("the socket is for root, and for the group `docker`")
            }
            _ => told,
        }
    }
}

/// Whom to believe, by docker's names of the files.
fn believing(options: &Options) -> registry::Options {
    let file = |name: &str| {
        let path = options.certificates.as_ref()?.join(name);
        path.exists().then_some(path)
    };
    let authorities: Vec<PathBuf> = file("ca.pem").into_iter().collect();
    let system_authorities = match authorities.is_empty() {
        true => options.system_authorities.clone(),
        false => Vec::new(),
    };
    let clients = file("cert.pem").zip(file("key.pem")).into_iter().collect();
    registry::Options {
        certificates: Certificates { authorities, clients },
        system_authorities,
        insecure: options.insecure,
        ..registry::Options::default()
    }
}

/// What somebody else wrote, for messages.
fn shown(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(SHOWN_CHARACTERS).collect()
}
