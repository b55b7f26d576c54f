//! Addresses of hosts: the hosts file and DNS.
//!
//! A static program cannot leave this to libc: glibc's `getaddrinfo` loads the NSS libraries of the machine
//! it runs on, which are of another version there or, beside musl, not there at all. What counts here is
//! `localhost`, the hosts file, and the servers of resolv.conf(5), in this order. `nsswitch.conf` and what
//! else it may name (mDNS, NIS, LDAP, containers of systemd) do not count; systemd-resolved does, as the
//! server that it writes into `resolv.conf`.
//!
//! Messages are written and read by [`wire`]: questions for addresses, and answers with addresses and
//! aliases, are a hundred lines, and a package for all of DNS is up to fifty others.

mod ask;
mod conf;
mod wire;

#[cfg(test)]
mod tests;

/// For [`crate::inputs`]: what is no answer to the question is none, and addresses are of the family asked for.
pub(crate) fn feed_answer(bytes: &[u8]) -> std::result::Result<bool, String> {
    let question = wire::Question::new(0x7461, "registry.example.com", wire::Family::V4);
    match question.and_then(|question| question.decode(bytes)) {
        Some(wire::Reply::Addresses(all)) if !all.iter().all(IpAddr::is_ipv4) => {
            Err(format!("{all:?} for a question for IPv4"))
        }
        Some(wire::Reply::Addresses(all)) if all.is_empty() => Err("no address".into()),
        Some(wire::Reply::Malformed) | None => Ok(false),
        Some(_) => Ok(true),
    }
}

/// For [`crate::inputs`]: both files are read of the same bytes.
pub(crate) fn feed_settings(bytes: &[u8]) -> std::result::Result<bool, String> {
    let settings = Settings::read(bytes, 53);
    let found = conf::find_host(bytes, "registry.example.com");
    let candidates = settings.candidates("registry", false);
    match candidates.iter().any(String::is_empty) {
        true => Err("an empty name to ask for".into()),
        false => Ok(!found.is_empty() || !settings.servers.is_empty()),
    }
}

use crate::error::{Error, ErrorKind, Result};
use conf::Settings;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Instant;

/// Where names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// hosts(5).
    pub hosts: PathBuf,
    /// resolv.conf(5).
    pub resolv_conf: PathBuf,
    /// The port of the servers, which no file can say.
    pub port: u16,
}

impl Default for Files {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }
}

/// The addresses of a host: a number, perhaps in brackets, or a name. An error of the kind `NotFound` says
/// that there are none; of the kind `Network`, that nobody could tell until then.
pub fn look_up(files: &Files, host: &str, until: Instant) -> Result<Vec<IpAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let absolute = host.ends_with('.');
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // RFC 6761, section 6.3: nobody but this machine, whatever a file or server says.
    if is_localhost(&name) {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    // `127.1` and `0x7f.1` are addresses to some programs, and so a way around the rules for addresses.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.is_empty() || last.starts_with(|it: char| it.is_ascii_digit()) {
        let text = format!("`{host}` is neither a name nor an address");
        return Err(Error::new(ErrorKind::NotFound, text));
    }
    let hosts = crate::file::read(&files.hosts)?.unwrap_or_default();
    let found = conf::find_host(&hosts, &name);
    if !found.is_empty() {
        return Ok(found);
    }
    let settings = crate::file::read(&files.resolv_conf)?.unwrap_or_default();
    let settings = Settings::read(&settings, files.port);
    ask::ask(&settings, &settings.candidates(&name, absolute), until)
        .map_err(|failure| failure.into_error(host))
}

/// Whether a name is that of this machine's own loopback.
fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}
