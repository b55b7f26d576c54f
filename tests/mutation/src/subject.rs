//! What is fed: the runtime's inputs, and archives.

use archive::Limits;
use archive::index::Builder;
use archive::tar::Reader;
use runtime::inputs::{Input, Outcome};

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One of the runtime's.
    Runtime(Input),
    /// A tar file.
    Tar,
}

impl From<Input> for Subject {
    fn from(input: Input) -> Self {
        Self::Runtime(input)
    }
}

/// Longest refusal: a sentence with the name that it is about.
const REFUSAL_LIMIT_BYTES: usize = 4096;
const BLOCK: usize = 512;

impl Subject {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        Input::ALL.into_iter().map(Self::Runtime).chain([Self::Tar])
    }

    /// The name of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runtime(input) => input.name(),
            Self::Tar => "tar",
        }
    }

    /// Feeds bytes; whether they were taken. `Err` says what does not hold that must.
    pub fn feed(self, bytes: &[u8]) -> Result<bool, String> {
        match self {
            Self::Runtime(input) => Ok(matches!(input.feed(bytes)?, Outcome::Taken)),
            Self::Tar => feed_tar(bytes),
        }
    }

    /// Makes checksums right again: without that nearly all that is damaged would be refused at the
    /// door.
    pub fn mend(self, bytes: &mut [u8]) {
        if self != Self::Tar {
            return;
        }
        for block in bytes.as_chunks_mut::<BLOCK>().0 {
            if &block[257..262] == b"ustar" {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
    }
}

fn feed_tar(bytes: &[u8]) -> Result<bool, String> {
    let builder = Builder::new(Vec::new()).map_err(|e| e.to_string())?;
    let mut reader = Reader::with_tap(bytes, Limits::default(), builder);
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => {
                let path = entry.path.as_bytes();
                if path.split(|&byte| byte == b'/').any(|part| part == b"..") {
                    return Err(format!("{:?} leads out", entry.name));
                }
            }
            Ok(None) => break,
            Err(error) if error.to_string().len() > REFUSAL_LIMIT_BYTES => {
                return Err("a refusal is longer than a sentence".into());
            }
            Err(_) => return Ok(false),
        }
    }
    let (_, whole) = reader.into_tap().finish(&[]).map_err(|e| e.to_string())?;
    match whole.bytes == bytes.len() as u64 {
        true => Ok(true),
        false => Err(format!("{} bytes of {} were seen", whole.bytes, bytes.len())),
    }
}
