//! A layer's archive, put together again: `tar-split`.
//!
//! The file has a line of JSON for each piece of the archive: bytes that are no file's contents
//! (headers, paddings, the end), or the name and size of a file whose contents come next.

use crate::archives::unpack;
use crate::error::{Error, Result};
use archive::compression::Unpacked;
use oci::{base64, document};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use sys::Fd;
use sys::fs::{O_DIRECTORY, O_NONBLOCK, O_PATH, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS};

/// Longest line: pieces are at most a megabyte of the archive, in base 64.
const LINE_LIMIT_BYTES: u64 = 16 << 20;
/// Most lines: some three for each entry of the largest archive.
const LINES_LIMIT: u64 = 3 * archive::limits::ENTRIES;

document! {
    /// A line.
    Line(snake) {
        kind as "type": u32 => required,
        /// Of a file.
        name: String,
        /// The same in base 64, where it is no text.
        name_raw: String,
        size: Option<i64>,
        /// Bytes, or a sum of the file's contents, in base 64.
        payload: String,
    }
}

const FILE: u32 = 1;
const SEGMENT: u32 = 2;

/// The archive of a layer. Whoever reads it compares its digest.
pub(super) struct Assembled {
    lines: BufReader<Unpacked<File>>,
    count: u64,
    files: Fd,
    path: PathBuf,
    piece: Piece,
}

/// What is being read.
enum Piece {
    Bytes(Vec<u8>, usize),
    File(Contents),
    End,
}

/// Contents of a file.
struct Contents {
    file: Fd,
    left: u64,
    name: Vec<u8>,
}

impl Assembled {
    /// Opens a layer: what is known of its archive, and the directory with its files.
    pub fn open(split: &Path, files: &Path) -> Result<Self> {
        let file = File::open(split).map_err(|error| Error::os("open", split, &error))?;
        let lines = BufReader::new(unpack(file, split)?.1);
        let bytes = std::os::unix::ffi::OsStrExt::as_bytes(files.as_os_str());
        let files = sys::fs::open_at(sys::CWD, bytes, O_PATH | O_DIRECTORY, 0)
            .map_err(|error| Error::os("open", files, &os_error(error)))?;
        let (path, piece) = (split.to_owned(), Piece::Bytes(Vec::new(), 0));
        Ok(Self { lines, count: 0, files, path, piece })
    }

    fn next_piece(&mut self) -> io::Result<Piece> {
        self.count += 1;
        if self.count > LINES_LIMIT {
            return Err(self.refuse("more lines than an archive can have entries"));
        }
        let mut text = Vec::new();
        self.lines.by_ref().take(LINE_LIMIT_BYTES + 1).read_until(b'\n', &mut text)?;
        if text.is_empty() {
            return Ok(Piece::End);
        }
        if text.len() as u64 > LINE_LIMIT_BYTES {
            return Err(self.refuse("a line of more than 16 MiB"));
        }
        let line: Line = oci::json::read(&text).map_err(|error| self.refuse(&error))?;
        let decode = |text: &str| {
            base64::decode(text).ok_or_else(|| self.refuse("what should be base 64 is not"))
        };
        match line.kind {
            SEGMENT => Ok(Piece::Bytes(decode(&line.payload)?, 0)),
            FILE => {
                let size = line.size.unwrap_or(0);
                let left = u64::try_from(size).map_err(|_| self.refuse("a size below zero"))?;
                let name = match line.name_raw.is_empty() {
                    true => line.name.into_bytes(),
                    false => decode(&line.name_raw)?,
                };
                match left {
                    0 => Ok(Piece::Bytes(Vec::new(), 0)),
                    _ => Ok(Piece::File(self.contents(name, left)?)),
                }
            }
            _ => Err(self.refuse("a line of an unknown type")),
        }
    }

    /// Opens a file of the layer. No link leads out of its directory.
    fn contents(&self, name: Vec<u8>, left: u64) -> io::Result<Contents> {
        const INSIDE: u32 = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
        let file = sys::fs::open_at2(&self.files, &name, O_RDONLY | O_NONBLOCK, 0, INSIDE);
        let file = file.map_err(|errno| {
            let error = os_error(errno);
            io::Error::new(error.kind(), format!("`{}`: {error}", name.escape_ascii()))
        })?;
        Ok(Contents { file, left, name })
    }

    fn refuse(&self, why: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", self.path.display()))
    }
}

/// The operating system's errors, as the standard library has them.
fn os_error(errno: sys::Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.0)
}

impl Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = sys::fs::read(&self.file, &mut buffer[..length]).map_err(os_error)?;
        if count == 0 {
            let text = format!("`{}` is shorter than it was", self.name.escape_ascii());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

impl Read for Assembled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.piece {
                Piece::Bytes(bytes, at) if *at < bytes.len() => {
                    let count = (&bytes[*at..]).read(buffer)?;
                    *at += count;
                    return Ok(count);
                }
                Piece::File(contents) if contents.left > 0 => return contents.read(buffer),
                Piece::End => return Ok(0),
                _ => self.piece = self.next_piece()?,
            }
        }
    }
}
