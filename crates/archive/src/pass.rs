//! One pass over a packed stream: hash, unpack, hash, and use, all at once.
//!
//! A thread for each step, with queues of a few blocks between them: the slowest step decides, the
//! others wait, and memory does not grow with the stream.

use crate::compression::{Bounded, Format, MAGIC_BYTES, read_full};
use crate::digest::{Sum, Summary, Summing};
use crate::error::{Error, Result};
use crate::limits::Limits;
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

/// Bytes of a block, and blocks of a queue: 128 KiB stay in the second cache on their way.
const BLOCK_BYTES: usize = 128 << 10;
const QUEUE: usize = 4;

/// What went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed<T> {
    /// How it was packed.
    pub format: Format,
    /// The stream as it came.
    pub packed: Summary,
    /// The stream, unpacked.
    pub plain: Summary,
    /// What the use of it returned.
    pub result: T,
}

/// Which digests are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Of the stream as it comes.
    pub packed: Sum,
    /// Of the unpacked stream.
    pub plain: Sum,
}

impl Sums {
    /// Of a stream that is the same packed and unpacked.
    fn both(self) -> Sum {
        match (self.packed, self.plain) {
            (Sum::Both, _) | (_, Sum::Both) => Sum::Both,
            (Sum::None, Sum::None) => Sum::None,
            _ => Sum::Sha256,
        }
    }
}

/// Reads `input` to its end, and gives what is unpacked to `use_it` on the caller's thread. What
/// that leaves unread is read and hashed all the same.
///
/// When something fails, this returns as soon as `input` returns from the read that it is in.
pub fn pass<R: Read + Send, T>(
    mut input: R,
    limits: &Limits,
    sums: Sums,
    use_it: impl FnOnce(&mut Blocks) -> Result<T>,
) -> Result<Passed<T>> {
    let mut first = vec![0; MAGIC_BYTES];
    let length = read_full(&mut input, &mut first).map_err(|e| Error::io(&e, "reading"))?;
    first.truncate(length);
    let format = Format::of(&first);
    let input = io::Cursor::new(first).chain(input);
    let pool = Pool::default();
    let shared = &pool;
    std::thread::scope(|scope| {
        let (blocks, packed) = Blocks::new(&pool);
        let sum = if format == Format::Plain { sums.both() } else { sums.packed };
        let reading = spawn(scope, "read", move || read(input, sum, packed, shared))?;
        if format == Format::Plain {
            // One stream, one digest.
            let result = finish(blocks, use_it)?;
            let sum = join(reading)?;
            return Ok(Passed { format, packed: sum.clone(), plain: sum, result });
        }
        let (unpacked, sender) = Blocks::new(&pool);
        let unpacking =
            spawn(scope, "unpack", move || unpack(format, blocks, limits, sender, shared))?;
        let (plain, sender) = Blocks::new(&pool);
        let hashing = spawn(scope, "hash", move || hash(unpacked, sums.plain, sender))?;
        let result = finish(plain, use_it)?;
        let (packed, (), plain) = (join(reading)?, join(unpacking)?, join(hashing)?);
        Ok(Passed { format, packed, plain, result })
    })
}

type Worker<'scope, T> = std::thread::ScopedJoinHandle<'scope, T>;

fn spawn<'scope, 'env, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, 'env>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<Worker<'scope, T>> {
    let builder = std::thread::Builder::new().name(name.into());
    builder.spawn_scoped(scope, work).map_err(|e| Error::io(&e, "starting a thread"))
}

fn join<T>(worker: Worker<'_, Result<T>>) -> Result<T> {
    worker.join().map_err(|_| Error::corrupt("a thread panicked"))?
}

fn finish<T>(mut blocks: Blocks, use_it: impl FnOnce(&mut Blocks) -> Result<T>) -> Result<T> {
    let result = use_it(&mut blocks)?;
    loop {
        match blocks.fill_buf().map_err(|e| Error::io(&e, "reading"))?.len() {
            0 => return Ok(result),
            length => blocks.consume(length),
        }
    }
}

/// Buffers that go around.
#[derive(Clone, Default)]
struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    fn take(&self) -> Vec<u8> {
        let buffer = self.0.lock().ok().and_then(|mut free| free.pop());
        buffer.unwrap_or_else(|| vec![0; BLOCK_BYTES])
    }

    fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == BLOCK_BYTES
            && let Ok(mut free) = self.0.lock()
        {
            buffer.resize(BLOCK_BYTES, 0);
            free.push(buffer);
        }
    }
}

type Sent = Result<Vec<u8>>;

/// Blocks as a stream.
pub struct Blocks {
    queue: Receiver<Sent>,
    pool: Pool,
    block: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Blocks {
    fn new(pool: &Pool) -> (Self, SyncSender<Sent>) {
        let (sender, queue) = sync_channel(QUEUE);
        (Self { queue, pool: pool.clone(), block: Vec::new(), at: 0, ended: false }, sender)
    }

    fn next_block(&mut self) -> Result<Option<Vec<u8>>> {
        match self.queue.recv() {
            Ok(sent) => sent.map(Some),
            // The sender is gone: it sends what is wrong before it goes.
            Err(_) => Ok(None),
        }
    }
}

impl BufRead for Blocks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.block.len() && !self.ended {
            self.pool.give(std::mem::take(&mut self.block));
            self.at = 0;
            match self.next_block()? {
                Some(block) => self.block = block,
                None => self.ended = true,
            }
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, length: usize) {
        self.at = self.block.len().min(self.at + length);
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// What a step tells when nobody takes its blocks any more: the step behind it has failed, and its
/// own error is the one that counts.
fn unwanted() -> Error {
    Error::corrupt("nobody reads on")
}

fn read(mut input: impl Read, sum: Sum, to: SyncSender<Sent>, pool: &Pool) -> Result<Summary> {
    let mut sum = Summing::new(sum);
    loop {
        let mut block = pool.take();
        match read_full(&mut input, &mut block) {
            Ok(0) => return Ok(sum.finish()),
            Ok(length) => {
                block.truncate(length);
                sum.update(&block);
                to.send(Ok(block)).map_err(|_| unwanted())?;
            }
            Err(e) => {
                let error = Error::io(&e, "reading");
                let _ = to.send(Err(error.clone()));
                return Err(error);
            }
        }
    }
}

fn unpack(
    format: Format,
    from: Blocks,
    limits: &Limits,
    to: SyncSender<Sent>,
    pool: &Pool,
) -> Result<()> {
    let result = unpack_all(format, from, limits, &to, pool);
    if let Err(error) = &result {
        let _ = to.send(Err(error.clone()));
    }
    result
}

fn unpack_all(
    format: Format,
    from: Blocks,
    limits: &Limits,
    to: &SyncSender<Sent>,
    pool: &Pool,
) -> Result<()> {
    let mut unpacked = Bounded::new(format, from, limits)?;
    loop {
        let mut block = pool.take();
        let length = read_full(&mut unpacked, &mut block);
        let length = length.map_err(|e| Error::io(&e, "unpacking"))?;
        if length == 0 {
            return Ok(());
        }
        block.truncate(length);
        to.send(Ok(block)).map_err(|_| unwanted())?;
    }
}

fn hash(mut from: Blocks, sum: Sum, to: SyncSender<Sent>) -> Result<Summary> {
    let mut sum = Summing::new(sum);
    loop {
        match from.next_block() {
            Ok(Some(block)) => {
                sum.update(&block);
                to.send(Ok(block)).map_err(|_| unwanted())?;
            }
            Ok(None) => return Ok(sum.finish()),
            Err(error) => {
                let _ = to.send(Err(error.clone()));
                return Err(error);
            }
        }
    }
}
