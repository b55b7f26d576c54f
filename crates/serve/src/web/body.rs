//! Bodies of answers: nothing, some bytes, or a part of a file that is read as the client takes it.

use crate::cache::Growth;
use crate::limits::{
    OBJECT_READ_BUFFERS, OBJECT_READ_BYTES, OBJECT_READ_SMALL_BYTES, READ_BUFFERS, READ_BYTES,
    READ_SMALL_BYTES,
};
use crate::storage::{Content, Object};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use std::collections::VecDeque;
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
            file: Some(Content::File(file)),
            left: length,
            parts: VecDeque::new(),
            buffers: buffers.clone(),
            reading: None,
            may_wait: false,
        }))
    }

    /// A part of an object, from where it stands.
    pub(crate) fn object(object: Object, length: u64, buffers: &Arc<Buffers>) -> Self {
        Self::File(Box::new(FileBody {
            growth: None,
            waiting: None,
            file: Some(Content::Object(object)),
            left: length,
            parts: VecDeque::new(),
            buffers: buffers.clone(),
            reading: None,
            // It always waits for the network.
            may_wait: true,
        }))
    }

    /// Parts of content, each behind some bytes.
    pub(crate) fn parts(content: Content, parts: VecDeque<Part>, buffers: &Arc<Buffers>) -> Self {
        let may_wait = matches!(content, Content::Object(_));
        Self::File(Box::new(FileBody {
            growth: None,
            waiting: None,
            file: Some(content),
            left: 0,
            parts,
            buffers: buffers.clone(),
            reading: None,
            may_wait,
        }))
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.length(),
        }
    }
}

/// A part of content, and what comes before it.
pub(crate) struct Part {
    pub(crate) head: Bytes,
    pub(crate) begin: u64,
    pub(crate) length: u64,
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

type Read = (Content, io::Result<Bytes>);

/// A part of a file. The client's reading is what drives it: it never has more than one buffer.
pub(crate) struct FileBody {
    /// Not there while it is read.
    file: Option<Content>,
    left: u64,
    /// What comes behind that.
    parts: VecDeque<Part>,
    /// How far the file is, if it is not whole yet. Not there while it is waited for.
    growth: Option<Growth>,
    waiting: Option<Pin<Box<dyn Future<Output = Growth> + Send>>>,
    buffers: Arc<Buffers>,
    reading: Option<JoinHandle<Read>>,
    /// The file system cannot tell what is in memory.
    may_wait: bool,
}

impl FileBody {
    fn length(&self) -> u64 {
        let of = |part: &Part| part.head.len() as u64 + part.length;
        self.left + self.parts.iter().map(of).sum::<u64>()
    }

    /// Goes on with the next part.
    fn begin_part(&mut self) -> Option<io::Result<Bytes>> {
        let part = self.parts.pop_front()?;
        let file = self.file.as_mut()?;
        match file.seek(part.begin) {
            Ok(()) => {
                self.left = part.length;
                Some(Ok(part.head))
            }
            Err(error) => Some(Err(io::Error::other(error))),
        }
    }

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
            return Poll::Ready(self.begin_part());
        }
        // What was read before is no matter of the file's growth.
        let ready = match self.reading.is_some() {
            true => self.left,
            false => match ready!(self.poll_growth(context)) {
                Ok(ready) => ready.min(self.left),
                Err(error) => return Poll::Ready(Some(Err(error))),
            },
        };
        if let Some(mut file) = self.file.take() {
            // What is in memory needs no thread that may wait for the disk.
            if !self.may_wait
                && let Content::File(cached) = &file
            {
                let read = |buffer: &mut [u8]| {
                    let count = sys::fs::read_cached(cached, buffer);
                    count.map_err(|errno| io::Error::from_raw_os_error(errno.0))
                };
                match self.buffers.read(ready, read) {
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
                let read =
                    buffers.read(ready, |buffer| file.read(buffer).map_err(io::Error::other));
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
#[derive(Debug)]
pub(crate) struct Buffers {
    pool: Mutex<Pool>,
    /// How large they are, how many there are, and what there is when all are in use.
    size: usize,
    count: usize,
    small: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        let pool = Mutex::default();
        Self { pool, size: READ_BYTES, count: READ_BUFFERS, small: READ_SMALL_BYTES }
    }
}

#[derive(Debug, Default)]
struct Pool {
    free: Vec<Vec<u8>>,
    made: usize,
}

impl Buffers {
    /// Those for objects: each piece is a request.
    pub(crate) fn of_objects() -> Self {
        let (size, count) = (OBJECT_READ_BYTES, OBJECT_READ_BUFFERS);
        Self { pool: Mutex::default(), size, count, small: OBJECT_READ_SMALL_BYTES }
    }

    /// Reads the next piece of a file, at most `left` bytes, and one at least.
    fn read(
        self: &Arc<Self>,
        left: u64,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Bytes> {
        let size = usize::try_from(left).unwrap_or(usize::MAX);
        let large = if size > self.small { self.take() } else { None };
        let mut buffer = large.unwrap_or_else(|| Buffer {
            bytes: vec![0; self.small.min(size)],
            used: 0,
            home: None,
        });
        let wanted = buffer.bytes.len().min(size);
        let count = read(&mut buffer.bytes[..wanted])?;
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
            None if pool.made < self.count => {
                pool.made += 1;
                drop(pool);
                vec![0; self.size]
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
