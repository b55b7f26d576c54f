//! Rules in a container: questions for port 53 of its name service reach the ports that this has.

use super::expressions::{
    Expressions, FAMILY_V4, META_L4PROTO, NETWORK_HEADER, REGISTER_1, TRANSPORT_HEADER,
};
use super::transaction::{Transaction, kind};
use super::unavailable;
use crate::error::Result;
use crate::netlink::{APPEND, Batch, CREATE, Socket};
use crate::ports::Protocol;
use std::net::Ipv4Addr;

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

/// Exchanges `port` of an address with the ports of two sockets, for datagrams and for streams, in the calling thread's
/// network namespace. Rules of an earlier name service go.
pub(crate) fn redirect(address: Ipv4Addr, port: u16, datagrams: u16, streams: u16) -> Result<()> {
    let failed = |errno| unavailable("leading questions to the name service", errno);
    let socket = Socket::netfilter().map_err(failed)?;
    let mut transaction = Transaction::new(None);
    table(&mut transaction, super::transaction::NEW_TABLE, CREATE);
    table(&mut transaction, super::transaction::DELETE_TABLE, 0);
    table(&mut transaction, super::transaction::NEW_TABLE, CREATE);
    transaction.message(FAMILY_IPV4, super::transaction::NEW_CHAIN, CREATE);
    chain(&mut transaction.batch);
    for (protocol, own, checksum) in [(Protocol::Udp, datagrams, 6), (Protocol::Tcp, streams, 16)] {
        let mut exchange = |side: u32, place: u32, from: u16, to: u16| {
            transaction.rule_in(FAMILY_IPV4, TABLE, CHAIN, APPEND, None, |rule| {
                of_service(rule, side, address, protocol, place, from);
                rule.value(&to.to_be_bytes()).set_port(place, checksum);
            });
        };
        exchange(DESTINATION, DESTINATION_PORT, port, own);
        exchange(SOURCE, SOURCE_PORT, own, port);
    }
    transaction.commit(&socket).map_err(failed)
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
