//! Unix and netlink sockets.

use crate::arch::call;
use crate::errno::{Errno, Result};
use crate::fd::{AsFd, Fd};
use alloc::vec::Vec;
use linux_raw_sys::net::{
    AF_NETLINK, AF_UNIX, MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, SCM_RIGHTS, SOCK_DGRAM, SOCK_RAW,
    SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET, cmsghdr,
};

const SOCK_CLOEXEC: u32 = 0o2000000;

#[repr(C)]
struct Vector {
    base: *mut u8,
    length: usize,
}

/// `struct user_msghdr`.
#[repr(C)]
struct Message {
    name: *mut u8,
    name_length: u32,
    vectors: *mut Vector,
    vector_count: usize,
    control: *mut u8,
    control_length: usize,
    flags: u32,
}

/// Kinds of unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Stream,
    /// Messages over a connection.
    SeqPacket,
    /// Messages.
    Datagram,
}

impl Kind {
    fn value(self) -> u32 {
        match self {
            Self::Stream => SOCK_STREAM,
            Self::SeqPacket => SOCK_SEQPACKET,
            Self::Datagram => SOCK_DGRAM,
        }
    }
}

/// A connected pair of unix sockets.
pub fn pair(kind: Kind) -> Result<(Fd, Fd)> {
    let mut pair = [0i32; 2];
    let kind = kind.value() | SOCK_CLOEXEC;
    // SAFETY: `pair` is writable for two numbers.
    unsafe { call!(__NR_socketpair, AF_UNIX, kind, 0, pair.as_mut_ptr())? };
    Ok((Fd::from_raw(pair[0]), Fd::from_raw(pair[1])))
}

/// A unix socket.
pub fn unix(kind: Kind) -> Result<Fd> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_socket, AF_UNIX, kind.value() | SOCK_CLOEXEC, 0) }
        .map(|raw| Fd::from_raw(raw as i32))
}

/// A netlink socket of protocol `protocol` (0 is rtnetlink).
pub fn netlink(protocol: u32) -> Result<Fd> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol) }
        .map(|raw| Fd::from_raw(raw as i32))
}

/// Errors of a netlink socket come with the kernel's own words, and without the request that they are about.
pub fn explain_netlink(socket: impl AsFd) -> Result<()> {
    const SOL_NETLINK: u32 = 270;
    const NETLINK_CAP_ACK: u32 = 10;
    const NETLINK_EXT_ACK: u32 = 11;
    let on = 1i32;
    for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
        // SAFETY: the value is a number of the size given.
        unsafe { call!(__NR_setsockopt, socket.fd(), SOL_NETLINK, option, &raw const on, 4)? };
    }
    Ok(())
}

/// `struct sockaddr_un` of a path; a leading `@` or NUL names the abstract namespace.
fn unix_address(path: &[u8]) -> Result<([u8; 110], usize)> {
    let mut address = [0u8; 110];
    address[..2].copy_from_slice(&(AF_UNIX as u16).to_ne_bytes());
    let room = &mut address[2..];
    if path.len() >= room.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    room[..path.len()].copy_from_slice(path);
    let length = match path.first() {
        Some(b'@' | 0) => {
            room[0] = 0;
            2 + path.len()
        }
        _ => 2 + path.len() + 1,
    };
    Ok((address, length))
}

/// Connects to a unix socket. Paths have at most 107 bytes (`ENAMETOOLONG`).
pub fn connect(socket: impl AsFd, path: impl AsRef<[u8]>) -> Result<()> {
    let (address, length) = unix_address(path.as_ref())?;
    // SAFETY: the address is readable for the length given.
    unsafe { call!(__NR_connect, socket.fd(), address.as_ptr(), length) }.map(drop)
}

/// Binds a unix socket to a path.
pub fn bind(socket: impl AsFd, path: impl AsRef<[u8]>) -> Result<()> {
    let (address, length) = unix_address(path.as_ref())?;
    // SAFETY: the address is readable for the length given.
    unsafe { call!(__NR_bind, socket.fd(), address.as_ptr(), length) }.map(drop)
}

/// Starts to take connections.
pub fn listen(socket: impl AsFd, backlog: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_listen, socket.fd(), backlog) }.map(drop)
}

/// Takes one connection.
pub fn accept(socket: impl AsFd) -> Result<Fd> {
    // SAFETY: a NULL address is not filled.
    unsafe { call!(__NR_accept4, socket.fd(), 0, 0, SOCK_CLOEXEC) }
        .map(|raw| Fd::from_raw(raw as i32))
}

/// Most descriptors in one message (`SCM_MAX_FD`).
const MAX_FDS: usize = 253;
const HEADER_BYTES: usize = size_of::<cmsghdr>();

/// Sends bytes, and descriptors with them.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[i32]) -> Result<usize> {
    if fds.len() > MAX_FDS {
        return Err(Errno::EINVAL);
    }
    let payload = size_of_val(fds);
    // Words keep the header aligned.
    let mut control = alloc::vec![0u64; (HEADER_BYTES + payload).div_ceil(8)];
    control[0] = (HEADER_BYTES + payload) as u64;
    control[1] = u64::from(SOL_SOCKET) | u64::from(SCM_RIGHTS) << 32;
    for (index, pair) in fds.chunks(2).enumerate() {
        let high = pair.get(1).map_or(0, |&fd| u64::from(fd as u32));
        control[2 + index] = u64::from(pair[0] as u32) | high << 32;
    }
    let mut vector = Vector { base: bytes.as_ptr().cast_mut(), length: bytes.len() };
    let mut message = empty_message(&mut vector);
    if !fds.is_empty() {
        message.control = control.as_mut_ptr().cast();
        message.control_length = control.len() * 8;
    }
    loop {
        // SAFETY: the message points at one vector and a control buffer of the sizes given, which
        // the kernel only reads.
        match unsafe { call!(__NR_sendmsg, socket.fd(), &raw const message, MSG_NOSIGNAL) } {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Receives bytes, and the descriptors that came with them. A length of 0 is the end.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Vec<Fd>)> {
    let mut control = alloc::vec![0u64; (HEADER_BYTES + MAX_FDS * 4).div_ceil(8)];
    let mut vector = Vector { base: buffer.as_mut_ptr(), length: buffer.len() };
    let mut message = empty_message(&mut vector);
    message.control = control.as_mut_ptr().cast();
    message.control_length = control.len() * 8;
    let length = loop {
        // SAFETY: the message points at one writable vector and a writable control buffer of the
        // sizes given.
        match unsafe { call!(__NR_recvmsg, socket.fd(), &raw mut message, MSG_CMSG_CLOEXEC) } {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    Ok((length, received_fds(&control, message.control_length)))
}

fn received_fds(control: &[u64], filled_bytes: usize) -> Vec<Fd> {
    let mut fds = Vec::new();
    let mut at = 0;
    let filled = (filled_bytes / 8).min(control.len());
    while at + 2 <= filled {
        let bytes = control[at] as usize;
        if bytes < HEADER_BYTES || at + bytes.div_ceil(8) > control.len() {
            break;
        }
        let rights = u64::from(SOL_SOCKET) | u64::from(SCM_RIGHTS) << 32;
        if control[at + 1] == rights {
            for index in 0..(bytes - HEADER_BYTES) / 4 {
                let word = control[at + 2 + index / 2];
                fds.push(Fd::from_raw((word >> (32 * (index % 2))) as u32 as i32));
            }
        }
        at += bytes.div_ceil(8);
    }
    fds
}

fn empty_message(vector: &mut Vector) -> Message {
    Message {
        name: core::ptr::null_mut(),
        name_length: 0,
        vectors: vector,
        vector_count: 1,
        control: core::ptr::null_mut(),
        control_length: 0,
        flags: 0,
    }
}

/// The process at the other end: (pid, uid, gid).
pub fn peer_credentials(socket: impl AsFd) -> Result<(i32, u32, u32)> {
    const SO_PEERCRED: u32 = 17;
    let mut credentials = [0u32; 3];
    let mut size = 12u32;
    let (value, size) = (credentials.as_mut_ptr(), &raw mut size);
    // SAFETY: the buffer is writable for the size given.
    unsafe { call!(__NR_getsockopt, socket.fd(), SOL_SOCKET, SO_PEERCRED, value, size)? };
    Ok((credentials[0] as i32, credentials[1], credentials[2]))
}

/// Limits how long [`receive`] and [`send`] wait.
pub fn set_timeout_ms(socket: impl AsFd, timeout_ms: u64) -> Result<()> {
    let time = [(timeout_ms / 1000) as i64, (timeout_ms % 1000 * 1000) as i64];
    const SO_RCVTIMEO_OLD: u32 = 20;
    const SO_SNDTIMEO_OLD: u32 = 21;
    for option in [SO_RCVTIMEO_OLD, SO_SNDTIMEO_OLD] {
        // SAFETY: the value is a `timeval` of the size given.
        unsafe { call!(__NR_setsockopt, socket.fd(), SOL_SOCKET, option, time.as_ptr(), 16)? };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_travel_with_bytes() {
        for count in [0usize, 1, 2, 3, 7, 253] {
            let (left, right) = pair(Kind::SeqPacket).unwrap();
            let sent = vec![2; count];
            send(&left, b"hello", &sent).unwrap();
            let mut buffer = [0; 16];
            let (length, fds) = receive(&right, &mut buffer).unwrap();
            assert_eq!((&buffer[..length], fds.len()), (&b"hello"[..], count));
            assert!(fds.iter().all(|fd| crate::fs::is_open(fd, false)));
        }
        let (left, _right) = pair(Kind::Stream).unwrap();
        assert_eq!(send(&left, b"x", &[2; 254]).unwrap_err(), Errno::EINVAL);
    }

    #[test]
    fn long_socket_paths_are_refused() {
        let socket = unix(Kind::Stream).unwrap();
        assert_eq!(connect(&socket, "x".repeat(108)).unwrap_err(), Errno::ENAMETOOLONG);
        assert_eq!(connect(&socket, "x".repeat(107)).unwrap_err(), Errno::ENOENT);
    }
}
