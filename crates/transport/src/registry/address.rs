//! Addresses, and who may learn what.

use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::net::IpAddr;

/// `http` or `https`, a host with its port, and a path with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) secure: bool,
    /// With a port if one is written; an IPv6 address in brackets. Small letters.
    pub(super) host: String,
    pub(super) path: String,
}

/// Longest address: some registries sign what they redirect to, with kilobytes.
const LENGTH_LIMIT_BYTES: usize = 16 << 10;

impl Address {
    /// Reads a whole address.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let shown: String = text.chars().filter(|it| !it.is_control()).take(100).collect();
            Error::new(ErrorKind::Invalid, format!("address `{shown}`: {why}"))
        };
        if text.len() > LENGTH_LIMIT_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("is too long, or has characters that must be escaped"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse("has no scheme"))?;
        let secure = match &*scheme.to_ascii_lowercase() {
            "https" => true,
            "http" => false,
            _ => return Err(refuse("is neither http nor https")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        // Credentials in an address would be somebody else's, and `\` is a slash to some.
        if !oci::reference::is_domain(host) && !is_underscored(host) {
            return Err(refuse("has no host"));
        }
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self { secure, host: host.to_ascii_lowercase(), path: [slash, path].concat() }.checked()
    }

    /// The same, unless its port is none: whoever reads 99999 as no port at all would ask somebody else.
    pub(super) fn checked(self) -> Result<Self> {
        match self.port_number() {
            0 => {
                let text = format!("{}: {} is not a port", self.origin(), self.port());
                Err(Error::new(ErrorKind::Invalid, text))
            }
            _ => Ok(self),
        }
    }

    /// What a header of an answer from this address means: a whole address, or a part of one.
    pub(super) fn resolve(&self, text: &str) -> Result<Self> {
        let scheme = if self.secure { "https" } else { "http" };
        if text.starts_with("//") {
            return Self::parse(&[scheme, ":", text].concat());
        }
        let origin = [scheme, "://", &self.host].concat();
        if text.starts_with('/') {
            return Self::parse(&[&origin, text].concat());
        }
        let query_begins = self.path.find('?').unwrap_or(self.path.len());
        let path = &self.path[..query_begins];
        match text.split_once(':') {
            Some((scheme, _)) if scheme.bytes().all(|it| it.is_ascii_alphanumeric()) => {
                Self::parse(text)
            }
            _ if text.starts_with('?') => Self::parse(&[&origin, path, text].concat()),
            _ => {
                let directory = path.rfind('/').map_or("/", |at| &path[..=at]);
                Self::parse(&[&origin, directory, text].concat())
            }
        }
    }

    /// Where `Link: <...>; rel="next"` leads from here, which may be among other links. One that does not say what it
    /// leads to is taken for it.
    pub(super) fn next_page(&self, links: &str) -> Result<Option<Self>> {
        let malformed = || {
            let text = format!("{}: Link: {}", self.origin(), super::answer::shown(links));
            Error::new(ErrorKind::Invalid, text)
        };
        let mut rest = links;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Ok(None);
            }
            let link = rest.strip_prefix('<').and_then(|it| it.split_once('>'));
            let (target, behind) = link.ok_or_else(malformed)?;
            let mut is_quoted = false;
            let end = behind.find(|it| {
                is_quoted ^= it == '"';
                it == ',' && !is_quoted
            });
            let (parameters, others) = behind.split_at(end.unwrap_or(behind.len()));
            if leads_to_next(parameters) {
                return self.resolve(target).map(Some);
            }
            rest = others;
        }
    }

    /// The same with another part of a query.
    pub(super) fn with_query(&self, query: &str) -> Self {
        let separator = if self.path.contains('?') { "&" } else { "?" };
        Self { path: [&self.path, separator, query].concat(), ..self.clone() }
    }

    /// The host without its port.
    pub(super) fn host_name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => name,
            _ => &self.host,
        }
    }

    /// The host without its port, and without brackets.
    pub(super) fn bare_host(&self) -> &str {
        self.host_name().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, or 0 where a number is written that is none.
    pub(super) fn port_number(&self) -> u16 {
        self.port().parse().unwrap_or(0)
    }

    fn port(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port,
            _ if self.secure => "443",
            _ => "80",
        }
    }

    /// Whether another address is the same server, reached in the same way.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.secure, it.host_name().to_owned(), it.port().to_owned());
        key(self) == key(other)
    }

    /// Refuses to be led somewhere that an answer must not lead: from TLS to none, from outside to this
    /// machine or to the addresses at which clouds tell machines their secrets.
    pub(super) fn check_step_to(&self, next: &Self) -> Result<()> {
        let refuse = |why: &str| {
            let text = format!("{} leads to {}: {why}", self.origin(), next.origin());
            Err(Error::new(ErrorKind::Denied, text))
        };
        if self.secure && !next.secure {
            return refuse("which is not encrypted");
        }
        let there = next.literal();
        if there.is_some_and(|ip| is_link_local(&ip)) {
            return refuse("which is an address of the local link");
        }
        if next.is_loopback() && !self.is_loopback() {
            return refuse("which is this machine");
        }
        Ok(())
    }

    /// Whether a token service may be told the credentials of the registry at this address: it is the
    /// registry itself, or encrypted and in the same domain (`auth.docker.io` for `registry-1.docker.io`).
    pub(super) fn trusts(&self, service: &Self) -> bool {
        if self.same_origin(service) {
            return true;
        }
        if !service.secure || self.literal().is_some() || service.literal().is_some() {
            return false;
        }
        let (registry, service) = (self.host_name(), service.host_name());
        let is_within = |domain: &str| {
            service == domain || service.strip_suffix(domain).is_some_and(|it| it.ends_with('.'))
        };
        let parent = registry.split_once('.').map(|(_, parent)| parent);
        // A domain of one label is everybody's.
        is_within(registry) || parent.is_some_and(|it| it.contains('.') && is_within(it))
    }

    /// Scheme and host, for messages.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        [scheme, "://", &self.host].concat()
    }

    /// The host as a number.
    fn literal(&self) -> Option<IpAddr> {
        self.bare_host().parse().ok()
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let name = self.host_name();
        name == "localhost"
            || name.ends_with(".localhost")
            || self.literal().map(|ip| ip.to_canonical()).is_some_and(|ip| {
                // Linux takes `0.0.0.0` and `::` for this machine, too.
                ip.is_loopback() || ip.is_unspecified()
            })
    }
}

/// What is behind a link: `; rel="next"`.
fn leads_to_next(parameters: &str) -> bool {
    let named = parameters.split(';').filter_map(|it| it.split_once('='));
    let relations = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"));
    let mut relations = relations.map(|(_, value)| value.trim().trim_matches('"'));
    let is_next = |all: &str| all.split(' ').any(|it| it.eq_ignore_ascii_case("next"));
    relations.next().is_none_or(is_next)
}

/// Addresses that only the same wire has: 169.254.169.254 tells a cloud's machine its credentials.
pub(super) fn is_link_local(ip: &IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// Host names with underscores, which are none, but which storage services have.
fn is_underscored(host: &str) -> bool {
    host.contains('_') && oci::reference::is_domain(&host.replace('_', "x"))
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.origin(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_read_and_resolved() {
        let check = |base: &str, text: &str, expected: Option<&str>| {
            let found = parse(base).resolve(text).ok().map(|it| it.to_string());
            assert_eq!(found.as_deref(), expected, "{base} {text}");
        };
        let base = "https://r.example:5000/v2/a/blobs/uploads/?x=1";
        check(base, "/v2/b?y=2", Some("https://r.example:5000/v2/b?y=2"));
        check(base, "https://Other.example/z#f", Some("https://other.example/z"));
        check(base, "//other.example/z", Some("https://other.example/z"));
        check(base, "some-id", Some("https://r.example:5000/v2/a/blobs/uploads/some-id"));
        check(base, "?z=1", Some("https://r.example:5000/v2/a/blobs/uploads/?z=1"));
        check(base, "http://[::1]:80", Some("http://[::1]:80/"));
        check(base, "http://a_b.example/", Some("http://a_b.example/"));
        for text in [
            "ftp://x/",
            "file:///etc/passwd",
            "https://",
            "https://user:pw@x/",
            "https://x\\y/",
            "https://x y/",
            "https:///x",
            "https://x:y/",
            "https://x:0/",
            "https://x:65536/",
            "https://[::1]:99999/",
            "https://x/\r\nA: b",
        ] {
            check(base, text, None);
        }
    }

    #[test]
    fn the_next_page_is_found_among_other_links() {
        let base = parse("https://r.example/v2/a/tags/list?n=2");
        let check = |links: &str, expected: Option<&str>| {
            let found = base.next_page(links).unwrap().map(|it| it.to_string());
            assert_eq!(found.as_deref(), expected, "{links}");
        };
        let next = Some("https://r.example/v2/a/tags/list?last=b");
        check("</v2/a/tags/list?last=b>; rel=\"next\"", next);
        check("</v2/a/tags/list?last=b>;REL=Next", next);
        check("<?last=b>", next);
        check("</f>; rel=\"first\", <?last=b>; title=\"a, <b>\"; rel=\"last next\"", next);
        check("</f>; rel=first", None);
        check("", None);
        for malformed in ["/v2/a", "</v2/a", "</f>; rel=first, x"] {
            assert!(base.next_page(malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn g1_nobody_is_led_to_secrets() {
        let check = |from: &str, to: &str, fine: bool| {
            assert_eq!(parse(from).check_step_to(&parse(to)).is_ok(), fine, "{from} {to}");
        };
        check("https://r.example/", "https://cdn.example/", true);
        check("http://r.example/", "https://cdn.example/", true);
        check("http://r.example/", "http://cdn.example/", true);
        check("https://r.example/", "http://r.example/", false);
        check("https://r.example/", "https://169.254.169.254/latest", false);
        check("http://r.example/", "http://169.254.169.254/latest", false);
        check("http://r.example/", "http://[fe80::1]/", false);
        check("http://r.example/", "http://[::ffff:a9fe:a9fe]/", false);
        check("http://r.example/", "http://127.0.0.1/", false);
        check("http://r.example/", "http://localhost:2375/", false);
        check("http://r.example/", "http://0.0.0.0:2375/", false);
        check("https://r.example/", "https://[::]/", false);
        check("http://127.0.0.1:1/", "http://127.0.0.1:2/", true);
    }

    #[test]
    fn g1_a_token_service_is_the_registrys_own() {
        let check = |registry: &str, service: &str, fine: bool| {
            assert_eq!(parse(registry).trusts(&parse(service)), fine, "{registry} {service}");
        };
        check("https://registry-1.docker.io/", "https://auth.docker.io/token", true);
        check("https://registry.gitlab.example/", "https://gitlab.example/jwt/auth", true);
        check("https://quay.example/", "https://quay.example/v2/auth", true);
        check("https://quay.example/", "https://quay.example:443/v2/auth", true);
        check("https://quay.example/", "https://auth.quay.example/", true);
        check("https://a.quay.example/", "https://evilquay.example/", false);
        check("https://quay.example/", "https://evil.example/", false);
        check("https://quay.example/", "http://quay.example/v2/auth", false);
        check("https://quay.example/", "https://quay.example:444/", true);
        check("http://127.0.0.1:5000/", "http://127.0.0.1:5001/", false);
        check("http://127.0.0.1:5000/", "http://127.0.0.1:5000/", true);
        check("https://192.0.2.1/", "https://0.2.1/", false);
    }
}
