//! tar-split: the archive without its files' contents, as lines of JSON. With these it is had again.

use super::failed;
use crate::error::Result;
use archive::compression::Encoder;
use oci::base64;
use std::io::Write;

/// CRC-64 of ISO 3309, the lowest bit first.
const POLYNOMIAL: u64 = 0xd800_0000_0000_0000;
const TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u64;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

fn crc64(sum: u64, bytes: &[u8]) -> u64 {
    let next = |sum: u64, byte: &u8| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8;
    !bytes.iter().fold(!sum, next)
}

pub(super) struct Split {
    output: Encoder<Vec<u8>>,
    plain_bytes: u64,
    position: u64,
    file: Option<Open>,
}

/// A file whose contents go by.
struct Open {
    name: String,
    size: u64,
    sum: Option<u64>,
}

/// The lines, packed.
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) plain_bytes: u64,
}

impl Split {
    pub(super) fn new(output: Encoder<Vec<u8>>) -> Self {
        Self { output, plain_bytes: 0, position: 0, file: None }
    }

    /// What is no contents: all of it up to the next entry.
    pub(super) fn segment(&mut self, bytes: &[u8]) -> Result<()> {
        self.end_file()?;
        match bytes.is_empty() {
            true => Ok(()),
            false => self.line(2, "", &format!("\"{}\"", base64::encode(bytes))),
        }
    }

    /// An entry, whose contents follow.
    pub(super) fn begin(&mut self, name: &str, size: u64) {
        self.file = Some(Open { name: oci::json::write(&name), size, sum: None });
    }

    pub(super) fn contents(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            file.sum = Some(crc64(file.sum.unwrap_or_default(), bytes));
        }
    }

    fn end_file(&mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let size = match file.size {
            0 => String::new(),
            size => format!(",\"size\":{size}"),
        };
        let sum = match file.sum {
            None => "null".to_owned(),
            Some(sum) => format!("\"{}\"", base64::encode(&sum.to_be_bytes())),
        };
        self.line(1, &format!(",\"name\":{}{size}", file.name), &sum)
    }

    fn line(&mut self, kind: u8, more: &str, payload: &str) -> Result<()> {
        let line = format!(
            "{{\"type\":{kind}{more},\"payload\":{payload},\"position\":{}}}\n",
            self.position
        );
        self.position += 1;
        self.plain_bytes += line.len() as u64;
        self.output.write_all(line.as_bytes()).map_err(|_| failed("packing tar-split"))
    }

    pub(super) fn finish(mut self) -> Result<Packed> {
        self.end_file()?;
        Ok(Packed { bytes: self.output.finish()?, plain_bytes: self.plain_bytes })
    }
}

#[test]
fn the_sum_is_that_of_iso_3309() {
    assert_eq!(crc64(0, b"123456789"), 0xb909_56c7_75a4_1001);
    assert_eq!(crc64(crc64(0, b"1234"), b"56789"), crc64(0, b"123456789"));
}
