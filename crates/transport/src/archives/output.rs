//! An archive that is written member by member.
//!
//! A member's header comes before its content, and says its size. In a plain file the header of
//! content whose size nobody knows is written afterwards; in a pipe such content waits in a file
//! without a name.
//!
//! The same members in the same order are the same bytes, whatever they are written to: all times
//! are 0, all owners are root.

use super::refused;
use super::spool::unnamed_file;
use crate::blob_file;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Hashed;
use crate::transfer::pour;
use archive::TreePath;
use archive::tar::{BLOCK, Bytes, Entry, What, Writer};
use oci::Digest;
use oci::image::Descriptor;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Everybody may read what is in an archive.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
const LINK_MODE: u32 = 0o777;
/// Deepest path of a member.
const DEPTH: usize = 8;
/// Bytes that are moved at once.
const MOVED_BYTES: usize = 1 << 20;

/// An archive that is being written.
pub(crate) struct Output {
    target: Target,
    /// What messages call it.
    path: PathBuf,
    temporary: PathBuf,
    offset: u64,
    names: BTreeSet<String>,
}

enum Target {
    /// A plain file under another name, until it is complete.
    File { file: File, unfinished: PathBuf },
    /// A pipe or device.
    Stream(Box<dyn Write + Send>),
    /// It is complete, or a failure has left half a member in a pipe.
    Closed,
}

impl Output {
    /// Makes an archive. It replaces a file of that name when it is complete. What waits to be written
    /// to a pipe lies in the directory `temporary`.
    pub fn create(path: &Path, temporary: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path);
        if metadata.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
            let hint = "directories are `oci:` or `dir:`";
            return Err(Error::in_file(path, "is a directory").with_hint(hint));
        }
        // What the shell opened is not to be replaced, even where it is a plain file.
        let inherited = path.starts_with("/dev") || path.starts_with("/proc");
        if inherited || metadata.is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(path);
            let file = file.map_err(|error| Error::os("open", path, &error))?;
            return Ok(Self::stream(Box::new(file), path, temporary));
        }
        // The file behind a link is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (file, unfinished) = blob_file::create_unfinished(&path)?;
        Ok(Self::new(Target::File { file, unfinished }, &path, temporary))
    }

    /// Writes an archive to a stream. `path` is what messages call it.
    pub fn stream(output: Box<dyn Write + Send>, path: &Path, temporary: &Path) -> Self {
        Self::new(Target::Stream(output), path, temporary)
    }

    fn new(target: Target, path: &Path, temporary: &Path) -> Self {
        let (path, temporary) = (path.to_owned(), temporary.to_owned());
        Self { target, path, temporary, offset: 0, names: BTreeSet::new() }
    }

    /// Whether a member is there.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Writes a directory.
    pub fn directory(&mut self, name: &str) -> Result<()> {
        self.small(name, What::Directory, b"")
    }

    /// Writes a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.small(name, What::Symlink(target.into()), b"")
    }

    /// Writes a small file.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.small(name, file_of(bytes.len() as u64), bytes)
    }

    fn small(&mut self, name: &str, what: What, bytes: &[u8]) -> Result<()> {
        let start = self.offset;
        let header = self.header(name, what)?;
        let written = self.put(&header).and_then(|()| self.put(bytes)).and_then(|()| self.pad());
        self.settle(start, name, written)
    }

    /// Writes a file whose size is known.
    pub fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        let start = self.offset;
        let header = self.header(name, file_of(size))?;
        let written = self.put(&header).and_then(|()| match self.copy(name, content)? {
            copied if copied == size => self.pad(),
            copied => {
                let text = format!("write {name}: it has {copied} bytes, not {size}");
                Err(Error::new(ErrorKind::Corrupt, text))
            }
        });
        self.settle(start, name, written)
    }

    /// Writes a file whose digest, and thereby its name, is known at its end. What is there already is
    /// not written again.
    pub fn new_file(
        &mut self,
        media_type: &str,
        content: &mut dyn Read,
        name: &dyn Fn(&Digest) -> String,
    ) -> Result<Descriptor> {
        let mut hashed = Hashed::new(content);
        if let Target::Stream(_) = self.target {
            let mut file = unnamed_file(&self.temporary)?;
            pour(&"a blob", &mut hashed, &mut |bytes| {
                let written = file.write_all(bytes);
                written.map_err(|e| Error::os("write a temporary file in", &self.temporary, &e))
            })?;
            let name = name(&hashed.digest());
            let found = hashed.finish(media_type);
            if !self.has(&name) {
                file.rewind().map_err(|error| Error::os("read", &self.temporary, &error))?;
                self.file(&name, found.size, &mut file)?;
            }
            return Ok(found);
        }
        let start = self.offset;
        let written = self.put(&[0; BLOCK]).and_then(|()| self.copy("a blob", &mut hashed));
        if let Err(error) = written {
            self.roll_back(start)?;
            return Err(error);
        }
        let name = name(&hashed.digest());
        let found = hashed.finish(media_type);
        if self.has(&name) {
            self.roll_back(start)?;
            return Ok(found);
        }
        let header = self.header(&name, file_of(found.size))?;
        let written = self.put_before(start, &header).and_then(|()| self.pad());
        self.settle(start, &name, written)?;
        Ok(found)
    }

    /// Writes the end, and gives the file its name.
    pub fn finish(&mut self) -> Result<()> {
        self.put(&[0; 2 * BLOCK])?;
        match std::mem::replace(&mut self.target, Target::Closed) {
            Target::File { file, unfinished } => blob_file::finish(&file, &unfinished, &self.path),
            Target::Stream(mut output) => {
                output.flush().map_err(|error| Error::os("write", &self.path, &error))
            }
            Target::Closed => Err(self.closed()),
        }
    }

    /// Closes an archive that will not be complete.
    pub fn give_up(&mut self) {
        self.remove_unfinished();
        self.target = Target::Closed;
    }

    fn remove_unfinished(&self) {
        if let Target::File { unfinished, .. } = &self.target {
            // Nothing can be done about a failure, and the file's name says what it is.
            let _ = std::fs::remove_file(unfinished);
        }
    }

    fn header(&self, name: &str, what: What) -> Result<Vec<u8>> {
        let path = TreePath::parse(name.as_bytes(), DEPTH);
        let mode = match what {
            What::Directory => DIRECTORY_MODE,
            What::Symlink(_) => LINK_MODE,
            _ => FILE_MODE,
        };
        let mut bytes = Vec::new();
        let written = path.and_then(|path| {
            let (mtime, xattrs) = (Default::default(), Vec::new());
            let (name, uid, gid, number, offset) = (Vec::new(), 0, 0, 0, 0);
            let entry = Entry { name, path, what, mode, uid, gid, mtime, xattrs, number, offset };
            Writer::new(Bytes::new(&mut bytes)).entry(&entry)
        });
        written.map_err(|error| refused(&self.path, &error))?;
        Ok(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.target {
            Target::File { file, .. } => file.write_all(bytes),
            Target::Stream(output) => output.write_all(bytes),
            Target::Closed => return Err(self.closed()),
        };
        written.map_err(|error| Error::os("write", &self.path, &error))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> Result<()> {
        let length = self.offset.next_multiple_of(BLOCK as u64) - self.offset;
        self.put(&[0; BLOCK][..length as usize])
    }

    fn copy(&mut self, what: &str, content: &mut dyn Read) -> Result<u64> {
        let start = self.offset;
        pour(&what, content, &mut |bytes| self.put(bytes))?;
        Ok(self.offset - start)
    }

    /// Puts a header in the place of the block that is left for it before the content. One that is
    /// longer (of a file of more than 8 GiB) moves the content.
    fn put_before(&mut self, start: u64, header: &[u8]) -> Result<()> {
        let longer = (header.len() - BLOCK) as u64;
        let Target::File { file, .. } = &mut self.target else { return Err(self.closed()) };
        let result = move_up(file, start + BLOCK as u64, self.offset, longer)
            .and_then(|()| file.write_all_at(header, start))
            .and_then(|()| file.seek(SeekFrom::Start(self.offset + longer)));
        result.map_err(|error| Error::os("write", &self.path, &error))?;
        self.offset += longer;
        Ok(())
    }

    /// Keeps a member, or takes back what was written of it.
    fn settle(&mut self, start: u64, name: &str, written: Result<()>) -> Result<()> {
        match written {
            Ok(()) => {
                self.names.insert(name.to_owned());
                Ok(())
            }
            Err(error) => {
                // The failure before this one is the one to tell.
                let _ = self.roll_back(start);
                Err(error)
            }
        }
    }

    fn roll_back(&mut self, start: u64) -> Result<()> {
        let result = match &mut self.target {
            Target::File { file, .. } => {
                file.set_len(start).and_then(|()| file.seek(SeekFrom::Start(start)))
            }
            // What is in a pipe stays there.
            _ => {
                self.target = Target::Closed;
                return Ok(());
            }
        };
        self.offset = start;
        result.map(drop).map_err(|error| Error::os("write", &self.path, &error))
    }

    fn closed(&self) -> Error {
        let text = format!("write {}: the archive is closed", self.path.display());
        Error::new(ErrorKind::Os, text)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.remove_unfinished();
    }
}

fn file_of(size: u64) -> What {
    What::File { size, stored: size, sparse: None }
}

/// Moves the bytes from `start` to `end` of a file towards its end.
fn move_up(file: &File, start: u64, end: u64, by: u64) -> std::io::Result<()> {
    if by == 0 {
        return Ok(());
    }
    let mut buffer = vec![0; MOVED_BYTES];
    let mut end = end;
    while end > start {
        let length = (end - start).min(MOVED_BYTES as u64);
        let part = &mut buffer[..length as usize];
        file.read_exact_at(part, end - length)?;
        file.write_all_at(part, end - length + by)?;
        end -= length;
    }
    Ok(())
}
