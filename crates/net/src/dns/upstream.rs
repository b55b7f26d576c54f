//! One question to one server.

use super::events;
use super::wire::Query;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use sys::Errno;
use sys::inet::{self, Transport};

/// Datagrams that are no answer and are passed by before the socket has to wait for its next turn.
const JUNK: usize = 16;
/// Longest answer as a datagram: what servers send to those who ask for more than a frame.
const DATAGRAM_BYTES: usize = 4096;

/// What has become of a question.
#[derive(Debug)]
pub(super) enum Way {
    /// Nothing yet.
    Waits,
    /// Nothing will.
    Lost,
    /// The server could not help: perhaps another one can.
    Refused(Vec<u8>),
    Answered(Vec<u8>),
}

/// A question on its way. Each has a socket, a port and a number of its own, which nobody can guess; the kernel
/// takes datagrams from the server only.
#[derive(Debug)]
pub(super) enum Exchange {
    Datagram { socket: UdpSocket, id: u16 },
    Stream { stream: TcpStream, id: u16, to_send: Vec<u8>, received: Vec<u8> },
}

impl Exchange {
    pub(super) fn datagram(server: SocketAddr, id: u16, message: &[u8]) -> sys::Result<Self> {
        let to_errno = |error: std::io::Error| Errno(error.raw_os_error().unwrap_or(Errno::EIO.0));
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).map_err(to_errno)?;
        socket.set_nonblocking(true).map_err(to_errno)?;
        socket.connect(server).map_err(to_errno)?;
        socket.send(message).map_err(to_errno)?;
        Ok(Self::Datagram { socket, id })
    }

    pub(super) fn stream(server: SocketAddr, id: u16, message: &[u8]) -> sys::Result<Self> {
        let socket = inet::socket(Transport::Tcp, server.is_ipv6())?;
        match inet::connect(&socket, server) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        let stream = socket.give(TcpStream::from_raw_fd);
        let to_send = [&(message.len() as u16).to_be_bytes(), message].concat();
        Ok(Self::Stream { stream, id, to_send, received: Vec::new() })
    }

    pub(super) fn raw(&self) -> i32 {
        match self {
            Self::Datagram { socket, .. } => socket.as_raw_fd(),
            Self::Stream { stream, .. } => stream.as_raw_fd(),
        }
    }

    pub(super) fn events(&self) -> u32 {
        match self {
            Self::Datagram { .. } => events(false),
            Self::Stream { to_send, .. } => events(!to_send.is_empty()),
        }
    }

    pub(super) fn advance(&mut self, query: &Query) -> Way {
        match self {
            Self::Datagram { socket, id } => receive(socket, query, *id),
            Self::Stream { stream, id, to_send, received } => {
                if !to_send.is_empty() {
                    match stream.write(to_send) {
                        Ok(count) => drop(to_send.drain(..count)),
                        Err(error) if is_later(&error) => {}
                        Err(_) => return Way::Lost,
                    }
                    return Way::Waits;
                }
                match read_message(stream, received) {
                    Ok(None) => Way::Waits,
                    Ok(Some(answer)) if query.is_answered_by(&answer, *id) => Way::Answered(answer),
                    Ok(Some(_)) | Err(_) => Way::Lost,
                }
            }
        }
    }
}

fn receive(socket: &UdpSocket, query: &Query, id: u16) -> Way {
    let mut buffer = [0; DATAGRAM_BYTES];
    for _ in 0..JUNK {
        match socket.recv(&mut buffer) {
            Ok(length) if query.is_answered_by(&buffer[..length], id) => {
                return Way::Answered(buffer[..length].to_vec());
            }
            Ok(_) => {}
            Err(error) if is_later(&error) => return Way::Waits,
            // Nobody is there.
            Err(_) => return Way::Lost,
        }
    }
    Way::Waits
}

pub(super) fn is_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Reads on in a message that has its length before it, until it is whole.
pub(super) fn read_message(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        let wanted = match received.get(..2) {
            Some(length) => 2 + usize::from(u16::from_be_bytes([length[0], length[1]])),
            None => 2,
        };
        if wanted > 2 && received.len() >= wanted {
            let message = received[2..wanted].to_vec();
            received.clear();
            return Ok(Some(message));
        }
        if wanted == 2 && received.len() == 2 {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut buffer = [0; 2048];
        let room = (wanted - received.len()).min(buffer.len());
        match stream.read(&mut buffer[..room]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) if is_later(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}
