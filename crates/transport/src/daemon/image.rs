//! Images of a daemon, read and written.

use super::{Daemon, Options};
use crate::docker_archive::{Archive, ArchiveSink, ArchiveSource, ArchiveWriter};
use crate::error::{Error, ErrorKind, Result};
use crate::place::{ArchiveSelect, DaemonImage};
use crate::policy::Scopes;
use crate::transfer::{Blob, Sink, Source, Takes};
use oci::image::{Descriptor, Document};
use oci::{Digest, Reference};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// An image of a daemon.
pub struct DaemonSource {
    image: DaemonImage,
    inner: ArchiveSource,
}

impl DaemonSource {
    /// Fetches an image into a file without a name.
    pub fn open(options: &Options, image: &DaemonImage) -> Result<Self> {
        let mut saved = Daemon::new(options)?.save(&image.to_string())?;
        let path = PathBuf::from(format!("docker-daemon:{image}"));
        let archive = Archive::read(&mut saved, &path, &options.temporary)?;
        Ok(Self { image: image.clone(), inner: archive.source(&ArchiveSelect::Only)? })
    }

    /// The image's names.
    pub fn names(&self) -> &[Reference] {
        self.inner.names()
    }
}

impl Source for DaemonSource {
    fn scopes(&self) -> Scopes {
        Scopes::of_daemon(&self.image)
    }

    fn manifest(&self, digest: Option<&Digest>) -> Result<Document> {
        self.inner.manifest(digest)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        self.inner.blob(descriptor)
    }
}

/// An image that is sent to a daemon. It appears there when it is complete.
pub struct DaemonSink {
    writer: Arc<ArchiveWriter>,
    inner: ArchiveSink,
    sending: Sending,
}

/// The thread that sends.
struct Sending {
    thread: Mutex<Option<JoinHandle<Result<()>>>>,
    /// The archive was given up on our side.
    given_up: Arc<AtomicBool>,
}

impl DaemonSink {
    /// Begins to send an image, whose name must have a tag.
    pub fn create(options: &Options, image: &DaemonImage) -> Result<Self> {
        let what = format!("docker-daemon:{image}");
        let name = match image {
            DaemonImage::Name(name) if name.digest().is_none() => name,
            _ => {
                let text = format!("{what}: an image is written by name and tag only");
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
        };
        let daemon = Daemon::new(options)?;
        let fail = |error| Error::os("pipe to", what.as_ref(), &error);
        let (reader, pipe) = std::io::pipe().map_err(fail)?;
        let complete = Arc::new(AtomicBool::new(false));
        let given_up = Arc::new(AtomicBool::new(false));
        let body = Body { pipe: reader, complete: complete.clone(), given_up: given_up.clone() };
        let sent = what.clone();
        let thread = std::thread::Builder::new()
            .name("docker load".into())
            .spawn(move || daemon.load(&sent, body))
            .map_err(|error| Error::os("start a thread for", what.as_ref(), &error))?;
        let output = Box::new(Completing { pipe, complete });
        let writer = ArchiveWriter::stream(output, what.as_ref(), &options.temporary);
        let inner = writer.image(std::slice::from_ref(name))?;
        Ok(Self { writer, inner, sending: Sending { thread: Mutex::new(Some(thread)), given_up } })
    }

    /// Says why a daemon that does not read on does not.
    fn explain<T>(&self, result: Result<T>) -> Result<T> {
        let Err(error) = result else { return result };
        self.writer.give_up();
        let told = self.sending.end();
        match told {
            // The thread has failed because of our failure.
            Err(_) if self.sending.given_up.load(Ordering::Acquire) => Err(error),
            Err(told) => Err(told),
            Ok(()) => Err(error),
        }
    }
}

impl Sending {
    fn end(&self) -> Result<()> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stopped = || Error::new(ErrorKind::Os, "the thread that sends the image has stopped");
        match thread {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(stopped())),
            None => Err(stopped()),
        }
    }
}

impl Sink for DaemonSink {
    fn takes(&self) -> Takes {
        self.inner.takes()
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool> {
        self.inner.has_blob(digest)
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        self.explain(self.inner.put_blob(descriptor, content))
    }

    fn put_new(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor> {
        self.explain(self.inner.put_new(media_type, content))
    }

    fn put_instance(&self, manifest: &Document) -> Result<()> {
        self.explain(self.inner.put_instance(manifest))
    }

    fn finish(&self, manifest: &Document) -> Result<()> {
        self.explain(self.inner.finish(manifest).and_then(|()| self.writer.finish()))?;
        self.sending.end()
    }
}

/// The pipe's end that the archive is written to. Its last flush says that the archive is complete.
struct Completing {
    pipe: PipeWriter,
    complete: Arc<AtomicBool>,
}

impl Write for Completing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.pipe.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.complete.store(true, Ordering::Release);
        Ok(())
    }
}

/// The pipe's other end. The end of an archive that is not complete is an error, so that the request
/// breaks off and the daemon does not load half of an image.
struct Body {
    pipe: PipeReader,
    complete: Arc<AtomicBool>,
    given_up: Arc<AtomicBool>,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.pipe.read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.complete.load(Ordering::Acquire) {
            self.given_up.store(true, Ordering::Release);
            return Err(std::io::Error::other("the image is not complete"));
        }
        Ok(count)
    }
}
