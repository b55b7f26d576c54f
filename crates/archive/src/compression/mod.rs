//! Compression: in by what the bytes say, out the same for any number of threads.
//!
//! zstd:chunked and estargz are ordinary streams of many frames or members with a table of contents
//! at the end; read as such they are complete.

mod bounded;
mod decode;
mod encode;
mod packers;

pub(crate) use bounded::read_full;
pub use bounded::{Bounded, Unpacked};
pub use decode::Decoder;
pub use encode::{Codec, Encoder};
pub use packers::Packers;

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Plain,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// bzip2, any number of streams.
    Bzip2,
    /// xz, any number of streams.
    Xz,
}

/// Bytes that [`Format::of`] wants to see.
pub const MAGIC_BYTES: usize = 6;

impl Format {
    /// Looks at the first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A frame, or one to be skipped (zstd:chunked may begin with one).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }
}
