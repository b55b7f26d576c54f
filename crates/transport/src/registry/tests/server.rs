//! A registry that can be told to misbehave: one thread a connection, which has one request, or many when
//! [`Server::keeps`] says so.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) method: String,
    /// With the query.
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// How many came before it with the same method and path.
    pub(super) nth: usize,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The connection is closed behind so many bytes of the body.
    pub(super) cut: Option<usize>,
    /// Before each of this many parts of the body is a pause.
    pub(super) pauses: Option<(usize, Duration)>,
    /// What is sent instead of all that, byte by byte with pauses when these are not zero.
    pub(super) raw: Option<(Vec<u8>, Duration)>,
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn body(self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self }
    }

    pub(super) fn raw(text: &[u8]) -> Self {
        Self { raw: Some((text.to_vec(), Duration::ZERO)), ..Self::default() }
    }

    pub(super) fn cut(self, at: usize) -> Self {
        Self { cut: Some(at), ..self }
    }
}

type Hook = Box<dyn Fn(&Asked, &Server) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
struct Content {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    uploads: BTreeMap<String, Vec<u8>>,
    /// How many have begun.
    begun: usize,
    log: Vec<Asked>,
    streams: Vec<TcpStream>,
    /// Ports of those that end with it.
    fronts: Vec<u16>,
}

/// The registry. It ends when its last user lets go of it.
#[derive(Clone)]
pub(super) struct Server {
    port: u16,
    content: Arc<Mutex<Content>>,
    hook: Arc<Hook>,
    stop: Arc<AtomicBool>,
    keeps: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    /// Most bytes of a body in a second, on each connection; none is no limit.
    speed: Arc<AtomicUsize>,
}

impl Server {
    /// Starts one. What `hook` answers comes instead of what a registry would say.
    pub(super) fn start(
        hook: impl Fn(&Asked, &Self) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (content, stop, keeps, connections, speed) = Default::default();
        let hook: Arc<Hook> = Arc::new(Box::new(hook));
        let server = Self { port, content, hook, stop, keeps, connections, speed };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::SeqCst) {
                    break;
                }
                let (serving, Ok(mut stream)) = (serving.clone(), stream) else { continue };
                serving.connections.fetch_add(1, Ordering::SeqCst);
                serving.content.lock().unwrap().streams.extend(stream.try_clone());
                std::thread::spawn(move || {
                    while let Ok(true) = serving.serve(&mut stream) {}
                    // It is also in the list of those to hang up.
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        server
    }

    /// Keeps connections open behind an answer.
    pub(super) fn keep(&self) {
        self.keeps.store(true, Ordering::SeqCst);
    }

    /// Sends so many bytes of a body a second, on each connection.
    pub(super) fn slow_down(&self, bytes: usize) {
        self.speed.store(bytes, Ordering::SeqCst);
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn log(&self) -> Vec<Asked> {
        self.content.lock().unwrap().log.clone()
    }

    pub(super) fn put_blob(&self, digest: &str, content: &[u8]) {
        self.content.lock().unwrap().blobs.insert(digest.into(), content.to_vec());
    }

    pub(super) fn put_manifest(&self, selector: &str, kind: &str, content: &[u8]) {
        let entry = (kind.into(), content.to_vec());
        self.content.lock().unwrap().manifests.insert(selector.into(), entry);
    }

    /// Closes all connections that are kept.
    pub(super) fn hang_up(&self) {
        for stream in self.content.lock().unwrap().streams.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Ends the server's thread, and those of its fronts.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let fronts = std::mem::take(&mut self.content.lock().unwrap().fronts);
        for port in fronts.into_iter().chain([self.port]) {
            drop(TcpStream::connect(("127.0.0.1", port)));
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Takes a port that is woken at the end.
    pub(super) fn add_front(&self, port: u16) {
        self.content.lock().unwrap().fronts.push(port);
    }

    /// Most bytes of a body in a second; none is no limit.
    pub(super) fn speed(&self) -> usize {
        self.speed.load(Ordering::SeqCst)
    }

    /// Answers one request, and says whether there may be another.
    fn serve(&self, stream: &mut TcpStream) -> std::io::Result<bool> {
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.set_nodelay(true)?;
        let Some(mut asked) = read(stream)? else { return Ok(false) };
        let reply = self.ask(&mut asked);
        if let Some((bytes, pause)) = &reply.raw {
            let part = if pause.is_zero() { bytes.len().max(1) } else { 1 };
            for part in bytes.chunks(part) {
                std::thread::sleep(*pause);
                stream.write_all(part)?;
            }
            return Ok(false);
        }
        let keeps = self.keeps.load(Ordering::SeqCst) && reply.cut.is_none();
        let connection = if keeps { "keep-alive" } else { "close" };
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: {connection}\r\n", reply.status);
        let has_length = reply.headers.iter().any(|(name, _)| name == "Content-Length");
        if !has_length {
            head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
        }
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let end = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
        let body = if asked.method == "HEAD" { &[][..] } else { &reply.body[..end] };
        let (began, speed) = (Instant::now(), self.speed.load(Ordering::SeqCst));
        match reply.pauses {
            None if speed > 0 => {
                let part = Duration::from_millis(10);
                for (number, bytes) in (1_u32..).zip(body.chunks((speed / 100).max(1))) {
                    stream.write_all(bytes)?;
                    std::thread::sleep(
                        (began + part * number).saturating_duration_since(Instant::now()),
                    );
                }
            }
            None => stream.write_all(body)?,
            Some((parts, pause)) => {
                for part in body.chunks(body.len().div_ceil(parts).max(1)) {
                    std::thread::sleep(pause);
                    stream.write_all(part)?;
                }
            }
        }
        stream.flush()?;
        Ok(keeps)
    }

    /// What is said to a request, which is written down.
    pub(super) fn ask(&self, asked: &mut Asked) -> Reply {
        {
            let log = &mut self.content.lock().unwrap().log;
            let same = |it: &&Asked| it.method == asked.method && it.path == asked.path;
            asked.nth = log.iter().filter(same).count();
            log.push(asked.clone());
        }
        (self.hook)(asked, self).unwrap_or_else(|| self.answer(asked))
    }

    /// What a registry says.
    pub(super) fn answer(&self, asked: &Asked) -> Reply {
        let content = &mut *self.content.lock().unwrap();
        let path = asked.path.split('?').next().unwrap_or_default();
        let (_, rest) = path.split_once("/v2/").unwrap_or_default();
        let last = rest.rsplit('/').next().unwrap_or_default().to_owned();
        let not_found =
            Reply::new(404).body(br#"{"errors":[{"code":"NOT_FOUND","message":"no"}]}"#);
        if rest.is_empty() {
            return Reply::new(200).body(b"{}");
        }
        if rest.contains("/manifests/") {
            return match &*asked.method {
                "PUT" => {
                    let kind = asked.header("content-type").to_owned();
                    let digest = crate::hash::digest_of(oci::Algorithm::Sha256, &asked.body);
                    for name in [last, digest.to_string()] {
                        content.manifests.insert(name, (kind.clone(), asked.body.clone()));
                    }
                    Reply::new(201)
                }
                "DELETE" => match content.manifests.remove(&last) {
                    Some(_) => Reply::new(202),
                    None => not_found,
                },
                _ => match content.manifests.get(&last) {
                    Some((kind, body)) => {
                        let digest = crate::hash::digest_of(oci::Algorithm::Sha256, body);
                        let reply = Reply::new(200).header("Content-Type", kind).body(body);
                        reply.header("Docker-Content-Digest", &digest.to_string())
                    }
                    None => not_found,
                },
            };
        }
        if rest.contains("/blobs/uploads/") {
            return upload(content, asked, &last);
        }
        if rest.contains("/blobs/") {
            return match content.blobs.get(&last) {
                Some(body) => ranged(asked, body),
                None => not_found,
            };
        }
        not_found
    }
}

/// The whole content, or the part that is asked for.
pub(super) fn ranged(asked: &Asked, body: &[u8]) -> Reply {
    let wanted = asked.header("range").trim_start_matches("bytes=").split_once('-');
    match wanted.map(|(begin, end)| (begin.parse::<usize>(), end.parse::<usize>())) {
        Some((Ok(begin), end)) => {
            let end = end.map_or(body.len(), |end| end + 1);
            let range = format!("bytes {begin}-{}/{}", end - 1, body.len());
            Reply::new(206).header("Content-Range", &range).body(&body[begin..end])
        }
        _ => Reply::new(200).body(body),
    }
}

fn upload(content: &mut Content, asked: &Asked, id: &str) -> Reply {
    let at = |id: &str| format!("/v2/a/b/blobs/uploads/{id}");
    match &*asked.method {
        "POST" => {
            let id = format!("id{}", content.begun);
            content.begun += 1;
            content.uploads.insert(id.clone(), Vec::new());
            Reply::new(202).header("Location", &at(&id))
        }
        "PATCH" => {
            let upload = content.uploads.entry(id.into()).or_default();
            let begin = asked.header("content-range").split('-').next().unwrap_or_default();
            if begin.parse() != Ok(upload.len()) {
                return Reply::new(416);
            }
            upload.extend_from_slice(&asked.body);
            Reply::new(202).header("Location", &at(id))
        }
        "GET" => {
            let length = content.uploads.get(id).map_or(0, Vec::len);
            let last = length.saturating_sub(1);
            Reply::new(204).header("Range", &format!("0-{last}")).header("Location", &at(id))
        }
        "PUT" => {
            let mut body = content.uploads.remove(id).unwrap_or_default();
            body.extend_from_slice(&asked.body);
            let digest = crate::hash::digest_of(oci::Algorithm::Sha256, &body).to_string();
            if !asked.path.ends_with(&super::super::session::escape(&digest)) {
                return Reply::new(400)
                    .body(br#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#);
            }
            content.blobs.insert(digest, body);
            Reply::new(201)
        }
        _ => Reply::new(204),
    }
}

fn read(stream: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 || head.len() > 64 << 10 {
            return Ok(None);
        }
        head.push(byte[0]);
        // A client that speaks TLS.
        if head[0] == 0x16 {
            return Ok(None);
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Asked { method, path, headers, body, nth: 0 }))
}
