//! Threads that pack blocks.

use super::encode::Codec;
use crate::error::{Error, Result};
use libdeflater::{CompressionLvl, Compressor};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use zstd_safe::{CCtx, CParameter};

/// More threads than this would take more memory than a push may.
const THREADS: usize = 8;
/// Blocks beyond those that are being packed: the next ones, and those that wait for one before them.
const SPARE_BLOCKS: usize = 2;

/// Threads that pack, shared by any number of streams. Together these have a few blocks in memory more than
/// there are threads; each may have one whatever the others do, so that none waits for another.
pub struct Packers {
    /// Taken at the end.
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
    /// For blocks beyond the first of each stream.
    room: AtomicUsize,
}

pub(super) struct Job {
    pub(super) codec: Codec,
    pub(super) number: u64,
    pub(super) block: Vec<u8>,
    /// Takes as many as there are blocks in flight: nobody waits to say that one is done.
    pub(super) done: SyncSender<Done>,
}

pub(super) struct Done {
    pub(super) number: u64,
    pub(super) packed: Result<Vec<u8>>,
    /// Its memory can be used again.
    pub(super) block: Vec<u8>,
}

impl Packers {
    /// Starts so many threads.
    pub fn new(threads: usize) -> Result<Self> {
        let threads = threads.clamp(1, THREADS);
        let (jobs, queue) = sync_channel::<Job>(1);
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let worker = std::thread::Builder::new()
                .name("pack".into())
                .spawn(move || work(&queue))
                .map_err(|e| Error::io(&e, "starting a thread"))?;
            workers.push(worker);
        }
        let room = AtomicUsize::new(threads + SPARE_BLOCKS);
        Ok(Self { jobs: Some(jobs), workers, room })
    }

    /// Blocks of a stream in flight, at most.
    pub(super) fn limit(&self) -> usize {
        1 + self.workers.len() + SPARE_BLOCKS
    }

    /// Takes room for a block, if there is some.
    pub(super) fn try_enter(&self) -> bool {
        let less = |room: usize| room.checked_sub(1);
        self.room.fetch_update(Ordering::Acquire, Ordering::Relaxed, less).is_ok()
    }

    pub(super) fn leave(&self, blocks: usize) {
        self.room.fetch_add(blocks, Ordering::Release);
    }

    pub(super) fn send(&self, job: Job) -> Result<()> {
        match self.jobs.as_ref().map(|jobs| jobs.send(job)) {
            Some(Ok(())) => Ok(()),
            _ => Err(Error::corrupt("the packing threads have stopped")),
        }
    }
}

impl Drop for Packers {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut packer = Packer::default();
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        let packed = packer.pack(&job);
        // Whoever is gone does not want it any more.
        let _ = job.done.send(Done { number: job.number, packed, block: job.block });
    }
}

/// What a thread keeps from block to block.
#[derive(Default)]
struct Packer {
    context: Option<CCtx<'static>>,
    /// Of the level that was wanted last.
    compressor: Option<(u8, Compressor)>,
    /// Room for a packed block.
    packed: Vec<u8>,
}

impl Packer {
    fn pack(&mut self, job: &Job) -> Result<Vec<u8>> {
        match job.codec {
            // The last block of a stream of whole blocks is empty; a stream has at least one member.
            _ if job.block.is_empty() && job.number > 0 => Ok(Vec::new()),
            Codec::Gzip { level } => self.deflate(level.clamp(1, 9), &job.block),
            Codec::Zstd { level } => {
                let failed = |code| Error::corrupt(zstd_safe::get_error_name(code));
                let level = CParameter::CompressionLevel(i32::from(level.clamp(1, 19)));
                let context = self.context.get_or_insert_with(CCtx::create);
                context.set_parameter(level).map_err(failed)?;
                self.packed.clear();
                self.packed.reserve(zstd_safe::compress_bound(job.block.len()));
                context.compress2(&mut self.packed, &job.block).map_err(failed)?;
                Ok(self.packed.as_slice().to_vec())
            }
        }
    }

    fn deflate(&mut self, level: u8, block: &[u8]) -> Result<Vec<u8>> {
        let failed = || Error::corrupt("deflate has failed");
        let compressor = match &mut self.compressor {
            Some((known, compressor)) if *known == level => compressor,
            other => {
                let wanted = CompressionLvl::new(i32::from(level)).map_err(|_| failed())?;
                &mut other.insert((level, Compressor::new(wanted))).1
            }
        };
        self.packed.resize(compressor.gzip_compress_bound(block.len()), 0);
        let length = compressor.gzip_compress(block, &mut self.packed).map_err(|_| failed())?;
        self.packed.get(..length).map(<[u8]>::to_vec).ok_or_else(failed)
    }
}
