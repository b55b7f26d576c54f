//! Digests: what content is called by.
//!
//! The crate does not hash. Whoever has content makes its [`Digest`] with [`Digest::new`] and compares.

use crate::error::{Error, ErrorKind, shown};
use crate::json::{Failed, FromJson, Reader, ToJson, Writer};
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// Longest text of a digest: of no specification, but of every file system's names.
pub const LENGTH_LIMIT: usize = 255;

/// The hash functions that the image specification registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// What everything uses.
    Sha256,
    /// What an implementation may use.
    Sha512,
}

impl Algorithm {
    /// The name in digests and in directories of blobs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|known| known.name() == name)
    }

    /// How many bytes a hash has.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A digest that can be verified.
///
/// ```
/// let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// let digest: oci::Digest = text.parse().unwrap();
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(digest.hex(), &text[7..]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// The hash; zeros behind it.
    hash: [u8; 64],
}

impl Digest {
    /// A digest from what the hash function gave; `None` when that has another length.
    pub fn new(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        let mut bytes = [0; 64];
        if hash.len() != algorithm.size_bytes() {
            return None;
        }
        bytes[..hash.len()].copy_from_slice(hash);
        Some(Self { algorithm, hash: bytes })
    }

    /// Reads `algorithm:hex`, strictly: nothing but small letters, nothing around it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some((name, hex)) = text.split_once(':') else {
            return Err(Error::invalid(&["invalid digest `", &shown(text), "`: no algorithm"]));
        };
        let Some(algorithm) = Algorithm::from_name(name) else {
            let kind = match is_digest(text) {
                true => ErrorKind::Unsupported,
                false => ErrorKind::Invalid,
            };
            let parts = ["digest `", &shown(text), "`: only sha256 and sha512 can be verified"];
            return Err(Error::new(kind, &parts));
        };
        let mut hash = [0; 64];
        let size = algorithm.size_bytes();
        if hex.len() != 2 * size {
            return Err(Error::invalid(&["invalid digest `", &shown(text), "`: wrong length"]));
        }
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks(2)) {
            match (digit(pair[0]), digit(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => {
                    let parts = ["invalid digest `", &shown(text), "`: digits are 0-9 and a-f"];
                    return Err(Error::invalid(&parts));
                }
            }
        }
        Ok(Self { algorithm, hash })
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash.
    pub fn hash(&self) -> &[u8] {
        &self.hash[..self.algorithm.size_bytes()]
    }

    /// The hash as text.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.hash().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.algorithm.name())?;
        formatter.write_str(":")?;
        formatter.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A digest as a document has it: of any algorithm, as the image specification's grammar allows.
///
/// A manifest may name content that nobody here can verify. It is kept, and
/// [`AnyDigest::verifiable`] refuses it where somebody wants the content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnyDigest {
    /// One that can be verified.
    Known(Digest),
    /// One of another algorithm.
    Other(String),
}

impl AnyDigest {
    /// Reads a digest of any algorithm.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match Digest::parse(text) {
            Ok(digest) => Ok(Self::Known(digest)),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                Ok(Self::Other(text.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// The digest to compare content with.
    pub fn verifiable(&self) -> Result<&Digest, Error> {
        match self {
            Self::Known(digest) => Ok(digest),
            Self::Other(text) => {
                let parts = ["digest `", &shown(text), "`: only sha256 and sha512 can be verified"];
                Err(Error::new(ErrorKind::Unsupported, &parts))
            }
        }
    }
}

impl From<Digest> for AnyDigest {
    fn from(digest: Digest) -> Self {
        Self::Known(digest)
    }
}

/// No digest at all: what a document has before it is read.
impl Default for AnyDigest {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl fmt::Display for AnyDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(digest) => digest.fmt(formatter),
            Self::Other(text) => formatter.write_str(text),
        }
    }
}

impl FromJson for AnyDigest {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.peek();
        let start = reader.at();
        let text = reader.string()?;
        *self = Self::parse(&text).map_err(|error| reader.fail_at(start, error.text()))?;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ToJson for AnyDigest {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Known(digest) => {
                writer.string(&[digest.algorithm().name(), ":", &digest.hex()].concat());
            }
            Self::Other(text) => writer.string(text),
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Other(text) if text.is_empty())
    }
}

/// The image specification's grammar: `sha256+b64:LCa0a2j_xo`. No text of it leads anywhere as a path.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, encoded)) = text.split_once(':') else { return false };
    let is_component = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let is_encoded = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-');
    text.len() <= LENGTH_LIMIT
        && algorithm.split(['+', '.', '_', '-']).all(is_component)
        && !encoded.is_empty()
        && encoded.bytes().all(is_encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_strictly() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Digest::parse(&format!("sha256:{hex}")).unwrap();
        assert_eq!((digest.algorithm(), digest.hash().len()), (Algorithm::Sha256, 32));
        assert_eq!((digest.hash()[0], digest.hex().as_str()), (0xe3, hex));
        assert_eq!(Digest::new(Algorithm::Sha256, digest.hash()), Some(digest));
        assert_eq!(Digest::new(Algorithm::Sha512, digest.hash()), None);
        let long = format!("sha512:{hex}{hex}");
        assert_eq!(Digest::parse(&long).unwrap().to_string(), long);

        let check = |text: &str, kind: ErrorKind| {
            assert_eq!(Digest::parse(text).unwrap_err().kind(), kind, "{text}");
        };
        check("", ErrorKind::Invalid);
        check(hex, ErrorKind::Invalid);
        check("sha256:", ErrorKind::Invalid);
        check(&format!("sha256:{}", &hex[1..]), ErrorKind::Invalid);
        check(&format!("sha256:{hex}0"), ErrorKind::Invalid);
        check(&format!(" sha256:{hex}"), ErrorKind::Invalid);
        check(&format!("sha256:{hex}\n"), ErrorKind::Invalid);
        check(&format!("sha256:{}", hex.to_uppercase()), ErrorKind::Invalid);
        check(&format!("SHA256:{hex}"), ErrorKind::Invalid);
        check(&format!("sha512:{hex}"), ErrorKind::Invalid);
        check(&format!("md5:{}", &hex[..32]), ErrorKind::Unsupported);
        check(&format!("sha384:{hex}"), ErrorKind::Unsupported);
        check("x/../y:aaaa", ErrorKind::Invalid);
        check("x:../../etc/passwd", ErrorKind::Invalid);
        check(&format!("x:{}", "a".repeat(LENGTH_LIMIT)), ErrorKind::Invalid);
    }

    #[test]
    fn documents_keep_digests_that_nobody_can_verify() {
        let digest: AnyDigest = crate::json::read(br#""sha256+b64u:LCa0a2j_xo=""#).unwrap();
        assert_eq!(crate::json::write(&digest), r#""sha256+b64u:LCa0a2j_xo=""#);
        assert_eq!(digest.verifiable().unwrap_err().kind(), ErrorKind::Unsupported);
        let error = crate::json::read::<AnyDigest>(br#"  "sha256:XX""#).unwrap_err();
        assert_eq!(error, "invalid digest `sha256:XX`: wrong length (line 1 column 3)");
    }
}
