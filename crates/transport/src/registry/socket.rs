//! A TCP connection below everything else.
//!
//! It is ureq's transport for HTTP 1.1. What is below an own TLS connection can also be taken out from under it:
//! HTTP 2 reads and writes at the same time, which ureq's transports cannot.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

/// A connection.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    buffers: LazyBuffers,
    /// What the kernel was last told of how long to wait.
    reads: Option<Duration>,
    writes: Option<Duration>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, config: &Config) -> Self {
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Self { stream, buffers, reads: None, writes: None }
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        let limit = limit(&timeout)?;
        if limit != self.writes {
            self.stream.set_write_timeout(limit)?;
            self.writes = limit;
        }
        let sent = (&self.stream).write_all(&self.buffers.output()[..amount]);
        sent.map_err(|error| explain(error, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        let limit = limit(&timeout)?;
        let until = limit.map(|limit| Instant::now() + limit);
        let mut wanted = limit;
        loop {
            if wanted != self.reads {
                self.stream.set_read_timeout(wanted)?;
                self.reads = wanted;
            }
            match (&self.stream).read(self.buffers.input_append_buf()) {
                Ok(count) => {
                    self.buffers.input_appended(count);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    wanted = until.map(|it| it.saturating_duration_since(Instant::now()));
                    // The kernel takes zero for ever.
                    if wanted.is_some_and(|left| left.is_zero()) {
                        return Err(ureq::Error::Timeout(timeout.reason));
                    }
                }
                Err(error) => return Err(explain(error, &timeout)),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return false;
        }
        // Who says something unasked, or nothing more, is not asked.
        let silent = matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        silent && self.stream.set_nonblocking(false).is_ok()
    }
}

/// How long is waited, if not for ever.
fn limit(timeout: &NextTimeout) -> Result<Option<Duration>, ureq::Error> {
    match timeout.after.is_not_happening() {
        true => Ok(None),
        false if timeout.after.is_zero() => Err(ureq::Error::Timeout(timeout.reason)),
        false => Ok(Some(*timeout.after)),
    }
}

fn explain(error: io::Error, timeout: &NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(error),
    }
}
