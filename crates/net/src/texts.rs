//! The files by which a container finds others: `hosts`, `resolv.conf`, and what they are made of.

use crate::attachment::is_hostname;
use crate::dns::NAME_SERVICE_ADDRESS;
use crate::error::{Error, Result};
use std::net::IpAddr;

/// glibc looks at no more (`MAXNS`).
const SERVERS: usize = 3;
/// Domains of a search list, and options.
const WORDS: usize = 32;
/// Where systemd-resolved listens: it is the host's own, and knows the real servers.
const RESOLVED: [&str; 2] = ["127.0.0.53", "127.0.0.54"];
/// What docker calls the host.
const HOST_GATEWAY: &str = "host-gateway";
/// What podman's containers call the host, and docker's of Desktop.
const HOST_NAMES: [&str; 2] = ["host.containers.internal", "host.docker.internal"];
/// docker's lines for the loopback device.
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// How the host finds others: its `resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostResolver {
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Domains that are tried.
    pub search: Vec<String>,
    /// Such as `ndots:2`.
    pub options: Vec<String>,
}

impl HostResolver {
    /// Reads `/etc/resolv.conf`; `resolved` is the text of systemd-resolved's list of real servers
    /// (`/run/systemd/resolve/resolv.conf`), which counts if the first one names nobody but systemd-resolved. As in libc,
    /// what is not understood is passed by.
    pub fn read(text: &str, resolved: Option<&str>) -> Self {
        let own = Self::read_one(text);
        let is_resolved = |ip: &IpAddr| RESOLVED.contains(&ip.to_string().as_str());
        match resolved {
            Some(real) if !own.servers.is_empty() && own.servers.iter().all(is_resolved) => {
                let real = Self::read_one(real);
                let servers = if real.servers.is_empty() { own.servers } else { real.servers };
                Self { servers, ..own }
            }
            _ => own,
        }
    }

    fn read_one(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or("").split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // The device of a link-local address is none of a container's.
                    let address = words
                        .next()
                        .and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok());
                    if found.servers.len() < SERVERS {
                        found.servers.extend(address);
                    }
                }
                Some("search" | "domain") => {
                    found.search = words.take(WORDS).map(Into::into).collect()
                }
                Some("options") => found.options.extend(words.take(WORDS).map(Into::into)),
                _ => {}
            }
        }
        found.options.truncate(WORDS);
        found
    }
}

/// What `--dns`, `--dns-search` and `--dns-option` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsOptions {
    /// Servers instead of the host's.
    pub servers: Vec<IpAddr>,
    /// Domains instead of the host's; `.` alone: none.
    pub search: Vec<String>,
    /// Options instead of the host's.
    pub options: Vec<String>,
}

/// How a container finds others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Its `/etc/resolv.conf`.
    pub text: String,
    /// Whom its name service asks; empty: there is none.
    pub upstreams: Vec<IpAddr>,
    /// It asks a name service of its own.
    pub has_service: bool,
}

/// Which kind of servers a container reaches, and whether it knows others by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// One of its networks tells names: user-defined ones do.
    pub names: bool,
    /// It has an address of IPv6.
    pub v6: bool,
}

impl Resolution {
    /// With names, the name service is asked and asks the servers itself. Without, the container asks the servers, but
    /// for those that only the host reaches: rather than somebody in the world whom nobody has asked for, its own
    /// name service is asked then, which passes on everything.
    pub fn new(host: &HostResolver, wanted: &DnsOptions, reach: Reach) -> Self {
        let upstreams = if wanted.servers.is_empty() { &host.servers } else { &wanted.servers };
        let reached = |ip: &&IpAddr| !ip.is_loopback() && (reach.v6 || ip.is_ipv4());
        let direct: Vec<&IpAddr> = upstreams.iter().filter(reached).take(SERVERS).collect();
        let has_service = reach.names || (direct.is_empty() && !upstreams.is_empty());
        let search = if wanted.search.is_empty() { &host.search } else { &wanted.search };
        let mut options =
            if wanted.options.is_empty() { host.options.clone() } else { wanted.options.clone() };
        if reach.names && !options.iter().any(|option| option.starts_with("ndots:")) {
            // Names of containers have no dots, and are asked for as they are.
            options.push("ndots:0".into());
        }
        let mut text = String::new();
        match has_service {
            true => text += &format!("nameserver {NAME_SERVICE_ADDRESS}\n"),
            false => direct.iter().for_each(|ip| text += &format!("nameserver {ip}\n")),
        }
        if !search.is_empty() && search.as_slice() != ["."] {
            text += &format!("search {}\n", search.join(" "));
        }
        if !options.is_empty() {
            text += &format!("options {}\n", options.join(" "));
        }
        let upstreams = if has_service { upstreams.clone() } else { Vec::new() };
        Self { text, upstreams, has_service }
    }
}

/// Reads `--add-host`: `NAME:ADDRESS` or `NAME=ADDRESS`, names separated by `;`, the address perhaps in brackets.
/// `host-gateway` is every one of `gateways`: addresses by which the container reaches the host.
pub fn parse_added_host(text: &str, gateways: &[IpAddr]) -> Result<Vec<(IpAddr, String)>> {
    let refuse = |what: &str| {
        Error::invalid(format!("--add-host {text:?}: {what}"))
            .with_hint("NAME:ADDRESS, such as db:10.0.0.7 or host.docker.internal:host-gateway")
    };
    let at = text.find([':', '=']).ok_or_else(|| refuse("no address"))?;
    let (names, address) = (&text[..at], &text[at + 1..]);
    let addresses = match address {
        HOST_GATEWAY if gateways.is_empty() => {
            return Err(refuse("there is no network by which the host is reached"));
        }
        HOST_GATEWAY => gateways.to_vec(),
        address => {
            let bare =
                address.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(address);
            vec![bare.parse().map_err(|_| refuse("its address is none"))?]
        }
    };
    let names: Vec<&str> = names.split(';').collect();
    if !names.iter().all(|name| is_hostname(name)) {
        return Err(refuse("its name is none"));
    }
    let entry = |address: IpAddr| names.iter().map(move |name| (address, (*name).to_owned()));
    Ok(addresses.into_iter().flat_map(entry).collect())
}

/// What makes a container's `/etc/hosts`.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostsFile<'h> {
    /// Lines that come first, in the place of docker's for the loopback device.
    pub base: Option<&'h str>,
    /// What was asked for.
    pub added: &'h [(IpAddr, String)],
    /// Where the machine is, by podman's name and docker's.
    pub host: Option<IpAddr>,
    /// The container's addresses.
    pub own: &'h [IpAddr],
    /// Its names; those that the base has stay the base's.
    pub names: &'h [&'h str],
}

impl HostsFile<'_> {
    /// The file.
    pub fn text(&self) -> String {
        let based = self.base.map(entries);
        let mut text = match &based {
            None => LOOPBACK.to_owned(),
            Some(based) => based_text(based),
        };
        for (address, name) in self.added {
            text += &format!("{address}\t{name}\n");
        }
        let is_free = |name: &&str| !self.added.iter().any(|(_, added)| added == name);
        let names: Vec<&str> = HOST_NAMES.into_iter().filter(is_free).collect();
        if let Some(address) = self.host.filter(|_| !names.is_empty()) {
            text += &format!("{address}\t{}\n", names.join(" "));
        }
        let is_known = |name: &str| based.iter().flatten().any(|(_, names)| names.contains(&name));
        let mut own: Vec<&str> = Vec::new();
        for name in self.names.iter().filter(|name| is_hostname(name) && !is_known(name)) {
            if !own.contains(name) {
                own.push(name);
            }
        }
        if !own.is_empty() {
            self.own.iter().for_each(|ip| text += &format!("{ip}\t{}\n", own.join(" ")));
        }
        text
    }
}

/// The lines of a file that say something: as in libc, what is not understood is passed by.
fn entries(text: &str) -> Vec<(IpAddr, Vec<&str>)> {
    let entry = |line| -> Option<(IpAddr, Vec<&str>)> {
        let line: &str = line;
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.split('%').next()?.parse().ok()?;
        // The machine's name for itself may be another one here.
        let names: Vec<&str> = words.filter(|name| !HOST_NAMES.contains(name)).collect();
        (!names.is_empty()).then_some((address, names))
    };
    text.lines().filter_map(entry).collect()
}

fn based_text(based: &[(IpAddr, Vec<&str>)]) -> String {
    let mut text = String::new();
    for (address, names) in based {
        text += &format!("{address}\t{}\n", names.join(" "));
    }
    for address in ["127.0.0.1", "::1"] {
        let is_v6 = address.contains(':');
        let has = |(ip, names): &(IpAddr, Vec<&str>)| {
            ip.is_ipv6() == is_v6 && names.contains(&"localhost")
        };
        if !based.iter().any(has) {
            text += &format!("{address}\tlocalhost\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_hosts_file_is_read_as_libc_does() {
        let text = "# a\nnameserver 1.1.1.1 x\nnameserver fe80::1%eth0\nnameserver bad\n  search a b ; c\n\
                    options ndots:2 rotate\nnameserver 2.2.2.2\nnameserver 3.3.3.3\ndomain d\n";
        let found = HostResolver::read(text, Some("nameserver 9.9.9.9"));
        assert_eq!(found.servers, ips(&["1.1.1.1", "fe80::1", "2.2.2.2"]));
        assert_eq!(
            (found.search, found.options),
            (vec!["d".to_owned()], vec!["ndots:2".into(), "rotate".into()])
        );
        let resolved =
            HostResolver::read("nameserver 127.0.0.53\nsearch x\n", Some("nameserver 9.9.9.9\n"));
        assert_eq!((resolved.servers, resolved.search), (ips(&["9.9.9.9"]), vec!["x".to_owned()]));
        let none = HostResolver::read("nameserver 127.0.0.53\n", Some(""));
        assert_eq!(none.servers, ips(&["127.0.0.53"]));
    }

    #[test]
    fn a_container_is_told_whom_to_ask() {
        let check = |host: &[&str],
                     wanted: &DnsOptions,
                     names: bool,
                     text: &str,
                     asked: &[&str]| {
            let host =
                HostResolver { servers: ips(host), search: vec!["x.org".into()], options: vec![] };
            let found = Resolution::new(&host, wanted, Reach { names, v6: false });
            assert_eq!((found.text.as_str(), found.upstreams), (text, ips(asked)));
            assert_eq!(found.has_service, found.text.contains("127.0.0.11"));
        };
        let plain = DnsOptions::default();
        check(&["1.1.1.1", "fd00::1"], &plain, false, "nameserver 1.1.1.1\nsearch x.org\n", &[]);
        let named = "nameserver 127.0.0.11\nsearch x.org\noptions ndots:0\n";
        check(&["1.1.1.1", "127.0.0.1"], &plain, true, named, &["1.1.1.1", "127.0.0.1"]);
        check(
            &["127.0.0.1"],
            &plain,
            false,
            "nameserver 127.0.0.11\nsearch x.org\n",
            &["127.0.0.1"],
        );
        check(&[], &plain, false, "search x.org\n", &[]);
        let wanted = DnsOptions {
            servers: ips(&["8.8.8.8"]),
            search: vec![".".into()],
            options: vec!["ndots:5".into()],
        };
        check(&["1.1.1.1"], &wanted, false, "nameserver 8.8.8.8\noptions ndots:5\n", &[]);
        check(
            &["1.1.1.1"],
            &wanted,
            true,
            "nameserver 127.0.0.11\noptions ndots:5\n",
            &["8.8.8.8"],
        );
    }

    #[test]
    fn hosts_are_added() {
        let gateways = ips(&["172.17.0.1"]);
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = parse_added_host(text, &gateways).unwrap();
            let found: Vec<_> =
                found.iter().map(|(ip, name)| (ip.to_string(), name.as_str())).collect();
            let found: Vec<_> = found.iter().map(|(ip, name)| (ip.as_str(), *name)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("db:10.0.0.7", &[("10.0.0.7", "db")]);
        check("db=10.0.0.7", &[("10.0.0.7", "db")]);
        check("db:::1", &[("::1", "db")]);
        check("db:[fd00::1]", &[("fd00::1", "db")]);
        check("a;b:1.2.3.4", &[("1.2.3.4", "a"), ("1.2.3.4", "b")]);
        check("host.docker.internal:host-gateway", &[("172.17.0.1", "host.docker.internal")]);
        for bad in ["", "a", "a:", ":1.2.3.4", "a:b", "a b:1.2.3.4", "a/b:1.2.3.4", "a\n:1.2.3.4"] {
            assert!(parse_added_host(bad, &gateways).is_err(), "{bad:?}");
        }
        assert!(parse_added_host("a:host-gateway", &[]).is_err());
    }

    #[test]
    fn hosts_begin_with_a_file_or_with_dockers_lines() {
        let (added, own) = ([("172.17.0.1".parse().unwrap(), "up".to_owned())], ips(&["10.0.0.2"]));
        let file = HostsFile {
            added: &added,
            own: &own,
            names: &["web", "1a2b", "web", "a b"],
            ..HostsFile::default()
        };
        let text = file.text();
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("172.17.0.1\tup\n10.0.0.2\tweb 1a2b\n"), "{text}");
        let based = |base: &str, host: Option<&str>| {
            let host = host.map(|text| text.parse().unwrap());
            HostsFile { base: Some(base), host, ..file }.text()
        };
        assert_eq!(
            based("# x\n10.1.1.1 a b # c\n\nbad\n10.1.1.2\n", Some("10.9.9.9")),
            "10.1.1.1\ta b\n127.0.0.1\tlocalhost\n::1\tlocalhost\n172.17.0.1\tup\n\
             10.9.9.9\thost.containers.internal host.docker.internal\n10.0.0.2\tweb 1a2b\n"
        );
        assert_eq!(
            based("::1 localhost x\n10.1.1.1 web 1a2b\n1.1.1.1 host.docker.internal", None),
            "::1\tlocalhost x\n10.1.1.1\tweb 1a2b\n127.0.0.1\tlocalhost\n172.17.0.1\tup\n"
        );
    }
}
