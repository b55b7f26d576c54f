//! Names from files, and from servers on loopback that answer, lie and keep silent.

use super::*;
use crate::tests::test_directory;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server sends for a question: datagrams, or messages by TCP.
type Answers = Vec<Vec<u8>>;

/// A question as it came.
struct Asked<'a> {
    message: &'a [u8],
    /// With dots.
    name: String,
    /// 1 or 28.
    kind: u16,
    by_stream: bool,
    extended: bool,
}

impl Asked<'_> {
    /// An answer with a code and records of the name that was asked for.
    fn answer(&self, code: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
        let end = 12 + self.name.len() + 2 + 4;
        let mut answer = self.message[..end].to_vec();
        answer[2] = 0x81;
        answer[3] = 0x80 | code;
        answer[4..12].copy_from_slice(&[0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        for (kind, data) in records {
            answer.extend([0xc0, 12]);
            answer.extend([*kind, 1, 0, 60, data.len() as u16].map(u16::to_be_bytes).concat());
            answer.extend(*data);
        }
        answer
    }

    /// An answer with an address of the kind that was asked for.
    fn address(&self, last: u8) -> Vec<u8> {
        match self.kind {
            1 => self.answer(0, &[(1, &[192, 0, 2, last])]),
            _ => self
                .answer(0, &[(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])]),
        }
    }
}

/// Servers at 127.0.0.1 and following, with one port. Their threads end with the test's process.
struct Servers {
    port: u16,
    asked: Arc<Vec<AtomicUsize>>,
    names: Arc<Mutex<Vec<String>>>,
}

/// Sockets of both kinds at several addresses with one port: a port that is free for one kind may be
/// another test's for the other.
fn sockets(count: usize) -> (u16, Vec<(UdpSocket, TcpListener)>) {
    const TRIES: usize = 100;
    let all = |port: u16| -> std::io::Result<Vec<_>> {
        let at = |number: usize| format!("127.0.0.{}:{port}", number + 1);
        let bind = |number| Ok((UdpSocket::bind(at(number))?, TcpListener::bind(at(number))?));
        (0..count).map(bind).collect()
    };
    for _ in 0..TRIES {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if let Ok(sockets) = all(free) {
            return (free, sockets);
        }
    }
    panic!("no port is free for both kinds");
}

impl Servers {
    fn start(
        count: usize,
        answer: impl Fn(usize, &Asked) -> Answers + Send + Sync + 'static,
    ) -> Self {
        let (port, sockets) = sockets(count);
        let asked: Arc<Vec<AtomicUsize>> =
            Arc::new((0..count).map(|_| AtomicUsize::new(0)).collect());
        let names = Arc::<Mutex<Vec<String>>>::default();
        let answer = Arc::new(answer);
        for (number, (socket, listener)) in sockets.into_iter().enumerate() {
            let respond = {
                let (asked, names, answer) = (asked.clone(), names.clone(), answer.clone());
                move |message: &[u8], by_stream: bool| {
                    asked[number].fetch_add(1, Ordering::SeqCst);
                    let question = read(message, by_stream);
                    names.lock().unwrap().push(question.name.clone());
                    answer(number, &question)
                }
            };
            let by_stream = respond.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 1500];
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    for datagram in respond(&buffer[..length], false) {
                        // Whoever asked may have gone.
                        let _ = socket.send_to(&datagram, from);
                    }
                }
            });
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let mut length = [0; 2];
                    stream.read_exact(&mut length).unwrap();
                    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut message).unwrap();
                    for answer in by_stream(&message, true) {
                        let length = (answer.len() as u16).to_be_bytes();
                        let _ = stream.write_all(&[&length, &*answer].concat());
                    }
                }
            });
        }
        Self { port, asked, names }
    }

    fn counts(&self) -> Vec<usize> {
        self.asked.iter().map(|count| count.swap(0, Ordering::SeqCst)).collect()
    }

    /// Looks up a name with these servers, and further lines of `resolv.conf`.
    fn look_up(&self, lines: &str, name: &str) -> Result<Vec<String>, (ErrorKind, String)> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let directory = test_directory(&format!("names-{number}"));
        let servers: String =
            (1..=self.asked.len()).map(|it| format!("nameserver 127.0.0.{it}\n")).collect();
        let resolv_conf = directory.join("resolv.conf");
        std::fs::write(&resolv_conf, format!("options timeout:10\n{lines}\n{servers}")).unwrap();
        let hosts = directory.join("hosts");
        std::fs::write(&hosts, "192.0.2.99 known.example\n").unwrap();
        let files = Files { hosts, resolv_conf, port: self.port };
        let found = look_up(&files, name, Instant::now() + Duration::from_secs(120));
        std::fs::remove_dir_all(directory).unwrap();
        match found {
            Ok(found) => Ok(found.iter().map(ToString::to_string).collect()),
            Err(error) => Err((error.kind(), error.to_string())),
        }
    }
}

fn read(message: &[u8], by_stream: bool) -> Asked<'_> {
    let mut at = 12;
    let mut labels = Vec::new();
    while message[at] > 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8(message[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    Asked { message, name: labels.join("."), kind, by_stream, extended: message.len() > at + 5 }
}

const BOTH: [&str; 2] = ["2001:db8::1", "192.0.2.1"];

fn found(addresses: &[&str]) -> Result<Vec<String>, (ErrorKind, String)> {
    Ok(addresses.iter().map(ToString::to_string).collect())
}

#[test]
fn addresses_need_no_server() {
    let servers = Servers::start(1, |_, asked| vec![asked.address(1)]);
    let check = |name: &str, expected: &[&str]| {
        assert_eq!(servers.look_up("", name), found(expected), "{name}");
    };
    check("192.0.2.7", &["192.0.2.7"]);
    check("[2001:db8::7]", &["2001:db8::7"]);
    check("2001:db8::7", &["2001:db8::7"]);
    check("localhost", &["127.0.0.1", "::1"]);
    check("Registry.LocalHost.", &["127.0.0.1", "::1"]);
    check("known.example", &["192.0.2.99"]);
    check("KNOWN.example.", &["192.0.2.99"]);
    for name in ["127.1", "2130706433", "0x7f.0x1", "", ".", "x.1"] {
        assert_eq!(servers.look_up("", name).unwrap_err().0, ErrorKind::NotFound, "{name}");
    }
    assert_eq!(servers.counts(), [0]);
}

#[test]
fn both_kinds_of_addresses_are_asked_for_at_once() {
    let servers = Servers::start(1, |_, asked| vec![asked.address(1)]);
    assert_eq!(servers.look_up("", "registry.example"), found(&BOTH));
    assert_eq!(servers.counts(), [2]);
    assert_eq!(servers.look_up("options no-aaaa", "registry.example"), found(&BOTH[1..]));
    assert_eq!(servers.counts(), [1]);
    // A server that never answers for one of them holds nobody up.
    for kind in [1, 28] {
        let deaf = Servers::start(1, move |_, asked| match asked.kind == kind {
            true => vec![asked.address(1)],
            false => vec![],
        });
        let expected = if kind == 1 { &BOTH[1..] } else { &BOTH[..1] };
        // Half of what two attempts would take, unless the machine is busy for a moment.
        let in_time = || {
            let began = Instant::now();
            assert_eq!(deaf.look_up("options timeout:2", "registry.example"), found(expected));
            began.elapsed() < Duration::from_secs(4)
        };
        assert!((0..8).any(|_| in_time()), "{kind}");
    }
}

#[test]
fn an_answer_that_does_not_fit_comes_by_tcp() {
    let servers = Servers::start(1, |_, asked| {
        let mut answer = asked.address(1);
        if !asked.by_stream {
            answer[2] |= 2;
            answer.truncate(12 + asked.name.len() + 2 + 4);
        }
        vec![answer]
    });
    assert_eq!(servers.look_up("", "registry.example"), found(&BOTH));
    assert_eq!(servers.counts(), [4]);
    // Without datagrams at all.
    assert_eq!(servers.look_up("options use-vc", "registry.example"), found(&BOTH));
    assert_eq!(servers.counts(), [2]);
}

#[test]
fn a_server_from_before_edns_is_asked_without() {
    let servers = Servers::start(1, |_, asked| match asked.extended {
        true => vec![asked.answer(1, &[])],
        false => vec![asked.address(1)],
    });
    assert_eq!(servers.look_up("options edns0", "registry.example"), found(&BOTH));
    assert_eq!(servers.counts(), [4]);
}

#[test]
fn lies_are_passed_by() {
    let lie = |what: &'static str| {
        Servers::start(1, move |_, asked| {
            let (fine, mut wrong) = (asked.address(1), asked.address(66));
            match what {
                "another number" => wrong[0] ^= 1,
                "another name" => wrong[14] ^= 1,
                "another kind" => wrong[12 + asked.name.len() + 3] ^= 1,
                "a question" => wrong[2] = 1,
                _ => wrong.truncate(20),
            }
            vec![wrong, fine]
        })
    };
    for what in ["another number", "another name", "another kind", "a question", "a part"] {
        assert_eq!(lie(what).look_up("", "registry.example"), found(&BOTH), "{what}");
    }
    // Without end.
    let flood = Servers::start(1, |_, asked| {
        let mut wrong = asked.address(66);
        wrong[0] ^= 1;
        vec![wrong; 80]
    });
    let (kind, text) = flood.look_up("options timeout:1", "registry.example").unwrap_err();
    assert_eq!(kind, ErrorKind::Network, "{text}");
}

#[test]
fn a_datagram_from_somewhere_else_is_no_answer() {
    let other = UdpSocket::bind("127.0.0.9:0").unwrap();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            let asked = read(&buffer[..length], false);
            // The right number, the right port, and the wrong sender, who is faster.
            let _ = other.send_to(&asked.address(66), from);
            std::thread::sleep(Duration::from_millis(50));
            let _ = server.send_to(&asked.address(1), from);
        }
    });
    let settings = Settings::read(b"nameserver 127.0.0.1\noptions timeout:30", port);
    let until = Instant::now() + Duration::from_secs(60);
    let addresses = ask::ask(&settings, &["registry.example".into()], until).unwrap();
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, BOTH);
}

#[test]
fn aliases_are_followed_and_circles_are_not() {
    let chain = |circle: bool| {
        Servers::start(1, move |_, asked| {
            // The name, and n.example, n-1.example ... behind it.
            let mut answer = asked.answer(0, &[]);
            let mut owner = vec![0xc0, 12];
            for number in 0..12_u8 {
                let target = match number == 11 && circle {
                    true => vec![0xc0, 12],
                    false => [&[1, b'a' + number][..], b"\x07example\0"].concat(),
                };
                answer.extend(&owner);
                answer.extend([5, 1, 0, 60, target.len() as u16].map(u16::to_be_bytes).concat());
                answer.extend(&target);
                owner = target;
            }
            answer[7] = 12;
            if asked.kind == 1 && !circle {
                answer[7] = 13;
                answer.extend(&owner);
                answer.extend([1, 1, 0, 60, 4].map(u16::to_be_bytes).concat());
                answer.extend([192, 0, 2, 1]);
            }
            vec![answer]
        })
    };
    assert_eq!(chain(false).look_up("", "registry.example"), found(&BOTH[1..]));
    let (kind, text) = chain(true).look_up("", "registry.example").unwrap_err();
    assert_eq!(kind, ErrorKind::Network);
    assert!(text.contains("127.0.0.1: its answer makes no sense"), "{text}");
}

#[test]
fn a_name_that_is_not_there_is_not_asked_for_again() {
    for code in [0, 3] {
        let servers = Servers::start(2, move |_, asked| vec![asked.answer(code, &[])]);
        let (kind, text) = servers.look_up("", "registry.example").unwrap_err();
        assert_eq!((kind, &*text), (ErrorKind::NotFound, "there is no host `registry.example`"));
        assert_eq!(servers.counts(), [2, 0]);
    }
}

#[test]
fn the_search_list_is_gone_through() {
    let servers = Servers::start(1, |_, asked| match &*asked.name {
        "registry.b.example" => vec![asked.address(1)],
        _ => vec![asked.answer(3, &[])],
    });
    let search = "search a.example b.example";
    assert_eq!(servers.look_up(search, "registry"), found(&BOTH));
    let mut names = std::mem::take(&mut *servers.names.lock().unwrap());
    names.dedup();
    assert_eq!(names, ["registry.a.example", "registry.b.example"]);
    assert_eq!(servers.look_up(search, "registry.").unwrap_err().0, ErrorKind::NotFound);
}

#[test]
fn another_server_is_asked_when_one_is_no_help() {
    for fault in ["silent", "in trouble", "refusing", "confused", "gone"] {
        let servers = Servers::start(3, move |number, asked| match (number, fault) {
            (2, _) => vec![asked.address(1)],
            (_, "silent") => vec![],
            (_, "in trouble") => vec![asked.answer(2, &[])],
            (_, "refusing") => vec![asked.answer(5, &[])],
            _ => vec![asked.answer(0, &[(asked.kind, &[1])])],
        });
        let lines =
            if fault == "silent" { "options attempts:1 timeout:3" } else { "options attempts:1" };
        let servers = match fault {
            // Nobody listens at the first two.
            "gone" => {
                let first = format!("nameserver 127.0.0.8\nnameserver 127.0.0.9\n{lines}");
                let one = Servers::start(1, |_, asked| vec![asked.address(1)]);
                assert_eq!(one.look_up(&first, "registry.example"), found(&BOTH));
                continue;
            }
            _ => servers,
        };
        assert_eq!(servers.look_up(lines, "registry.example"), found(&BOTH), "{fault}");
        assert_eq!(servers.counts(), [2, 2, 2], "{fault}");
    }
}

#[test]
fn nobody_waits_for_servers_longer_than_was_said() {
    let servers = Servers::start(2, |_, _| vec![]);
    let began = Instant::now();
    let (kind, text) =
        servers.look_up("options attempts:1 timeout:1", "registry.example").unwrap_err();
    assert_eq!(kind, ErrorKind::Network);
    assert_eq!(text, "look up `registry.example`: 127.0.0.2: does not answer");
    let taken = began.elapsed();
    assert!((1..60).contains(&taken.as_secs()), "{taken:?}");
    // The caller's time counts, too.
    let files = Files { port: servers.port, ..Files::default() };
    let settings = Settings::read(b"nameserver 127.0.0.1\noptions timeout:30", files.port);
    let began = Instant::now();
    let until = began + Duration::from_millis(200);
    assert!(ask::ask(&settings, &["registry.example".into()], until).is_err());
    assert!(began.elapsed() < Duration::from_secs(25));
}

#[test]
fn servers_take_turns_when_that_is_wanted() {
    let servers = Servers::start(2, |_, asked| vec![asked.address(1)]);
    for _ in 0..40 {
        assert_eq!(servers.look_up("options rotate", "registry.example"), found(&BOTH));
    }
    let counts = servers.counts();
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    assert_eq!(servers.look_up("", "registry.example"), found(&BOTH));
    assert_eq!(servers.counts(), [2, 0]);
}
