//! HTTP/2: who speaks it, what it may cost, and how it ends. Frames are written by hand (RFC 9113), as those who mean no
//! good do.

use super::access::{encrypt, tls};
use super::{Registry, digest_of};
use crate::{Patience, Tls};
use oci::Algorithm;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const CALM: u32 = 11;
const REFUSED: u32 = 7;

/// A frame.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The number of an error.
    fn error(&self) -> u32 {
        let at = if self.kind == GO_AWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers without compression: names and values as they are.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // Seven bits, and then seven at a time.
            let mut left = text.len();
            if left < 127 {
                block.push(left as u8);
            } else {
                block.push(127);
                left -= 127;
                while left >= 128 {
                    block.push((left % 128 + 128) as u8);
                    left /= 128;
                }
                block.push(left as u8);
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn head(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)];
    fields(&[&pseudo[..], more].concat())
}

/// A connection that speaks HTTP/2.
struct Client<S>(S);

impl Client<TcpStream> {
    /// Without TLS, and without asking.
    fn connect(registry: &Registry, settings: &[u8]) -> Self {
        Self::begin(registry.connect(), settings)
    }
}

impl<S: Read + Write> Client<S> {
    fn begin(mut stream: S, settings: &[u8]) -> Self {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, settings)).unwrap();
        Self(stream)
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.0.write_all(&frame(kind, flags, stream, payload)).unwrap();
    }

    fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path, &[]));
    }

    /// The next frame; `None` at the end.
    fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of a kind.
    fn wait_for(&mut self, kind: u8) -> Option<Frame> {
        while let Some(frame) = self.read() {
            if frame.kind == SETTINGS && frame.flags & ACK == 0 && kind != SETTINGS {
                let _ = self.0.write_all(&self::frame(SETTINGS, ACK, 0, &[]));
            }
            if frame.kind == PING && frame.flags & ACK == 0 && kind != PING {
                let _ = self.0.write_all(&self::frame(PING, ACK, 0, &frame.payload));
            }
            if frame.kind == kind {
                return Some(frame);
            }
        }
        None
    }
}

/// Waits until something is so.
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether others are answered as before.
fn is_well(registry: &Registry) {
    assert_eq!(registry.get("/v2/").status, 200);
    let mut client = Client::connect(registry, &[]);
    client.get(1, "/v2/");
    assert_eq!(client.wait_for(HEADERS).unwrap().stream, 1);
}

#[test]
fn who_speaks_tls_may_choose_and_it_is_written_down() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = lines.clone();
    let registry = Registry::with(|config| {
        config.tls = Some(Tls {
            certificates: tls("server.crt"),
            key: tls("server.key"),
            client_authorities: None,
            client_optional: false,
        });
        let sink = move |line: &str| heard.lock().unwrap().push(line.to_owned());
        config.observing.access = Some(Arc::new(sink));
    });
    for (offered, chosen) in
        [(&["http/1.1", "h2"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let mut stream = encrypt(&registry, false, offered);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let found = stream.conn.alpn_protocol().map(|it| String::from_utf8_lossy(it).into_owned());
        assert_eq!(found.as_deref(), chosen);
        match chosen {
            Some("h2") => {
                let mut client = Client::begin(stream, &[]);
                client.get(1, "/v2/");
                assert!(client.wait_for(HEADERS).is_some());
            }
            _ => {
                stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                let mut answer = [0; 12];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"HTTP/1.1 200");
            }
        }
    }
    wait("the lines do not come", || lines.lock().unwrap().len() == 3);
    let lines = lines.lock().unwrap();
    for (line, protocol) in lines.iter().zip(["HTTP/2.0", "HTTP/1.1", "HTTP/1.1"]) {
        assert!(line.contains(&format!(r#","protocol":"{protocol}""#)), "{line}");
    }
}

/// CVE-2023-44487.
#[test]
fn g4_requests_that_are_taken_back_at_once_end_the_connection() {
    const PAIRS: u32 = 1000;
    let registry = Registry::new();
    let mut client = Client::connect(&registry, &[]);
    let block = head("GET", "/v2/_catalog", &[]);
    let pairs = (0..PAIRS).flat_map(|number| {
        let stream = 2 * number + 1;
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        [asked, frame(RESET, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    // It may be closed before all of it was sent.
    let _ = client.0.write_all(&pairs.collect::<Vec<u8>>());
    let end = client.wait_for(GO_AWAY).expect("a word at the end");
    assert_eq!(end.error(), CALM);
    while client.read().is_some() {}
    let metrics = &registry.server.as_ref().unwrap().registry.metrics;
    wait("they go on", || metrics.in_flight.load(Ordering::Relaxed) == 0);
    is_well(&registry);
    // As many as a busy client has.
    let mut client = Client::connect(&registry, &[]);
    for number in 0..10 {
        client.send(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block);
        client.send(RESET, 0, 2 * number + 1, &8_u32.to_be_bytes());
    }
    client.get(101, "/v2/");
    while client.wait_for(HEADERS).expect("an answer").stream != 101 {}
}

/// CVE-2024-27316 and its kin.
#[test]
fn g4_headers_without_end_end_the_connection() {
    let registry = Registry::new();
    let mut client = Client::connect(&registry, &[]);
    client.send(HEADERS, END_STREAM, 1, &head("GET", "/v2/", &[]));
    let more = frame(CONTINUATION, 0, 1, &fields(&[("x", &"y".repeat(1000))]));
    let sent = (0..10_000).take_while(|_| client.0.write_all(&more).is_ok()).count();
    // What was sent before the end was heard of is the kernel's.
    assert!(sent < 10_000, "it takes everything");
    is_well(&registry);
    // Empty ones cost nothing but time.
    let mut client = Client::connect(&registry, &[]);
    client.send(HEADERS, END_STREAM, 1, &head("GET", "/v2/", &[]));
    for _ in 0..10_000 {
        if client.0.write_all(&frame(CONTINUATION, 0, 1, &[])).is_err() {
            break;
        }
    }
    assert!(client.wait_for(HEADERS).is_none(), "there is an answer");
    is_well(&registry);
}

#[test]
fn g4_headers_and_requests_have_limits() {
    let registry = Registry::new();
    let mut client = Client::connect(&registry, &[]);
    // What it says that it takes.
    let settings = client.wait_for(SETTINGS).unwrap();
    let said: Vec<(u16, u32)> = settings
        .payload
        .chunks(6)
        .map(|it| {
            (u16::from_be_bytes([it[0], it[1]]), u32::from_be_bytes([it[2], it[3], it[4], it[5]]))
        })
        .collect();
    for expected in [(3, 100), (4, 1 << 20), (6, 32 << 10)] {
        assert!(said.contains(&expected), "{said:?}");
    }
    // A head of more than 32 KiB in frames of 16: it is told, and the connection goes on.
    let large = head("GET", "/v2/", &[("x", &"y".repeat(33 << 10))]);
    client.send(HEADERS, END_STREAM, 1, &large[..16_000]);
    client.send(CONTINUATION, 0, 1, &large[16_000..32_000]);
    client.send(CONTINUATION, END_HEADERS, 1, &large[32_000..]);
    let told = client.wait_for(HEADERS).expect("an answer");
    // The status 431, which no table has: as it is, or in Huffman's code.
    let status = |text: &[u8]| told.payload.windows(text.len()).any(|it| it == text);
    assert!(status(b"431") || status(&[0x69, 0x90, 0xff]), "{told:?}");
    // A hundred requests at one moment, and no more.
    let upload = head("PUT", "/v2/a/manifests/x", &[("content-length", "10")]);
    for number in 1..=101 {
        client.send(HEADERS, END_HEADERS, 2 * number + 1, &upload);
    }
    let refused = client.wait_for(RESET).expect("a refusal");
    assert_eq!((refused.stream, refused.error()), (203, REFUSED));
    is_well(&registry);
}

#[test]
fn g4_clients_that_say_or_take_nothing_are_let_go_of() {
    let patience =
        Patience { headers: Duration::from_millis(1000), silence: Duration::from_millis(1200) };
    let registry = Registry::with(|config| config.patience = patience);
    let digest = registry.put_blob("a", &vec![0; 4 << 20]);
    // One that connects, and says nothing at all.
    let began = Instant::now();
    assert_eq!(registry.connect().read(&mut [0; 10]).unwrap_or(0), 0);
    assert!(began.elapsed() < Duration::from_secs(60));
    // One that greets, and does not even answer the question whether it is there.
    let mut client = Client::connect(&registry, &[]);
    assert!(client.wait_for(PING).is_some());
    while client.read().is_some() {}
    // One that sends half a body, and is there.
    let mut client = Client::connect(&registry, &[]);
    let put = head("PUT", "/v2/a/manifests/v", &[("content-length", "9")]);
    client.send(HEADERS, END_HEADERS, 1, &put);
    client.send(DATA, 0, 1, b"x");
    let mut answered = false;
    while !answered {
        let frame = client.read().expect("an answer");
        match frame.kind {
            PING => client.send(PING, ACK, 0, &frame.payload),
            HEADERS => answered = true,
            _ => {}
        }
    }
    // One that takes no part of its answer but the first, and is there: the stream is reset, and others go on.
    let mut client = Client::connect(&registry, &[0, 4, 0, 0, 0, 100]);
    client.get(1, &format!("/v2/a/blobs/{digest}"));
    let mut taken = 0;
    let reset = loop {
        let frame = client.read().expect("the connection goes on");
        match frame.kind {
            PING => client.send(PING, ACK, 0, &frame.payload),
            DATA => taken += frame.payload.len(),
            RESET => break frame,
            _ => {}
        }
    };
    assert_eq!((reset.stream, taken), (1, 100));
    client.get(3, "/v2/");
    while client.wait_for(HEADERS).expect("an answer").stream != 3 {}
    let metrics = &registry.server.as_ref().unwrap().registry.metrics;
    wait("it goes on", || metrics.in_flight.load(Ordering::Relaxed) == 0);
}

#[test]
fn a_slow_client_that_goes_on_gets_its_answer() {
    let patience =
        Patience { headers: Duration::from_millis(1000), silence: Duration::from_millis(1200) };
    let registry = Registry::with(|config| config.patience = patience);
    let digest = registry.put_blob("a", &vec![7; 2000]);
    let mut client = Client::connect(&registry, &[0, 4, 0, 0, 0, 100]);
    client.get(1, &format!("/v2/a/blobs/{digest}"));
    let mut taken = 0;
    while taken < 2000 {
        let frame = client.read().expect("the connection goes on");
        match frame.kind {
            PING => client.send(PING, ACK, 0, &frame.payload),
            DATA => {
                taken += frame.payload.len();
                std::thread::sleep(Duration::from_millis(100));
                client.send(WINDOW, 0, 1, &100_u32.to_be_bytes());
            }
            RESET | GO_AWAY => panic!("{frame:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_server_that_ends_lets_requests_end() {
    let mut registry = Registry::with(|config| config.drain = Duration::from_secs(120));
    let body = b"hello world";
    let digest = digest_of(Algorithm::Sha256, body);
    let location = registry.begin("a");
    let mut client = Client::connect(&registry, &[]);
    let put = format!("{location}?digest={digest}");
    client.send(HEADERS, END_HEADERS, 1, &head("PUT", &put, &[("content-length", "11")]));
    client.send(DATA, 0, 1, &body[..6]);
    let metrics = registry.server.as_ref().unwrap().registry.metrics.clone();
    wait("it does not arrive", || metrics.received_bytes.load(Ordering::Relaxed) == 6);
    let server = registry.server.take().unwrap();
    let stopping = std::thread::spawn(move || server.stop());
    // It says that it takes nothing new, without an error.
    let told = client.wait_for(GO_AWAY).expect("a word");
    assert_eq!(told.error(), 0);
    assert!(!stopping.is_finished());
    client.send(DATA, END_STREAM, 1, &body[6..]);
    assert_eq!(client.wait_for(HEADERS).expect("an answer").stream, 1);
    stopping.join().unwrap();
    let registry = Registry::at(registry.place.clone(), |_| {});
    assert_eq!(registry.get(&format!("/v2/a/blobs/{digest}")).body, body);
}
