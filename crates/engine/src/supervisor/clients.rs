//! Who is connected to a supervisor.

use crate::error::Result;
use crate::wire::{self, Frame, Reader, header};
use sys::wait::{POLLIN, POLLOUT, PollFd};
use sys::{Errno, Fd, fs, socket};

/// More are turned away.
const CLIENTS_LIMIT: usize = 256;
/// While somebody is this far behind, nothing more is read of the container: what is not read is not lost.
const BACKLOG_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 16 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: Fd,
    reader: Reader,
    /// Streams that it gets, or gives.
    pub(super) wants: u8,
    out: Vec<u8>,
    sent: usize,
    is_gone: bool,
}

impl Client {
    fn send(&mut self, kind: u8, payload: &[u8]) {
        if self.is_gone {
            return;
        }
        self.out.extend_from_slice(&header(kind, payload.len()));
        self.out.extend_from_slice(payload);
        self.flush();
    }

    fn flush(&mut self) {
        while self.sent < self.out.len() {
            match fs::write(&self.socket, &self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(Errno::EAGAIN) => return,
                Err(_) => {
                    self.is_gone = true;
                    return;
                }
            }
        }
        self.out.clear();
        self.out.shrink_to(READ_BYTES);
        self.sent = 0;
    }

    fn backlog(&self) -> usize {
        self.out.len() - self.sent
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Clients {
    listener: Option<Fd>,
    all: Vec<Client>,
}

impl Clients {
    pub(super) fn new(listener: Fd) -> Self {
        Self { listener: Some(listener), all: Vec::new() }
    }

    /// Adds a connection.
    pub(super) fn add(&mut self, socket: Fd, wants: u8) {
        if self.all.len() < CLIENTS_LIMIT && fs::set_nonblocking(&socket, true).is_ok() {
            let reader = Reader::default();
            self.all.push(Client {
                socket,
                reader,
                wants,
                out: Vec::new(),
                sent: 0,
                is_gone: false,
            });
        }
    }

    /// What to wait for: new ones first, then each one.
    pub(super) fn poll(&self, takes_input: bool, fds: &mut Vec<PollFd>) {
        fds.push(self.listener.as_ref().map_or_else(PollFd::none, |it| PollFd::new(it, POLLIN)));
        for client in &self.all {
            // The others' words have to be heard in any case.
            let listens = takes_input || client.wants & wire::WANTS_STDIN == 0;
            let events =
                if listens { POLLIN } else { 0 } | if client.backlog() > 0 { POLLOUT } else { 0 };
            fds.push(PollFd::new(&client.socket, events));
        }
    }

    /// Takes and sends what is possible; `each` gets the frames, and says which streams the client wants from now on.
    pub(super) fn serve(&mut self, fds: &[PollFd], each: &mut dyn FnMut(&Frame, u8) -> u8) {
        for (client, fd) in self.all.iter_mut().zip(&fds[1..]) {
            if fd.ready() & POLLOUT != 0 {
                client.flush();
            }
            if fd.ready() & !POLLOUT != 0 && !receive(client, each).is_ok_and(|lives| lives) {
                client.is_gone = true;
            }
        }
        self.all.retain(|client| !client.is_gone);
        if fds[0].ready() != 0
            && let Some(listener) = &self.listener
            && let Ok(socket) = socket::accept(listener)
        {
            self.add(socket, 0);
        }
    }

    /// Output for those who want it.
    pub(super) fn output(&mut self, is_error: bool, bytes: &[u8]) {
        let (kind, bit) = match is_error {
            false => (wire::kind::STDOUT, wire::WANTS_STDOUT),
            true => (wire::kind::STDERR, wire::WANTS_STDERR),
        };
        for client in self.all.iter_mut().filter(|client| client.wants & bit != 0) {
            client.send(kind, bytes);
        }
    }

    /// Something that everybody has to know.
    pub(super) fn tell(&mut self, kind: u8, payload: &[u8]) {
        self.all.iter_mut().for_each(|client| client.send(kind, payload));
    }

    /// Whether all keep up.
    pub(super) fn keep_up(&self) -> bool {
        self.all.iter().all(|client| client.backlog() < BACKLOG_BYTES)
    }

    /// Nobody new but those who have connected already: they are told what the others are told.
    pub(super) fn close(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        for _ in 0..CLIENTS_LIMIT {
            let mut waiting = [PollFd::new(&listener, POLLIN)];
            let is_there = sys::wait::poll(&mut waiting, Some(0)).is_ok_and(|count| count > 0);
            match if is_there { socket::accept(&listener).ok() } else { None } {
                Some(socket) => self.add(socket, 0),
                None => return,
            }
        }
    }

    /// Sends what is left, for as long as somebody takes it.
    pub(super) fn finish(&mut self, deadline_ms: u64) {
        loop {
            self.all.retain(|client| !client.is_gone && client.backlog() > 0);
            let left = deadline_ms.saturating_sub(sys::time::monotonic_ms());
            if self.all.is_empty() || left == 0 {
                return;
            }
            let mut fds: Vec<PollFd> =
                self.all.iter().map(|client| PollFd::new(&client.socket, POLLOUT)).collect();
            if sys::wait::poll(&mut fds, Some(left)).is_err() {
                return;
            }
            self.all.iter_mut().for_each(Client::flush);
        }
    }
}

/// Takes what a client has sent; says whether it is still there.
fn receive(client: &mut Client, each: &mut dyn FnMut(&Frame, u8) -> u8) -> Result<bool> {
    let mut buffer = [0u8; READ_BYTES];
    let lives = match fs::read(&client.socket, &mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            client.reader.push(&buffer[..count]);
            true
        }
        Err(Errno::EAGAIN | Errno::EINTR) => true,
        Err(_) => false,
    };
    while let Some(frame) = client.reader.next()? {
        client.wants = each(&frame, client.wants);
    }
    Ok(lives)
}
