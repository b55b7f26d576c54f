//! What the operator gets to see.

use super::Registry;
use crate::{Hook, Patience};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Waits until something is so.
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}");
}

#[test]
fn every_request_is_a_line_of_json() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = lines.clone();
    let registry = Registry::with(|config| {
        let sink = move |line: &str| heard.lock().unwrap().push(line.to_owned());
        config.observing.access = Some(Arc::new(sink));
    });
    registry.put_blob("a", b"content");
    registry.send("GET", "/v2/a/manifests/x", &[("User-Agent", "t\"e\\st")], b"");
    wait("the lines do not come", || lines.lock().unwrap().len() == 2);
    let lines = lines.lock().unwrap();
    assert!(lines[0].contains(r#""method":"POST","path":"/v2/a/blobs/uploads/","status":201"#));
    assert!(lines[0].contains(r#""received":7"#), "{}", lines[0]);
    assert!(
        lines[1].contains(r#""status":404"#) && lines[1].contains(r#"t\"e\\st"#),
        "{}",
        lines[1]
    );
    assert!(lines.iter().all(|line| line.ends_with("}\n") && line.matches('\n').count() == 1));
}

#[test]
fn figures_are_told_elsewhere() {
    let registry = Registry::with(|config| {
        config.figures = vec!["127.0.0.1:0".parse().unwrap()];
        config.quotas = vec![crate::Quota { prefix: Some("a".into()), bytes: 5000 }];
    });
    registry.put_image("a", "v", b"layer");
    registry.get("/v2/a/manifests/v");
    registry.get("/v2/a/manifests/w");
    assert_eq!(registry.get("/metrics").status, 404);
    let address = registry.server.as_ref().unwrap().figures_addresses()[0];
    let figures = || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let text = figures();
    for line in [
        "registry_requests_total{method=\"GET\",route=\"manifest\",code=\"200\"} 1",
        "registry_requests_total{method=\"GET\",route=\"manifest\",code=\"404\"} 1",
        "registry_requests_total{method=\"POST\",route=\"upload\",code=\"201\"} 2",
        "registry_received_bytes_total 7",
        "registry_uploads 0",
        "registry_quota_bytes{prefix=\"a\"} 5000",
        "# TYPE registry_used_bytes gauge",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
    }
}

#[test]
fn events_are_sent_and_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = heard.clone();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut text = String::new();
            let mut buffer = [0; 4096];
            while !text.ends_with("}}") {
                let count = stream.read(&mut buffer).unwrap();
                text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            told.lock().unwrap().push(text);
            let status = if number == 0 { "503 Later" } else { "204 Fine" };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    let registry = Registry::with(|config| {
        let token = Some("abc".to_owned());
        config.observing.hooks = vec![Hook { url, token, authorities: Vec::new() }];
    });
    let digest = registry.put_image("a", "v", b"layer");
    registry.delete("/v2/a/manifests/v");
    registry.delete(&format!("/v2/a/manifests/{digest}"));
    wait("the events do not come", || heard.lock().unwrap().len() == 4);
    let heard = heard.lock().unwrap();
    // The first one was sent twice: it was not taken.
    assert_eq!(heard[0].split("\r\n\r\n").nth(1), heard[1].split("\r\n\r\n").nth(1));
    let has = |index: usize, what: &str| {
        assert!(heard[index].contains(what), "{what}\n{}", heard[index]);
    };
    has(1, "authorization: Bearer abc");
    has(1, "content-type: application/cloudevents+json");
    has(1, r#""specversion":"1.0""#);
    has(1, r#""type":"io.github.tare-containers.registry.manifest.pushed""#);
    has(1, &format!(r#""subject":"a@{digest}""#));
    has(1, r#""tags":["v"]"#);
    has(2, r#""type":"io.github.tare-containers.registry.tag.deleted","subject":"a:v""#);
    has(3, "registry.manifest.deleted");
}

#[test]
fn a_server_that_ends_lets_requests_end() {
    let mut registry = Registry::with(|config| config.drain = Duration::from_secs(120));
    let location = registry.begin("a");
    let digest = super::digest_of(oci::Algorithm::Sha256, b"hello world");
    let mut stream = registry.connect();
    let head = format!(
        "PUT {location}?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello "
    );
    stream.write_all(head.as_bytes()).unwrap();
    let uploads = registry.server.as_ref().unwrap().registry.metrics.clone();
    let received = &uploads.received_bytes;
    wait("it does not arrive", || received.load(std::sync::atomic::Ordering::Relaxed) == 6);
    let mut idle = registry.connect();
    let server = registry.server.take().unwrap();
    let stopping = std::thread::spawn(move || server.stop());
    // Nobody new is let in, whoever does nothing is sent away, and who is at it may end it.
    wait("it still listens", || std::net::TcpStream::connect(registry.address).is_err());
    assert_eq!(idle.read(&mut [0; 10]).unwrap(), 0);
    assert!(!stopping.is_finished());
    stream.write_all(b"world").unwrap();
    assert_eq!(super::Answer::read(&mut stream, false).status, 201);
    stopping.join().unwrap();
}

/// Requests that were sent before the server was told to end, also on connections that it has not seen yet.
#[test]
fn a_server_that_ends_answers_what_was_sent() {
    for _ in 0..5 {
        let mut registry = Registry::with(|config| config.drain = Duration::from_secs(120));
        let mut streams: Vec<_> = (0..100).map(|_| registry.connect()).collect();
        for stream in &mut streams {
            stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        }
        registry.server.take().unwrap().stop();
        for stream in &mut streams {
            assert_eq!(super::Answer::read(stream, false).status, 200);
        }
    }
}

/// A client that does not go on is let go of.
#[test]
fn slow_clients_are_not_waited_for_for_ever() {
    let patience =
        Patience { headers: Duration::from_millis(800), silence: Duration::from_millis(1000) };
    let registry = Registry::with(|config| config.patience = patience);
    let digest = registry.put_blob("a", &vec![0; 64 << 20]);
    let location = registry.begin("a");
    // It must be over after this, and must not be before that.
    let check = |text: &str, ms: u64, expected: &str| {
        let mut stream = registry.connect();
        stream.write_all(text.as_bytes()).unwrap();
        let (begin, mut answer) = (std::time::Instant::now(), Vec::new());
        let _ = stream.read_to_end(&mut answer);
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(60), "{text}: {took:?}");
        assert!(took + Duration::from_millis(50) > Duration::from_millis(ms), "{text}: {took:?}");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(expected), "{text}: {answer}");
    };
    check("GET /v2/ HTTP/1.1\r\nX-Slow: ", 800, "");
    check("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 800, "HTTP/1.1 200");
    let put =
        format!("PUT {location}?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx");
    check(&put, 1000, "HTTP/1.1 408");
    let put = "PUT /v2/a/manifests/v HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx";
    check(put, 1000, "HTTP/1.1 408");
    // One that does not take its answer.
    let mut stream = registry.connect();
    let get = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(get.as_bytes()).unwrap();
    let in_flight = &registry.server.as_ref().unwrap().registry.metrics.in_flight;
    let running = || in_flight.load(std::sync::atomic::Ordering::Relaxed);
    wait("it does not begin", || running() == 1);
    wait("it does not end", || running() == 0);
    // What it has got was no whole answer.
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < 64 << 20);
}
