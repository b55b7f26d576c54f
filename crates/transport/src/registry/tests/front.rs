//! The registry of the tests behind TLS, by HTTP 2 for whoever wants it: the same answers and the same faults.

use super::encrypted;
use super::server::{Asked, Reply, Server};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use oci::Reference;
use std::future::poll_fn;
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use ureq::http::{Request, Response};

type Piece = Cursor<Vec<u8>>;

/// How an answer ends that is cut, and what comes in the place of one that is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cut {
    /// The stream is reset.
    Reset,
    /// The stream has its end, and its length was another one.
    End,
    /// The connection is ended with an error.
    GoAway,
    /// The connection is closed without a word.
    Close,
}

/// What is special about a front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) cut: Cut,
    /// Requests at one moment on a connection.
    pub(super) streams: u32,
    /// Larger bodies are refused before they are read.
    pub(super) largest: usize,
    /// Clients have to show a certificate.
    pub(super) wants_client: bool,
    /// HTTP 2 is chosen, and not spoken.
    pub(super) mute: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            cut: Cut::Reset,
            streams: 100,
            largest: usize::MAX,
            wants_client: false,
            mute: false,
        }
    }
}

/// What is told to a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Signal {
    /// No new request, and those that are there end.
    Graceful,
    GoAway,
    Close,
}

/// A front. It ends with its registry.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) host: String,
    /// Connections by HTTP 2, and by HTTP 1.1.
    counts: Arc<[AtomicUsize; 2]>,
    open: Arc<Mutex<Vec<UnboundedSender<Signal>>>>,
    /// Bytes of bodies that have left.
    sent: Arc<AtomicUsize>,
    server: Server,
    rules: Rules,
}

impl Front {
    pub(super) fn start(server: &Server, rules: Rules) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (counts, open, sent) = Default::default();
        server.add_front(port);
        let host = format!("localhost:{port}");
        let front = Self { host, counts, open, sent, server: server.clone(), rules };
        let mut config = encrypted::server_config(rules.wants_client);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serving = front.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serving.accept(listener, acceptor));
        });
        front
    }

    /// A repository in it.
    pub(super) fn name(&self) -> Reference {
        Reference::parse(&format!("{}/a/b", self.host)).unwrap()
    }

    /// Bytes of bodies that have left.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// How many connections there were by HTTP 2, and by HTTP 1.1.
    pub(super) fn connections(&self) -> (usize, usize) {
        (self.counts[0].load(Ordering::SeqCst), self.counts[1].load(Ordering::SeqCst))
    }

    /// Tells something to all connections.
    pub(super) fn tell(&self, signal: Signal) {
        for connection in self.open.lock().unwrap().iter() {
            // It may be closed already.
            let _ = connection.send(signal);
        }
    }

    async fn accept(self, listener: std::net::TcpListener, acceptor: TlsAcceptor) {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if self.server.is_stopped() {
                return;
            }
            let (front, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                // A client that does not believe in us.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") if front.rules.mute => {
                        front.counts[0].fetch_add(1, Ordering::SeqCst);
                        sleep(Duration::from_secs(60)).await;
                        drop(stream);
                    }
                    Some(b"h2") => front.serve(stream).await,
                    _ => front.pass(stream).await,
                }
            });
        }
    }

    /// By HTTP 1.1: the registry has that.
    async fn pass(&self, mut stream: TlsStream<TcpStream>) {
        self.counts[1].fetch_add(1, Ordering::SeqCst);
        let mut there = TcpStream::connect(self.server.host()).await.unwrap();
        // Either side may have had enough.
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
    }

    async fn serve(&self, stream: TlsStream<TcpStream>) {
        self.counts[0].fetch_add(1, Ordering::SeqCst);
        let begun = Builder::new()
            .max_concurrent_streams(self.rules.streams)
            .handshake::<_, Piece>(stream)
            .await;
        let Ok(mut connection) = begun else { return };
        let (sender, mut signals) = unbounded_channel();
        self.open.lock().unwrap().push(sender.clone());
        while let Some(Ok((request, respond))) = next(&mut connection, &mut signals).await {
            let (front, sender) = (self.clone(), sender.clone());
            tokio::spawn(async move { front.answer(request, respond, sender).await });
        }
    }

    /// Answers one request.
    async fn answer(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Piece>,
        connection: UnboundedSender<Signal>,
    ) -> Option<()> {
        let (head, mut body) = request.into_parts();
        let mut asked = Asked {
            method: head.method.to_string(),
            path: head.uri.path_and_query()?.to_string(),
            ..Asked::default()
        };
        for (name, value) in &head.headers {
            let value = value.to_str().unwrap().to_owned();
            asked.headers.insert(name.as_str().to_owned(), value);
        }
        let length: usize = asked.header("content-length").parse().unwrap_or(0);
        if length > self.rules.largest {
            let refused = Response::builder().status(413).body(()).unwrap();
            respond.send_response(refused, true).ok()?;
            // What was not sent yet would not be.
            sleep(Duration::from_millis(20)).await;
            respond.send_reset(Reason::NO_ERROR);
            return None;
        }
        while let Some(part) = body.data().await {
            let part = part.ok()?;
            asked.body.extend_from_slice(&part);
            body.flow_control().release_capacity(part.len()).ok()?;
        }
        let (server, is_head) = (self.server.clone(), asked.method == "HEAD");
        asked.headers.insert("by".into(), "2".into());
        let reply = tokio::task::spawn_blocking(move || server.ask(&mut asked)).await.unwrap();
        if let Some((bytes, pause)) = &reply.raw {
            sleep(*pause * bytes.len() as u32).await;
            self.end(None, &mut respond, &connection).await;
            return None;
        }
        let mut response = Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            if name == "Reset" {
                respond.send_reset(Reason::from(value.parse::<u32>().unwrap()));
                return None;
            }
            response = response.header(name, value);
        }
        if !reply.headers.iter().any(|(name, _)| name == "No-Length") {
            response = response.header("Content-Length", reply.body.len());
        }
        let empty = is_head || reply.body.is_empty();
        let mut stream = respond.send_response(response.body(()).unwrap(), empty).ok()?;
        if !empty {
            self.send(&reply, &mut stream, &mut respond, &connection).await?;
        }
        Some(())
    }

    async fn send(
        &self,
        reply: &Reply,
        stream: &mut SendStream<Piece>,
        respond: &mut SendResponse<Piece>,
        connection: &UnboundedSender<Signal>,
    ) -> Option<()> {
        let end = reply.cut.unwrap_or(usize::MAX).min(reply.body.len());
        let parts = reply.pauses.map_or(1, |(parts, _)| parts);
        for part in reply.body[..end].chunks(reply.body.len().div_ceil(parts).max(1)) {
            if let Some((_, pause)) = reply.pauses {
                sleep(pause).await;
            }
            let mut rest = part;
            while !rest.is_empty() {
                stream.reserve_capacity(rest.len().min(16 << 10));
                let room = match stream.capacity() {
                    0 => poll_fn(|context| stream.poll_capacity(context)).await?.ok()?,
                    room => room,
                };
                let (piece, left) = rest.split_at(room.min(rest.len()).min(16 << 10));
                rest = left;
                stream.send_data(Cursor::new(piece.to_vec()), false).ok()?;
                self.sent.fetch_add(piece.len(), Ordering::SeqCst);
                if self.server.speed() > 0 {
                    let seconds = piece.len() as f64 / self.server.speed() as f64;
                    sleep(Duration::from_secs_f64(seconds)).await;
                }
            }
        }
        match reply.cut {
            None => stream.send_data(Cursor::default(), true).ok(),
            Some(_) => {
                self.end(Some(stream), respond, connection).await;
                None
            }
        }
    }

    /// Ends what cannot go on. What was sent before has time to leave.
    async fn end(
        &self,
        stream: Option<&mut SendStream<Piece>>,
        respond: &mut SendResponse<Piece>,
        connection: &UnboundedSender<Signal>,
    ) {
        sleep(Duration::from_millis(20)).await;
        match (self.rules.cut, stream) {
            (Cut::End, Some(stream)) => {
                let _ = stream.send_data(Cursor::default(), true);
            }
            (Cut::Reset | Cut::End, _) => respond.send_reset(Reason::INTERNAL_ERROR),
            (Cut::GoAway, _) => drop(connection.send(Signal::GoAway)),
            (Cut::Close, _) => drop(connection.send(Signal::Close)),
        }
    }
}

type Next = Option<Result<(Request<RecvStream>, SendResponse<Piece>), h2::Error>>;

/// The next request of a connection, as long as there is one.
async fn next(
    connection: &mut Connection<TlsStream<TcpStream>, Piece>,
    signals: &mut UnboundedReceiver<Signal>,
) -> Next {
    poll_fn(|context| {
        while let Poll::Ready(Some(signal)) = signals.poll_recv(context) {
            match signal {
                Signal::Graceful => connection.graceful_shutdown(),
                Signal::GoAway => connection.abrupt_shutdown(Reason::INTERNAL_ERROR),
                Signal::Close => return Poll::Ready(None),
            }
        }
        connection.poll_accept(context)
    })
    .await
}
