//! Packing a stream on all processors.
//!
//! The stream is cut into blocks of a fixed size, whatever writes look like and however many threads
//! there are; each is packed by itself and they are written in order. So the bytes depend on the
//! contents, the level and the version of the library, and on nothing else.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use zlib_rs::{Deflate, DeflateFlush, Status};
use zstd_safe::{CCtx, CParameter};

/// What to pack with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// One member, levels 1 to 9.
    Gzip {
        /// 6 is usual.
        level: u8,
    },
    /// A frame for each block, levels 1 to 19.
    Zstd {
        /// 3 is usual.
        level: u8,
    },
}

/// Each block begins with what is behind the last one in the window of deflate.
const WINDOW_BYTES: usize = 32 << 10;
/// Small blocks lose at their borders, large ones take memory on every thread.
const GZIP_BLOCK_BYTES: usize = 512 << 10;
/// Frames know nothing of each other: as large as the window of level 3.
const ZSTD_BLOCK_BYTES: usize = 2 << 20;
/// More threads than this would take more memory than a push may.
const THREADS: usize = 16;

impl Codec {
    fn block_bytes(self) -> usize {
        match self {
            Self::Gzip { .. } => GZIP_BLOCK_BYTES,
            Self::Zstd { .. } => ZSTD_BLOCK_BYTES,
        }
    }
}

struct Job {
    number: u64,
    /// The end of the block before this one.
    window: Vec<u8>,
    block: Vec<u8>,
    last: bool,
}

struct Done {
    number: u64,
    packed: Result<Vec<u8>>,
}

/// Packs what is written to it. Without [`Self::finish`] the stream has no end.
pub struct Encoder<W: Write> {
    /// Taken by [`Self::finish`].
    output: Option<W>,
    codec: Codec,
    block: Vec<u8>,
    window: Vec<u8>,
    crc: u32,
    bytes: u64,
    sent: u64,
    written: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    workers: Vec<JoinHandle<()>>,
}

impl<W: Write> Encoder<W> {
    /// Packs into `output` with so many threads besides the caller's.
    pub fn new(codec: Codec, threads: usize, mut output: W) -> Result<Self> {
        let threads = threads.clamp(1, THREADS);
        if let Codec::Gzip { .. } = codec {
            // No name, no time, no system: nothing that is not in the contents.
            let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
            output.write_all(&header).map_err(|e| Error::io(&e, "writing"))?;
        }
        let (jobs, queue) = sync_channel::<Job>(1);
        let (results, done) = sync_channel::<Done>(threads + 1);
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (queue, results) = (Arc::clone(&queue), results.clone());
            let worker = std::thread::Builder::new()
                .name("pack".into())
                .spawn(move || work(codec, &queue, &results))
                .map_err(|e| Error::io(&e, "starting a thread"))?;
            workers.push(worker);
        }
        Ok(Self {
            output: Some(output),
            codec,
            block: Vec::with_capacity(codec.block_bytes()),
            window: Vec::new(),
            crc: 0,
            bytes: 0,
            sent: 0,
            written: 0,
            waiting: BTreeMap::new(),
            jobs: Some(jobs),
            done,
            workers,
        })
    }

    /// Writes the end; returns the output.
    pub fn finish(mut self) -> Result<W> {
        self.send(true)?;
        self.jobs = None;
        while self.written < self.sent {
            self.take_one()?;
        }
        for worker in self.workers.drain(..) {
            worker.join().map_err(|_| Error::corrupt("a packing thread panicked"))?;
        }
        if let Codec::Gzip { .. } = self.codec {
            let trailer = [self.crc.to_le_bytes(), (self.bytes as u32).to_le_bytes()].concat();
            self.write_out(&trailer)?;
        }
        self.output.take().ok_or_else(|| Error::corrupt("finished twice"))
    }

    fn write_out(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.output {
            Some(output) => output.write_all(bytes).map_err(|e| Error::io(&e, "writing")),
            None => Ok(()),
        }
    }

    fn send(&mut self, last: bool) -> Result<()> {
        // Of those sent and not written there are as many as threads, and one in the queue.
        while self.sent - self.written > self.workers.len() as u64 {
            self.take_one()?;
        }
        let size = self.codec.block_bytes();
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(size));
        if let Codec::Gzip { .. } = self.codec {
            self.crc = zlib_rs::crc32::crc32(self.crc, &block);
        }
        self.bytes += block.len() as u64;
        let next = block[block.len().saturating_sub(WINDOW_BYTES)..].to_vec();
        let window = std::mem::replace(&mut self.window, next);
        let job = Job { number: self.sent, window, block, last };
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        match sent {
            Some(Ok(())) => self.sent += 1,
            _ => return Err(Error::corrupt("the packing threads have stopped")),
        }
        Ok(())
    }

    fn take_one(&mut self) -> Result<()> {
        let done = self.done.recv();
        let done = done.map_err(|_| Error::corrupt("the packing threads have stopped"))?;
        self.waiting.insert(done.number, done.packed?);
        while let Some(packed) = self.waiting.remove(&self.written) {
            self.write_out(&packed)?;
            self.written += 1;
        }
        Ok(())
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == self.codec.block_bytes() {
            self.send(false)?;
        }
        let room = self.codec.block_bytes() - self.block.len();
        let length = bytes.len().min(room);
        self.block.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for Encoder<W> {
    fn drop(&mut self) {
        self.jobs = None;
        // Threads that hold a result wait until it is taken.
        while self.done.recv().is_ok() {}
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn work(codec: Codec, queue: &Mutex<Receiver<Job>>, results: &SyncSender<Done>) {
    let mut packer = Packer::new(codec);
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        let packed = packer.pack(&job);
        if results.send(Done { number: job.number, packed }).is_err() {
            return;
        }
    }
}

enum Packer {
    Gzip(u8),
    Zstd(CCtx<'static>, u8),
}

impl Packer {
    fn new(codec: Codec) -> Self {
        match codec {
            Codec::Gzip { level } => Self::Gzip(level.clamp(1, 9)),
            Codec::Zstd { level } => Self::Zstd(CCtx::create(), level.clamp(1, 19)),
        }
    }

    fn pack(&mut self, job: &Job) -> Result<Vec<u8>> {
        match self {
            Self::Gzip(level) => deflate_block(*level, job),
            // The last block of a stream of whole blocks is empty; a stream has at least one frame.
            Self::Zstd(..) if job.block.is_empty() && job.number > 0 => Ok(Vec::new()),
            Self::Zstd(context, level) => {
                let failed = |code| Error::corrupt(zstd_safe::get_error_name(code));
                let level = CParameter::CompressionLevel(i32::from(*level));
                context.set_parameter(level).map_err(failed)?;
                let mut packed = Vec::with_capacity(zstd_safe::compress_bound(job.block.len()));
                context.compress2(&mut packed, &job.block).map_err(failed)?;
                Ok(packed)
            }
        }
    }
}

fn deflate_block(level: u8, job: &Job) -> Result<Vec<u8>> {
    /// What a block may grow by: stored blocks' headers, and the mark at its end.
    const SLACK_BYTES: usize = 1024;
    let failed = |_| Error::corrupt("deflate has failed");
    // One that is used again (`reset`) finds other matches, depending on what it has seen before.
    let mut deflate = Deflate::new(i32::from(level), false, 15);
    if !job.window.is_empty() {
        deflate.set_dictionary(&job.window).map_err(failed)?;
    }
    let flush = if job.last { DeflateFlush::Finish } else { DeflateFlush::SyncFlush };
    let mut packed = vec![0; job.block.len() / 2 + SLACK_BYTES];
    loop {
        let taken = deflate.total_in() as usize;
        let made = deflate.total_out() as usize;
        let status =
            deflate.compress(&job.block[taken..], &mut packed[made..], flush).map_err(failed)?;
        let made = deflate.total_out() as usize;
        let complete = match flush {
            DeflateFlush::Finish => status == Status::StreamEnd,
            // With room left over, everything has been said.
            _ => made < packed.len(),
        };
        if complete {
            packed.truncate(made);
            return Ok(packed);
        }
        let length = packed.len() * 3 / 2;
        packed.resize(length, 0);
    }
}
