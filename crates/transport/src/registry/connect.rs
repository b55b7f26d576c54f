//! Connections: names to addresses, one address after the other, and through proxies.

use super::address::is_link_local;
use super::encrypt::{self, Encrypt};
use super::socket::Socket;
use crate::error::Error;
use crate::names;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout,
    SocksConnector, Transport,
};

/// Time for a connection with its TLS, and for a name.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// How long each of several addresses is waited for: first shortly, so that one that swallows everything costs
/// little, then in earnest.
const ROUNDS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Most addresses that are remembered for their silence.
const SLOW_LIMIT: usize = 64;

/// Everything between a request and a socket.
pub(crate) fn connector(direct: Config) -> impl Connector {
    // A proxy's answer comes before an own connection, and TLS over either.
    ().chain(AbsoluteConnector { direct })
        .chain(SocksConnector::default())
        .chain(ConnectProxyConnector::default())
        .chain(Dial::default())
        .chain(Encrypt::default())
}

/// Finds addresses, but none of the local link: a name of a hostile registry could stand for the place
/// where a cloud's machine is told its secrets. Where a registry leads, this machine is no place either,
/// except when the registry is here, too.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) files: names::Files,
    /// Whether the registry itself is what is looked for.
    pub(crate) own: bool,
    /// Whether it is on this machine.
    pub(crate) here: Arc<AtomicBool>,
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            Some("http") => 80,
            _ => 1080,
        });
        let until = Instant::now() + (*timeout.after).min(CONNECT_LIMIT);
        let all = names::look_up(&self.files, host, until)
            .map_err(|error| ureq::Error::Other(Box::new(error)))?;
        if self.own && all.iter().any(|ip| ip.to_canonical().is_loopback()) {
            self.here.store(true, Ordering::SeqCst);
        }
        let may_be_here = self.own || self.here.load(Ordering::SeqCst);
        let mut kept = self.empty();
        // No more than the array takes: that is what a look-up finds at most.
        for ip in all.iter().filter(|ip| is_fine(ip, may_be_here)) {
            kept.push((*ip, port).into());
        }
        match kept.is_empty() {
            true => {
                let kind = crate::ErrorKind::Denied;
                let text = format!("`{host}` has no address that may be used: {}", all[0]);
                Err(ureq::Error::Other(Box::new(Error::new(kind, text))))
            }
            false => Ok(kept),
        }
    }
}

fn is_fine(ip: &IpAddr, may_be_here: bool) -> bool {
    let ip = ip.to_canonical();
    // The unspecified address is this machine, too.
    let is_here = ip.is_loopback() || ip.is_unspecified();
    !is_link_local(&ip) && !ip.is_multicast() && (may_be_here || !is_here)
}

/// Opens connections.
#[derive(Debug, Default)]
struct Dial {
    /// Addresses that did not answer when others of their host did: they come last.
    slow: Mutex<Vec<IpAddr>>,
}

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Socket>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        let until = Instant::now() + (*details.timeout.after).min(CONNECT_LIMIT);
        let stream = self.dial(&details.addrs, until, |address, limit| {
            let connected = TcpStream::connect_timeout(&address, limit);
            connected.map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
                }
                _ => error,
            })
        })?;
        stream.set_nodelay(true)?;
        encrypt::note_dialled(&stream);
        Ok(Some(Either::B(Socket::new(stream, details.config))))
    }
}

impl Dial {
    /// Tries addresses one after the other.
    fn dial<T>(
        &self,
        addresses: &[SocketAddr],
        until: Instant,
        mut connect: impl FnMut(SocketAddr, Duration) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut left: Vec<SocketAddr> = addresses.to_vec();
        {
            let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
            left.sort_by_key(|address| slow.contains(&address.ip()));
        }
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for round in ROUNDS {
            let mut silent = Vec::new();
            for address in std::mem::take(&mut left) {
                let limit = match addresses.len() {
                    1 => CONNECT_LIMIT,
                    _ => round,
                };
                let limit = limit.min(until.saturating_duration_since(Instant::now()));
                if limit.is_zero() {
                    return Err(failed);
                }
                match connect(address, limit) {
                    Ok(connected) => {
                        self.remember(&silent);
                        return Ok(connected);
                    }
                    Err(error) => {
                        if error.kind() == io::ErrorKind::TimedOut {
                            silent.push(address);
                        }
                        failed = io::Error::new(error.kind(), format!("{address}: {error}"));
                    }
                }
            }
            left = silent;
        }
        Err(failed)
    }

    fn remember(&self, silent: &[SocketAddr]) {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        for address in silent {
            if slow.len() < SLOW_LIMIT && !slow.contains(&address.ip()) {
                slow.push(address.ip());
            }
        }
    }
}

/// Reaches what is not encrypted through a proxy in the way that all of them allow: by asking the proxy for
/// the whole address (RFC 9112, section 3.2.2). `CONNECT` to the port 80 is forbidden by many.
struct AbsoluteConnector {
    /// How the proxy itself is reached.
    direct: Config,
}

impl fmt::Debug for AbsoluteConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AbsoluteConnector")
    }
}

impl Connector<()> for AbsoluteConnector {
    type Out = Absolute;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Absolute>, ureq::Error> {
        let Some(proxy) = details.config.proxy() else { return Ok(None) };
        let speaks =
            matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https);
        if details.needs_tls() || !speaks {
            return Ok(None);
        }
        let addrs = details.resolver.resolve(proxy.uri(), details.config, details.timeout)?;
        let through = ConnectionDetails {
            uri: proxy.uri(),
            addrs,
            config: &self.direct,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let inner = (details.run_connector)(&through)?;
        let authority = details.uri.authority().map(ToString::to_string).unwrap_or_default();
        let header = proxy.username().map(|user| {
            let pair = [user, ":", proxy.password().unwrap_or_default()].concat();
            let encoded = oci::base64::encode(pair.as_bytes());
            ["Proxy-Authorization: Basic ", &encoded, "\r\n"].concat()
        });
        let origin = ["http://", &authority].concat();
        Ok(Some(Absolute { inner, origin, header: header.unwrap_or_default(), begun: false }))
    }
}

/// Writes whole addresses into the first lines of requests.
struct Absolute {
    inner: Box<dyn Transport>,
    origin: String,
    /// What tells the proxy who we are.
    header: String,
    /// Whether a request has begun, and its answer has not.
    begun: bool,
}

impl fmt::Debug for Absolute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Absolute({})", self.origin)
    }
}

impl Transport for Absolute {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let mut amount = amount;
        if !self.begun {
            let output = self.inner.buffers().output();
            let rewritten = rewrite(&output[..amount], &self.origin, &self.header);
            let room = output.get_mut(..rewritten.len()).ok_or(ureq::Error::ConnectionFailed)?;
            room.copy_from_slice(&rewritten);
            (amount, self.begun) = (rewritten.len(), true);
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.begun = false;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        // To the proxy perhaps, but not to whom the request is for.
        false
    }
}

/// `GET /x HTTP/1.1` becomes `GET http://host/x HTTP/1.1`, and a header follows.
fn rewrite(head: &[u8], origin: &str, header: &str) -> Vec<u8> {
    let word = head.iter().position(|&byte| byte == b' ').map_or(0, |at| at + 1);
    let line = head.windows(2).position(|it| it == b"\r\n").map_or(head.len(), |at| at + 2);
    let word = word.min(line);
    [&head[..word], origin.as_bytes(), &head[word..line], header.as_bytes(), &head[line..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_asked_for_whole_addresses() {
        let rewritten = rewrite(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", "http://x", "P: y\r\n");
        assert_eq!(rewritten, b"GET http://x/v2/ HTTP/1.1\r\nP: y\r\nHost: x\r\n\r\n");
    }

    #[test]
    fn addresses_are_tried_one_after_the_other() {
        let addresses: Vec<SocketAddr> =
            (1..4).map(|last| SocketAddr::from(([192, 0, 2, last], 443))).collect();
        let check = |dial: &Dial,
                     addresses: &[SocketAddr],
                     behave: &dyn Fn(u8, u64) -> Option<io::ErrorKind>| {
            let mut tried = String::new();
            let until = Instant::now() + CONNECT_LIMIT;
            let connected = dial.dial(addresses, until, |address, limit| {
                let IpAddr::V4(ip) = address.ip() else { unreachable!() };
                let last = ip.octets()[3];
                tried.push_str(&format!("{last}:{} ", limit.as_secs()));
                match behave(last, limit.as_secs()) {
                    None => Ok(last),
                    Some(kind) => Err(kind.into()),
                }
            });
            (connected.map_err(|error| error.to_string()), tried.trim_end().to_owned())
        };
        let silent = Some(io::ErrorKind::TimedOut);
        let closed = Some(io::ErrorKind::ConnectionRefused);
        let dial = Dial::default();
        assert_eq!(check(&dial, &addresses, &|_, _| None), (Ok(1), "1:1".into()));
        let closed_first = check(&dial, &addresses, &|last, _| closed.filter(|_| last < 3));
        assert_eq!(closed_first, (Ok(3), "1:1 2:1 3:1".into()));
        // Silent ones get another chance, others do not; and they come last from then on.
        let slow = check(&dial, &addresses, &|last, limit| match (last, limit) {
            (1, _) => closed,
            (3, 9..) => None,
            _ => silent,
        });
        assert_eq!(slow, (Ok(3), "1:1 2:1 3:1 2:10 3:10".into()));
        assert_eq!(check(&dial, &addresses, &|_, _| None), (Ok(1), "1:1".into()));
        let last = check(&dial, &addresses, &|last, _| closed.filter(|_| last != 2));
        assert_eq!(last, (Ok(2), "1:1 3:1 2:1".into()));
        let (failed, tried) = check(&dial, &addresses, &|_, _| closed);
        assert_eq!(failed.unwrap_err(), "192.0.2.2:443: connection refused");
        assert_eq!(tried, "1:1 3:1 2:1");
        // The only one gets all of the time.
        assert_eq!(check(&dial, &addresses[..1], &|_, _| None).1, "1:29");
        let no_time = dial.dial(&addresses, Instant::now(), |_, _| Ok(()));
        assert!(no_time.is_err());
    }

    #[test]
    fn g1_names_do_not_lead_to_this_machine_or_the_local_link() {
        let check = |text: &str, own: bool, fine: bool| {
            assert_eq!(is_fine(&text.parse().unwrap(), own), fine, "{text} {own}");
        };
        for (text, own, other) in [
            ("192.0.2.1", true, true),
            ("10.0.0.1", true, true),
            ("127.0.0.1", true, false),
            ("::1", true, false),
            ("::ffff:127.0.0.1", true, false),
            ("0.0.0.0", true, false),
            ("::", true, false),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("224.0.0.1", false, false),
        ] {
            check(text, true, own);
            check(text, false, other);
        }
    }

    #[test]
    fn g1_a_name_that_a_registry_leads_to_is_not_this_machine() {
        let directory = crate::tests::test_directory("connect");
        let hosts = directory.join("hosts");
        let text =
            "127.0.0.1 here.example\n169.254.169.254 cloud.example\n192.0.2.1 there.example\n";
        std::fs::write(&hosts, text).unwrap();
        let files = names::Files { hosts, ..names::Files::default() };
        let here = Arc::new(AtomicBool::new(false));
        let resolve = |own: bool, uri: &str| {
            let names = Names { files: files.clone(), own, here: here.clone() };
            let timeout = NextTimeout {
                after: Duration::from_secs(5).into(),
                reason: ureq::Timeout::Resolve,
                ..NextTimeout::default()
            };
            let config = ureq::Agent::config_builder().proxy(None).build();
            let found = names.resolve(&uri.parse().unwrap(), &config, timeout);
            found.map(|all| all[0].to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(resolve(false, "https://there.example/").unwrap(), "192.0.2.1:443");
        assert_eq!(resolve(false, "http://there.example:81/").unwrap(), "192.0.2.1:81");
        for (own, host) in [(false, "here"), (false, "cloud"), (true, "cloud")] {
            let error = resolve(own, &format!("https://{host}.example/")).unwrap_err();
            assert!(error.contains("has no address that may be used"), "{error}");
        }
        // A registry on this machine may lead to this machine.
        assert_eq!(resolve(true, "http://here.example/").unwrap(), "127.0.0.1:80");
        assert_eq!(resolve(false, "http://here.example/").unwrap(), "127.0.0.1:80");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
