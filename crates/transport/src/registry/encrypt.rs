//! TLS, and which HTTP is spoken in it (ALPN, RFC 7301).
//!
//! ureq opens connections and speaks HTTP 1.1 on them. A request that may go by HTTP 2 is run by [`offering`]:
//! when a server chooses that, the connection comes back before anything was sent on it. What the two ends of that
//! say to each other is kept by the thread, on which all of it happens.

use super::believe::{Anybody, Known};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::cell::RefCell;
use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// A connection on which a server wants to speak HTTP 2.
pub(super) struct Opened {
    pub(super) socket: TcpStream,
    pub(super) tls: ClientConnection,
    /// What has come already and nobody has decrypted.
    pub(super) input: Vec<u8>,
}

/// How a request ended for which HTTP 2 was offered.
pub(super) enum Ended<T> {
    /// By HTTP 1.1, with an answer.
    Answered(T),
    /// Before it began.
    Opened(Box<Opened>),
}

struct Offer {
    authority: String,
    /// What was dialled, as long as there is nothing but bytes of TCP on it.
    socket: Option<TcpStream>,
    opened: Option<Box<Opened>>,
}

thread_local! {
    static OFFER: RefCell<Option<Offer>> = const { RefCell::new(None) };
}

/// Runs a request with ureq; HTTP 2 is offered to the host that it is for, which is named with its port if it has
/// one.
pub(super) fn offering<T>(
    authority: &str,
    run: impl FnOnce() -> Result<T, ureq::Error>,
) -> Result<Ended<T>, ureq::Error> {
    let offer = Offer { authority: authority.to_owned(), socket: None, opened: None };
    OFFER.set(Some(offer));
    let ended = run();
    match OFFER.take().and_then(|offer| offer.opened) {
        Some(opened) => Ok(Ended::Opened(opened)),
        None => ended.map(Ended::Answered),
    }
}

/// Tells what was dialled.
pub(super) fn note_dialled(stream: &TcpStream) {
    OFFER.with_borrow_mut(|offer| {
        if let Some(offer) = offer {
            // Without a descriptor to spare it is HTTP 1.1.
            offer.socket = stream.try_clone().ok();
        }
    });
}

/// What was dialled for this host, if HTTP 2 is offered to it. TLS is about to be spoken on it: to anybody else
/// that is a proxy, and what is in that TLS is nothing for HTTP 2.
fn take_dialled(details: &ConnectionDetails<'_>) -> Option<TcpStream> {
    OFFER.with_borrow_mut(|offer| {
        let offer = offer.as_mut()?;
        let socket = offer.socket.take()?;
        let authority = details.uri.authority()?;
        (authority.as_str() == offer.authority).then_some(socket)
    })
}

/// Speaks TLS on connections that need it.
#[derive(Default)]
pub(super) struct Encrypt {
    /// With HTTP 1.1 only, and with both.
    configs: OnceLock<[Arc<ClientConfig>; 2]>,
}

impl fmt::Debug for Encrypt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Encrypt")
    }
}

impl<In: Transport> Connector<In> for Encrypt {
    type Out = Either<In, Encrypted>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let socket = take_dialled(details);
        let config = self.config(details.config.tls_config(), socket.is_some())?;
        let host = details.uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| ureq::Error::Tls("its name cannot be in a certificate"))?;
        let mut tls = ClientConnection::new(config, name)?;
        let mut below = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        below.set_timeout(details.timeout);
        tls.complete_io(&mut below)?;
        if let Some(socket) = socket.filter(|_| tls.alpn_protocol() == Some(HTTP2)) {
            let input = below.get_mut().buffers().input().to_vec();
            let opened = Box::new(Opened { socket, tls, input });
            OFFER.with_borrow_mut(|offer| {
                if let Some(offer) = offer {
                    offer.opened = Some(opened);
                }
            });
            // Nobody sees that: `offering` has the connection.
            return Err(ureq::Error::ConnectionFailed);
        }
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Encrypted { buffers, stream: StreamOwned::new(tls, below) })))
    }
}

impl Encrypt {
    /// What is agreed on with servers. It is the same for all connections of an agent.
    fn config(&self, tls: &TlsConfig, offer: bool) -> Result<Arc<ClientConfig>, ureq::Error> {
        let configs = match self.configs.get() {
            Some(configs) => configs,
            None => {
                let plain = build(tls)?;
                let mut both = plain.clone();
                both.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
                self.configs.get_or_init(|| [Arc::new(plain), Arc::new(both)])
            }
        };
        Ok(configs[usize::from(offer)].clone())
    }
}

fn build(tls: &TlsConfig) -> Result<ClientConfig, ureq::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = match (tls.disable_verification(), tls.root_certs()) {
        (true, _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)),
        (false, RootCerts::Specific(certificates)) => {
            let all = certificates.iter().map(|it| CertificateDer::from(it.der()).into_owned());
            match Known::new(all.collect(), provider) {
                Some(known) => {
                    builder.dangerous().with_custom_certificate_verifier(Arc::new(known))
                }
                None => builder.with_root_certificates(RootCertStore::empty()),
            }
        }
        (false, _) => return Err(ureq::Error::Tls("nobody is believed")),
    };
    let Some(client) = tls.client_cert() else { return Ok(builder.with_no_client_auth()) };
    let chain = client.certs().iter().map(|it| CertificateDer::from(it.der()).into_owned());
    let key = PrivateKeyDer::try_from(client.private_key().der().to_vec())
        .map_err(|_| ureq::Error::Tls("the key of our certificate is of no known form"))?;
    Ok(builder.with_client_auth_cert(chain.collect(), key)?)
}

/// TLS with HTTP 1.1 in it.
pub(super) struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Encrypted").field(&self.stream.sock.inner()).finish()
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
