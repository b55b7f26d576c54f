//! Bodies of answers: nothing, some bytes, or a part of a file that is read as the client takes it.

use crate::cache::Growth;
use crate::limits::{READ_BUFFERS, READ_BYTES, READ_SMALL_BYTES};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use sys::Fd;
use tokio::task::JoinHandle;

/// The body of an answer.
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    File(Box<FileBody>),
}

impl Body {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Bytes(text.into())
    }

    /// A part of a file, from where it stands.
    ///
    /// With `growth` it is waited for what has not arrived.
    pub(crate) fn file(
        file: Fd,
        length: u64,
        growth: Option<Growth>,
        buffers: &Arc<Buffers>,
    ) -> Self {
        Self::File(Box::new(FileBody {
            growth,
            waiting: None,
            file: Some(file),
            left: length,
            buffers: buffers.clone(),
            reading: None,
            may_wait: false,
        }))
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.left,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::File(file) => {
                let read = ready!(file.poll_read(context));
                Poll::Ready(read.map(|read| read.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

type Read = (Fd, io::Result<Bytes>);

/// A part of a file. The client's reading is what drives it: it never has more than one buffer.
pub(crate) struct FileBody {
    /// Not there while it is read.
    file: Option<Fd>,
    left: u64,
    /// How far the file is, if it is not whole yet. Not there while it is waited for.
    growth: Option<Growth>,
    waiting: Option<Pin<Box<dyn Future<Output = Growth> + Send>>>,
    buffers: Arc<Buffers>,
    reading: Option<JoinHandle<Read>>,
    /// The file system cannot tell what is in memory.
    may_wait: bool,
}

impl FileBody {
    fn advance(&mut self, count: u64) {
        self.left -= count;
        if let Some(growth) = &mut self.growth {
            growth.advance(count);
        }
    }

    /// How much may be read.
    fn poll_growth(&mut self, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                self.growth = Some(ready!(waiting.as_mut().poll(context)));
                self.waiting = None;
            }
            let Some(growth) = self.growth.take() else { return Poll::Ready(Ok(self.left)) };
            match growth.ready() {
                Ok(0) => self.waiting = Some(Box::pin(growth.more())),
                ready => {
                    self.growth = Some(growth);
                    return Poll::Ready(ready);
                }
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        // What was read before is no matter of the file's growth.
        let ready = match self.reading.is_some() {
            true => self.left,
            false => match ready!(self.poll_growth(context)) {
                Ok(ready) => ready.min(self.left),
                Err(error) => return Poll::Ready(Some(Err(error))),
            },
        };
        if let Some(file) = self.file.take() {
            // What is in memory needs no thread that may wait for the disk.
            if !self.may_wait {
                match self
                    .buffers
                    .read(&file, ready, |file, buffer| sys::fs::read_cached(file, buffer))
                {
                    Ok(bytes) => {
                        self.advance(bytes.len() as u64);
                        self.file = Some(file);
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    Err(error) => self.may_wait = error.kind() != io::ErrorKind::WouldBlock,
                }
            }
            let buffers = self.buffers.clone();
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let read = buffers.read(&file, ready, |file, buffer| sys::fs::read(file, buffer));
                (file, read)
            }));
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(Some(Err(io::Error::other("the file is not open"))));
        };
        let (file, read) = match ready!(Pin::new(reading).poll(context)) {
            Ok(done) => done,
            Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
        };
        self.reading = None;
        self.file = Some(file);
        Poll::Ready(Some(read.inspect(|bytes| self.advance(bytes.len() as u64))))
    }
}

/// Buffers for reading files, which are used again.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    free: Vec<Vec<u8>>,
    made: usize,
}

impl Buffers {
    /// Reads the next piece of a file, at most `left` bytes, and one at least.
    fn read(
        self: &Arc<Self>,
        file: &Fd,
        left: u64,
        read: fn(&Fd, &mut [u8]) -> sys::Result<usize>,
    ) -> io::Result<Bytes> {
        let size = usize::try_from(left).unwrap_or(usize::MAX);
        let large = if size > READ_SMALL_BYTES { self.take() } else { None };
        let mut buffer = large.unwrap_or_else(|| Buffer {
            bytes: vec![0; READ_SMALL_BYTES.min(size)],
            used: 0,
            home: None,
        });
        let wanted = buffer.bytes.len().min(size);
        let count = read(file, &mut buffer.bytes[..wanted])
            .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut"));
        }
        buffer.used = count;
        Ok(Bytes::from_owner(buffer))
    }

    /// A large buffer, if there is one.
    fn take(self: &Arc<Self>) -> Option<Buffer> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match pool.free.pop() {
            Some(bytes) => bytes,
            None if pool.made < READ_BUFFERS => {
                pool.made += 1;
                drop(pool);
                vec![0; READ_BYTES]
            }
            None => return None,
        };
        Some(Buffer { bytes, used: 0, home: Some(self.clone()) })
    }
}

struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    home: Option<Arc<Buffers>>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let mut pool = home.pool.lock().unwrap_or_else(PoisonError::into_inner);
            pool.free.push(std::mem::take(&mut self.bytes));
        }
    }
}
