//! Packing a stream on all processors.
//!
//! The stream is cut into blocks of a fixed size, whatever writes look like and however many threads
//! there are; each is packed by itself and they are written in order. So the bytes depend on the
//! contents, the level and the version of the library, and on nothing else.

use super::packers::{Done, Job, Packers};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// What to pack with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// A member for each block, levels 1 to 9.
    Gzip {
        /// 2 is about as dense as zlib's 6.
        level: u8,
    },
    /// A frame for each block, levels 1 to 19.
    Zstd {
        /// 3 is usual.
        level: u8,
    },
}

/// Members know nothing of each other: small blocks lose at their borders, large ones take memory on every
/// thread.
const GZIP_BLOCK_BYTES: usize = 1 << 20;
/// Frames know nothing of each other: as large as the window of level 3.
const ZSTD_BLOCK_BYTES: usize = 2 << 20;

impl Codec {
    fn block_bytes(self) -> usize {
        match self {
            Self::Gzip { .. } => GZIP_BLOCK_BYTES,
            Self::Zstd { .. } => ZSTD_BLOCK_BYTES,
        }
    }
}

/// Packs what is written to it. Without [`Self::finish`] the stream has no end.
pub struct Encoder<W: Write> {
    /// Taken by [`Self::finish`].
    output: Option<W>,
    codec: Codec,
    packers: Arc<Packers>,
    block: Vec<u8>,
    /// The memory of blocks that are packed.
    spare: Vec<Vec<u8>>,
    sent: u64,
    written: u64,
    /// Where each written block ends in the output, while somebody wants to know.
    ends: Option<Vec<u64>>,
    /// How many of those between have taken room.
    entered: usize,
    waiting: BTreeMap<u64, Vec<u8>>,
    results: SyncSender<Done>,
    done: Receiver<Done>,
}

impl<W: Write> Encoder<W> {
    /// Packs into `output` with so many threads besides the caller's.
    pub fn new(codec: Codec, threads: usize, output: W) -> Result<Self> {
        Ok(Self::with(Arc::new(Packers::new(threads)?), codec, output))
    }

    /// The same with threads that others use, too.
    pub fn with(packers: Arc<Packers>, codec: Codec, output: W) -> Self {
        let (results, done) = sync_channel::<Done>(packers.limit());
        Self {
            output: Some(output),
            codec,
            packers,
            block: Vec::with_capacity(codec.block_bytes()),
            spare: Vec::new(),
            sent: 0,
            written: 0,
            ends: None,
            entered: 0,
            waiting: BTreeMap::new(),
            results,
            done,
        }
    }

    /// Ends the block here, so that what follows can be unpacked without what came before (of zstd: each block
    /// is a frame). Returns the number of the next block.
    pub fn cut(&mut self) -> Result<u64> {
        self.ends.get_or_insert_default();
        if !self.block.is_empty() {
            self.send()?;
        }
        Ok(self.sent)
    }

    /// Writes the end; returns the output.
    pub fn finish(self) -> Result<W> {
        self.finish_with_ends().map(|(output, _)| output)
    }

    /// The same, with where each block ends in the output; nothing without [`Self::cut`].
    pub fn finish_with_ends(mut self) -> Result<(W, Vec<u64>)> {
        self.send()?;
        while self.written < self.sent {
            self.take_one()?;
        }
        let output = self.output.take().ok_or_else(|| Error::corrupt("finished twice"))?;
        Ok((output, self.ends.take().unwrap_or_default()))
    }

    fn write_out(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.output {
            Some(output) => output.write_all(bytes).map_err(|e| Error::io(&e, "writing")),
            None => Ok(()),
        }
    }

    fn send(&mut self) -> Result<()> {
        // What is done gives its room to others, also where little is sent.
        while let Ok(done) = self.done.try_recv() {
            self.take(done)?;
        }
        while self.sent > self.written {
            if self.packers.try_enter() {
                self.entered += 1;
                break;
            }
            self.take_one()?;
        }
        let spare = self.spare.pop();
        // Blocks that somebody cuts are mostly small.
        let bytes = if self.ends.is_some() { 0 } else { self.codec.block_bytes() };
        let next = spare.unwrap_or_else(|| Vec::with_capacity(bytes));
        let block = std::mem::replace(&mut self.block, next);
        let (codec, number, done) = (self.codec, self.sent, self.results.clone());
        self.sent += 1;
        self.packers.send(Job { codec, number, block, done })
    }

    fn take_one(&mut self) -> Result<()> {
        let done = self.done.recv();
        self.take(done.map_err(|_| Error::corrupt("the packing threads have stopped"))?)
    }

    fn take(&mut self, mut done: Done) -> Result<()> {
        done.block.clear();
        if self.spare.is_empty() {
            self.spare.push(done.block);
        }
        self.waiting.insert(done.number, done.packed?);
        while let Some(packed) = self.waiting.remove(&self.written) {
            self.write_out(&packed)?;
            if let Some(ends) = &mut self.ends {
                ends.push(ends.last().copied().unwrap_or_default() + packed.len() as u64);
            }
            self.written += 1;
            if self.entered > 0 {
                self.entered -= 1;
                self.packers.leave(1);
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == self.codec.block_bytes() {
            self.send()?;
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
        self.packers.leave(self.entered);
    }
}
