//! Rules in a container: questions for port 53 of its name service reach the ports that this has.

use super::expressions::{
    Expressions, FAMILY_V4, META_L4PROTO, NETWORK_HEADER, REGISTER_1, TRANSPORT_HEADER,
};
use super::transaction::{DELETE_TABLE, NEW_CHAIN, NEW_TABLE, Transaction, kind};
use super::unavailable;
use crate::error::Result;
use crate::netlink::{APPEND, Batch, CREATE, EXCL, Socket};
use crate::ports::Protocol;
use std::net::Ipv4Addr;
use sys::Errno;

/// Not the name of our table on hosts: a container may be one.
const TABLE: &str = "tare_names";
const CHAIN: &str = "output";
const FAMILY_IPV4: u8 = 2;
const HOOK_OUTPUT: u32 = 3;
/// Before connection tracking, if the container has any, so that it sees one kind of ports only.
const PRIORITY: i32 = -300;
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;
const CHECKSUM_UDP: u32 = 6;
const CHECKSUM_TCP: u32 = 16;

/// Exchanges `port` of an address with the ports of two sockets, for datagrams and for streams, in the calling thread's
/// network namespace. Rules of an earlier name service go.
pub(crate) fn redirect(address: Ipv4Addr, port: u16, datagrams: u16, streams: u16) -> Result<()> {
    let failed = |errno| unavailable("leading questions to the name service", errno);
    let socket = Socket::netfilter().map_err(failed)?;
    let make = |is_first: bool| {
        let mut transaction = Transaction::new(None);
        if !is_first {
            table(&mut transaction, DELETE_TABLE, 0);
        }
        table(&mut transaction, NEW_TABLE, CREATE | EXCL);
        transaction.message(FAMILY_IPV4, NEW_CHAIN, CREATE);
        chain(&mut transaction.batch);
        exchange(
            &mut transaction,
            address,
            port,
            [(Protocol::Udp, datagrams), (Protocol::Tcp, streams)],
        );
        transaction.commit(&socket)
    };
    match make(true) {
        // The kernel waits for readers of what is deleted, so that it is not asked to without need.
        Err(Errno::EEXIST) => make(false).map_err(failed),
        result => result.map_err(failed),
    }
}

fn exchange(
    transaction: &mut Transaction,
    address: Ipv4Addr,
    port: u16,
    sockets: [(Protocol, u16); 2],
) {
    for (protocol, own) in sockets {
        let checksum = if protocol == Protocol::Udp { CHECKSUM_UDP } else { CHECKSUM_TCP };
        let sides = [(DESTINATION, DESTINATION_PORT, port, own), (SOURCE, SOURCE_PORT, own, port)];
        for (side, place, from, to) in sides {
            transaction.rule_in(FAMILY_IPV4, TABLE, CHAIN, APPEND, None, |rule| {
                of_service(rule, side, address, protocol, place, from);
                rule.value(&to.to_be_bytes()).set_port(place, checksum);
            });
        }
    }
}

/// Goes on with packets that have the service's address and a port of it at one of their sides.
fn of_service(
    rule: &mut Expressions<'_>,
    side: u32,
    address: Ipv4Addr,
    protocol: Protocol,
    place: u32,
    port: u16,
) {
    rule.family(FAMILY_V4).payload(NETWORK_HEADER, side, 4, REGISTER_1);
    rule.compare(true, &address.octets());
    rule.meta(META_L4PROTO, REGISTER_1).compare(true, &[protocol.number()]);
    rule.payload(TRANSPORT_HEADER, place, 2, REGISTER_1).compare(true, &port.to_be_bytes());
}

fn table(transaction: &mut Transaction, message: u16, flags: u16) {
    transaction.batch.message(kind(message), flags, &super::transaction::header(FAMILY_IPV4));
    transaction.batch.text(super::transaction::NAME, TABLE);
}

fn chain(batch: &mut Batch) {
    batch.text(super::transaction::NAME, TABLE);
    batch.text(3, CHAIN);
    batch.nest(4, |batch| {
        batch.big_number(1, HOOK_OUTPUT);
        batch.big_number(2, PRIORITY as u32);
    });
    batch.text(7, "filter");
}
