//! Sockets of the internet protocols, as far as the standard library does not make them: bound, but not listening.

use crate::arch::call;
use crate::errno::Result;
use crate::fd::{AsFd, Fd};
use core::net::SocketAddr;
use linux_raw_sys::net::{AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

const SOCK_CLOEXEC: u32 = 0o2000000;
const SOCK_NONBLOCK: u32 = 0o4000;
const SO_REUSEADDR: u32 = 2;
const IPPROTO_IPV6: u32 = 41;
const IPV6_V6ONLY: u32 = 26;

/// What goes over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
    /// Messages over associations.
    Sctp,
}

/// A socket that does not wait, of IPv4 or IPv6.
pub fn socket(transport: Transport, is_v6: bool) -> Result<Fd> {
    let family = if is_v6 { AF_INET6 } else { AF_INET };
    let (kind, protocol) = match transport {
        Transport::Tcp => (SOCK_STREAM, 6),
        Transport::Udp => (SOCK_DGRAM, 17),
        Transport::Sctp => (SOCK_STREAM, 132),
    };
    let kind = kind | SOCK_CLOEXEC | SOCK_NONBLOCK;
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_socket, family, kind, protocol) }.map(|raw| Fd::from_raw(raw as i32))
}

/// Binds a socket to an address; port 0 is any.
pub fn bind(socket: impl AsFd, address: SocketAddr) -> Result<()> {
    let (bytes, length) = encode(address);
    // SAFETY: the address is readable for the length given.
    unsafe { call!(__NR_bind, socket.fd(), bytes.as_ptr(), length) }.map(drop)
}

/// Begins a connection, or binds the other end of datagrams. `EINPROGRESS`: it can be written to when there is one.
pub fn connect(socket: impl AsFd, address: SocketAddr) -> Result<()> {
    let (bytes, length) = encode(address);
    // SAFETY: the address is readable for the length given.
    unsafe { call!(__NR_connect, socket.fd(), bytes.as_ptr(), length) }.map(drop)
}

/// The port that a socket is bound to.
pub fn bound_port(socket: impl AsFd) -> Result<u16> {
    let mut bytes = [0u8; 28];
    let mut length = 28u32;
    let pointers = (bytes.as_mut_ptr(), &raw mut length);
    // SAFETY: both are writable, the first for as many bytes as the second says.
    unsafe { call!(__NR_getsockname, socket.fd(), pointers.0, pointers.1)? };
    // The port has the same place in both kinds of addresses.
    Ok(u16::from_be_bytes([bytes[2], bytes[3]]))
}

/// Whether an address can be bound that a closed connection still uses.
pub fn set_reuse(socket: impl AsFd, on: bool) -> Result<()> {
    set(socket, SOL_SOCKET, SO_REUSEADDR, on)
}

/// A socket of IPv6 that is none of IPv4, too.
pub fn set_v6_only(socket: impl AsFd) -> Result<()> {
    set(socket, IPPROTO_IPV6, IPV6_V6ONLY, true)
}

/// Ends the receiving half: a listening socket is only bound, then.
pub fn shut_receiving(socket: impl AsFd) -> Result<()> {
    // SAFETY: no pointer is passed; 0 is SHUT_RD.
    unsafe { call!(__NR_shutdown, socket.fd(), 0) }.map(drop)
}

fn set(socket: impl AsFd, level: u32, option: u32, on: bool) -> Result<()> {
    let value = i32::from(on);
    // SAFETY: the value is a number of the size given.
    unsafe { call!(__NR_setsockopt, socket.fd(), level, option, &raw const value, 4) }.map(drop)
}

/// `struct sockaddr_in` or `sockaddr_in6`, and its length.
fn encode(address: SocketAddr) -> ([u8; 28], usize) {
    let mut bytes = [0u8; 28];
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&address.ip().octets());
            (bytes, 16)
        }
        SocketAddr::V6(address) => {
            bytes[..2].copy_from_slice(&(AF_INET6 as u16).to_ne_bytes());
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..].copy_from_slice(&address.scope_id().to_ne_bytes());
            (bytes, 28)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Errno;

    #[test]
    fn a_bound_port_is_taken_for_others() {
        let make = |address: &str| -> Result<Fd> {
            let address: SocketAddr = address.parse().unwrap();
            let socket = socket(Transport::Tcp, address.is_ipv6())?;
            bind(&socket, address).map(|()| socket)
        };
        let first = make("127.0.0.1:0").unwrap();
        let port = bound_port(&first).unwrap();
        assert!(port != 0);
        let second = make(&std::format!("127.0.0.1:{port}"));
        assert_eq!(second.unwrap_err(), Errno::EADDRINUSE);
        if let Ok(sixth) = make("[::1]:0") {
            assert!(bound_port(&sixth).unwrap() != 0);
        }
    }
}
