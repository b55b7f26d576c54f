//! The host's files as a loader sees them: libraries, cache, configuration, each read once.

use crate::elf::{Elf, Malformed};
use crate::error::{Error, ErrorKind, Result};
use crate::ldcache::{self, Cache};
use crate::ldconf;
use crate::machine::Machine;
use crate::program::HostView;
use crate::search::Directory;
use crate::tree::{self, Found, Stamp, Tree};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A regular file that was read as ELF.
pub(crate) struct Opened {
    pub(crate) elf: Rc<Elf>,
    /// `st_dev` and `st_ino`.
    pub(crate) id: (u64, u64),
    /// Its name without links.
    pub(crate) resolved: PathBuf,
}

/// What is known of the host so far.
pub(crate) struct Files<'h> {
    pub(crate) host: &'h HostView,
    pub(crate) tree: Tree,
    elves: HashMap<(u64, u64), Rc<Elf>>,
    cache: Option<Option<Cache>>,
    configured: Option<Vec<PathBuf>>,
    levels: HashMap<(PathBuf, Machine), Vec<Directory>>,
}

impl<'h> Files<'h> {
    pub(crate) fn new(host: &'h HostView) -> Self {
        Self {
            host,
            tree: Tree::new(&host.root),
            elves: HashMap::new(),
            cache: None,
            configured: None,
            levels: HashMap::new(),
        }
    }

    /// The library at `path`; nothing if there is none, or none that may be read. What is there
    /// and no ELF file is an error, as it is for the loader.
    pub(crate) fn library(&mut self, path: &Path) -> Result<Option<Opened>> {
        let Some(resolved) = self.tree.find(path)? else { return Ok(None) };
        let Found::File { stamp, .. } = &*resolved.found else { return Ok(None) };
        match self.elf(&resolved.path, stamp) {
            Ok(elf) => {
                let id = (stamp.device, stamp.inode);
                Ok(Some(Opened { elf, id, resolved: resolved.path }))
            }
            Err(error) if error.kind() == ErrorKind::Denied => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file at `path` (no links in it) as ELF.
    pub(crate) fn elf(&mut self, path: &Path, stamp: &Stamp) -> Result<Rc<Elf>> {
        let id = (stamp.device, stamp.inode);
        if let Some(known) = self.elves.get(&id) {
            return Ok(Rc::clone(known));
        }
        let file = tree::open(&self.tree.real(path), stamp)?;
        self.elf_of(path, stamp, &file)
    }

    /// The open file as ELF.
    pub(crate) fn elf_of(&mut self, path: &Path, stamp: &Stamp, file: &File) -> Result<Rc<Elf>> {
        let read_at = |offset, buffer: &mut [u8]| file.read_at(buffer, offset);
        let elf = Rc::new(Elf::read(&read_at).map_err(|error| malformed(path, error))?);
        self.elves.insert((stamp.device, stamp.inode), Rc::clone(&elf));
        Ok(elf)
    }

    /// The host's `/etc/ld.so.cache`, if it has a valid one.
    pub(crate) fn cache(&mut self) -> Result<Option<&Cache>> {
        if self.cache.is_none() {
            let bytes = self.small_file(Path::new("/etc/ld.so.cache"), ldcache::MAX_BYTES)?;
            self.cache = Some(bytes.and_then(Cache::parse));
        }
        Ok(self.cache.as_ref().and_then(Option::as_ref))
    }

    /// The places that the cache, read by [`Files::cache`], has for `name`, and whether each is
    /// for some CPUs only. Those come first, as they do for the loader.
    pub(crate) fn cached(&self, name: &[u8]) -> Vec<(PathBuf, bool)> {
        let Some(Some(cache)) = &self.cache else { return Vec::new() };
        let places = cache.places(name);
        let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
        let mut places: Vec<_> = places.map(|place| (path(place.path), place.is_variant)).collect();
        places.sort_by_key(|(_, is_variant)| !is_variant);
        places
    }

    /// The directories of the host's `/etc/ld.so.conf`.
    pub(crate) fn configured(&mut self) -> Result<Vec<PathBuf>> {
        if self.configured.is_none() {
            self.configured = Some(ldconf::directories(&mut self.tree)?);
        }
        Ok(self.configured.clone().unwrap_or_default())
    }

    /// The subdirectories of `directory` for CPU levels that exist, in the loader's order.
    pub(crate) fn levels(&mut self, directory: &Path, machine: Machine) -> Result<Vec<Directory>> {
        let key = (directory.to_owned(), machine);
        if let Some(known) = self.levels.get(&key) {
            return Ok(known.clone());
        }
        let mut levels = Vec::new();
        let above = directory.join("glibc-hwcaps");
        if self.tree.find(&above)?.is_some() {
            for level in machine.cpu_levels() {
                let path = above.join(level);
                if self.tree.find(&path)?.is_some() {
                    levels.push(Directory { path, is_variant: true });
                }
            }
        }
        self.levels.insert(key, levels.clone());
        Ok(levels)
    }

    /// The content of the regular file at `path`, if it is there and not larger than `limit`.
    pub(crate) fn small_file(&mut self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(resolved) = self.tree.find(path)? else { return Ok(None) };
        let Found::File { stamp, .. } = &*resolved.found else { return Ok(None) };
        if stamp.size_bytes > limit {
            return Ok(None);
        }
        let file = tree::open(&self.tree.real(&resolved.path), stamp)?;
        let mut bytes = Vec::with_capacity(stamp.size_bytes as usize);
        let failed = |error| Error::io("reading", path, error);
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }
}

/// Why the file at `path` cannot be used.
fn malformed(path: &Path, error: Malformed) -> Error {
    let kind = match error {
        Malformed::Io(error) => return Error::io("reading", path, error),
        Malformed::NotElf | Malformed::Corrupt(_) => ErrorKind::Corrupt,
        Malformed::Unsupported(_) => ErrorKind::Unsupported,
    };
    Error::new(kind, format!("reading {} as a program or library", path.display()))
        .with_source(error)
}
