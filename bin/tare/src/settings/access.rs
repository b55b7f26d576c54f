//! How the registries of one side of a copy are reached.

use super::containers_conf::INSTEAD;
use super::{AUTHORITIES, Key, Settings, parse_seconds};
use crate::failure::{Failure, Result};
use std::path::PathBuf;
use std::time::Duration;
use transport::auth::{Credentials, Lookup};
use transport::certs::Certificates;
use transport::proxy::Proxies;
use transport::registries;
use transport::registry::{Beside, Options};

/// What options say about one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) authfile: Option<PathBuf>,
    pub(crate) credentials: Option<Credentials>,
    /// Look for no credentials.
    pub(crate) anonymous: bool,
    pub(crate) cert_dir: Option<PathBuf>,
    pub(crate) tls_verify: Option<bool>,
    pub(crate) attempts: Option<u32>,
    pub(crate) backoff: Option<Duration>,
    /// Where dockerd listens.
    pub(crate) daemon_host: Option<String>,
    /// Look for what cosign keeps of images, whatever `registries.d` says.
    pub(crate) companions: bool,
    /// More names of an image that goes into docker's archive.
    pub(crate) additional_names: Vec<oci::Reference>,
    /// Where layouts keep their blobs together.
    pub(crate) shared_blobs: Option<PathBuf>,
}

impl Settings<'_> {
    /// How a place of an image is reached.
    pub(crate) fn registry_options(
        &self,
        place: &registries::Source,
        access: &Access,
    ) -> transport::Result<Options> {
        let domain = place.reference.domain();
        let credentials = match &access.credentials {
            _ if access.anonymous => None,
            Some(given) => Some(given.clone()),
            None => self.lookup(access).find(place.reference.name())?,
        };
        let certificates = match &access.cert_dir {
            Some(directory) => Certificates::read(directory)?,
            None => Certificates::find(&self.certificate_dirs(), domain)?,
        };
        let options = self.web_options()?;
        let usual = self.usual_patience(access)?;
        Ok(Options {
            credentials,
            certificates,
            insecure: access.tls_verify.map_or(place.insecure, |verify| !verify),
            foreign_layers: self.global.foreign_layers,
            attempts: access.attempts.or(usual.0).unwrap_or(options.attempts),
            backoff: access.backoff.or(usual.1).unwrap_or(options.backoff),
            ..options
        })
    }

    /// Attempts and the pause between them, as `containers.conf` has them.
    fn usual_patience(
        &self,
        access: &Access,
    ) -> transport::Result<(Option<u32>, Option<Duration>)> {
        if access.attempts.is_some() && access.backoff.is_some() {
            return Ok((None, None));
        }
        let read = || -> Result<_> {
            let conf = self.conf()?;
            let times = conf.number(Key::RETRY).map(|times| {
                u32::try_from(times).map_err(|_| {
                    conf.mistake(Key::RETRY, Failure::new("it is no number of attempts"))
                })
            });
            let delay = conf.text(Key::RETRY_DELAY).map(|text| {
                parse_seconds(text).map_err(|why| conf.mistake(Key::RETRY_DELAY, Failure::new(why)))
            });
            Ok((times.transpose()?.map(|times| times.saturating_add(1)), delay.transpose()?))
        };
        read().map_err(|failure| {
            let error = transport::Error::new(transport::ErrorKind::Invalid, failure.message());
            error.with_hint(INSTEAD)
        })
    }

    /// How anybody is reached by HTTP.
    fn web_options(&self) -> transport::Result<Options> {
        let user_agent = format!("tare/{}", env!("CARGO_PKG_VERSION"));
        Ok(Options {
            system_authorities: system_authorities(),
            trace: self.global.debug.then_some(debug),
            http2: http2(),
            proxies: Proxies::read(&|name| std::env::var(name).ok())?,
            user_agent: match &self.global.user_agent_prefix {
                Some(prefix) => format!("{prefix} {user_agent}"),
                None => user_agent,
            },
            ..Options::default()
        })
    }

    /// What is kept beside the images of a registry, and how servers of signatures are reached.
    pub(crate) fn beside(&self, name: &oci::Reference, access: &Access) -> Result<Option<Beside>> {
        let mut section = self.lookaside()?.section(name).cloned();
        if access.companions {
            section.get_or_insert_default().sigstore_attachments = Some(true);
        }
        let Some(section) = section else { return Ok(None) };
        let place =
            registries::Source { reference: name.clone(), insecure: false, is_mirror: false };
        let nobody = Access { anonymous: true, ..access.clone() };
        Ok(Some(Beside { section, options: self.registry_options(&place, &nobody)? }))
    }

    /// Opens a file at an address that the user has named.
    pub(crate) fn download(&self, url: &str) -> Result<Box<dyn std::io::Read + Send>> {
        Ok(transport::registry::download(url, &self.web_options()?)?)
    }

    /// Where credentials are looked for.
    pub(crate) fn lookup(&self, access: &Access) -> Lookup {
        Lookup {
            files: self.auth_places(access.authfile.as_ref()).files(),
            helpers: self.registries.credential_helpers().to_vec(),
            search_path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// The names that a text of the user may stand for, in the order in which they are tried.
    pub(crate) fn candidates(&self, text: &str) -> Result<Vec<oci::Reference>> {
        use transport::registries::Resolution;
        let found = match self.registries.resolve(text, false) {
            Ok(Resolution::Try(found) | Resolution::Ask(found)) => found,
            // Where nobody has said in which registries short names are, they are docker's.
            Err(_) if self.registries.search().is_empty() => {
                return Ok(vec![oci::Reference::parse(text)?.or_latest()]);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(found.into_iter().map(|it| it.reference.or_latest()).collect())
    }
}

/// Tells what `--debug` is for.
pub(super) fn debug(text: &str) {
    use std::io::Write;
    // With standard error closed there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("tare: debug: {text}\n").as_bytes());
}

/// Whether HTTP 2 is offered to registries: not with `TARE_HTTP2=0`, for networks with something in them that breaks
/// it.
pub(crate) fn http2() -> bool {
    std::env::var_os("TARE_HTTP2").is_none_or(|value| value != "0")
}

/// The first file that is there: distributions have the same authorities in different places.
pub(crate) fn system_authorities() -> Vec<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let known = AUTHORITIES.iter().map(PathBuf::from);
    named.into_iter().chain(known).find(|path| path.is_file()).into_iter().collect()
}
