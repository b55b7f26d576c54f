//! The name service of one container: a DNS server in its network namespace, driven by whoever looks after it.
//!
//! It listens at 127.0.0.11, where docker's does. What it knows are the containers of the networks that its own is in:
//! the directory of each network is looked at anew for every question, so that nothing is ever out of date, and nothing
//! is kept in memory. Everything else goes to the host's servers, from the host's network namespace.
//!
//! There are no threads, and nothing waits: [`NameService::interests`] says what is to be polled, and
//! [`NameService::serve`] does what can be done. A question that nobody answers is answered with a failure before its
//! asker gives up. Messages, connections and questions on their way are bounded.

mod listen;
mod names;
mod question;
mod stream;
mod upstream;
mod wire;

pub use listen::ADDRESS as NAME_SERVICE_ADDRESS;
pub(crate) use wire::feed;

use crate::error::{During, Result};
use names::{Known, Scope};
use question::{Asker, Pending};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use stream::Client;
use sys::wait::{POLLIN, POLLOUT, PollFd};
use sys::{BorrowedFd, Fd};
use upstream::Way;
use wire::{Code, Query};

/// Questions on their way to servers. Each is a socket; whoever asks more at once is told that it failed.
const PENDING: usize = 128;
/// Connections of askers. Each may have one question on its way.
const CLIENTS: usize = 32;
/// Datagrams that are taken at once before everything else has its turn.
const BURST: usize = 32;
/// Servers that are asked, one after the other: what resolv.conf(5) allows.
const SERVERS: usize = 3;
/// The port of name servers.
const PORT: u16 = 53;
/// Longest question as a datagram; with everything that is allowed in it, it has some 300 bytes.
const DATAGRAM_BYTES: usize = 4096;

/// What a name service knows.
#[derive(Clone, Debug, Default)]
pub struct NameConfig {
    /// The host's servers, or those that were asked for.
    pub servers: Vec<IpAddr>,
    /// Their port, if it is not 53.
    pub port: Option<u16>,
    /// Whether questions about others are passed on: not for a container whose networks are all internal.
    pub forward: bool,
}

/// A server for names.
#[derive(Debug)]
pub struct NameService {
    datagrams: UdpSocket,
    streams: TcpListener,
    scopes: Vec<Scope>,
    /// Names that only this container has for others, and theirs.
    links: Vec<(String, String)>,
    servers: Vec<SocketAddr>,
    forward: bool,
    /// The server that has answered last: a dead one is not asked first for ever.
    preferred: usize,
    clients: Vec<Client>,
    /// Of the next connection.
    serial: u64,
    pending: Vec<Pending>,
}

impl NameService {
    /// Listens in a container's network namespace. Its loopback device is brought up.
    pub fn open(netns: &Fd, config: &NameConfig) -> Result<Self> {
        let (datagrams, streams) = listen::open(netns)?;
        datagrams.set_nonblocking(true).during(|| "the name service".into())?;
        streams.set_nonblocking(true).during(|| "the name service".into())?;
        let port = config.port.unwrap_or(PORT);
        let servers = config.servers.iter().take(SERVERS);
        Ok(Self {
            datagrams,
            streams,
            scopes: Vec::new(),
            links: Vec::new(),
            servers: servers.map(|ip| SocketAddr::new(*ip, port)).collect(),
            forward: config.forward,
            preferred: 0,
            clients: Vec::new(),
            serial: 0,
            pending: Vec::new(),
        })
    }

    /// Sets the networks whose containers are known, and whether anything else is: those that the container is in.
    pub fn set_networks(
        &mut self,
        networks: &crate::Networks,
        of: &[crate::Network],
        forward: bool,
    ) -> Result<()> {
        let scopes =
            of.iter().filter(|network| network.dns).map(|network| Scope::open(networks, network));
        self.scopes = scopes.collect::<Result<_>>()?;
        self.forward = forward;
        Ok(())
    }

    /// Sets names that only this container has for others, each with the other's own.
    pub fn set_links(&mut self, links: Vec<(String, String)>) {
        let small =
            |(name, own): (String, String)| (name.to_ascii_lowercase(), own.to_ascii_lowercase());
        self.links = links.into_iter().map(small).collect();
    }

    /// Appends what is to be polled.
    pub fn interests(&self, fds: &mut Vec<PollFd>) {
        let poll = |fd: i32, events: u32| PollFd::new(BorrowedFd::from_raw(fd), events);
        fds.push(poll(self.datagrams.as_raw_fd(), POLLIN));
        let room = if self.clients.len() < CLIENTS { POLLIN } else { 0 };
        fds.push(poll(self.streams.as_raw_fd(), room));
        fds.extend(self.clients.iter().map(|client| poll(client.raw(), client.events())));
        fds.extend(self.pending.iter().map(|pending| poll(pending.raw(), pending.events())));
    }

    /// When something is to be done even if nothing is ready: in so many milliseconds.
    pub fn timeout_ms(&self) -> Option<u64> {
        let now = sys::time::monotonic_ms();
        let clients = self.clients.iter().map(|client| client.until_ms);
        let all = clients.chain(self.pending.iter().map(|pending| pending.until_ms));
        all.min().map(|until| until.saturating_sub(now))
    }

    /// Does what can be done. `fds` is what [`NameService::interests`] has appended last, polled since.
    pub fn serve(&mut self, fds: &[PollFd]) {
        let ready = |index: usize| fds.get(index).is_some_and(|fd| fd.ready() != 0);
        let clients: Vec<u64> = self.clients.iter().map(|client| client.serial).collect();
        let now = sys::time::monotonic_ms();
        // From the last to the first: what goes does not move those before it.
        for index in (0..self.pending.len()).rev() {
            self.advance(index, ready(2 + clients.len() + index), now);
        }
        for (index, serial) in clients.into_iter().enumerate() {
            self.listen_to(serial, ready(2 + index), now);
        }
        if ready(1) {
            self.welcome(now);
        }
        if ready(0) {
            self.take_datagrams(now);
        }
    }

    fn take_datagrams(&mut self, now: u64) {
        let mut buffer = [0; DATAGRAM_BYTES];
        for _ in 0..BURST {
            let Ok((length, asker)) = self.datagrams.recv_from(&mut buffer) else { return };
            self.question(&buffer[..length], Asker::Datagram(asker), now);
        }
    }

    fn welcome(&mut self, now: u64) {
        while self.clients.len() < CLIENTS
            && let Ok((stream, _)) = self.streams.accept()
        {
            self.serial += 1;
            self.clients.extend(Client::new(stream, self.serial, now));
        }
    }

    fn listen_to(&mut self, serial: u64, ready: bool, now: u64) {
        let found = self.clients.iter().position(|client| client.serial == serial);
        let Some(index) = found else { return };
        let client = &mut self.clients[index];
        let mut goes_on = client.until_ms > now;
        let mut message = None;
        if goes_on && ready {
            match client.advance() {
                Ok(asked) => message = asked,
                Err(_) => goes_on = false,
            }
        }
        if !goes_on {
            self.clients.remove(index);
            self.pending.retain(|pending| pending.asker != Asker::Stream(serial));
        } else if let Some(message) = message {
            client.wait(now);
            self.question(&message, Asker::Stream(serial), now);
        }
    }

    /// Answers what is known, and passes on what is not.
    fn question(&mut self, message: &[u8], asker: Asker, now: u64) {
        let query = match Query::read(message) {
            Ok(query) => query,
            // Not even its number is known.
            Err(None) => return self.drop_asker(&asker),
            Err(Some(answer)) => return self.reply(&asker, &answer, usize::MAX),
        };
        let limit = asker.limit_bytes(&query);
        match names::look_up(&self.scopes, &self.links, &query) {
            Known::Records(records) => {
                self.reply(&asker, &query.answer(Code::Fine, &records), limit)
            }
            Known::Nobody if !self.forward || self.servers.is_empty() => {
                self.reply(&asker, &query.answer(Code::Failed, &[]), limit);
            }
            Known::Nobody if self.pending.len() >= PENDING => {
                self.reply(&asker, &query.answer(Code::Failed, &[]), limit);
            }
            Known::Nobody => {
                let pending = Pending::new(query, message, asker, self.preferred);
                self.pending.push(pending);
                self.try_servers(self.pending.len() - 1, now);
            }
        }
    }

    /// Asks the next server that can be asked; without any the answer is a failure.
    fn try_servers(&mut self, index: usize, now: u64) {
        let servers = self.servers.len();
        while self.pending[index].tried < servers {
            let pending = &mut self.pending[index];
            let server = self.servers[(pending.first + pending.tried) % servers];
            pending.tried += 1;
            if pending.ask(server, now).is_ok() {
                return;
            }
        }
        let pending = self.pending.remove(index);
        let limit = pending.asker.limit_bytes(&pending.query);
        let answer = match &pending.refusal {
            Some(answer) => answer.clone(),
            None => pending.query.answer(Code::Failed, &[]),
        };
        self.reply(&pending.asker, &answer, limit);
    }

    fn advance(&mut self, index: usize, ready: bool, now: u64) {
        let servers = self.servers.len().max(1);
        let pending = &mut self.pending[index];
        let way = match (ready, pending.until_ms <= now) {
            (true, _) => pending.advance(),
            (false, true) => Way::Lost,
            (false, false) => return,
        };
        match way {
            Way::Waits => {}
            Way::Lost => self.try_servers(index, now),
            Way::Refused(answer) => {
                pending.refusal = Some(answer);
                self.try_servers(index, now);
            }
            Way::Answered(answer) => {
                self.preferred = (pending.first + pending.tried + servers - 1) % servers;
                let pending = self.pending.remove(index);
                let limit = pending.asker.limit_bytes(&pending.query);
                self.reply(&pending.asker, &answer, limit);
            }
        }
    }

    fn reply(&mut self, asker: &Asker, answer: &[u8], limit: usize) {
        match asker {
            Asker::Datagram(address) => {
                let cut = (answer.len() > limit).then(|| wire::cut(answer));
                // Whoever does not take it asks again.
                let _ = self.datagrams.send_to(cut.as_deref().unwrap_or(answer), address);
            }
            Asker::Stream(serial) => {
                let found = self.clients.iter().position(|client| client.serial == *serial);
                if let Some(index) = found
                    && self.clients[index].answer(answer).is_err()
                {
                    self.clients.remove(index);
                }
            }
        }
    }

    fn drop_asker(&mut self, asker: &Asker) {
        if let Asker::Stream(serial) = asker {
            self.clients.retain(|client| client.serial != *serial);
        }
    }
}

/// The events that a socket is polled for that has something to write, or to read.
fn events(writes: bool) -> u32 {
    if writes { POLLOUT } else { POLLIN }
}

#[cfg(test)]
mod tests;
