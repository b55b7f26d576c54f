//! A registry that can be told to misbehave: one thread a connection, one request each.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    log: Vec<Asked>,
}

/// The registry. It ends when its last user lets go of it.
#[derive(Clone)]
pub(super) struct Server {
    port: u16,
    content: Arc<Mutex<Content>>,
    hook: Arc<Hook>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Starts one. What `hook` answers comes instead of what a registry would say.
    pub(super) fn start(
        hook: impl Fn(&Asked, &Self) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (content, stop) = Default::default();
        let server = Self { port, content, hook: Arc::new(Box::new(hook)), stop };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::SeqCst) {
                    break;
                }
                let (serving, Ok(stream)) = (serving.clone(), stream) else { continue };
                std::thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        server
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

    /// Ends the server's thread.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let Some(mut asked) = read(&mut stream)? else { return Ok(()) };
        {
            let log = &mut self.content.lock().unwrap().log;
            let same = |it: &&Asked| it.method == asked.method && it.path == asked.path;
            asked.nth = log.iter().filter(same).count();
            log.push(asked.clone());
        }
        let reply = (self.hook)(&asked, self).unwrap_or_else(|| self.answer(&asked));
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
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
        match reply.pauses {
            None => stream.write_all(body)?,
            Some((parts, pause)) => {
                for part in body.chunks(body.len().div_ceil(parts).max(1)) {
                    std::thread::sleep(pause);
                    stream.write_all(part)?;
                }
            }
        }
        stream.flush()
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
    let begin = asked.header("range").trim_start_matches("bytes=").trim_end_matches('-');
    match begin.parse::<usize>() {
        Ok(begin) => {
            let range = format!("bytes {begin}-{}/{}", body.len() - 1, body.len());
            Reply::new(206).header("Content-Range", &range).body(&body[begin..])
        }
        Err(_) => Reply::new(200).body(body),
    }
}

fn upload(content: &mut Content, asked: &Asked, id: &str) -> Reply {
    let at = |id: &str| format!("/v2/a/b/blobs/uploads/{id}");
    match &*asked.method {
        "POST" => {
            let id = format!("id{}", content.uploads.len());
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
