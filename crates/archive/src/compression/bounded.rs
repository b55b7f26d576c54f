//! A stream that is unpacked within limits.

use super::{Decoder, Format, MAGIC_BYTES};
use crate::error::{Error, Result};
use crate::limits::{Limits, RATIO};
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Buffer of an input that has none.
const BUFFER_BYTES: usize = 128 << 10;

/// A stream, unpacked while it is read, out of which no more comes than can be meant.
pub struct Bounded<R: BufRead> {
    decoder: Decoder<Counted<R>>,
    taken: Arc<AtomicU64>,
    total: u64,
    limits: Limits,
}

/// A stream whose first bytes say how it is packed.
pub type Unpacked<R> = Bounded<Chain<Cursor<Vec<u8>>, BufReader<R>>>;

impl<R: BufRead> Bounded<R> {
    /// Unpacks `input`.
    pub fn new(format: Format, input: R, limits: &Limits) -> Result<Self> {
        let counted = Counted { input, bytes: Arc::default() };
        let taken = Arc::clone(&counted.bytes);
        let decoder = Decoder::new(format, counted, limits)?;
        Ok(Self { decoder, taken, total: 0, limits: limits.clone() })
    }
}

impl<R: Read> Unpacked<R> {
    /// Looks at the first bytes of `input`, and unpacks it.
    pub fn of(mut input: R, limits: &Limits) -> Result<(Format, Self)> {
        let mut first = vec![0; MAGIC_BYTES];
        let length = read_full(&mut input, &mut first).map_err(|e| Error::io(&e, "reading"))?;
        first.truncate(length);
        let format = Format::of(&first);
        let input = Cursor::new(first).chain(BufReader::with_capacity(BUFFER_BYTES, input));
        Ok((format, Self::new(format, input, limits)?))
    }
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.decoder.read(buffer)?;
        self.total += length as u64;
        if self.total > self.limits.plain_bytes {
            let limit = self.limits.plain_bytes;
            return Err(Error::limit("too much comes out of the stream", limit).into());
        }
        let taken = self.taken.load(Ordering::Relaxed);
        let free = self.limits.ratio_free_bytes;
        if self.total.saturating_sub(free) > taken.saturating_mul(RATIO) {
            return Err(Error::limit("more comes out of each byte than can be meant", RATIO).into());
        }
        Ok(length)
    }
}

/// Fills the buffer as far as the input goes.
pub(crate) fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Counts what the decoder takes.
struct Counted<R> {
    input: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        self.input.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::{Codec, Encoder};
    use std::io::Write;

    fn packed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(codec, 1, Vec::new()).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_first_bytes_say_how_a_stream_is_packed() {
        let text = b"some text".repeat(1000);
        let check = |bytes: &[u8], expected: Format| {
            let (format, mut plain) = Unpacked::of(bytes, &Limits::default()).unwrap();
            let mut all = Vec::new();
            plain.read_to_end(&mut all).unwrap();
            assert_eq!((format, all), (expected, text.clone()));
        };
        check(&text, Format::Plain);
        check(&packed(Codec::Gzip { level: 6 }, &text), Format::Gzip);
        check(&packed(Codec::Zstd { level: 3 }, &text), Format::Zstd);
        let (format, mut plain) = Unpacked::of(&b""[..], &Limits::default()).unwrap();
        assert_eq!((format, plain.read(&mut [0; 9]).unwrap()), (Format::Plain, 0));
    }

    #[test]
    fn l3_no_more_comes_out_than_is_allowed() {
        let zeros = vec![0; 4 << 20];
        let limits = Limits { plain_bytes: 3 << 20, ..Limits::default() };
        let ratio = Limits { ratio_free_bytes: 1 << 10, ..Limits::default() };
        let small = packed(Codec::Zstd { level: 19 }, &zeros);
        for (bytes, limits) in [(&zeros, &limits), (&small, &limits), (&small, &ratio)] {
            let (_, mut plain) = Unpacked::of(&bytes[..], limits).unwrap();
            let error = io::copy(&mut plain, &mut io::sink()).unwrap_err();
            let kind = Error::io(&error, "").kind();
            assert_eq!(kind, crate::Kind::Limit, "{error}");
        }
        let (_, mut plain) = Unpacked::of(&small[..], &Limits::default()).unwrap();
        assert_eq!(io::copy(&mut plain, &mut io::sink()).unwrap(), 4 << 20);
    }
}
