//! The little that a runtime does with networks: the loopback device of a new namespace, and
//! devices of the host that move into the container (`linux.netDevices`).
//!
//! A device that has moved is never moved back: when its namespace ends, the kernel returns
//! physical devices to the first namespace and removes virtual ones.

mod rtnetlink;
#[cfg(test)]
mod tests;

use crate::error::{Attempt, Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Map, NetDevice};
use rtnetlink::{NLM_F_ACK, NLM_F_DUMP, Request, Rtnetlink, attributes, word};
use sys::{Errno, Fd, fs, process};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_F_PERMANENT: u32 = 0x80;
/// What a user can ask for an address: NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE,
/// MCAUTOJOIN. The other flags say what the kernel has made of it.
const IFA_F_ASKED: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
const RT_SCOPE_UNIVERSE: u8 = 0;
const IFF_UP: u32 = 1;
/// The loopback device is the first of every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// The kernel numbers at most this many devices of one template (`__dev_alloc_name`, in bits of a
/// page).
const TEMPLATE_LIMIT: u32 = 32_768;
/// A list of addresses that somebody changes while it is read is read again.
const DUMP_TRIES: u32 = 10;
/// The caller's network namespace. The thread's own: `self` would be the first thread's.
const OWN: &str = "/proc/thread-self/ns/net";

/// Brings the loopback device up.
pub(crate) fn loopback_up() -> Result<()> {
    let socket = Rtnetlink::open();
    socket
        .and_then(|socket| set_up(&socket, LOOPBACK_INDEX))
        .attempt(|| "bringing up the loopback device")
}

/// Moves network devices from the caller's network namespace to `target`, each with the name that
/// it is to have there, its permanent global addresses, and whatever else the kernel keeps (MTU,
/// hardware address, flags), and brings them up. Everything is checked before the first one moves.
pub(crate) fn move_devices(devices: &Map<NetDevice>, target: &Fd) -> Result<()> {
    let attempt = || "linux.netDevices: entering the container's network namespace";
    let own = fs::open_read(OWN).attempt(attempt)?;
    let inode = |fd: &Fd| fs::stat_fd(fd).map(|stat| (stat.st_dev, stat.st_ino));
    if inode(&own).attempt(attempt)? == inode(target).attempt(attempt)? {
        let what = "linux.netDevices: the container's network namespace is the host's";
        return Err(Error::invalid(what));
    }
    let host = Rtnetlink::open().attempt(attempt)?;
    process::set_namespace(target, process::CLONE_NEWNET).attempt(attempt)?;
    let inside = Rtnetlink::open();
    process::set_namespace(&own, process::CLONE_NEWNET)
        .attempt(|| "linux.netDevices: returning to the host's network namespace")?;
    let inside = inside.attempt(attempt)?;
    let mut moves = Vec::new();
    for (name, device) in devices {
        let inner = if device.name.is_empty() { name } else { &device.name };
        let index = find(&host, name)
            .attempt(|| format!("linux.netDevices: {name:?}: looking for the device"))?;
        if !is_template(inner) && find(&inside, inner).is_ok() {
            return Err(taken(name, inner));
        }
        moves.push(Move { name, inner, index });
    }
    // Names that are given first: a template takes what is left.
    for templates in [false, true] {
        for device in moves.iter().filter(|device| is_template(device.inner) == templates) {
            device.apply(&host, &inside, target)?;
        }
    }
    Ok(())
}

fn taken(name: &str, inner: &str) -> Error {
    let what = format!("linux.netDevices: {name:?}: the container has a device {inner:?} already");
    Error::new(Kind::Exists, what)
        .with_hint("give the device another name, or a template such as \"eth%d\"")
}

/// `eth%d`: the kernel's way to ask for the first free number.
fn is_template(name: &str) -> bool {
    name.contains('%')
}

/// One device on its way.
struct Move<'a> {
    name: &'a str,
    inner: &'a str,
    index: u32,
}

impl Move<'_> {
    fn apply(&self, host: &Rtnetlink, inside: &Rtnetlink, target: &Fd) -> Result<()> {
        let name = self.name;
        let failed =
            |doing: &str, errno| Error::os(format!("linux.netDevices: {name:?}: {doing}"), errno);
        // Before the device goes down, which costs it its IPv6 addresses.
        let addresses =
            addresses(host, self.index).map_err(|errno| failed("reading its addresses", errno))?;
        let inner = match is_template(self.inner) {
            false => String::from(self.inner),
            true => (0..TEMPLATE_LIMIT)
                .map(|number| self.inner.replace("%d", &format!("{number}")))
                .find(|inner| find(inside, inner).is_err())
                .ok_or_else(|| taken(name, self.inner))?,
        };
        let mut request = Request::new(RTM_NEWLINK, NLM_F_ACK, &link(self.index, 0))
            .attribute(IFLA_IFNAME, &c_string(&inner))
            .attribute(IFLA_NET_NS_FD, &target.raw().to_ne_bytes());
        host.ask(&mut request).map_err(|errno| match errno {
            Errno::EEXIST => taken(name, &inner),
            Errno::EINVAL => failed("moving it", errno).with_hint(
                "some devices belong to their namespace (lo, bridges, tunnels' masters)",
            ),
            errno => failed("moving it", errno),
        })?;
        // It may have got another index.
        let index = find(inside, &inner).map_err(|errno| failed("finding it inside", errno))?;
        for mut address in addresses {
            address.set_index(index);
            inside.ask(&mut address).map_err(|errno| failed("giving it its addresses", errno))?;
        }
        set_up(inside, index).map_err(|errno| failed("bringing it up", errno))
    }
}

/// `struct ifinfomsg`: family, type, index, flags, and which flags change.
fn link(index: u32, flags: u32) -> [u8; 16] {
    let mut bytes = [0u8; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

fn c_string(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn set_up(socket: &Rtnetlink, index: u32) -> sys::Result<()> {
    socket.ask(&mut Request::new(RTM_NEWLINK, NLM_F_ACK, &link(index, IFF_UP))).map(drop)
}

/// The index of the device with this name.
fn find(socket: &Rtnetlink, name: &str) -> sys::Result<u32> {
    let mut request =
        Request::new(RTM_GETLINK, NLM_F_ACK, &link(0, 0)).attribute(IFLA_IFNAME, &c_string(name));
    let answers = socket.ask(&mut request)?;
    answers.first().and_then(|body| word(body, 4)).ok_or(Errno::EPROTO)
}

/// Requests that give a device the addresses that device `index` has and that are to be kept:
/// permanent ones of global scope. The others belong to where the device was.
fn addresses(socket: &Rtnetlink, index: u32) -> sys::Result<Vec<Request>> {
    let mut tries = 0;
    let answers = loop {
        match socket.ask(&mut Request::new(RTM_GETADDR, NLM_F_DUMP, &[0; 8])) {
            Err(Errno::EAGAIN) if tries < DUMP_TRIES => tries += 1,
            result => break result?,
        }
    };
    let of_device = answers.iter().filter(|body| word(body, 4) == Some(index));
    Ok(of_device.filter_map(|body| kept_address(body)).collect())
}

/// `body` is a `struct ifaddrmsg` (family, prefix, flags, scope, index) with attributes.
fn kept_address(body: &[u8]) -> Option<Request> {
    let (&[family, prefix, short_flags, scope], rest) = body.split_first_chunk::<4>()?;
    let list = rest.get(4..)?;
    let flags = attributes(list)
        .find(|(kind, _)| *kind == IFA_FLAGS)
        .and_then(|(_, value)| word(value, 0))
        .unwrap_or(u32::from(short_flags));
    if flags & IFA_F_PERMANENT == 0 || scope != RT_SCOPE_UNIVERSE {
        return None;
    }
    let fixed = [family, prefix, 0, scope, 0, 0, 0, 0];
    let request = Request::new(RTM_NEWADDR, NLM_F_ACK, &fixed)
        .attribute(IFA_FLAGS, &(flags & IFA_F_ASKED).to_ne_bytes());
    // Not the label, which has the old name in it, nor lifetimes, which are infinite.
    let kept = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_RT_PRIORITY];
    let copied = attributes(list).filter(|(kind, _)| kept.contains(kind));
    Some(copied.fold(request, |request, (kind, value)| request.attribute(kind, value)))
}
