//! The service in a container of the test's own, with a server of the test's own behind it.

use super::*;
use crate::networks::Places;
use crate::testing::Temporary;
use crate::{AttachRequest, NetworkSpec, Networks};
use private_net::Host;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;

/// A host with two containers, `web` and `db`, in network `n`, and the name service of the first one.
struct Setting {
    host: Host,
    networks: Networks,
    containers: Vec<Fd>,
    _temporary: Temporary,
}

impl Setting {
    fn new(test: &str) -> Option<Self> {
        let host = Host::new(test)?;
        let temporary = Temporary::new();
        let places =
            Places { records: temporary.path().join("r"), run: temporary.path().join("x") };
        let networks = Networks::open(&places).unwrap();
        let spec = NetworkSpec { name: "n".into(), ipv6: true, ..NetworkSpec::default() };
        let network = networks.create(&spec).unwrap();
        let mut containers = Vec::new();
        for name in ["web", "db"] {
            let netns = host.container();
            let aliases = [format!("{name}-alias"), "both".into()];
            let request = AttachRequest {
                container: &format!("{name}0123456789abcdef"),
                name,
                aliases: &aliases,
                netns: &netns,
                interface: None,
                devices: None,
                addresses: &[],
                link_local: &[],
                mac: None,
                ports: &[],
                default_route: true,
            };
            networks.attach(&network, &request).unwrap();
            containers.push(netns);
        }
        Some(Self { host, networks, containers, _temporary: temporary })
    }

    /// A name service that asks these servers, and runs as long as `work` does.
    fn serve<T>(&self, config: &NameConfig, forward: bool, work: impl FnOnce() -> T) -> T {
        let mut service = NameService::open(&self.containers[0], config).unwrap();
        let network = self.networks.get("n").unwrap();
        service.set_networks(&self.networks, &[network], forward).unwrap();
        let done = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (host, service, done) = (self.host.own(), &mut service, done);
            scope.spawn(move || {
                sys::process::set_namespace(host, sys::process::CLONE_NEWNET).unwrap();
                while !done.load(Ordering::Relaxed) {
                    let mut fds = Vec::new();
                    service.interests(&mut fds);
                    let wait = service.timeout_ms().unwrap_or(10).min(10);
                    sys::wait::poll(&mut fds, Some(wait)).unwrap();
                    service.serve(&fds);
                    assert!(service.pending.len() <= PENDING && service.clients.len() <= CLIENTS);
                }
            });
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            done.store(true, Ordering::Relaxed);
            result.unwrap()
        })
    }

    /// Asks by a datagram, as a program in the container does.
    fn ask(&self, name: &str, kind: u16) -> Vec<u8> {
        let message = question(name, kind);
        self.host.inside(&self.containers[0], || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            socket.connect("127.0.0.11:53").unwrap();
            socket.send(&message).unwrap();
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        })
    }

    fn ask_by_stream(&self, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.host.inside(&self.containers[0], || {
            let mut stream = std::net::TcpStream::connect("127.0.0.11:53").unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut answers = Vec::new();
            for message in messages {
                let whole = [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
                // Nobody has to send it at once.
                let (one, two) = whole.split_at(7);
                stream.write_all(one).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(two).unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut answer).unwrap();
                answers.push(answer);
            }
            answers
        })
    }
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, kind as u8, 0, 1]);
    message
}

/// Code, and addresses or names of the answer.
fn read(answer: &[u8]) -> (u8, Vec<String>) {
    assert_eq!(answer[..2], [0x12, 0x34]);
    let asked = 12 + answer[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
    let mut rest = &answer[asked..];
    let mut found = Vec::new();
    for _ in 0..answer[7] {
        let length = usize::from(rest[11]);
        let data = &rest[12..12 + length];
        found.push(match length {
            4 => <[u8; 4]>::try_from(data).map(|octets| IpAddr::from(octets).to_string()).unwrap(),
            16 => {
                <[u8; 16]>::try_from(data).map(|octets| IpAddr::from(octets).to_string()).unwrap()
            }
            _ => String::from_utf8_lossy(data).chars().filter(|c| c.is_ascii_graphic()).collect(),
        });
        rest = &rest[12 + length..];
    }
    found.sort();
    (wire::code(answer), found)
}

/// What a server of the test's does with questions.
#[derive(Clone, Copy)]
enum Server {
    /// It answers 192.0.2.80; as a datagram only that this does not fit.
    Cuts,
    /// It answers 192.0.2.80.
    Answers,
    /// It says that it cannot.
    Fails,
    /// It says nothing.
    Silent,
    /// What it says is no answer to the question.
    Garbles,
    /// It answers when nobody waits any more.
    IsLate,
}

/// What is no answer to a question, each time something else.
fn garbage(message: &[u8], number: usize) -> Vec<u8> {
    let id = &message[..2];
    match number % 6 {
        // Too short; no answer but a question; that to another question; counts without an end; names that lead to
        // themselves; too long.
        0 => id.to_vec(),
        1 => message.to_vec(),
        2 => [id, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1]].concat(),
        3 => [id, &[0x80, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat(),
        4 => [id, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]].concat(),
        _ => vec![0xff; 9000],
    }
}

/// Later than anybody waits.
const LATE_MS: u64 = 2500;
static SAID: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// A server on the host; the thread ends with the test's process.
fn server(address: &str, how: Server) {
    let answer = move |message: &[u8], by_stream: bool| -> Option<Vec<u8>> {
        let query = Query::read(message).ok()?;
        let records = [wire::Record::Address([192, 0, 2, 80].into())];
        match how {
            Server::Silent => None,
            Server::Garbles => Some(garbage(message, SAID.fetch_add(1, Ordering::Relaxed))),
            Server::IsLate => {
                std::thread::sleep(Duration::from_millis(LATE_MS));
                Some(query.answer(Code::Fine, &records))
            }
            Server::Fails => Some(query.answer(Code::Failed, &[])),
            Server::Cuts if !by_stream => Some(wire::cut(&query.answer(Code::Fine, &records))),
            Server::Cuts | Server::Answers => Some(query.answer(Code::Fine, &records)),
        }
    };
    let socket = UdpSocket::bind(address).unwrap();
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            // Somebody else's answer comes first, and has to be passed by.
            let _ = socket.send_to(&[0; 20], peer);
            if let Some(answer) = answer(&buffer[..length], false) {
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut message).is_ok()
                && let Some(answer) = answer(&message, true)
            {
                let _ =
                    stream.write_all(&[&(answer.len() as u16).to_be_bytes(), &answer[..]].concat());
            }
        }
    });
}

fn config(servers: &[&str]) -> NameConfig {
    let servers = servers.iter().map(|ip| ip.parse().unwrap()).collect();
    NameConfig { servers, port: None, forward: true }
}

#[test]
fn containers_are_found_by_all_their_names() {
    let Some(setting) = Setting::new("containers_are_found_by_all_their_names") else { return };
    let network = setting.networks.get("n").unwrap();
    let db = setting.networks.attachment(&network, "db0123456789abcdef").unwrap();
    let web = setting.networks.attachment(&network, "web0123456789abcdef").unwrap();
    let (v4, v6) = (db.addresses[0].address(), db.addresses[1].address());
    setting.serve(&NameConfig::default(), false, || {
        for name in ["db", "DB", "db-alias", "db0123456789", "db.n", "db-alias.n"] {
            assert_eq!(read(&setting.ask(name, A)), (0, vec![v4.to_string()]), "{name}");
            assert_eq!(read(&setting.ask(name, AAAA)), (0, vec![v6.to_string()]), "{name}");
        }
        let mut both = vec![v4.to_string(), web.addresses[0].address().to_string()];
        both.sort();
        assert_eq!(read(&setting.ask("both", A)), (0, both));
        // It has the name, but nothing of this kind.
        assert_eq!(read(&setting.ask("db", 15)), (0, vec![]));
        let IpAddr::V4(address) = v4 else { panic!("the first one is of IPv4") };
        let [a, b, c, d] = address.octets();
        let reversed = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
        assert_eq!(read(&setting.ask(&reversed, PTR)), (0, vec!["dbn".into()]));
        // Nobody is asked about others.
        for name in ["nobody", "db.other", "example.com", "a/b", "..", "names"] {
            assert_eq!(read(&setting.ask(name, A)).0, 2, "{name}");
        }
        // Those who have gone are not known.
        setting.networks.detach(&network, "db0123456789abcdef", None).unwrap();
        assert_eq!(read(&setting.ask("db", A)).0, 2);
    });
}

#[test]
fn other_names_are_asked_of_the_host_s_servers() {
    let Some(setting) = Setting::new("other_names_are_asked_of_the_host_s_servers") else { return };
    // The host's own loopback address: the container could not ask there.
    server("127.0.0.1:53", Server::Answers);
    server("127.0.0.2:53", Server::Cuts);
    let expected = (0, vec!["192.0.2.80".to_owned()]);
    setting.serve(&config(&["127.0.0.1"]), true, || {
        assert_eq!(read(&setting.ask("example.com", A)), expected);
        let messages = [question("example.com", A), question("web", A), question("x.org", A)];
        let answers = setting.ask_by_stream(&messages);
        assert_eq!((read(&answers[0]), read(&answers[2])), (expected.clone(), expected.clone()));
        assert_eq!(read(&answers[1]).0, 0);
    });
    setting.serve(&config(&["127.0.0.2"]), true, || {
        let answer = setting.ask("example.com", A);
        assert_eq!((answer[2] & 2, answer[7]), (2, 0), "it does not fit, and says so");
        assert_eq!(read(&setting.ask_by_stream(&[question("example.com", A)])[0]), expected);
    });
}

#[test]
fn dead_servers_cost_little_and_are_not_asked_first_again() {
    let Some(setting) = Setting::new("dead_servers_cost_little_and_are_not_asked_first_again")
    else {
        return;
    };
    server("127.0.0.1:53", Server::Silent);
    server("127.0.0.2:53", Server::Fails);
    server("127.0.0.3:53", Server::Answers);
    let asked = || read(&setting.ask("example.com", A));
    let fine = (0, vec!["192.0.2.80".to_owned()]);
    setting.serve(&config(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]), true, || {
        assert_eq!(asked(), fine);
        // The third one is asked at once.
        in_time(Duration::from_millis(1000), || assert_eq!(asked(), fine));
    });
    // Nobody is there, which the kernel says at once; the last word is the one who could not help.
    setting.serve(&config(&["127.0.0.9", "127.0.0.2"]), true, || {
        in_time(Duration::from_millis(1000), || assert_eq!(asked().0, 2));
    });
    setting.serve(&config(&["127.0.0.1", "127.0.0.1", "127.0.0.1"]), true, || {
        // Before its asker gives up.
        in_time(Duration::from_millis(4950), || assert_eq!(asked().0, 2));
        in_time(Duration::from_secs(6), || {
            let answer = setting.ask_by_stream(&[question("example.com", A)]);
            assert_eq!(read(&answer[0]).0, 2);
        });
    });
}

/// Something takes less than this, on a machine that may be busy with something else for a moment.
fn in_time(limit: Duration, work: impl Fn()) {
    const TRIES: usize = 8;
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let start = Instant::now();
        work();
        took.push(start.elapsed());
        if took.iter().any(|it| *it < limit) {
            return;
        }
    }
    panic!("none of {took:?} is less than {limit:?}");
}

#[test]
fn garbage_and_late_answers_are_failures_in_time_and_nobody_waits_for_them() {
    let test = "garbage_and_late_answers_are_failures_in_time_and_nobody_waits_for_them";
    let Some(setting) = Setting::new(test) else { return };
    server("127.0.0.1:53", Server::Garbles);
    server("127.0.0.2:53", Server::IsLate);
    server("127.0.0.3:53", Server::Answers);
    let fine = (0, vec!["192.0.2.80".to_owned()]);
    setting.serve(&config(&["127.0.0.1", "127.0.0.2"]), true, || {
        for _ in 0..2 {
            in_time(Duration::from_millis(4950), || {
                assert_eq!(read(&setting.ask("example.com", A)).0, 2)
            });
        }
        // The container's own names are known meanwhile: most of ten questions of a second are answered before that one.
        let meanwhile = || {
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| read(&setting.ask("example.com", A)));
                let count = (0..10).filter(|_| {
                    std::thread::sleep(Duration::from_millis(50));
                    assert_eq!(read(&setting.ask("db", A)).0, 0);
                    !asked.is_finished()
                });
                let count = count.count();
                assert_eq!(asked.join().unwrap().0, 2);
                count
            })
        };
        assert!((0..8).any(|_| meanwhile() > 5), "others wait for it");
        in_time(Duration::from_secs(6), || {
            let answer = setting.ask_by_stream(&[question("example.com", A)]);
            assert_eq!(read(&answer[0]).0, 2);
        });
    });
    // One that answers is found behind both.
    setting.serve(&config(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]), true, || {
        assert_eq!(read(&setting.ask("example.com", A)), fine);
        assert_eq!(read(&setting.ask("example.com", A)), fine);
    });
}

/// Sends more questions than there may be at a time, and looks at the answers to the last ones. `false`: it took so long
/// that there may have been fewer at a time.
fn ask_too_much(setting: &Setting, socket: &UdpSocket, round: usize) -> bool {
    const MORE: usize = 40;
    /// Less than a server is waited for.
    const LIMIT: Duration = Duration::from_millis(1200);
    let all = PENDING + MORE;
    let start = Instant::now();
    for number in 0..all {
        let mut message = question(&format!("x{number}.org"), A);
        message[..2].copy_from_slice(&((round * all + number) as u16).to_be_bytes());
        socket.send(&message).unwrap();
        // What was sent before was looked at when this is answered.
        if number % 20 == 19 || number == all - 1 {
            assert_eq!(read(&setting.ask("db", A)).0, 0);
        }
    }
    let in_time = start.elapsed() < LIMIT;
    // Every one is told something in the end, and those that are too many before that.
    let (mut buffer, mut told) = ([0; 512], Vec::new());
    while told.len() < all {
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(wire::code(&buffer[..length]), 2);
        told.push(usize::from(u16::from_be_bytes([buffer[0], buffer[1]])) - round * all);
    }
    in_time && told[..MORE].iter().all(|number| *number >= PENDING)
}

#[test]
fn who_asks_too_much_is_told_so_and_others_are_served() {
    let Some(setting) = Setting::new("who_asks_too_much_is_told_so_and_others_are_served") else {
        return;
    };
    server("127.0.0.1:53", Server::Silent);
    setting.serve(&config(&["127.0.0.1"]), true, || {
        setting.host.inside(&setting.containers[0], || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect("127.0.0.11:53").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            // All of them are there before the first one is given up; a busy machine needs more than one try.
            assert!(
                (0..8).any(|round| ask_too_much(&setting, &socket, round)),
                "nobody is told so"
            );
            // Connections on which nobody says anything.
            let idle: Vec<_> = (0..CLIENTS + 8)
                .map(|_| std::net::TcpStream::connect("127.0.0.11:53").unwrap())
                .collect();
            drop(idle);
        });
        assert_eq!(read(&setting.ask("db", A)).0, 0);
        assert_eq!(read(&setting.ask_by_stream(&[question("db", A)])[0]).0, 0);
    });
}

#[test]
fn junk_is_survived() {
    let Some(setting) = Setting::new("junk_is_survived") else { return };
    setting.serve(&config(&[]), true, || {
        setting.host.inside(&setting.containers[0], || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect("127.0.0.11:53").unwrap();
            let mut bytes = vec![0; 4096];
            for number in 0..200 {
                sys::time::random(&mut bytes[..256]).unwrap();
                let length = [0, 1, 11, 12, 13, 17, 40, 4096][number % 8];
                socket.send(&bytes[..length]).unwrap();
            }
            for junk in
                [&b"\x00\x00"[..], b"\xff\xffabc", b"\x00\x03abc", b"GET / HTTP/1.1\r\n\r\n"]
            {
                let mut stream = std::net::TcpStream::connect("127.0.0.11:53").unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                let _ = stream.write_all(junk);
                let _ = stream.read(&mut [0; 64]);
            }
        });
        assert_eq!(read(&setting.ask("db", A)).0, 0);
    });
}

#[test]
fn a_container_can_have_a_name_server_of_its_own() {
    let Some(setting) = Setting::new("a_container_can_have_a_name_server_of_its_own") else {
        return;
    };
    setting.serve(&config(&[]), true, || {
        setting.host.inside(&setting.containers[0], || {
            let _listener = TcpListener::bind("0.0.0.0:53").unwrap();
            let _socket = UdpSocket::bind("0.0.0.0:53").unwrap();
        });
        assert_eq!(read(&setting.ask("db", A)).0, 0);
    });
    // Another one in its place: that of a supervisor that was killed.
    setting.serve(&config(&[]), true, || assert_eq!(read(&setting.ask("db", A)).0, 0));
}
