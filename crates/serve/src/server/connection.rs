//! One connection.

use super::patient::Patient;
use super::service::Peer;
use super::tls::Encryption;
use super::{Held, Patience, Shared, figures, service};
use crate::auth::common_name;
use crate::limits::{
    BROKEN_REQUESTS, CONNECTION_BUFFER_BYTES, FAREWELL, HANDSHAKE_WAIT, HEADERS, HEADERS_BYTES,
    RESETS, STREAMS, WINDOW_BYTES,
};
use crate::registry::Registry;
use crate::uploads::race;
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Answers the requests of a connection until it is closed.
pub(super) async fn serve(stream: TcpStream, address: SocketAddr, shared: Arc<Shared>, held: Held) {
    // Answers are written whole; without this the last piece waits for the client's word.
    let _ = stream.set_nodelay(true);
    let _open = Counted::new(&shared);
    let Some(config) = shared.encryption.as_ref().map(Encryption::current) else {
        let peer = Arc::new(Peer { address, certificate: None });
        return answer_all(
            stream,
            |request| service::answer(shared.clone(), peer.clone(), request),
            shared.patience,
            held,
        )
        .await;
    };
    let accepted = timeout(HANDSHAKE_WAIT, TlsAcceptor::from(config).accept(stream)).await;
    // Who speaks something else, or has a wrong certificate, was told so by TLS.
    let Ok(Ok(stream)) = accepted else { return };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().and_then(|it| common_name(it));
    let peer = Arc::new(Peer { address, certificate });
    answer_all(
        stream,
        |request| service::answer(shared.clone(), peer.clone(), request),
        shared.patience,
        held,
    )
    .await;
}

/// The same for figures.
pub(super) async fn serve_figures(stream: TcpStream, shared: Arc<Shared>, held: Held) {
    answer_all(stream, |request| figures::answer(shared.clone(), request), shared.patience, held)
        .await;
}

async fn answer_all<S, F, B>(
    stream: S,
    answer: impl Fn(Request<Incoming>) -> F,
    patience: Patience,
    mut held: Held,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error = io::Error> + Send + 'static,
{
    let builder = builder(patience);
    let stream = TokioIo::new(Guarded::new(stream, patience));
    let mut connection = pin!(builder.serve_connection(stream, service_fn(answer)));
    // What goes wrong with a connection is the client's business, which has gone.
    if race(connection.as_mut(), held.stop.wait_for(|stop| *stop)).await.is_some() {
        return;
    }
    // A request that is here, or on its way, would be reset with its connection.
    if timeout(FAREWELL, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Counts a connection while it is open.
struct Counted(Arc<Registry>);

impl Counted {
    fn new(shared: &Shared) -> Self {
        shared.registry.metrics.connections.fetch_add(1, Ordering::Relaxed);
        Self(shared.registry.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn builder(patience: Patience) -> Builder<Patient> {
    let mut builder = Builder::new(Patient(patience.silence));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.headers)
        .max_headers(HEADERS)
        .max_buf_size(CONNECTION_BUFFER_BYTES)
        .pipeline_flush(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(patience.silence)
        .keep_alive_timeout(patience.headers)
        .max_header_list_size(HEADERS_BYTES)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(BROKEN_REQUESTS)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(CONNECTION_BUFFER_BYTES);
    builder
}

/// A stream whose other end has to say something, and to take what is written to it.
struct Guarded<S> {
    stream: S,
    /// When a write that waits has waited for long enough; until the first byte has come, when that has.
    deadline: Pin<Box<Sleep>>,
    waits: bool,
    begun: bool,
    silence: Duration,
}

impl<S> Guarded<S> {
    fn new(stream: S, patience: Patience) -> Self {
        let deadline = Box::pin(sleep(patience.headers));
        Self { stream, deadline, waits: false, begun: false, silence: patience.silence }
    }

    /// Lets a write wait, but not for ever.
    fn guard<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waits = false;
            return polled;
        }
        if !self.waits {
            self.waits = true;
            self.deadline.as_mut().reset(Instant::now() + self.silence);
        }
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.begun = true;
        } else if !self.begun && self.deadline.as_mut().poll(context).is_ready() {
            // Nobody knows yet what it speaks, so nobody else counts the time.
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.guard(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.guard(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.guard(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.guard(context, polled)
    }
}
