//! A large blob over several connections at once.
//!
//! It begins with one, as every other. Only when what is waited for is the connection, and there is much left,
//! others fetch what comes behind: each a piece in turn, in order for the reader, who lets go of one piece
//! before the next of that connection is asked for. A fast link or a slow reader never leads to that, and
//! costs nothing. When parts of the blob cannot be had, or of another version only, it goes on with one.

use super::download::{Download, Place};
use super::options::Parallel;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// What is handed from one thread to another at once.
const CHUNK_BYTES: u64 = 256 << 10;

/// The connections that are used besides the first ones, over all blobs of a registry: each has a piece in
/// memory.
#[derive(Debug, Default)]
pub(super) struct Extra(AtomicUsize);

#[cfg(test)]
impl Extra {
    /// How many are in use.
    pub(super) fn in_use(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Some of them.
struct Claim {
    of: Arc<Extra>,
    count: usize,
}

impl Claim {
    /// As many as are left of a limit, and two at least: one would not be more than there is now.
    fn take(of: &Arc<Extra>, limit: usize) -> Option<Self> {
        let mut count = 0;
        let taken = of.0.try_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
            count = limit.saturating_sub(used);
            (count > 1).then_some(used + count)
        });
        taken.ok().map(|_| Self { of: of.clone(), count })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.count, Ordering::SeqCst);
    }
}

/// A blob, read in order.
pub(super) struct Spread {
    place: Place,
    rules: Parallel,
    extra: Arc<Extra>,
    /// The first connection, or the only one.
    alone: Download,
    team: Option<Team>,
    /// Whether several connections are out of the question.
    never: bool,
    /// When the present measurement began, where, and how long was waited for the connection since.
    since: (Instant, u64),
    waited: Duration,
}

impl Spread {
    /// Goes on with a download that has begun.
    pub(super) fn new(place: Place, alone: Download, rules: &Parallel, extra: &Arc<Extra>) -> Self {
        let never = rules.connections < 2 || place.size < rules.least_bytes;
        let since = (Instant::now(), alone.offset());
        let (extra, rules, waited) = (extra.clone(), rules.clone(), Duration::ZERO);
        Self { place, rules, extra, alone, team: None, never, since, waited }
    }

    /// Looks whether more connections would help, and lets them begin behind what this one still fetches.
    fn consider(&mut self) {
        let (since, from) = self.since;
        let elapsed = since.elapsed();
        if self.never || elapsed < self.rules.watch {
            return;
        }
        let offset = self.alone.offset();
        let speed = (offset - from) as f64 / elapsed.as_secs_f64();
        let is_limit = self.waited * 2 > elapsed && speed < self.rules.fast_bytes_per_second as f64;
        (self.since, self.waited) = ((Instant::now(), offset), Duration::ZERO);
        let begin = offset + self.rules.piece_bytes;
        // Less than a piece each is not worth it.
        let enough = begin + self.rules.piece_bytes * self.rules.connections as u64;
        let (version, ranges) = self.alone.version();
        if !ranges || enough > self.place.size {
            self.never = true;
        } else if is_limit && let Some(claim) = Claim::take(&self.extra, self.rules.connections) {
            let team = Team::start(&self.place, begin, version, self.rules.piece_bytes, claim);
            self.alone.cut(if team.is_some() { begin } else { self.place.size });
            (self.team, self.never) = (team, true);
        }
    }
}

impl Read for Spread {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let began = Instant::now();
        let count = self.alone.read(buffer)?;
        if count > 0 {
            self.waited += began.elapsed();
            self.consider();
            return Ok(count);
        }
        let Some(team) = &mut self.team else { return Ok(0) };
        match team.read(buffer) {
            Ok(count) => Ok(count),
            // Alone it may be possible, and if not, the reason is told better.
            Err(Lost) => {
                let offset = team.offset;
                self.team = None;
                let (version, _) = self.alone.version();
                self.alone = Download::rest(self.place.clone(), offset, version);
                self.alone.read(buffer)
            }
        }
    }
}

/// One of the others has given up.
struct Lost;

/// Several connections, each with every so-manieth piece.
struct Team {
    members: Vec<Receiver<Vec<u8>>>,
    pieces: Pieces,
    /// What is read next.
    offset: u64,
    chunk: Vec<u8>,
    /// What of the chunk was read.
    read: usize,
}

#[derive(Clone)]
struct Pieces {
    all: Range<u64>,
    size: u64,
}

impl Pieces {
    /// The piece with a number, if there is one.
    fn piece(&self, number: u64) -> Option<Range<u64>> {
        let begin = self.all.start + number * self.size;
        let end = begin.saturating_add(self.size).min(self.all.end);
        (begin < end).then_some(begin..end)
    }
}

impl Team {
    fn start(
        place: &Place,
        begin: u64,
        version: Option<String>,
        size: u64,
        claim: Claim,
    ) -> Option<Self> {
        let pieces = Pieces { all: begin..place.size, size };
        let count = claim.count;
        let claim = Arc::new(claim);
        let mut members = Vec::new();
        for number in 0..count {
            // A piece in memory for each: its thread holds one chunk, and one is read.
            let chunks = (size / CHUNK_BYTES).saturating_sub(2).max(1);
            let (sender, receiver) = sync_channel(chunks as usize);
            let (place, pieces, version) = (place.clone(), pieces.clone(), version.clone());
            let claim = claim.clone();
            // They end with the blob, when nobody takes what they have; at the latest when a connection
            // has been silent for as long as one may be.
            let spawned = std::thread::Builder::new().name("blob".into()).spawn(move || {
                let _claim = claim;
                let numbers = (number as u64..).step_by(count);
                for piece in numbers.map_while(|number| pieces.piece(number)) {
                    let download = Download::piece(place.clone(), piece, version.clone());
                    if !send(download, &sender) {
                        return;
                    }
                }
            });
            spawned.ok()?;
            members.push(receiver);
        }
        Some(Self { members, pieces, offset: begin, chunk: Vec::new(), read: 0 })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Lost> {
        if self.offset == self.pieces.all.end {
            return Ok(0);
        }
        if self.read == self.chunk.len() {
            let number = (self.offset - self.pieces.all.start) / self.pieces.size;
            let member = &self.members[number as usize % self.members.len()];
            self.chunk = member.recv().map_err(|_| Lost)?;
            self.read = 0;
        }
        let rest = &self.chunk[self.read..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Hands over a piece; false when it cannot be had, or is no longer wanted.
fn send(mut download: Download, sender: &SyncSender<Vec<u8>>) -> bool {
    loop {
        let mut chunk = Vec::new();
        match download.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk) {
            Ok(0) => return true,
            Ok(_) if sender.send(chunk).is_ok() => {}
            _ => return false,
        }
    }
}
