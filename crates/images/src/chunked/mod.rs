//! zstd:chunked: layers in zstd with a table of contents, as containers/storage writes and reads them.
//!
//! ```text
//! frame of headers, frames of a file's chunks, frame of headers, ..., end of the archive
//! skippable frame: table of contents, packed   <- its place and digest are annotations of the layer
//! skippable frame: tar-split, packed           <- its digest is in the table
//! skippable frame: footer
//! ```
//!
//! To everybody else it is a layer in zstd. Whoever knows the table fetches the files that it lacks, by ranges,
//! and has the archive's other bytes from tar-split. Names, owners, times are said twice then, and a reader
//! refuses an image where they differ; so nothing is guessed here: an archive with anything that Go's reader of
//! archives could see in another way gets no table, and is an ordinary layer in zstd.

mod header;
mod rolling;
mod split;
#[cfg(test)]
mod tests;
mod toc;

pub(crate) use toc::is_chunked;

use crate::error::{Error, Kind, Result};
use archive::Limits;
use archive::compression::{Codec, Encoder, Packers};
use archive::tar::{Entry, Reader, Tap, What};
use header::Header;
use oci::{Algorithm, Map};
use rolling::Rolling;
use split::Split;
use std::io::{BufRead, Write};
use std::sync::Arc;
use toc::{Chunk, File, Item};
use transport::hash::Hasher;

/// A block of an archive.
const BLOCK: u64 = 512;
/// What no header reaches: this long is only what follows the last entry.
const SEGMENT_BYTES: usize = 16 << 20;
/// containers/storage takes no larger tables; a table of ordinary archives has some hundred bytes for a file.
const ITEMS_LIMIT: usize = 400_000;

/// Packs an archive. Returns the annotations of the layer, or why it has no table of contents.
pub(crate) fn pack<W: Write>(
    input: impl BufRead,
    level: u8,
    packers: &Arc<Packers>,
    output: W,
) -> Result<(W, Result<Map, String>)> {
    let codec = Codec::Zstd { level };
    let to_memory = || Encoder::with(packers.clone(), codec, Vec::new());
    let table = Table { items: Vec::new(), split: Split::new(to_memory()), padding: 0, file: None };
    let writer = Writer {
        frames: Encoder::with(packers.clone(), codec, output),
        end: to_memory(),
        table: Ok(table),
        raw: Vec::new(),
    };
    let mut reader = Reader::with_tap(input, Limits::default(), writer);
    while reader.next_entry()?.is_some() {}
    reader.into_tap().finish()
}

/// Listens to the archive.
struct Writer<W: Write> {
    frames: Encoder<W>,
    /// Packs the table.
    end: Encoder<Vec<u8>>,
    /// What becomes of the table, or why there will be none.
    table: Result<Table, String>,
    /// What is no contents, since the last entry.
    raw: Vec<u8>,
}

/// The table of contents as far as it has come.
struct Table {
    items: Vec<Item>,
    split: Split,
    /// How much of `raw` belongs to the last entry.
    padding: u64,
    file: Option<Open>,
}

/// A file whose contents go by.
struct Open {
    left: u64,
    all: Hasher,
    chunk: Hasher,
    rolling: Rolling,
    /// Of the current chunk.
    begin: u64,
    frame: u64,
    bytes: u64,
    chunks: Vec<Chunk>,
}

impl Table {
    /// Notes an entry, whose headers are behind the padding in `raw`.
    fn entry(&mut self, entry: &Entry, raw: &[u8]) -> Result<(), String> {
        let padding = usize::try_from(self.padding).unwrap_or(usize::MAX);
        let headers = raw.get(padding..).ok_or("the archive ends behind a file")?;
        let header = Header::read(headers)?;
        if matches!(&entry.what, What::File { sparse: Some(_), .. }) {
            return Err("it has sparse files".into());
        }
        if entry.stored() > 0 && header.size != entry.stored() {
            return Err("it says sizes in two ways".into());
        }
        if self.items.len() >= ITEMS_LIMIT {
            return Err("it has too many files".into());
        }
        self.split.segment(raw).map_err(|error| error.to_string())?;
        self.split.begin(&header.name, header.size);
        self.padding = entry.stored().next_multiple_of(BLOCK) - entry.stored();
        self.items.push(Item { header, file: None });
        Ok(())
    }
}

impl<W: Write> Writer<W> {
    /// Goes on without a table when something is odd.
    fn note(&mut self, done: Result<(), String>) {
        if let Err(why) = done {
            self.table = Err(why);
        }
    }

    /// The first or next part of a file.
    fn contents(&mut self, mut bytes: &[u8]) -> archive::Result<()> {
        while !bytes.is_empty() {
            let Some(file) = self.table.as_mut().ok().and_then(|table| table.file.as_mut()) else {
                return write(&mut self.frames, bytes);
            };
            let (length, ends) = file.rolling.next(bytes);
            let (now, later) = bytes.split_at(length);
            file.all.update(now);
            file.chunk.update(now);
            file.bytes += now.len() as u64;
            file.left = file.left.saturating_sub(now.len() as u64);
            write(&mut self.frames, now)?;
            if ends || file.left == 0 {
                let frame = self.frames.cut()?;
                file.end_chunk(frame);
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_file(&mut self) {
        let Ok(table) = &mut self.table else { return };
        if table.file.as_ref().is_some_and(|file| file.left == 0)
            && let Some(file) = table.file.take()
        {
            let done = File { digest: file.all.finish(), chunks: file.chunks, end: file.frame };
            if let Some(item) = table.items.last_mut() {
                item.file = Some(done);
            }
        }
    }

    fn finish(self) -> Result<(W, Result<Map, String>)> {
        let (output, ends) = self.frames.finish_with_ends()?;
        let table = self.table.and_then(|mut table| {
            let ended = table.split.segment(&self.raw).map_err(|error| error.to_string());
            ended.map(|()| table)
        });
        match table {
            Err(why) => Ok((output, Err(why))),
            Ok(table) => {
                let split = table.split.finish()?;
                let (output, annotations) =
                    toc::write(output, &table.items, &ends, &split, self.end)?;
                Ok((output, annotations))
            }
        }
    }
}

impl Open {
    fn new(size: u64, frame: u64) -> Self {
        let hasher = || Hasher::new(Algorithm::Sha256);
        Self {
            left: size,
            all: hasher(),
            chunk: hasher(),
            rolling: Rolling::default(),
            begin: 0,
            frame,
            bytes: 0,
            chunks: Vec::new(),
        }
    }

    fn end_chunk(&mut self, next_frame: u64) {
        let chunk = std::mem::replace(&mut self.chunk, Hasher::new(Algorithm::Sha256));
        self.chunks.push(Chunk {
            offset: self.begin,
            size: self.bytes - self.begin,
            digest: chunk.finish(),
            frame: self.frame,
        });
        (self.begin, self.frame) = (self.bytes, next_frame);
    }
}

impl<W: Write> Tap for Writer<W> {
    fn raw(&mut self, bytes: &[u8]) -> archive::Result<()> {
        write(&mut self.frames, bytes)?;
        if self.table.is_ok() {
            self.raw.extend_from_slice(bytes);
            if self.raw.len() > SEGMENT_BYTES {
                self.note(Err("it has very long headers, or much behind its end".into()));
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> archive::Result<()> {
        let raw = std::mem::take(&mut self.raw);
        let done = match &mut self.table {
            Ok(table) => table.entry(entry, &raw),
            Err(_) => Ok(()),
        };
        self.note(done);
        if let Ok(table) = &mut self.table
            && entry.stored() > 0
        {
            table.file = Some(Open::new(entry.stored(), self.frames.cut()?));
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> archive::Result<()> {
        if let Ok(table) = &mut self.table {
            table.split.contents(bytes);
        }
        self.contents(bytes)?;
        self.end_file();
        Ok(())
    }
}

fn write(output: &mut impl Write, bytes: &[u8]) -> archive::Result<()> {
    output.write_all(bytes).map_err(|error| archive::Error::of_io(&error, "packing a layer"))
}

/// Content that cannot be packed so that somebody can read it again.
fn failed(what: &str) -> Error {
    Error::new(Kind::Unsupported, what.to_owned())
}
