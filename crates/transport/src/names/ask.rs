//! Asking servers: by datagrams, and by TCP what does not fit into one.

use super::conf::{ADDRESSES_LIMIT, Settings};
use super::wire::{Family, Question, Reply};
use crate::error::{Error, ErrorKind};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Most datagrams that are no answer to a question and are passed by while one is waited for.
const JUNK_LIMIT: usize = 64;
/// How long addresses of one kind wait for those of the other: some servers never answer for IPv6.
const SIBLING_WAIT: Duration = Duration::from_millis(500);
/// Answers larger than this are truncated by servers, whatever they think that we take.
const DATAGRAM_BYTES: usize = 4096;

/// Why there are no addresses.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// There are none.
    Absent,
    /// Nobody could tell: what the last server did.
    Trouble(String),
}

impl Failure {
    pub(super) fn into_error(self, host: &str) -> Error {
        match self {
            Self::Absent => Error::new(ErrorKind::NotFound, format!("there is no host `{host}`")),
            Self::Trouble(what) => {
                let text = format!("look up `{host}`: {what}");
                Error::new(ErrorKind::Network, text)
                    .with_hint("the servers for names are those of /etc/resolv.conf")
            }
        }
    }
}

/// Asks for the first of several names that has addresses.
pub(super) fn ask(
    settings: &Settings,
    names: &[String],
    until: Instant,
) -> Result<Vec<IpAddr>, Failure> {
    let mut failed = Failure::Absent;
    for name in names {
        match ask_one(settings, name, until) {
            Ok(found) => return Ok(found),
            Err(Failure::Absent) => {}
            Err(trouble) => failed = trouble,
        }
    }
    Err(failed)
}

/// Goes from server to server until one knows.
fn ask_one(settings: &Settings, name: &str, until: Instant) -> Result<Vec<IpAddr>, Failure> {
    let first = if settings.rotate { usize::from(random()?) } else { 0 };
    let mut failed = String::new();
    for _ in 0..settings.attempts {
        for number in 0..settings.servers.len() {
            let server = settings.servers[(first + number) % settings.servers.len()];
            let until = until.min(Instant::now() + settings.timeout);
            match ask_server(settings, server, name, until) {
                Ok(found) if found.is_empty() => return Err(Failure::Absent),
                Ok(found) => return Ok(found),
                Err(Failure::Absent) => return Err(Failure::Absent),
                Err(Failure::Trouble(what)) => failed = format!("{}: {what}", server.ip()),
            }
        }
    }
    Err(Failure::Trouble(failed))
}

/// Asks a server for both kinds of addresses at once.
fn ask_server(
    settings: &Settings,
    server: SocketAddr,
    name: &str,
    until: Instant,
) -> Result<Vec<IpAddr>, Failure> {
    let begin = |family: Family| {
        let question = Question::new(random()?, name, family).ok_or(Failure::Absent)?;
        Ok(Asking::begin(settings, server, question))
    };
    let fourth = begin(Family::V4)?;
    let sixth = if settings.short { None } else { Some(begin(Family::V6)?) };
    let v4 = fourth.finish(until);
    let until = match &v4 {
        Ok(Reply::Addresses(_)) => until.min(Instant::now() + SIBLING_WAIT),
        // What has arrived meanwhile counts.
        _ => until.max(Instant::now() + Duration::from_millis(20)),
    };
    let v6 = sixth.map_or(Ok(Reply::Nothing), |asking| asking.finish(until));
    let mut found = Vec::new();
    let mut trouble = None;
    let (mut fourth, mut sixth) = (Vec::new(), Vec::new());
    for (answer, list) in [(v6, &mut sixth), (v4, &mut fourth)] {
        match answer {
            Ok(Reply::Addresses(addresses)) => *list = addresses,
            Ok(Reply::Nothing) => {}
            Ok(Reply::Truncated) => trouble = Some("its answer is truncated".into()),
            Ok(Reply::Malformed) => trouble = Some("its answer makes no sense".into()),
            Ok(Reply::Failed(code)) => trouble = Some(describe(code)),
            Err(error) => trouble = Some(error.to_string()),
        }
    }
    // In turns, so that a network without one of the kinds costs one attempt only (RFC 8305, section 4).
    let longest = fourth.len().max(sixth.len());
    for number in 0..longest {
        found.extend(sixth.get(number));
        found.extend(fourth.get(number));
    }
    found.truncate(ADDRESSES_LIMIT);
    match trouble {
        Some(trouble) if found.is_empty() => Err(Failure::Trouble(trouble)),
        _ => Ok(found),
    }
}

/// A question on its way.
struct Asking<'a> {
    settings: &'a Settings,
    server: SocketAddr,
    question: Question,
    /// Each question has a port of its own, which is as hard to guess as its number. It takes datagrams from
    /// the server only: the kernel sees to that.
    socket: io::Result<UdpSocket>,
}

impl<'a> Asking<'a> {
    fn begin(settings: &'a Settings, server: SocketAddr, question: Question) -> Self {
        let open = || {
            let any: IpAddr = match server {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(server)?;
            if !settings.stream {
                socket.send(&question.encode(settings.extended))?;
            }
            Ok(socket)
        };
        let socket = open();
        Self { settings, server, question, socket }
    }

    fn finish(self, until: Instant) -> io::Result<Reply> {
        let Self { settings, server, question, socket } = self;
        let message = question.encode(settings.extended);
        let mut reply = match settings.stream {
            true => Reply::Truncated,
            false => receive(&socket?, &question, until)?,
        };
        if settings.extended && reply == Reply::Failed(1) {
            // Servers from before EDNS find it malformed.
            let mut plain = settings.clone();
            plain.extended = false;
            return Asking::begin(&plain, server, question).finish(until);
        }
        if reply == Reply::Truncated {
            reply = ask_stream(server, &message, &question, until)?;
        }
        Ok(reply)
    }
}

/// Waits for the answer.
fn receive(socket: &UdpSocket, question: &Question, until: Instant) -> io::Result<Reply> {
    let mut buffer = [0; DATAGRAM_BYTES];
    for _ in 0..JUNK_LIMIT {
        socket.set_read_timeout(Some(left(until)?))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                if let Some(reply) = question.decode(&buffer[..length]) {
                    return Ok(reply);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(silent()),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("answers what was not asked"))
}

/// Asks by TCP, where each message has its length before it.
fn ask_stream(
    server: SocketAddr,
    message: &[u8],
    question: &Question,
    until: Instant,
) -> io::Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&server, left(until)?)?;
    stream.set_write_timeout(Some(left(until)?))?;
    let length = (message.len() as u16).to_be_bytes();
    stream.write_all(&[&length, message].concat())?;
    let mut length = [0; 2];
    read_until(&mut stream, &mut length, until)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    read_until(&mut stream, &mut answer, until)?;
    question.decode(&answer).ok_or_else(|| io::Error::other("answers what was not asked"))
}

/// Fills a buffer. A byte now and then does not make the time longer.
fn read_until(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(silent()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is left of the time, which is more than nothing.
fn left(until: Instant) -> io::Result<Duration> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(silent()),
        left => Ok(left),
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "does not answer")
}

/// RFC 1035, section 4.1.1.
fn describe(code: u8) -> String {
    match code {
        1 => "does not understand the question".into(),
        2 => "cannot find out".into(),
        4 => "does not answer such questions".into(),
        5 => "refuses to answer".into(),
        code => format!("answers with the code {code}"),
    }
}

/// A number that nobody can guess.
fn random() -> Result<u16, Failure> {
    let mut bytes = [0; 2];
    let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| Failure::Trouble("there are no random numbers".into()))?;
    Ok(u16::from_ne_bytes(bytes))
}
