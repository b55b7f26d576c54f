//! Entry after entry from a stream.

use super::entry::{Entry, What};
use super::header::{BLOCK, Format, Header, until_nul};
use super::pax::{self, Pax};
use super::sparse::{self, OldMap, TextMap};
use super::tap::Tap;
use crate::error::{Error, Result};
use crate::limits::{Limits, PATH_BYTES};
use crate::path::TreePath;
use std::io::{BufRead, Seek};
use sys::time::Time;

/// Reads an archive once, from front to end. It never looks back, and holds one header's worth of
/// memory besides what its input buffers.
#[derive(Debug)]
pub struct Reader<R, T = ()> {
    input: R,
    tap: T,
    limits: Limits,
    /// Bytes that were read.
    offset: u64,
    entries: u64,
    /// What sparse files pretended to have.
    holes: u64,
    /// Of the current body, and of the padding behind it.
    left: u64,
    padding: u64,
    ended: bool,
}

/// What headers say about the entry that follows them.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    global: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`.
    pub fn new(input: R, limits: Limits) -> Self {
        Self::with_tap(input, limits, ())
    }
}

impl<R: BufRead + Seek> Reader<R> {
    /// Passes over the current body without reading it: an archive of few large files is listed at
    /// no cost.
    pub fn skip_body(&mut self) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        let failed = |e| Error::io(&e, "seeking in the archive");
        let most = i64::try_from(self.left - 1);
        let most = most.map_err(|_| Error::corrupt("the archive ends in the middle of a file"))?;
        self.input.seek_relative(most).map_err(failed)?;
        self.offset += self.left - 1;
        // A seek goes beyond the end of a file, a read does not.
        self.left = 1;
        self.body()?;
        self.consume(1)
    }
}

impl<R: BufRead, T: Tap> Reader<R, T> {
    /// Reads from `input`, and tells `tap` every byte.
    pub fn with_tap(input: R, limits: Limits, tap: T) -> Self {
        Self {
            input,
            tap,
            limits,
            offset: 0,
            entries: 0,
            holes: 0,
            left: 0,
            padding: 0,
            ended: false,
        }
    }

    /// What listens.
    pub fn tap(&mut self) -> &mut T {
        &mut self.tap
    }

    /// What listened, at the end.
    pub fn into_tap(self) -> T {
        self.tap
    }

    /// What is read from.
    pub(crate) fn input(&self) -> &R {
        &self.input
    }

    /// Bytes that were read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry. What nobody read of the last one's body is passed over. After the last entry
    /// the input has been read to its end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if self.ended {
            return Ok(None);
        }
        while self.left > 0 {
            let length = self.body()?.len();
            self.consume(length)?;
        }
        self.pass_padding()?;
        let mut pending = Pending::default();
        loop {
            let Some(block) = self.block()? else {
                self.ended = true;
                return self.ended_with(&pending);
            };
            self.tap.raw(&block)?;
            if block == [0; BLOCK] {
                self.finish()?;
                return self.ended_with(&pending);
            }
            let header = Header::new(&block)?;
            if let Some(entry) = self.header(&header, &mut pending)? {
                self.tap.entry(&entry)?;
                return Ok(Some(entry));
            }
        }
    }

    /// The next part of the current body; empty at its end. [`Self::consume`] takes it away.
    pub fn body(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let bytes = self.input.fill_buf().map_err(|e| Error::io(&e, "reading the archive"))?;
        if bytes.is_empty() {
            return Err(Error::corrupt("the archive ends in the middle of a file"));
        }
        let length = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        Ok(&bytes[..length])
    }

    /// Takes away the first `length` bytes of what [`Self::body`] returned last.
    pub fn consume(&mut self, length: usize) -> Result<()> {
        let bytes = self.input.fill_buf().map_err(|e| Error::io(&e, "reading the archive"))?;
        assert!(length as u64 <= self.left && length <= bytes.len(), "more than the body has");
        self.tap.data(&bytes[..length])?;
        self.input.consume(length);
        self.left -= length as u64;
        self.offset += length as u64;
        Ok(())
    }

    fn ended_with(&self, pending: &Pending) -> Result<Option<Entry>> {
        match pending.is_empty() && !pending.global {
            true => Ok(None),
            false => Err(Error::corrupt("the archive ends behind a header for another entry")),
        }
    }

    /// One block, or `None` where the input ends.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let bytes = self.input.fill_buf().map_err(|e| Error::io(&e, "reading the archive"))?;
            if bytes.is_empty() {
                return match filled {
                    0 => Ok(None),
                    _ => Err(Error::corrupt("the archive ends in the middle of a block")),
                };
            }
            let length = bytes.len().min(BLOCK - filled);
            block[filled..filled + length].copy_from_slice(&bytes[..length]);
            self.input.consume(length);
            filled += length;
        }
        self.offset += BLOCK as u64;
        Ok(Some(block))
    }

    fn raw_block(&mut self) -> Result<[u8; BLOCK]> {
        let block = self.block()?;
        let block = block.ok_or_else(|| Error::corrupt("the archive ends behind a header"))?;
        self.tap.raw(&block)?;
        Ok(block)
    }

    fn pass_padding(&mut self) -> Result<()> {
        let length = std::mem::take(&mut self.padding);
        self.pass(length)
    }

    /// Passes over bytes that are no file's contents.
    fn pass(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            let bytes = self.input.fill_buf().map_err(|e| Error::io(&e, "reading the archive"))?;
            if bytes.is_empty() {
                return Err(Error::corrupt("the archive ends in the middle of a file's padding"));
            }
            let part = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            self.tap.raw(&bytes[..part])?;
            self.input.consume(part);
            self.offset += part as u64;
            length -= part as u64;
        }
        Ok(())
    }

    /// The end: a block of zeros, usually a second one and padding. All programs stop at the first.
    /// Go's refuses anything but zeros in the second, and nobody looks behind that.
    fn finish(&mut self) -> Result<()> {
        self.ended = true;
        let Some(second) = self.block()? else { return Ok(()) };
        if second != [0; BLOCK] {
            return Err(Error::ambiguous("a single block of zeros in the middle"));
        }
        self.tap.raw(&second)?;
        let mut tail = 0u64;
        loop {
            let bytes = self.input.fill_buf().map_err(|e| Error::io(&e, "reading the archive"))?;
            if bytes.is_empty() {
                return Ok(());
            }
            let length = bytes.len();
            self.tap.raw(bytes)?;
            self.input.consume(length);
            self.offset += length as u64;
            tail += length as u64;
            if tail > self.limits.tail_bytes {
                return Err(Error::limit("too much behind the end marker", self.limits.tail_bytes));
            }
        }
    }

    /// Takes a header: one for the next entry, or the entry itself.
    fn header(&mut self, header: &Header<'_>, pending: &mut Pending) -> Result<Option<Entry>> {
        match header.kind() {
            b'x' | b'X' => {
                let bytes = self.small_body(header, self.limits.pax_bytes, "a PAX header")?.0;
                let pax =
                    pax::local(&bytes, &self.limits).map_err(|e| e.at(&bytes_name(header)))?;
                if pending.pax.replace(pax).is_some() {
                    return Err(Error::ambiguous("two PAX headers for one entry"));
                }
            }
            b'g' if !pending.is_empty() => {
                return Err(Error::ambiguous("a global header between a header and its entry"));
            }
            b'g' => {
                let bytes = self.small_body(header, self.limits.pax_bytes, "a PAX header")?.0;
                pax::global(&bytes)?;
                pending.global = true;
                self.count()?;
            }
            kind @ (b'L' | b'K') => {
                let bytes = self.small_body(header, PATH_BYTES + 1, "a long name")?;
                let place = if kind == b'L' { &mut pending.name } else { &mut pending.link };
                let name = long_name(bytes)?;
                if place.replace(name).is_some() {
                    return Err(Error::ambiguous("two long names for one entry"));
                }
            }
            _ => return self.entry(header, std::mem::take(pending)).map(Some),
        }
        Ok(None)
    }

    /// The body of a header for another entry, and its padding.
    fn small_body(
        &mut self,
        header: &Header<'_>,
        limit: usize,
        what: &str,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let size = header.size()?;
        let size = usize::try_from(size).ok().filter(|&size| size <= limit);
        let size = size.ok_or_else(|| Error::limit(&format!("{what} is too large"), limit))?;
        let mut bytes = Vec::new();
        while bytes.len() < size {
            // Memory is taken as it comes, not as it is announced.
            bytes.extend_from_slice(&self.raw_block()?);
        }
        let padding = bytes.split_off(size);
        Ok((bytes, padding))
    }

    fn count(&mut self) -> Result<()> {
        self.entries += 1;
        match self.entries > self.limits.entries {
            true => Err(Error::limit("too many entries", self.limits.entries)),
            false => Ok(()),
        }
    }

    fn entry(&mut self, header: &Header<'_>, mut pending: Pending) -> Result<Entry> {
        let name = name_of(header, &mut pending)?;
        let number = self.entries;
        self.count().map_err(|e| e.at(&name))?;
        let pax = pending.pax.take().unwrap_or_default();
        let result = self.entry_named(header, &name, pending.link, pax);
        let (what, pax) = result.map_err(|e| e.at(&name))?;
        let rest = || -> Result<Entry> {
            let path = TreePath::parse(&name, self.limits.depth)?;
            if path.is_root() && what != What::Directory {
                return Err(Error::denied("only a directory can be the root"));
            }
            let (uid, gid) = match (pax.uid, pax.gid) {
                (Some(uid), Some(gid)) => (uid, gid),
                (uid, gid) => {
                    let (old_uid, old_gid) = header.owner()?;
                    (uid.unwrap_or(old_uid), gid.unwrap_or(old_gid))
                }
            };
            let mtime = match pax.mtime {
                Some(mtime) => mtime,
                None => Time { seconds: header.mtime()?, nanos: 0 },
            };
            let (mode, xattrs, offset) = (header.mode()?, pax.xattrs, self.offset);
            Ok(Entry {
                name: Vec::new(),
                path,
                what,
                mode,
                uid,
                gid,
                mtime,
                xattrs,
                number,
                offset,
            })
        };
        let entry = rest().map_err(|e| e.at(&name))?;
        self.left = entry.stored();
        // A map of a sparse file is whole blocks, so that the padding is that of what is left.
        self.padding = self.left.next_multiple_of(BLOCK as u64) - self.left;
        Ok(Entry { name, ..entry })
    }

    fn entry_named(
        &mut self,
        header: &Header<'_>,
        name: &[u8],
        long_link: Option<Vec<u8>>,
        mut pax: Pax,
    ) -> Result<(What, Pax)> {
        let link = match (pax.link.take(), long_link) {
            (Some(_), Some(_)) => {
                return Err(Error::ambiguous("its target comes from two headers"));
            }
            (Some(link), None) | (None, Some(link)) => link,
            (None, None) => header.link().to_vec(),
        };
        let slash = name.ends_with(b"/");
        let sparse = !pax.sparse.is_empty();
        let kind = header.kind();
        // GNU tar looks at the magic number, too.
        if sparse && (!matches!(kind, b'0' | b'7' | 0) || header.format() == Format::V7) {
            return Err(Error::ambiguous("only regular files are sparse"));
        }
        let what = match kind {
            0 if header.name()?.ends_with(b"/") != slash => {
                return Err(Error::ambiguous("it is a directory by one of its names only"));
            }
            0 if slash => match body_size(header, &pax)? {
                0 => What::Directory,
                _ => return Err(Error::ambiguous("a directory with contents")),
            },
            b'0' | b'7' if slash => {
                return Err(Error::ambiguous("a file whose name ends with a slash"));
            }
            0 | b'0' | b'7' => self.file(body_size(header, &pax)?, &mut pax)?,
            b'S' => self.old_sparse(header, &pax)?,
            // A listing of the directory, for incremental backups.
            b'D' => {
                let size = body_size(header, &pax)?;
                self.pass(size.next_multiple_of(BLOCK as u64))?;
                What::Directory
            }
            // GNU tar passes over contents of some of these, bsdtar of others, Go of none.
            b'1'..=b'6' if body_size(header, &pax)? > 0 => {
                return Err(Error::ambiguous("contents of what is no file"));
            }
            b'5' => What::Directory,
            b'1' => What::Hardlink(TreePath::parse(&link, self.limits.depth)?),
            b'2' => What::Symlink(target(link)?),
            b'3' => header.device().map(|(major, minor)| What::Character(major, minor))?,
            b'4' => header.device().map(|(major, minor)| What::Block(major, minor))?,
            b'6' => What::Fifo,
            other => {
                let shown = [other];
                let shown = shown.escape_ascii();
                return Err(Error::unsupported(format!("entries of type '{shown}'")));
            }
        };
        Ok((what, pax))
    }

    fn old_sparse(&mut self, header: &Header<'_>, pax: &Pax) -> Result<What> {
        if header.format() != Format::Gnu || pax.size.is_some() {
            return Err(Error::ambiguous("an old sparse file that is not GNU's"));
        }
        let stored = header.size()?;
        let (mut map, size) = OldMap::new(header.0)?;
        while map.more {
            let block = self.raw_block()?;
            map.extend(&block, &self.limits)?;
        }
        self.sparse(map.pieces, size, stored)
    }

    fn file(&mut self, stored: u64, pax: &mut Pax) -> Result<What> {
        let keys = std::mem::take(&mut pax.sparse);
        if pax.star_size.is_some_and(|size| size != stored) {
            return Err(Error::ambiguous("star's size is another one"));
        }
        if keys.is_empty() {
            return Ok(What::File { size: stored, stored, sparse: None });
        }
        let listed = !keys.pieces.is_empty();
        let size = keys.real_size.ok_or_else(|| Error::corrupt("a sparse file has no size"))?;
        match (keys.version, keys.map) {
            (Some((1, 0)), None) if !listed && keys.count.is_none() => {
                let mut map = TextMap::default();
                let mut rest = stored;
                loop {
                    let shorter = rest.checked_sub(BLOCK as u64);
                    rest = shorter.ok_or_else(|| Error::corrupt("a sparse map has no end"))?;
                    let block = self.raw_block()?;
                    if map.extend(&block, &self.limits)? {
                        break;
                    }
                }
                self.sparse(map.pieces(), size, rest)
            }
            (None | Some((0, 1)), Some(map)) if !listed => {
                count_is(keys.count, &map)?;
                self.sparse(map, size, stored)
            }
            (None | Some((0, 0)), None) => {
                count_is(keys.count, &keys.pieces)?;
                self.sparse(keys.pieces, size, stored)
            }
            _ => Err(Error::ambiguous("a sparse file of no known form")),
        }
    }

    fn sparse(&mut self, pieces: Vec<sparse::Piece>, size: u64, stored: u64) -> Result<What> {
        let pieces = sparse::check(pieces, size, stored)?;
        self.holes = self.holes.saturating_add(size - stored);
        if self.holes > self.limits.hole_bytes {
            return Err(Error::limit(
                "holes of sparse files are too large",
                self.limits.hole_bytes,
            ));
        }
        Ok(What::File { size, stored, sparse: Some(pieces) })
    }
}

/// Python and GNU tar look for the NUL behind the end of the body, too.
fn long_name((mut bytes, padding): (Vec<u8>, Vec<u8>)) -> Result<Vec<u8>> {
    let length = until_nul(&bytes).len();
    if length == bytes.len() && padding.first().is_some_and(|&byte| byte != 0) {
        return Err(Error::ambiguous("a long name goes on behind its end"));
    }
    bytes.truncate(length);
    match bytes.is_empty() {
        true => Err(Error::ambiguous("an empty long name")),
        false => Ok(bytes),
    }
}

/// A name for messages about a header that is not an entry.
fn bytes_name(header: &Header<'_>) -> Vec<u8> {
    header.name().unwrap_or_default()
}

fn name_of(header: &Header<'_>, pending: &mut Pending) -> Result<Vec<u8>> {
    let path = pending.pax.as_mut().and_then(|pax| pax.path.take());
    let sparse = pending.pax.as_mut().and_then(|pax| pax.sparse.name.clone());
    match (sparse.or(path), pending.name.take()) {
        (Some(_), Some(name)) => Err(Error::ambiguous("its name comes from two headers").at(&name)),
        (Some(name), None) | (None, Some(name)) => Ok(name),
        (None, None) => header.name(),
    }
}

fn body_size(header: &Header<'_>, pax: &Pax) -> Result<u64> {
    match pax.size {
        Some(size) => Ok(size),
        None => header.size(),
    }
}

fn count_is(announced: Option<u64>, pieces: &[sparse::Piece]) -> Result<()> {
    match announced {
        Some(count) if count != pieces.len() as u64 => {
            Err(Error::corrupt("a sparse file announces another number of pieces"))
        }
        _ => Ok(()),
    }
}

fn target(link: Vec<u8>) -> Result<Vec<u8>> {
    match link.len() {
        0 => Err(Error::corrupt("a symbolic link without a target")),
        length if length > PATH_BYTES => {
            Err(Error::limit("the target of a link is too long", PATH_BYTES))
        }
        _ => Ok(link),
    }
}
