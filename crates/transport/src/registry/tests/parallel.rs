//! Large blobs over several connections.

use super::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const SIZE: usize = 4 << 20;
const PIECE: u64 = 256 << 10;
/// What a slow server sends over a connection in a second.
const SLOW: usize = 1 << 20;

fn rules() -> Parallel {
    Parallel {
        least_bytes: 1 << 20,
        connections: 4,
        piece_bytes: PIECE,
        watch: Duration::from_millis(50),
        ..Parallel::default()
    }
}

fn connect_with(server: &Server, parallel: Parallel) -> Registry {
    let options = Options { parallel, ..options() };
    Registry::connect(&reference(server, ""), options).unwrap()
}

/// A server whose answers for the blob a hook may change.
fn start(
    speed: usize,
    hook: impl Fn(&Asked, Reply) -> Reply + Send + Sync + 'static,
) -> (Server, Vec<u8>, Descriptor) {
    let body = content(SIZE);
    let server = Server::start(move |asked, server| {
        asked.is("GET", "/blobs/sha256").then(|| hook(asked, server.answer(asked)))
    });
    let wanted = descriptor(&body);
    server.put_blob(&wanted.digest.to_string(), &body);
    server.keep();
    server.slow_down(speed);
    (server, body, wanted)
}

/// The ranges that were asked for.
fn ranges(server: &Server) -> Vec<String> {
    let log = server.log();
    let ranges = log.iter().filter(|asked| asked.is("GET", "/blobs/"));
    ranges.map(|asked| asked.header("range").to_owned()).collect()
}

#[test]
fn a_slow_link_is_used_several_times_at_once() {
    let mut times = Vec::new();
    for connections in [1, 4] {
        let (server, body, wanted) = start(SLOW, |_, reply| reply);
        let registry = connect_with(&server, Parallel { connections, ..rules() });
        let began = Instant::now();
        assert!(read_blob(&registry, &wanted).unwrap() == body);
        times.push(began.elapsed());
        let mut asked = ranges(&server);
        assert_eq!(asked.remove(0), "");
        assert_eq!(asked.is_empty(), connections == 1, "{asked:?}");
        // Each byte behind the first connection's part is asked for once, in pieces.
        let mut begins: Vec<u64> = asked
            .iter()
            .map(|range| {
                range.trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap()
            })
            .collect();
        begins.sort_unstable();
        assert!(begins.windows(2).all(|pair| pair[1] - pair[0] == PIECE), "{begins:?}");
        // TLS once by mistake, one to begin with, and the others, which are kept for the next piece.
        assert!(server.connections() <= 4 + connections, "{}", server.connections());
        server.stop();
    }
    assert!(times[1] * 2 < times[0], "{times:?}");
}

#[test]
fn a_fast_link_a_slow_reader_and_small_blobs_have_one_connection() {
    let (server, body, wanted) = start(0, |_, reply| reply);
    // Slow enough for a machine that does much else.
    let fast = Parallel { fast_bytes_per_second: 100_000, ..rules() };
    assert!(read_blob(&connect_with(&server, fast), &wanted).unwrap() == body);
    let registry = connect_with(&server, rules());
    let mut blob = registry.blob(&wanted).unwrap();
    let mut all = Vec::new();
    let mut part = vec![0; 128 << 10];
    loop {
        std::thread::sleep(Duration::from_millis(10));
        match std::io::Read::read(&mut blob, &mut part).unwrap() {
            0 => break,
            count => all.extend_from_slice(&part[..count]),
        }
    }
    assert!(all == body);
    server.slow_down(8 * SLOW);
    let small = Parallel { least_bytes: SIZE as u64 + 1, ..rules() };
    assert!(read_blob(&connect_with(&server, small), &wanted).unwrap() == body);
    assert_eq!(ranges(&server), ["", "", ""]);
    server.stop();
}

#[test]
fn connections_have_a_limit_over_all_blobs() {
    let at_once = Arc::new(Mutex::new((0_usize, 0_usize)));
    let (server, body, wanted) = start(SLOW, |_, reply| reply);
    let registry = Arc::new(connect_with(&server, rules()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let found = read_blob(&registry, &wanted).unwrap();
                assert!(found == body);
                at_once.lock().unwrap().0 += 1;
            });
        }
    });
    assert_eq!(at_once.lock().unwrap().0, 3);
    // One each, four more for all, and TLS once by mistake.
    assert!(server.connections() <= 1 + 3 + 4 + 3, "{}", server.connections());
    server.stop();
}

#[test]
fn parts_that_fail_are_taken_up_where_they_were() {
    let (server, body, wanted) = start(SLOW, |asked, reply| {
        // Every piece is cut once. The same range is asked for by the same path, so count by range.
        match asked.header("range").ends_with(|it: char| it.is_ascii_digit()) {
            true => {
                let begin = asked.header("range").trim_start_matches("bytes=").split('-').next();
                let begin: u64 = begin.unwrap().parse().unwrap();
                match begin % 7 {
                    0 | 3 => reply.cut(100_000),
                    _ => reply,
                }
            }
            false => reply,
        }
    });
    assert!(read_blob(&connect_with(&server, rules()), &wanted).unwrap() == body);
    server.stop();
}

#[test]
fn where_parts_cannot_be_had_it_goes_on_with_one_connection() {
    for fault in ["ignored", "none", "wrong range", "wrong total", "multipart", "denied", "gone"] {
        let (server, body, wanted) = start(8 * SLOW, move |asked, mut reply| {
            let is_part = asked.header("range").ends_with(|it: char| it.is_ascii_digit());
            let range = |text: &str| vec![("Content-Range".to_owned(), text.to_owned())];
            match fault {
                "none" => reply = reply.header("Accept-Ranges", "none"),
                _ if !is_part => {}
                "ignored" => reply = Reply::new(200).body(&content(SIZE)),
                "wrong range" => reply.headers = range(&format!("bytes 0-9/{SIZE}")),
                "wrong total" => {
                    let begin = asked.header("range").trim_start_matches("bytes=");
                    reply.headers = range(&format!("bytes {begin}/{}", SIZE + 1));
                }
                "multipart" => reply.headers.clear(),
                "denied" => reply = Reply::new(403),
                _ => reply = Reply::new(416),
            }
            reply
        });
        let registry = connect_with(&server, rules());
        assert!(read_blob(&registry, &wanted).unwrap() == body, "{fault}");
        assert_eq!(ranges(&server).len() > 1, fault != "none", "{fault}");
        server.stop();
    }
}

#[test]
fn parts_of_two_versions_are_not_mixed() {
    for knows_if_range in [true, false] {
        let changed = Arc::new(AtomicBool::new(false));
        let seen = changed.clone();
        let (server, body, wanted) = start(8 * SLOW, move |asked, reply| {
            let is_part = !asked.header("range").is_empty();
            if is_part {
                assert_eq!(asked.header("if-range"), "\"one\"");
                seen.store(true, Ordering::SeqCst);
                return match knows_if_range {
                    true => Reply::new(200).header("ETag", "\"two\"").body(&content(SIZE)),
                    false => {
                        let mut other = reply.header("ETag", "\"two\"");
                        other.body.fill(0);
                        other
                    }
                };
            }
            // The whole is the new version, which happens to be what the digest says.
            let name = if seen.load(Ordering::SeqCst) { "\"two\"" } else { "\"one\"" };
            reply.header("ETag", name)
        });
        assert!(read_blob(&connect_with(&server, rules()), &wanted).unwrap() == body);
        assert!(changed.load(Ordering::SeqCst));
        server.stop();
    }
}

#[test]
fn a_blob_that_is_let_go_of_ends_its_connections() {
    let (server, _, wanted) = start(SLOW, |_, reply| reply);
    let registry = connect_with(&server, rules());
    let mut blob = registry.blob(&wanted).unwrap();
    let mut part = vec![0; 1 << 20];
    std::io::Read::read_exact(&mut blob, &mut part).unwrap();
    drop(blob);
    let asked = ranges(&server).len();
    // What was under way ends, and nothing begins.
    let began = Instant::now();
    while registry.session.parallel().1.in_use() > 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "threads do not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ranges(&server).len() <= asked + 4);
    server.stop();
}
