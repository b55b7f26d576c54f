//! What is told while something goes on.

use std::io::{self, Read};

/// A part of the work: a blob that is fetched, a layer that is sent.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done: `Copying blob`.
    pub what: &'static str,
    /// With which digest, as far as it is known.
    pub digest: String,
    /// How many bytes it is, if that is known.
    pub bytes: Option<u64>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was done.
    Done,
    /// There was nothing to do: it was there already.
    Present,
    /// It was taken over from elsewhere without passing through here.
    Mounted,
    /// It failed; the error says more.
    Failed,
}

/// Somebody who is told. Threads tell at once.
pub trait Progress: Sync {
    /// A step begins.
    fn begin(&self, step: &Step) -> Box<dyn Bar>;

    /// Something that the user has to know, and that is no failure.
    fn note(&self, text: &str);
}

/// One step that goes on.
pub trait Bar: Send + Sync {
    /// So many more bytes are done.
    fn advance(&self, bytes: u64);

    /// The step has ended.
    fn end(&self, how: End);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: &Step) -> Box<dyn Bar> {
        Box::new(Silent)
    }

    fn note(&self, _text: &str) {}
}

impl Bar for Silent {
    fn advance(&self, _bytes: u64) {}

    fn end(&self, _how: End) {}
}

/// Content that tells how much of it was read.
pub(crate) struct Told<'b, R> {
    pub(crate) inner: R,
    pub(crate) bar: &'b dyn Bar,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bar.advance(count as u64);
        Ok(count)
    }
}
