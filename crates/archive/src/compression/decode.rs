//! Unpacking a stream.

use super::Format;
use crate::error::{Error, Kind, Result};
use crate::limits::Limits;
use bzip2::bufread::MultiBzDecoder;
use lzma_rust2::XzReader;
use std::io::{self, BufRead, Read};
use zlib_rs::{Inflate, InflateFlush, Status};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// A stream, unpacked while it is read. It ends where its input does: neither a second member nor
/// bytes behind the last one are silently left out.
pub struct Decoder<R: BufRead>(Inner<R>);

enum Inner<R: BufRead> {
    Plain(R),
    Gzip(Gzip<R>),
    Zstd(Zstd<R>),
    Bzip2(Box<MultiBzDecoder<R>>),
    Xz(Box<XzReader<R>>),
}

impl<R: BufRead> Decoder<R> {
    /// Unpacks `input`.
    pub fn new(format: Format, input: R, limits: &Limits) -> Result<Self> {
        Ok(Self(match format {
            Format::Plain => Inner::Plain(input),
            Format::Gzip => Inner::Gzip(Gzip { input, member: None, members: 0 }),
            Format::Zstd => Inner::Zstd(Zstd::new(input, limits.zstd_window_log)?),
            Format::Bzip2 => Inner::Bzip2(Box::new(MultiBzDecoder::new(input))),
            Format::Xz => {
                Inner::Xz(Box::new(XzReader::new_mem_limit(input, true, limits.xz_memory_kib)))
            }
        }))
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match &mut self.0 {
            Inner::Plain(input) => input.read(buffer),
            Inner::Gzip(gzip) => gzip.read(buffer),
            Inner::Zstd(zstd) => zstd.read(buffer),
            Inner::Bzip2(bzip2) => bzip2.read(buffer).map_err(|e| foreign(e, "bzip2")),
            Inner::Xz(xz) => xz.read(buffer).map_err(|e| foreign(e, "xz")),
        }
    }
}

/// Errors of the libraries, but not those of the input, which pass.
fn foreign(error: io::Error, format: &str) -> io::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        return error;
    }
    match error.kind() {
        io::ErrorKind::OutOfMemory => {
            Error::new(Kind::Limit, format!("unpacking {format} would take too much memory")).into()
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Error::corrupt(format!("the {format} stream: {error}")).into()
        }
        _ => error,
    }
}

struct Gzip<R> {
    input: R,
    member: Option<Box<Inflate>>,
    members: u64,
}

impl<R: BufRead> Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        /// zlib's code for "a gzip header is there".
        const WITH_HEADER: u8 = 16 + 15;
        loop {
            let input = self.input.fill_buf()?;
            let ended = input.is_empty();
            let member = match &mut self.member {
                Some(member) => member,
                None if ended && self.members > 0 => return Ok(0),
                // Padding of tapes; gzip(1) passes over it, too.
                None if self.members > 0 && input.first() == Some(&0) => {
                    let zeros = input.iter().take_while(|&&byte| byte == 0).count();
                    self.input.consume(zeros);
                    continue;
                }
                None => {
                    self.members += 1;
                    self.member.insert(Box::new(Inflate::new(true, WITH_HEADER)))
                }
            };
            let (in_before, out_before) = (member.total_in(), member.total_out());
            let status = member.decompress(input, buffer, InflateFlush::NoFlush);
            let status = status.map_err(|_| {
                let why = member.error_message().unwrap_or("not deflate");
                Error::corrupt(format!("the gzip stream: {why}"))
            })?;
            let taken = (member.total_in() - in_before) as usize;
            let made = (member.total_out() - out_before) as usize;
            if status == Status::StreamEnd {
                self.member = None;
            } else if ended && made == 0 {
                return Err(Error::corrupt("the gzip stream ends too early").into());
            }
            self.input.consume(taken);
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

struct Zstd<R> {
    input: R,
    context: DCtx<'static>,
    /// A frame has begun and not ended.
    open: bool,
    frames: u64,
}

impl<R: BufRead> Zstd<R> {
    fn new(input: R, window_log: u32) -> Result<Self> {
        let mut context = DCtx::create();
        context.set_parameter(DParameter::WindowLogMax(window_log)).map_err(zstd_error)?;
        Ok(Self { input, context, open: false, frames: 0 })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.input.fill_buf()?;
            let ended = input.is_empty();
            if ended && !self.open && self.frames > 0 {
                return Ok(0);
            }
            let mut from = InBuffer::around(input);
            let mut to = OutBuffer::around(&mut *buffer);
            let wanted = self.context.decompress_stream(&mut to, &mut from).map_err(zstd_error)?;
            let (taken, made) = (from.pos(), to.pos());
            self.input.consume(taken);
            self.frames += u64::from(wanted == 0);
            self.open = wanted != 0;
            if made > 0 {
                return Ok(made);
            }
            if ended && self.open {
                return Err(Error::corrupt("the zstd stream ends too early").into());
            }
        }
    }
}

fn zstd_error(code: usize) -> Error {
    let why = zstd_safe::get_error_name(code);
    // `ZSTD_error_frameParameter_windowTooLarge`
    match why.contains("too much memory") {
        true => Error::new(Kind::Limit, "the zstd stream needs a larger window than is allowed"),
        false => Error::corrupt(format!("the zstd stream: {why}")),
    }
}
