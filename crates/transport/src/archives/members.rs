//! An archive that is listed once, and whose files are then read where they lie.

use super::{refused, spool};
use crate::error::{Error, Result};
use archive::Limits;
use archive::compression::{Format, MAGIC_BYTES};
use archive::tar::{Reader, What};
use oci::image::SIZE_LIMIT_BYTES;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most members of an archive. An image has some hundred; `docker save` of old makes four a layer.
const MEMBERS_LIMIT: u64 = 200_000;
/// Most bytes of members' names and links, which are kept in memory.
const NAMES_LIMIT_BYTES: usize = 16 << 20;
/// Most links that lead to a file. `docker save` of old makes one to a layer that it has already
/// written.
const LINKS_LIMIT: usize = 8;
/// Buffer of the list: a member that is looked for is mostly large.
const LIST_BUFFER_BYTES: usize = 8 << 10;

/// The files of an archive. Threads may read several at once.
#[derive(Debug)]
pub(crate) struct Members {
    file: Arc<File>,
    /// What messages call it.
    path: PathBuf,
    members: BTreeMap<Vec<u8>, Member>,
}

#[derive(Debug)]
enum Member {
    File {
        at: u64,
        size: u64,
    },
    Symlink(Vec<u8>),
    Hardlink(Vec<u8>),
    /// Something that has no bytes, or not as they lie there.
    Other,
    /// Programs that unpack the archive take the last one, others the first.
    Repeated,
}

impl Members {
    /// Opens an archive. One that is packed, or no plain file, is first written into a file without
    /// a name in the directory `temporary`.
    pub fn open(path: &Path, temporary: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|error| Error::os("open", path, &error))?;
        let metadata = file.metadata().map_err(|error| Error::os("look at", path, &error))?;
        if metadata.is_dir() {
            let hint = "directories are `oci:` or `dir:`";
            return Err(Error::in_file(path, "is a directory, no archive").with_hint(hint));
        }
        let plain = metadata.is_file() && {
            let mut first = [0; MAGIC_BYTES];
            let length = file.read_at(&mut first, 0);
            let length = length.map_err(|error| Error::os("read", path, &error))?;
            Format::of(&first[..length]) == Format::Plain
        };
        match plain {
            true => Self::list(file, path),
            false => Self::read(&mut file, path, temporary),
        }
    }

    /// Reads an archive from a stream into a file without a name in the directory `temporary`.
    /// `path` is what messages call it.
    pub fn read(input: &mut dyn Read, path: &Path, temporary: &Path) -> Result<Self> {
        Self::list(spool::unpacked(input, path, temporary)?, path)
    }

    fn list(file: File, path: &Path) -> Result<Self> {
        let limits = Limits { entries: MEMBERS_LIMIT, ..Limits::default() };
        let file = Arc::new(file);
        // A descriptor's position belongs to all that share it; this is the only one that uses it.
        let mut seeking = &*file;
        std::io::Seek::rewind(&mut seeking).map_err(|error| Error::os("seek", path, &error))?;
        let input = BufReader::with_capacity(LIST_BUFFER_BYTES, seeking);
        let members = list(Reader::new(input, limits), path)?;
        if members.is_empty() {
            return Err(Error::in_file(path, "the archive is empty"));
        }
        Ok(Self { file, path: path.to_owned(), members })
    }

    /// What messages call the archive.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file, found behind links of the archive if need be.
    pub fn find(&self, name: &str) -> Result<Option<Section>> {
        let Some(mut name) = below(b"", name.as_bytes()) else { return Ok(None) };
        for _ in 0..LINKS_LIMIT {
            let next = match self.members.get(&name) {
                None => return Ok(None),
                Some(Member::File { at, size }) => {
                    return Ok(Some(Section {
                        file: Arc::clone(&self.file),
                        at: *at,
                        left: *size,
                    }));
                }
                Some(Member::Hardlink(target)) => Some(target.clone()),
                Some(Member::Symlink(target)) => below(parent(&name), target),
                Some(Member::Other) => return Err(self.refuse(&name, "is no plain file")),
                Some(Member::Repeated) => {
                    return Err(self.refuse(&name, "is in the archive more than once"));
                }
            };
            match next {
                Some(next) => name = next,
                None => return Err(self.refuse(&name, "is a link out of the archive")),
            }
        }
        Err(self.refuse(&name, "is behind too many links"))
    }

    /// The content of a small file; `None` when there is no such file.
    pub fn read_document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(mut section) = self.find(name)? else { return Ok(None) };
        if section.left > SIZE_LIMIT_BYTES as u64 {
            return Err(self.refuse(name.as_bytes(), "is larger than 4 MiB"));
        }
        let mut bytes = Vec::with_capacity(section.left as usize);
        let read = section.read_to_end(&mut bytes);
        read.map_err(|error| Error::os("read", &self.path, &error))?;
        Ok(Some(bytes))
    }

    fn refuse(&self, name: &[u8], why: &str) -> Error {
        Error::in_file(&self.path, format!("`{}` {why}", name.escape_ascii()))
    }
}

fn list<R: std::io::BufRead + std::io::Seek>(
    mut reader: Reader<R>,
    path: &Path,
) -> Result<BTreeMap<Vec<u8>, Member>> {
    let mut members = BTreeMap::new();
    let mut names = 0;
    while let Some(entry) = reader.next_entry().map_err(|error| refused(path, &error))? {
        let member = match entry.what {
            What::File { size, sparse: None, .. } => Member::File { at: entry.offset, size },
            What::Symlink(target) => Member::Symlink(target),
            What::Hardlink(target) => Member::Hardlink(target.as_bytes().to_vec()),
            _ => Member::Other,
        };
        reader.skip_body().map_err(|error| refused(path, &error))?;
        let name = entry.path.as_bytes().to_vec();
        names += name.len() + member.name_bytes();
        if names > NAMES_LIMIT_BYTES {
            return Err(Error::in_file(path, "the members' names have more than 16 MiB"));
        }
        match members.entry(name) {
            Entry::Vacant(vacant) => drop(vacant.insert(member)),
            // A directory may well come twice.
            Entry::Occupied(there)
                if matches!((there.get(), &member), (Member::Other, Member::Other)) => {}
            Entry::Occupied(mut there) => drop(there.insert(Member::Repeated)),
        }
    }
    Ok(members)
}

impl Member {
    fn name_bytes(&self) -> usize {
        match self {
            Self::Symlink(target) | Self::Hardlink(target) => target.len(),
            _ => 0,
        }
    }
}

fn parent(name: &[u8]) -> &[u8] {
    name.iter().rposition(|&byte| byte == b'/').map_or(b"", |slash| &name[..slash])
}

/// A path seen from a directory of the archive; `None` when it leads out.
fn below(directory: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let start = if path.starts_with(b"/") { b"" } else { directory };
    let mut parts: Vec<&[u8]> = start.split(|&byte| byte == b'/').collect();
    parts.retain(|part| !part.is_empty());
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// A part of a file that is being read.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Section {
    /// All of a file.
    pub fn whole(file: &Arc<File>) -> std::io::Result<Self> {
        Ok(Self { at: 0, left: file.metadata()?.len(), file: Arc::clone(file) })
    }

    /// Bytes that are still to come.
    pub fn size(&self) -> u64 {
        self.left
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..length], self.at)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
