//! Proxies, as the environment names them.
//!
//! The rules are those of programs written in Go, docker and podman among them: `HTTPS_PROXY` for addresses
//! with TLS, `HTTP_PROXY` for those without, capitals before small letters, `NO_PROXY` with its exceptions,
//! and this machine's own addresses never. `ALL_PROXY` is curl's: it counts where neither of the others is set.

use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::net::IpAddr;

/// Most exceptions of `NO_PROXY`.
const EXCEPTIONS_LIMIT: usize = 1000;

/// Which proxy an address is reached through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    secure: Option<Proxy>,
    plain: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy(pub(crate) ureq::Proxy);

/// Its password does not get into logs.
impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxy({self})")
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.0.host(), self.0.port())
    }
}

/// What is reached without a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    /// Addresses whose first bits are these.
    Network(IpAddr, u8),
    Address(IpAddr, Option<u16>),
    /// A domain with a dot before it; whether its own name is meant, too.
    Domain(String, bool, Option<u16>),
}

impl Proxies {
    /// Reads the variables of an environment.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let find = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            let found = names.into_iter().find_map(|name| {
                let text = variable(&name).filter(|text| !text.trim().is_empty())?;
                Some((name, text))
            });
            found.map(|(name, text)| parse(&name, text.trim())).transpose()
        };
        let all = find("ALL_PROXY")?;
        // Of a CGI program's environment, HTTP_PROXY is the header `Proxy` of whoever asks (httpoxy,
        // CVE-2016-5385).
        let is_cgi = variable("REQUEST_METHOD").is_some_and(|it| !it.is_empty());
        let plain = if is_cgi { None } else { find("HTTP_PROXY")? };
        let secure = find("HTTPS_PROXY")?;
        let exceptions = ["NO_PROXY", "no_proxy"]
            .into_iter()
            .find_map(|name| variable(name).filter(|text| !text.trim().is_empty()));
        let exceptions = exceptions.unwrap_or_default();
        let exceptions = exceptions.split(',').take(EXCEPTIONS_LIMIT).filter_map(Exception::read);
        Ok(Self {
            secure: secure.or_else(|| all.clone()),
            plain: plain.or(all),
            exceptions: exceptions.collect(),
        })
    }

    /// The proxy for a host, which has no brackets around it.
    pub(crate) fn choose(&self, secure: bool, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if secure { &self.secure } else { &self.plain };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok().map(|it: IpAddr| it.to_canonical());
        let is_here = host == "localhost" || address.is_some_and(|it| it.is_loopback());
        let is_excepted = || self.exceptions.iter().any(|it| it.matches(&host, address, port));
        proxy.as_ref().filter(|_| !is_here && !is_excepted())
    }
}

/// A proxy's address, with or without a scheme.
fn parse(variable: &str, text: &str) -> Result<Proxy> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    // Names are looked up by the proxy, which may be the only one that can.
    let scheme = match &*scheme.to_ascii_lowercase() {
        "socks5" | "socks5h" => "socks5h".to_owned(),
        scheme => scheme.to_owned(),
    };
    let known = matches!(&*scheme, "http" | "https" | "socks5h");
    let proxy = known.then(|| ureq::Proxy::new(&[&scheme, "://", rest].concat()).ok()).flatten();
    let host = rest.rsplit('@').next().unwrap_or(rest).split('/').next().unwrap_or(rest);
    let proxy = proxy.filter(|_| oci::reference::is_domain(host));
    // The text may have a password in it.
    proxy.map(Proxy).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("{variable}: it is not the address of a proxy"))
            .with_hint("as in http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT")
    })
}

impl Exception {
    /// Reads `*`, `192.0.2.0/24`, `192.0.2.1:80`, `example.com`, `.example.com:443`, `*.example.com`. What
    /// is none of these counts for nothing.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits: u8 = bits.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Self::Network(address, bits));
        }
        // An IPv6 address has colons, too, and brackets where a port may follow.
        let (host, port) = match text.parse::<IpAddr>() {
            Ok(_) => (&*text, None),
            Err(_) => match text.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
                _ => (&*text, None),
            },
        };
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), port));
        }
        let domain = host.strip_prefix('*').filter(|it| it.starts_with('.')).unwrap_or(host);
        match domain.strip_prefix('.') {
            Some("") => None,
            None if domain.is_empty() => None,
            Some(_) => Some(Self::Domain(domain.to_owned(), false, port)),
            None => Some(Self::Domain([".", domain].concat(), true, port)),
        }
    }

    fn matches(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let is_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network(network, bits) => address.is_some_and(|it| within(it, *network, *bits)),
            Self::Address(wanted, wanted_port) => address == Some(*wanted) && is_port(wanted_port),
            Self::Domain(domain, own, wanted_port) => {
                let fits = host.ends_with(&**domain) || *own && host == &domain[1..];
                fits && is_port(wanted_port)
            }
        }
    }
}

/// Whether an address has the first bits of a network's.
fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= bits.into()
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= bits.into()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies> {
        Proxies::read(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    fn choose(variables: &[(&str, &str)], secure: bool, host: &str) -> String {
        let proxies = read(variables).unwrap();
        proxies.choose(secure, host, 443).map_or("none".into(), ToString::to_string)
    }

    #[test]
    fn variables_are_chosen_as_in_go() {
        let check = |variables: &[(&str, &str)], secure: &str, plain: &str| {
            let found =
                [choose(variables, true, "r.example"), choose(variables, false, "r.example")];
            assert_eq!(found, [secure, plain], "{variables:?}");
        };
        check(&[], "none", "none");
        check(&[("HTTP_PROXY", "p:1")], "none", "p:1");
        check(&[("https_proxy", "http://p:1")], "p:1", "none");
        check(&[("HTTPS_PROXY", "big:1"), ("https_proxy", "small:1")], "big:1", "none");
        check(&[("HTTPS_PROXY", " "), ("https_proxy", "small:1")], "small:1", "none");
        check(&[("ALL_PROXY", "socks5://all")], "all:1080", "all:1080");
        check(&[("all_proxy", "all:1"), ("HTTP_PROXY", "p:1")], "all:1", "p:1");
        check(&[("HTTP_PROXY", "https://p")], "none", "p:443");
        check(&[("HTTP_PROXY", "p")], "none", "p:80");
        // httpoxy.
        check(&[("HTTP_PROXY", "evil:1"), ("REQUEST_METHOD", "GET")], "none", "none");
        let both = [("HTTPS_PROXY", "p:1"), ("http_proxy", "evil:1"), ("REQUEST_METHOD", "GET")];
        check(&both, "p:1", "none");
    }

    #[test]
    fn addresses_of_proxies_are_checked_and_their_passwords_hidden() {
        for text in ["ftp://p:1", "://", "http://", "http://p:port", "socks4://p", "p p"] {
            let error = read(&[("HTTPS_PROXY", text)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            assert!(error.to_string().starts_with("HTTPS_PROXY: "), "{error}");
        }
        let proxies = read(&[("HTTPS_PROXY", "https://user:hunter2@p:1")]).unwrap();
        assert!(!format!("{proxies:?}").contains("hunter2"));
        let proxy = proxies.choose(true, "r.example", 443).unwrap();
        assert_eq!((proxy.0.username(), proxy.0.password()), (Some("user"), Some("hunter2")));
        assert!(
            !read(&[("HTTPS_PROXY", "http://u:hunter2@")]).unwrap_err().to_string().contains("hun")
        );
        let socks = read(&[("ALL_PROXY", "SOCKS5://p")]).unwrap();
        assert!(!socks.choose(true, "r.example", 443).unwrap().0.resolve_target());
    }

    #[test]
    fn exceptions_are_those_of_go() {
        let check = |exceptions: &str, host: &str, port: u16, proxied: bool| {
            let proxies = read(&[("HTTPS_PROXY", "p:1"), ("NO_PROXY", exceptions)]).unwrap();
            let found = proxies.choose(true, host, port).is_some();
            assert_eq!(found, proxied, "{exceptions}: {host}:{port}");
        };
        check("", "example.com", 443, true);
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "LOCALHOST."]
        {
            check("", host, 443, false);
        }
        check("*", "example.com", 443, false);
        check("a, *,b", "192.0.2.1", 443, false);
        check("example.com", "example.com", 443, false);
        check("example.com", "EXAMPLE.com.", 443, false);
        check("example.com", "a.b.example.com", 443, false);
        check("example.com", "badexample.com", 443, true);
        check("example.com", "example.com.evil", 443, true);
        check(".example.com", "example.com", 443, true);
        check(".example.com", "a.example.com", 443, false);
        check("*.example.com", "a.example.com", 443, false);
        check("*.example.com", "example.com", 443, true);
        check("*example.com", "aexample.com", 443, true);
        check("example.com:5000", "example.com", 5000, false);
        check("example.com:5000", "example.com", 443, true);
        check(".example.com:5000", "a.example.com", 5000, false);
        check("other, , Example.COM ", "example.com", 443, false);
        check("192.0.2.1", "192.0.2.1", 443, false);
        check("192.0.2.1:80", "192.0.2.1", 443, true);
        check("192.0.2.1:443", "192.0.2.1", 443, false);
        check("192.0.2.0/25", "192.0.2.127", 443, false);
        check("192.0.2.0/25", "192.0.2.128", 443, true);
        check("0.0.0.0/0", "192.0.2.128", 443, false);
        check("0.0.0.0/0", "2001:db8::1", 443, true);
        check("2001:db8::/32", "2001:db8:1::1", 443, false);
        check("2001:db8::/32", "2001:db9::1", 443, true);
        check("::/0", "2001:db9::1", 443, false);
        check("2001:db8::1", "2001:db8::1", 443, false);
        check("[2001:db8::1]:443", "2001:db8::1", 443, false);
        check("[2001:db8::1]:80", "2001:db8::1", 443, true);
        check("192.0.2.0/33", "192.0.2.1", 443, true);
        // Names are not looked up for networks.
        check("192.0.2.0/24", "example.com", 443, true);
        check(".", "example.com", 443, true);
        check(":443", "example.com", 443, true);
    }
}
