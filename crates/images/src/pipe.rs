//! From what writes to what reads: a few blocks between two threads.

use crate::error::{Error, Kind, Result};
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Blocks that wait for their reader.
const QUEUE: usize = 4;
/// Small writes are collected up to this.
const BLOCK_BYTES: usize = 128 << 10;
/// What a writer gets whose reader is gone.
const BROKEN: &str = "nobody reads on";

/// The end that is written to. What was written is whole only with [`Writer::finish`].
pub(crate) struct Writer {
    block: Vec<u8>,
    blocks: SyncSender<io::Result<Vec<u8>>>,
}

/// The end that is read from.
pub(crate) struct Reader {
    block: Vec<u8>,
    at: usize,
    blocks: Receiver<io::Result<Vec<u8>>>,
    ended: bool,
}

/// Makes a pipe.
pub(crate) fn pipe() -> (Writer, Reader) {
    let (sender, receiver) = sync_channel(QUEUE);
    let reader = Reader { block: Vec::new(), at: 0, blocks: receiver, ended: false };
    (Writer { block: Vec::new(), blocks: sender }, reader)
}

/// Has one thread write what another one reads. Whichever fails first is why both do.
pub(crate) fn piped<T>(
    write: impl FnOnce(&mut Writer) -> Result<()> + Send,
    read: impl FnOnce(Reader) -> Result<T>,
) -> Result<T> {
    let (mut writer, reader) = pipe();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let written = write(&mut writer);
            let end = match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::other(error.to_string())),
            };
            // A reader that is gone has failed, and says why.
            let _ = writer.finish(end);
            written
        });
        let read = read(reader);
        let lost = |_| Err(Error::new(Kind::Os, "a thread that writes an archive has panicked"));
        match (writing.join().unwrap_or_else(lost), read) {
            // The reader has been told, and tells it in its own words.
            (Err(error), Err(read)) if error.to_string().contains(BROKEN) => Err(read),
            (Err(error), _) => Err(error),
            (Ok(()), read) => read,
        }
    })
}

impl Writer {
    fn send(&mut self, block: io::Result<Vec<u8>>) -> io::Result<()> {
        self.blocks.send(block).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, BROKEN))
    }

    /// Ends the stream: well, or with an error that the reader gets.
    pub(crate) fn finish(mut self, result: io::Result<()>) -> io::Result<()> {
        let rest = std::mem::take(&mut self.block);
        if !rest.is_empty() && result.is_ok() {
            self.send(Ok(rest))?;
        }
        // An empty block is the end.
        self.send(result.map(|()| Vec::new()))
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
            self.send(Ok(block))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() && !self.ended {
            match self.blocks.recv() {
                Ok(Ok(block)) if block.is_empty() => self.ended = true,
                Ok(Ok(block)) => (self.block, self.at) = (block, 0),
                Ok(Err(error)) => return Err(error),
                // Whoever wrote is gone without an end.
                Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let rest = &self.block[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let content: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
        for size in [1000, 127_999, 500_000] {
            let (mut writer, mut reader) = pipe();
            let copy = content.clone();
            let writing = std::thread::spawn(move || {
                for part in copy.chunks(size) {
                    writer.write_all(part).unwrap();
                }
                writer.finish(Ok(())).unwrap();
            });
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            writing.join().unwrap();
            assert!(all == content);
        }
    }

    #[test]
    fn a_failure_is_told_to_the_other_end() {
        let (writer, mut reader) = pipe();
        writer.finish(Err(io::Error::other("broken"))).unwrap();
        assert_eq!(reader.read(&mut [0; 9]).unwrap_err().to_string(), "broken");
        let (writer, mut reader) = pipe();
        drop(writer);
        assert_eq!(reader.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let (mut writer, reader) = pipe();
        drop(reader);
        assert!(writer.write_all(&[0; BLOCK_BYTES]).is_err());
    }
}
