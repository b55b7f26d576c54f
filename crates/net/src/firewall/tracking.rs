//! Connections that the kernel remembers and that lead elsewhere by now.
//!
//! For datagrams nothing says that a connection is over: as long as a client goes on sending from the same port, its
//! packets go where the first one went, to a container that is gone, or to the host, where nobody listens. What is
//! known of a published port of UDP is therefore forgotten whenever it comes or goes.

use crate::netlink::{ACK, Batch, Socket};
use crate::ports::{PortMapping, Protocol};
use sys::Errno;

const SUBSYSTEM: u16 = 1;
const DELETE: u16 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const FILTER: u16 = 25;
const FILTER_ORIGINAL: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_DESTINATION: u16 = 3;
/// Protocol and destination port have to be these (`CTA_FILTER_FLAG(CTA_PROTO_NUM)` and `CTA_PROTO_DST_PORT`).
const FILTER_BITS: u32 = 1 << 3 | 1 << 5;
/// Each port is one look at all connections.
const PORTS: usize = 64;
const FAMILIES: [u8; 2] = [2, 10];

/// Forgets the connections of published ports. What is remembered is remembered for minutes at most: no failure of this
/// is worth one of the container.
pub(crate) fn forget(ports: &[PortMapping]) {
    let mut numbers: Vec<u16> = ports
        .iter()
        .filter(|port| port.protocol == Protocol::Udp)
        .map(|port| port.host_port)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.truncate(PORTS);
    if numbers.is_empty() {
        return;
    }
    let Ok(socket) = Socket::netfilter() else { return };
    for family in FAMILIES {
        for port in &numbers {
            let _ = forget_one(&socket, family, *port);
        }
    }
}

fn forget_one(socket: &Socket, family: u8, port: u16) -> Result<(), Errno> {
    let mut batch = Batch::new();
    batch.message(SUBSYSTEM << 8 | DELETE, ACK, &[family, 0, 0, 0]);
    batch.nest(TUPLE_ORIGINAL, |batch| {
        batch.nest(TUPLE_PROTOCOL, |batch| {
            batch.attribute(PROTOCOL_NUMBER, &[Protocol::Udp.number()]);
            batch.attribute(PROTOCOL_DESTINATION, &port.to_be_bytes());
        });
    });
    batch.nest(FILTER, |batch| batch.number(FILTER_ORIGINAL, FILTER_BITS));
    socket.ask(&batch).map(drop)
}
