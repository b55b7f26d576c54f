//! HTTP 2: what is shared, and what becomes of it when the connection ends.

use super::front::Signal;
use super::*;
use crate::ErrorKind;
use crate::certs::Certificates;
use std::io::Read;
use std::sync::Mutex;
use std::time::Instant;

/// A registry of the tests with its front.
fn start(
    rules: Rules,
    hook: impl Fn(&Asked, &Server) -> Option<Reply> + Send + Sync + 'static,
) -> (Server, Front) {
    let server = Server::start(hook);
    let front = Front::start(&server, rules);
    (server, front)
}

fn reach(front: &Front, change: impl Fn(&mut Options)) -> Result<Registry> {
    let mut options = encrypted_options();
    change(&mut options);
    Registry::connect(&front.name(), options)
}

/// Blobs of a registry, and what they are.
fn put_blobs(server: &Server, count: usize, size: usize) -> Vec<(Vec<u8>, Descriptor)> {
    let blobs = (0..count).map(|number| content(size + number));
    let blobs = blobs.map(|blob| (blob.clone(), descriptor(&blob)));
    blobs.inspect(|(blob, found)| server.put_blob(&found.digest.to_string(), blob)).collect()
}

/// Reads all of them at once.
fn read_all(registry: &Registry, blobs: &[(Vec<u8>, Descriptor)]) {
    std::thread::scope(|scope| {
        for (blob, found) in blobs {
            scope.spawn(|| assert!(read_blob(registry, found).unwrap() == *blob));
        }
    });
}

/// Waits until something is so.
fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Threads of ours that drive connections.
fn drivers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")));
    names.flatten().filter(|name| name.trim() == "http2").count()
}

#[test]
fn everything_goes_by_one_connection_and_one_thread() {
    let (server, front) = start(Rules::default(), |_, _| None);
    let plain = connect(&server);
    plain.put_blob(&descriptor(b"x"), &mut &b"x"[..]).unwrap();
    assert_eq!(drivers(), 0);
    let registry = reach(&front, |_| {}).unwrap();
    let blobs: Vec<Vec<u8>> = (1..9).map(|number| content(number * 70_000)).collect();
    std::thread::scope(|scope| {
        for blob in &blobs {
            scope.spawn(|| {
                registry.put_blob(&descriptor(blob), &mut &**blob).unwrap();
                assert!(read_blob(&registry, &descriptor(blob)).unwrap() == *blob);
                assert!(registry.has_blob(descriptor(blob).verifiable().unwrap()).unwrap());
            });
        }
    });
    assert_eq!((front.connections(), drivers()), ((1, 0), 1));
    let repository = "/v2/a/b/";
    let log = server.log();
    let shared = log.iter().filter(|asked| asked.header("by") == "2");
    assert!(shared.filter(|asked| asked.path.starts_with(repository)).count() >= 8 * 5);
    drop(registry);
    // Its end was waited for; the kernel may show it a little longer.
    until("a thread is left", || drivers() == 0);
    server.stop();
}

#[test]
fn an_image_goes_there_and_back_by_http_2() {
    let (server, front) = start(Rules::default(), |_, _| None);
    go_there_and_back_with(&front.host, encrypted_options());
    assert_eq!(front.connections().1, 0);
    server.stop();
}

#[test]
fn who_does_not_want_it_is_not_offered_it() {
    let (server, front) = start(Rules::default(), |_, _| None);
    let registry = reach(&front, |it| it.http2 = false).unwrap();
    assert!(!registry.has_blob(descriptor(b"x").verifiable().unwrap()).unwrap());
    assert_eq!((front.connections().0, drivers()), (0, 0));
    server.stop();
}

#[test]
fn what_a_server_has_not_looked_at_is_sent_again_at_once() {
    let (server, front) = start(Rules::default(), |asked, _| {
        let refused = asked.method == "PATCH" && asked.nth < 2;
        refused.then(|| Reply::new(202).header("Reset", "7"))
    });
    // Whoever waits between attempts does not end in time.
    let registry = reach(&front, |it| it.backoff = Duration::from_secs(60)).unwrap();
    let body = content(100_000);
    registry.put_blob(&descriptor(&body), &mut &*body).unwrap();
    let asked = |method: &str| server.log().iter().filter(|it| it.is(method, "/uploads/")).count();
    // Not even how much has arrived was asked.
    assert_eq!((asked("PATCH"), asked("GET"), front.connections()), (2 + 2, 0, (1, 0)));
    server.stop();
}

#[test]
fn requests_end_on_a_connection_that_takes_no_more() {
    let (server, front) = start(Rules::default(), |asked, server| {
        let mut reply = server.answer(asked);
        reply.pauses = Some((10, Duration::from_millis(100)));
        asked.is("GET", "/blobs/").then_some(reply)
    });
    let blobs = put_blobs(&server, 4, 200_000);
    let registry = reach(&front, |_| {}).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| read_all(&registry, &blobs));
        std::thread::sleep(Duration::from_millis(400));
        front.tell(Signal::Graceful);
        // What is new goes by a new one, as soon as it has heard of that.
        until("it goes by the old one", || {
            assert!(registry.has_blob(blobs[0].1.verifiable().unwrap()).unwrap());
            front.connections().0 > 1
        });
    });
    assert_eq!(front.connections(), (2, 0));
    assert!(server.log().iter().all(|asked| asked.header("range").is_empty()));
    server.stop();
}

#[test]
fn a_connection_that_dies_in_the_middle_of_several_answers_is_replaced_by_one() {
    for signal in [Signal::Close, Signal::GoAway] {
        let (server, front) = start(Rules::default(), |asked, server| {
            let mut reply = server.answer(asked);
            if asked.nth == 0 {
                reply.pauses = Some((20, Duration::from_millis(500)));
            }
            asked.is("GET", "/blobs/").then_some(reply)
        });
        let blobs = put_blobs(&server, 4, 200_000);
        let registry = reach(&front, |_| {}).unwrap();
        let begun = std::sync::Barrier::new(blobs.len() + 1);
        std::thread::scope(|scope| {
            for (blob, found) in &blobs {
                let (registry, begun) = (&registry, &begun);
                scope.spawn(move || {
                    let (mut open, mut all) = (registry.blob(found).unwrap(), vec![0; 1]);
                    open.read_exact(&mut all).unwrap();
                    begun.wait();
                    open.read_to_end(&mut all).unwrap();
                    assert!(all == *blob);
                });
            }
            // Something of each has come, and much is still to come.
            begun.wait();
            front.tell(signal);
        });
        assert_eq!(front.connections(), (2, 0));
        until("the first one's thread is left", || drivers() == 1);
        let ranges = server.log().iter().filter(|it| !it.header("range").is_empty()).count();
        assert_eq!(ranges, 4, "{signal:?}");
        drop(registry);
        server.stop();
    }
}

#[test]
fn an_idle_connection_that_dies_is_replaced() {
    for signal in [Signal::Close, Signal::GoAway, Signal::Graceful] {
        let (server, front) = start(Rules::default(), |_, _| None);
        let registry = reach(&front, |it| it.backoff = Duration::from_secs(60)).unwrap();
        front.tell(signal);
        // Whoever asks before this has heard of it tries again as after any failure.
        until("it has not heard of that", || drivers() == 0);
        assert!(!registry.has_blob(descriptor(b"x").verifiable().unwrap()).unwrap());
        assert_eq!(front.connections(), (2, 0), "{signal:?}");
        server.stop();
    }
}

#[test]
fn a_connection_that_brings_nothing_is_the_last_of_its_kind() {
    let (server, front) = start(Rules { mute: true, ..Rules::default() }, |_, _| None);
    let body = content(100_000);
    server.put_blob(&descriptor(&body).digest.to_string(), &body);
    let registry = reach(&front, |it| it.silence = Duration::from_secs(3)).unwrap();
    for _ in 0..3 {
        assert!(read_blob(&registry, &descriptor(&body)).unwrap() == body);
    }
    let (new, old) = front.connections();
    assert!(new == 1 && old >= 1 && drivers() == 0, "{new} {old}");
    server.stop();
}

#[test]
fn what_does_not_fit_on_a_connection_goes_by_http_1_1() {
    let (server, front) = start(Rules { streams: 1, ..Rules::default() }, |asked, server| {
        let mut reply = server.answer(asked);
        reply.pauses = Some((4, Duration::from_millis(100)));
        asked.is("GET", "/blobs/").then_some(reply)
    });
    let blobs = put_blobs(&server, 4, 200_000);
    let registry = reach(&front, |_| {}).unwrap();
    read_all(&registry, &blobs);
    let (new, old) = front.connections();
    assert!(new == 1 && old >= 1, "{new} {old}");
    server.stop();
}

#[test]
fn who_waits_in_vain_tries_another_connection() {
    let (server, front) = start(Rules::default(), |asked, server| {
        let mut reply = server.answer(asked);
        if asked.nth == 0 {
            reply.pauses = Some((2, Duration::from_secs(60)));
        }
        asked.is("GET", "/blobs/").then_some(reply)
    });
    let blobs = put_blobs(&server, 1, 200_000);
    let registry = reach(&front, |it| it.silence = Duration::from_secs(5)).unwrap();
    read_all(&registry, &blobs);
    assert_eq!(front.connections(), (2, 0));
    server.stop();
}

#[test]
fn a_deadline_ends_everything_by_http_2() {
    let (server, front) = start(Rules::default(), |_, _| None);
    let blobs = put_blobs(&server, 1, 300_000);
    server.slow_down(4_000);
    let began = Instant::now();
    let registry = reach(&front, |it| {
        it.deadline = Some(began + Duration::from_secs(5));
        it.backoff = Duration::from_secs(60);
    });
    let registry = registry.unwrap();
    let error = read_blob(&registry, &blobs[0].1).unwrap_err();
    assert!(error.contains("the time that was given is over"), "{error}");
    let error = registry.tags().unwrap_err();
    assert!(error.to_string().contains("the time that was given is over"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
    server.stop();
}

#[test]
fn what_nobody_reads_is_not_sent_for() {
    const MIB: usize = 1 << 20;
    let (server, front) = start(Rules::default(), |_, _| None);
    let blobs = put_blobs(&server, 4, 8 * MIB);
    let registry = reach(&front, |_| {}).unwrap();
    let mut open: Vec<_> = blobs.iter().map(|(_, found)| registry.blob(found).unwrap()).collect();
    let settled = |most: usize| {
        until("it does not come to rest where it should", || {
            let sent = front.sent();
            std::thread::sleep(Duration::from_millis(700));
            front.sent() == sent && (most / 2..=most + MIB / 2).contains(&sent)
        });
    };
    // The window of the connection is less than those of its streams.
    settled(4 * MIB);
    let mut first = open.remove(0);
    let mut part = vec![0; MIB];
    first.read_exact(&mut part).unwrap();
    settled(5 * MIB);
    // What is let go of makes room for the others.
    drop((first, open));
    assert!(read_blob(&registry, &blobs[1].1).unwrap() == blobs[1].0);
    assert_eq!(front.connections(), (1, 0));
    server.stop();
}

#[test]
fn a_refusal_may_come_before_everything_was_sent() {
    let (server, front) = start(Rules { largest: 300_000, ..Rules::default() }, |_, _| None);
    let registry = reach(&front, |it| it.piece_bytes = 4 << 20).unwrap();
    for size in [500_000, 9_000_000] {
        let body = content(size);
        let wanted = descriptor(&body);
        registry.put_blob(&wanted, &mut &*body).unwrap();
        assert!(read_blob(&registry, &wanted).unwrap() == body);
    }
    assert_eq!(front.connections(), (1, 0));
    server.stop();
}

#[test]
fn a_slow_blob_gets_more_connections() {
    let (server, front) = start(Rules::default(), |_, _| None);
    let blobs = put_blobs(&server, 1, 3_000_000);
    server.slow_down(1_000_000);
    let registry = reach(&front, |it| {
        it.parallel = Parallel {
            least_bytes: 1_000_000,
            connections: 3,
            piece_bytes: 100_000,
            watch: Duration::from_millis(100),
            ..Parallel::default()
        };
    });
    read_all(&registry.unwrap(), &blobs);
    // Streams would share what there is.
    let (new, old) = front.connections();
    assert!(new == 1 && old >= 2, "{new} {old}");
    server.stop();
}

#[test]
fn we_show_our_certificate_by_http_2() {
    let (server, front) = start(Rules { wants_client: true, ..Rules::default() }, |_, _| None);
    let anonymous = reach(&front, |it| it.attempts = 1).err().unwrap();
    assert_eq!(anonymous.kind(), ErrorKind::Denied, "{anonymous}");
    assert!(anonymous.hint().unwrap().contains("another certificate of ours"), "{anonymous}");
    reach(&front, |it| {
        it.certificates = Certificates {
            authorities: vec![encrypted::file("ca.crt")],
            clients: vec![(encrypted::file("client.cert"), encrypted::file("client.key"))],
        };
    })
    .unwrap();
    assert_eq!(front.connections().1, 0);
    server.stop();
}

#[test]
fn where_a_registry_leads_nobody_is_told_who_we_are() {
    let (elsewhere, cloud) = start(Rules::default(), |_, _| None);
    let blobs = put_blobs(&elsewhere, 2, 200_000);
    let host = cloud.host.clone();
    let (server, front) = start(Rules::default(), move |asked, _| {
        if asked.header("authorization").is_empty() {
            return Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""));
        }
        let there = format!("https://{host}{}", asked.path);
        asked.is("GET", "/blobs/").then(|| Reply::new(307).header("Location", &there))
    });
    let registry = reach(&front, |it| it.credentials = Some(user())).unwrap();
    read_all(&registry, &blobs);
    assert_eq!((front.connections(), cloud.connections()), ((1, 0), (1, 0)));
    assert_eq!(drivers(), 2);
    assert!(elsewhere.log().iter().all(|asked| asked.header("authorization").is_empty()));
    server.stop();
    elsewhere.stop();
}

#[test]
fn what_is_told_of_requests_says_by_what_they_went() {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let (server, front) = start(Rules::default(), |_, _| None);
    for http2 in [true, false] {
        let trace: fn(&str) = |text| TOLD.lock().unwrap().push(text.to_owned());
        reach(&front, |it| (it.http2, it.trace) = (http2, Some(trace))).unwrap();
    }
    let told = TOLD.lock().unwrap();
    assert!(told[0].ends_with(" ms, HTTP 2") && told[1].ends_with(" ms"), "{told:?}");
    server.stop();
}
