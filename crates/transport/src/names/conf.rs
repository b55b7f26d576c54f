//! hosts(5) and resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// Most addresses of one name that are tried.
pub(super) const ADDRESSES_LIMIT: usize = 16;
/// Most servers: glibc's `MAXNS`.
const SERVERS_LIMIT: usize = 3;
/// Most domains of a search list. glibc had six, and has no limit now.
const DOMAINS_LIMIT: usize = 32;
/// The limits of the options, in resolv.conf(5).
const DOTS_LIMIT: u64 = 15;
const TIMEOUT_LIMIT_SECONDS: u64 = 30;
const ATTEMPTS_LIMIT: u64 = 5;

/// What `resolv.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) servers: Vec<SocketAddr>,
    search: Vec<String>,
    dots: u64,
    pub(super) timeout: Duration,
    pub(super) attempts: u64,
    pub(super) rotate: bool,
    /// Answers may be larger than 512 bytes (EDNS, RFC 6891).
    pub(super) extended: bool,
    /// TCP only.
    pub(super) stream: bool,
    /// IPv4 only.
    pub(super) short: bool,
}

impl Settings {
    /// Reads the file. As in libc, what is not understood is passed by: no line of it is worth a failure.
    pub(super) fn read(text: &[u8], port: u16) -> Self {
        let mut settings = Self {
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            extended: false,
            stream: false,
            short: false,
        };
        for line in String::from_utf8_lossy(text).lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if settings.servers.len() < SERVERS_LIMIT => {
                    settings.servers.extend(words.next().and_then(|it| server(it, port)));
                }
                // The last one counts.
                Some("search") => settings.search = words.filter_map(domain).collect(),
                Some("domain") => settings.search = words.take(1).filter_map(domain).collect(),
                Some("options") => words.for_each(|option| settings.set(option)),
                _ => {}
            }
        }
        settings.search.truncate(DOMAINS_LIMIT);
        if settings.servers.is_empty() {
            settings.servers.push((Ipv4Addr::LOCALHOST, port).into());
        }
        settings
    }

    fn set(&mut self, option: &str) {
        let (name, number) = option.split_once(':').unwrap_or((option, ""));
        let number: Option<u64> = number.parse().ok();
        match (name, number) {
            ("ndots", Some(number)) => self.dots = number.min(DOTS_LIMIT),
            ("timeout", Some(number)) => {
                self.timeout = Duration::from_secs(number.clamp(1, TIMEOUT_LIMIT_SECONDS));
            }
            ("attempts", Some(number)) => self.attempts = number.clamp(1, ATTEMPTS_LIMIT),
            ("rotate", _) => self.rotate = true,
            ("edns0", _) => self.extended = true,
            ("use-vc", _) => self.stream = true,
            ("no-aaaa", _) => self.short = true,
            _ => {}
        }
    }

    /// What a name may stand for, in the order in which it is asked for.
    pub(super) fn candidates(&self, name: &str, absolute: bool) -> Vec<String> {
        let mut names: Vec<String> = match absolute {
            true => Vec::new(),
            false => self.search.iter().map(|domain| [name, ".", domain].concat()).collect(),
        };
        let dots = name.bytes().filter(|&byte| byte == b'.').count() as u64;
        let at = if dots >= self.dots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }
}

/// A domain of the search list; the root adds nothing.
fn domain(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    (!text.is_empty()).then_some(text)
}

/// A server's address; on a local link with its interface, `fe80::1%eth0`.
fn server(text: &str, port: u16) -> Option<SocketAddr> {
    let Some((address, scope)) = text.split_once('%') else {
        return Some((text.parse::<IpAddr>().ok()?, port).into());
    };
    let scope = scope.parse().ok().or_else(|| {
        // A name with a slash would lead elsewhere.
        let file = format!("/sys/class/net/{scope}/ifindex");
        let text = (!scope.contains('/')).then(|| std::fs::read_to_string(file).ok())??;
        text.trim().parse().ok()
    })?;
    Some(SocketAddrV6::new(address.parse().ok()?, port, 0, scope).into())
}

/// The addresses that the hosts file has for a name in small letters.
pub(super) fn find_host(text: &[u8], name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        let named = words.any(|it| it.strip_suffix('.').unwrap_or(it).eq_ignore_ascii_case(name));
        if named && !found.contains(&address) && found.len() < ADDRESSES_LIMIT {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_each_of_their_names() {
        let text = b"# all\n127.0.0.1 localhost\n192.0.2.1\tOne.example one # two\n\
            2001:db8::1 one.example.\n192.0.2.2 two\n192.0.2.1 one\nnonsense one\n192.0.2.9";
        let check = |name: &str, expected: &[&str]| {
            let found: Vec<_> = find_host(text, name).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{name}");
        };
        check("one.example", &["192.0.2.1", "2001:db8::1"]);
        check("one", &["192.0.2.1"]);
        check("two", &["192.0.2.2"]);
        check("three", &[]);
        let many: String = (0..100).map(|it| format!("192.0.2.{it} x\n")).collect();
        assert_eq!(find_host(many.as_bytes(), "x").len(), ADDRESSES_LIMIT);
        assert_eq!(find_host(b"\xff\xfe 192.0.2.1 x\n192.0.2.2 x", "x").len(), 1);
    }

    #[test]
    fn resolv_conf_is_read_as_libc_does() {
        let read = |text: &str| Settings::read(text.as_bytes(), 53);
        let nothing = read("");
        assert_eq!(nothing.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((nothing.attempts, nothing.timeout), (2, Duration::from_secs(5)));
        let all = read(
            "; x\n# nameserver 192.0.2.9\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n\
             nameserver nonsense\nnameserver fe80::1%7\nnameserver 192.0.2.4\n\
             domain first.example\nsearch a.example B.example. .\n\
             options ndots:20 timeout:0 attempts:9 rotate edns0 use-vc no-aaaa inet6 x:y\n",
        );
        let servers: Vec<_> = all.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%7]:53"]);
        assert_eq!(all.search, ["a.example", "b.example"]);
        assert_eq!((all.dots, all.timeout.as_secs(), all.attempts), (15, 1, 5));
        assert!(all.rotate && all.extended && all.stream && all.short);
        assert_eq!(read("search a b\ndomain c d\n").search, ["c"]);
        assert_eq!(read(&"search ".repeat(9).replace("search", "search x")).search.len(), 17);
        assert_eq!(server("fe80::1%../../x", 53), None);
    }

    #[test]
    fn short_names_are_looked_for_in_the_search_list_first() {
        let settings = Settings::read(b"search a b\noptions ndots:2", 53);
        let check = |name: &str, absolute: bool, expected: &[&str]| {
            assert_eq!(settings.candidates(name, absolute), expected, "{name}");
        };
        check("x", false, &["x.a", "x.b", "x"]);
        check("x.y", false, &["x.y.a", "x.y.b", "x.y"]);
        check("x.y.z", false, &["x.y.z", "x.y.z.a", "x.y.z.b"]);
        check("x", true, &["x"]);
    }
}
