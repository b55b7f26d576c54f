//! Registries behind proxies. No address of them can be found, so that nothing goes past the proxy.

use super::*;
use crate::proxy::Proxies;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

const REGISTRY: &str = "registry.example";

fn proxies(variables: &[(&str, String)]) -> Proxies {
    let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
    Proxies::read(&|name| find(name).map(|(_, text)| text.clone())).unwrap()
}

fn options_with(variables: &[(&str, String)]) -> Options {
    Options { insecure: true, proxies: proxies(variables), attempts: 2, ..options() }
}

fn connect_with(variables: &[(&str, String)]) -> Result<Registry> {
    let name = Reference::parse(&format!("{REGISTRY}/a/b")).unwrap();
    Registry::connect(&name, options_with(variables))
}

/// A proxy for connections. `greet` finds out where they should go, and all of them go to one port.
fn start(port: u16, greet: impl Fn(&mut TcpStream) -> bool + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let greet = Arc::new(greet);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let greet = greet.clone();
            std::thread::spawn(move || {
                if !greet(&mut stream) {
                    return;
                }
                let mut there = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (mut from, mut to) = (stream.try_clone().unwrap(), there.try_clone().unwrap());
                std::thread::spawn(move || {
                    // Either side may have had enough.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
                let _ = std::io::copy(&mut there, &mut stream);
                let _ = stream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn what_is_not_encrypted_is_asked_of_the_proxy_as_a_whole_address() {
    // The registry of the tests finds its way in whole addresses.
    let server = Server::start(|asked, _| {
        let refused = asked.header("proxy-authorization") != "Basic dXNlcjpodW50ZXIy";
        (refused || asked.method == "CONNECT").then(|| Reply::new(407))
    });
    let known = [("HTTP_PROXY", format!("http://user:hunter2@{}", server.host()))];
    let registry = connect_with(&known).unwrap();
    let body = content(200_000);
    registry.put_blob(&descriptor(&body), &mut &*body).unwrap();
    assert!(read_blob(&registry, &descriptor(&body)).unwrap() == body);
    let log = server.log();
    let asked = log.iter().find(|asked| asked.method == "PUT").unwrap();
    assert!(asked.path.starts_with("http://registry.example/v2/a/b/"), "{}", asked.path);
    assert_eq!(asked.header("host"), REGISTRY);
    let error = connect_with(&[("HTTP_PROXY", server.host())]).unwrap().tags().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("NAME:PASSWORD@HOST"), "{error}");
    server.stop();
}

#[test]
fn a_proxy_may_be_encrypted() {
    let proxy = format!("https://{}", encrypted::start(false));
    connect_with(&[("HTTP_PROXY", proxy)]).unwrap();
}

#[test]
fn what_is_encrypted_goes_through_the_proxy_unseen() {
    let host = encrypted::start(false);
    let port: u16 = host.rsplit(':').next().unwrap().parse().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = heads.clone();
    let proxy = start(port, move |stream| {
        let head = read_head(stream);
        let known = head.contains("Proxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n");
        seen.lock().unwrap().push(head);
        let answer = match known {
            true => "HTTP/1.1 200 Connection established\r\n\r\n",
            false => "HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n",
        };
        stream.write_all(answer.as_bytes()).unwrap();
        known
    });
    connect_with(&[("HTTPS_PROXY", format!("http://user:hunter2@{proxy}"))]).unwrap();
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("CONNECT registry.example:443 HTTP/1.1\r\n"), "{head}");
    let error = connect_with(&[("HTTPS_PROXY", format!("http://{proxy}"))]).err().unwrap();
    assert!(error.to_string().contains(&format!("through the proxy {proxy}")), "{error}");
    assert!(error.to_string().contains("the proxy refuses"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    // An exception goes past it, and finds nothing.
    let none = ("NO_PROXY", ".example".to_owned());
    let variables = [("HTTPS_PROXY", format!("http://user:hunter2@{proxy}")), none];
    let error = connect_with(&variables).err().unwrap().to_string();
    assert!(error.contains("look up `registry.example`"), "{error}");
}

/// Says what SOCKS 5 says.
fn socks(stream: &mut TcpStream) -> bool {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).unwrap();
    stream.write_all(&[5, 0]).unwrap();
    // A connection to a name of so many bytes, at a port.
    let mut request = [0; 5];
    stream.read_exact(&mut request).unwrap();
    assert_eq!(request[..4], [5, 1, 0, 3]);
    let mut name = vec![0; usize::from(request[4]) + 2];
    stream.read_exact(&mut name).unwrap();
    assert!(name.starts_with(REGISTRY.as_bytes()));
    stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).is_ok()
}

#[test]
fn socks_is_spoken_and_the_proxy_looks_names_up() {
    let server = Server::start(|_, _| None);
    let port = server.host().rsplit(':').next().unwrap().parse().unwrap();
    let proxy = start(port, socks);
    let registry = connect_with(&[("ALL_PROXY", format!("socks5://{proxy}"))]).unwrap();
    let body = content(1000);
    registry.put_blob(&descriptor(&body), &mut &*body).unwrap();
    assert!(read_blob(&registry, &descriptor(&body)).unwrap() == body);
    server.stop();
}

#[test]
fn this_machine_is_reached_without_a_proxy() {
    let server = Server::start(|_, _| None);
    let nobody = "http://127.0.0.1:9".to_owned();
    let variables = [("HTTP_PROXY", nobody.clone()), ("HTTPS_PROXY", nobody)];
    let registry = Registry::connect(&reference(&server, ""), options_with(&variables)).unwrap();
    registry.put_blob(&descriptor(b"x"), &mut &b"x"[..]).unwrap();
    server.stop();
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let error = connect_with(&[("ALL_PROXY", "http://127.0.0.1:9".into())]).err().unwrap();
    assert!(error.to_string().contains("through the proxy 127.0.0.1:9"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

/// A proxy for connections that is itself reached by TLS.
fn start_encrypted(port: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("localhost:{}", listener.local_addr().unwrap().port());
    listener.set_nonblocking(true).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(encrypted::server_config(false)));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    stream.write_all(b"HTTP/1.1 200 Fine\r\n\r\n").await.unwrap();
                    let there = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
                    // Either side may have had enough.
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut there.unwrap()).await;
                });
            }
        });
    });
    proxy
}

#[test]
fn http_2_goes_through_a_proxy_that_is_not_encrypted_itself() {
    let body = content(200_000);
    let check = |front: &Front, variables: &[(&str, String)], shared: usize| {
        let registry = connect_with(variables).unwrap();
        registry.put_blob(&descriptor(&body), &mut &*body).unwrap();
        assert!(read_blob(&registry, &descriptor(&body)).unwrap() == body);
        let (new, old) = front.connections();
        assert_eq!((new, old > 0), (shared, shared == 0), "{variables:?}");
    };
    let start_front = || {
        let front = Front::start(&Server::start(|_, _| None), Rules::default());
        let port: u16 = front.host.rsplit(':').next().unwrap().parse().unwrap();
        (front, port)
    };
    let (front, port) = start_front();
    let proxy = start(port, |stream| {
        read_head(stream);
        stream.write_all(b"HTTP/1.1 200 Fine\r\n\r\n").is_ok()
    });
    check(&front, &[("HTTPS_PROXY", format!("http://{proxy}"))], 1);
    // What is within TLS within TLS, or within SOCKS, goes by HTTP 1.1.
    let (front, port) = start_front();
    let proxy = start_encrypted(port);
    check(&front, &[("HTTPS_PROXY", format!("https://{proxy}"))], 0);
    let (front, port) = start_front();
    let proxy = start(port, socks);
    check(&front, &[("HTTPS_PROXY", format!("socks5://{proxy}"))], 0);
}
