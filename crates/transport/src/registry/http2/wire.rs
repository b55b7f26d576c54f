//! TLS on a socket, as HTTP 2 wants it: read and written at the same time, and never waited for.

use crate::registry::encrypt::Opened;
use rustls::ClientConnection;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// What is read of a socket at once.
const INPUT_BYTES: usize = 64 << 10;

/// Why TLS has ended, for those whose requests have ended with it.
pub(super) type Reason = Arc<Mutex<Option<rustls::Error>>>;

/// A connection.
pub(super) struct Wire {
    socket: TcpStream,
    tls: ClientConnection,
    input: Box<[u8]>,
    /// What of the input nobody has decrypted.
    begin: usize,
    end: usize,
    reason: Reason,
    /// When a write that waits has waited for long enough.
    deadline: Pin<Box<Sleep>>,
    waits: bool,
    silence: Duration,
}

impl Wire {
    /// Goes on with a connection. The executor has to be there.
    pub(super) fn new(opened: Opened, silence: Duration, reason: Reason) -> io::Result<Self> {
        opened.socket.set_nonblocking(true)?;
        let mut input = opened.input;
        let end = input.len();
        input.resize(INPUT_BYTES.max(end), 0);
        Ok(Self {
            socket: TcpStream::from_std(opened.socket)?,
            tls: opened.tls,
            input: input.into_boxed_slice(),
            begin: 0,
            end,
            reason,
            deadline: Box::pin(sleep(silence)),
            waits: false,
            silence,
        })
    }

    /// Sends what TLS has to say.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut below = Below { socket: &mut self.socket, context };
            match self.tls.write_tls(&mut below) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => self.waits = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.poll_patience(context);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.waits = false;
        Poll::Ready(Ok(()))
    }

    /// The other end has to take what is sent, sooner or later.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waits {
            self.waits = true;
            self.deadline.as_mut().reset(Instant::now() + self.silence);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Decrypts what has come; false when it was nothing.
    fn decrypt(&mut self) -> io::Result<bool> {
        if self.begin == self.end {
            return Ok(false);
        }
        let taken = self.tls.read_tls(&mut &self.input[self.begin..self.end])?;
        self.begin += taken;
        self.process()?;
        Ok(taken > 0)
    }

    fn process(&mut self) -> io::Result<()> {
        self.tls.process_new_packets().map(drop).map_err(|error| {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.tls.reader().read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            let decrypted = this.decrypt();
            if this.tls.wants_write() {
                // An alert, or new keys. If it cannot be sent now, it will be with what comes next.
                let _ = this.poll_send(context);
            }
            if decrypted? {
                continue;
            }
            let mut more = ReadBuf::new(&mut this.input);
            ready!(Pin::new(&mut this.socket).poll_read(context, &mut more))?;
            (this.begin, this.end) = (0, more.filled().len());
            if this.end == 0 {
                // The end, which TLS has to know of: without its own it is not one.
                this.tls.read_tls(&mut io::empty())?;
                this.process()?;
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            // It takes as much as it may hold.
            let taken = this.tls.writer().write(bytes)?;
            match this.poll_send(context) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                _ if taken > 0 || bytes.is_empty() => return Poll::Ready(Ok(taken)),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tls.send_close_notify();
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.socket).poll_shutdown(context)
    }
}

/// The socket, for TLS to write to.
struct Below<'a, 'b> {
    socket: &'a mut TcpStream,
    context: &'a mut Context<'b>,
}

impl Write for Below<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.socket).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.socket).poll_write_vectored(self.context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
