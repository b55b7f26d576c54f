//! The sockets of a name service, in the container's network namespace.
//!
//! Clients ask port 53, but the sockets have others: a container may run a name server of its own, which could not
//! bind the port for all addresses otherwise. Four rules in the container's namespace exchange the ports of packets for
//! and from 127.0.0.11, without connection tracking. Where rules cannot be made, the sockets have port 53.

use super::PORT;
use crate::device::bring_up_own_loopback;
use crate::error::{During, Result};
use crate::firewall::redirect;
use crate::namespace::inside;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use sys::Fd;

/// Where containers ask.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

pub(super) fn open(netns: &Fd) -> Result<(UdpSocket, TcpListener)> {
    inside(netns, || {
        bring_up_own_loopback()?;
        let sockets = bind(0)?;
        let attempt = || "the name service".to_owned();
        let ports = (
            sockets.0.local_addr().during(attempt)?.port(),
            sockets.1.local_addr().during(attempt)?.port(),
        );
        match redirect(ADDRESS, PORT, ports.0, ports.1) {
            Ok(()) => Ok(sockets),
            Err(_) => bind(PORT),
        }
    })
}

fn bind(port: u16) -> Result<(UdpSocket, TcpListener)> {
    let attempt = || format!("listening at {ADDRESS}:{port}");
    let datagrams = UdpSocket::bind((ADDRESS, port)).during(attempt)?;
    Ok((datagrams, TcpListener::bind((ADDRESS, port)).during(attempt)?))
}
