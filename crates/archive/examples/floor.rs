//! The parts of a pull, each alone: what the benchmark of images compares with, and makes its image by.
//!
//! ```text
//! floor hash FILE...            SHA-256 of each file
//! floor unpack FILE...          what is in each file, and nothing done with it
//! floor pack gzip|zstd IN OUT   packs; prints digest and size of the plain and of the packed bytes
//! ```

use archive::compression::{Codec, Decoder, Encoder, Format, MAGIC_BYTES};
use archive::{Limits, Sum, Summing};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

/// What a pull reads at once.
const BLOCK_BYTES: usize = 128 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["hash", ref files @ ..] => files.iter().try_for_each(|file| hash(file).map(drop)),
        ["unpack", ref files @ ..] => files.iter().try_for_each(|file| unpack(file)),
        ["pack", format, from, to] => pack(format, from, to),
        _ => Err("floor hash|unpack FILE..., or floor pack gzip|zstd IN OUT".into()),
    }
}

fn hash(file: &str) -> Result<(String, u64), Box<dyn Error>> {
    let mut input = File::open(file)?;
    let mut sum = Summing::new(Sum::Sha256);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match input.read(&mut block)? {
            0 => break,
            count => sum.update(&block[..count]),
        }
    }
    let sum = sum.finish();
    let hex = sum.sha256.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, sum.bytes))
}

fn unpack(file: &str) -> Result<(), Box<dyn Error>> {
    let mut input = BufReader::with_capacity(BLOCK_BYTES, File::open(file)?);
    let first = input.fill_buf()?;
    let format = Format::of(&first[..first.len().min(MAGIC_BYTES)]);
    let mut decoder = Decoder::new(format, input, &Limits::default())?;
    let mut block = vec![0; BLOCK_BYTES];
    while decoder.read(&mut block)? > 0 {}
    Ok(())
}

fn pack(format: &str, from: &str, to: &str) -> Result<(), Box<dyn Error>> {
    let codec = match format {
        "gzip" => Codec::Gzip { level: 4 },
        "zstd" => Codec::Zstd { level: 3 },
        _ => return Err("gzip or zstd".into()),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut encoder = Encoder::new(codec, threads, File::create(to)?)?;
    io::copy(&mut BufReader::with_capacity(BLOCK_BYTES, File::open(from)?), &mut encoder)?;
    encoder.finish()?.flush()?;
    let ((plain, plain_bytes), (packed, packed_bytes)) = (hash(from)?, hash(to)?);
    let line = format!("{plain} {plain_bytes} {packed} {packed_bytes}\n");
    Ok(io::stdout().write_all(line.as_bytes())?)
}
