//! From what a user asks for to a closure.

use crate::builder::Builder;
use crate::closure::{Closure, Content, Node};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, Opened};
use crate::ldcache;
use crate::loader::{CacheEntries, Start, load};
use crate::program::{self, HostView};
use crate::script::{self, Script};
use crate::search::Flavour;
use crate::tree::{self, Found, Resolved, Stamp, Tree};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Names in one closure. An image of a whole distribution has some 300,000.
const MAX_ENTRIES: usize = 1 << 20;

/// One thing that is to be in a closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A program, found as [`crate::find_program`] does, with everything that it needs to start.
    Program(OsString),
    /// A file, with its libraries if it is an ELF file (a plug-in, say), or a directory with all that
    /// is in it, exactly as it is. No file in a directory is looked into, and the links in it are
    /// not followed.
    Path(PathBuf),
}

impl Wanted {
    /// What a user means by `--with text`: a name without a slash and an executable file are
    /// programs, everything else is a path.
    pub fn parse(host: &HostView, text: &OsStr) -> Self {
        let path = host.absolute(text.as_ref());
        let is_name = !text.as_bytes().contains(&b'/');
        match is_name || program::is_program(&mut Tree::new(&host.root), &path) {
            true => Self::Program(text.to_owned()),
            false => Self::Path(path),
        }
    }
}

/// Everything that is wanted, and what it needs.
///
/// Besides `NotFound` and `Denied` for what is not there or may not be read, an error is of kind
/// `Corrupt` for a malformed ELF file, and `Unsupported` for a program that is neither ELF nor
/// script, or beyond one of the named limits.
pub fn closure(host: &HostView, wanted: &[Wanted]) -> Result<Closure> {
    let mut collector = Collector {
        files: Files::new(host),
        builder: Builder::default(),
        cache: CacheEntries::new(),
        programs: Vec::new(),
        done: HashSet::new(),
        flavour: Flavour::Glibc,
    };
    for wanted in wanted {
        match wanted {
            Wanted::Program(name) => {
                let program = program::find(&mut collector.files.tree, host, name)?;
                collector.programs.push(program);
                collector.all_programs()?;
            }
            Wanted::Path(path) => collector.path(&host.absolute(path))?,
        }
    }
    collector.finish()
}

struct Collector<'h> {
    files: Files<'h>,
    builder: Builder,
    cache: CacheEntries,
    /// To be looked into.
    programs: Vec<PathBuf>,
    done: HashSet<PathBuf>,
    /// Of the last program with a loader: the one that a plug-in will be loaded by.
    flavour: Flavour,
}

/// A regular file with its first bytes.
struct Head {
    resolved: Resolved,
    stamp: Stamp,
    file: File,
    bytes: Vec<u8>,
}

impl Head {
    fn is_elf(&self) -> bool {
        self.bytes.starts_with(b"\x7fELF")
    }
}

impl Collector<'_> {
    fn all_programs(&mut self) -> Result<()> {
        while let Some(program) = self.programs.pop() {
            if self.done.insert(program.clone()) {
                self.program(program)?;
            }
        }
        Ok(())
    }

    /// A program and, for a script, the programs that run it.
    fn program(&mut self, path: PathBuf) -> Result<()> {
        let host = self.files.host;
        let mut at = path.clone();
        for _ in 0..=script::MAX_LEVELS {
            let Some(head) = self.head(&at)? else {
                let message = format!("{} is not a regular file", at.display());
                return Err(Error::new(ErrorKind::Denied, message));
            };
            if head.is_elf() {
                return self.elf(&at, head, None);
            }
            let Some(script) = Script::parse(&head.bytes) else {
                let message = format!("{} is neither an ELF program nor a script", at.display());
                return Err(Error::new(ErrorKind::Unsupported, message)
                    .with_hint("a script starts with a line such as #!/bin/sh"));
            };
            self.add(&head.resolved)?;
            let by = |error: Error| error.within(format!("packing what runs {}", at.display()));
            if let Some(name) = script.program_of_env() {
                let program = program::find(&mut self.files.tree, host, &name).map_err(by)?;
                self.programs.push(program);
            }
            let interpreter = script.interpreter.as_os_str();
            let interpreter = host.absolute(interpreter.as_ref());
            at = program::find(&mut self.files.tree, host, interpreter.as_os_str()).map_err(by)?;
        }
        let message = format!("{}: more than 5 scripts that run each other", path.display());
        Err(Error::new(ErrorKind::Invalid, message))
    }

    /// An ELF file and what its loader loads.
    fn elf(&mut self, path: &Path, head: Head, library_of: Option<Flavour>) -> Result<()> {
        let Head { resolved, stamp, file, .. } = head;
        self.add(&resolved)?;
        let elf = self.files.elf_of(&resolved.path, &stamp, &file)?;
        let id = (stamp.device, stamp.inode);
        let opened = Opened { elf: Rc::clone(&elf), id, resolved: resolved.path };
        let start = Start { path, opened, library_of };
        let (loaded, flavour) = load(&mut self.files, start, &mut self.cache)?;
        if let Some(flavour) = flavour {
            self.flavour = flavour;
        }
        let first = loaded.interpreter.iter().chain(&loaded.configuration);
        for path in first.chain(&loaded.libraries) {
            let resolved = self.files.tree.resolve(path)?;
            self.add(&resolved)?;
        }
        Ok(())
    }

    fn path(&mut self, path: &Path) -> Result<()> {
        if let Some(head) = self.head(path)? {
            return match head.is_elf() {
                true => self.elf(path, head, Some(self.flavour.clone())),
                false => self.add(&head.resolved),
            };
        }
        let resolved = self.files.tree.resolve(path)?;
        self.add(&resolved)?;
        if let Found::Directory { .. } = &*resolved.found {
            self.directory(resolved.path)?;
        }
        Ok(())
    }

    /// All that is in a directory, without recursion: depth is bounded by the length of paths.
    fn directory(&mut self, path: PathBuf) -> Result<()> {
        let mut directories = vec![path];
        while let Some(directory) = directories.pop() {
            for name in self.files.tree.list(&directory)? {
                let path = directory.join(name);
                let found = self.files.tree.look_once(&path);
                let found = found.map_err(|error| Error::io("looking up", &path, error))?;
                self.add_one(&path, &found)?;
                if matches!(found, Found::Directory { .. }) {
                    directories.push(path);
                }
            }
        }
        Ok(())
    }

    /// The start of the regular file at `path`; nothing if it is another kind of thing.
    fn head(&mut self, path: &Path) -> Result<Option<Head>> {
        let resolved = self.files.tree.resolve(path)?;
        let Found::File { stamp, .. } = &*resolved.found else { return Ok(None) };
        let stamp = *stamp;
        let file = tree::open(&self.files.tree.real(&resolved.path), &stamp)?;
        let mut bytes = vec![0; script::HEAD_BYTES];
        let filled = file.read_at(&mut bytes, 0);
        bytes.truncate(filled.map_err(|error| Error::io("reading", path, error))?);
        Ok(Some(Head { resolved, stamp, file, bytes }))
    }

    /// A path with the directories and links on the way to it.
    fn add(&mut self, resolved: &Resolved) -> Result<()> {
        resolved.trail.iter().try_for_each(|(path, found)| self.add_one(path, found))
    }

    fn add_one(&mut self, path: &Path, found: &Found) -> Result<()> {
        if self.builder.len() == MAX_ENTRIES {
            let message = format!("packing {}: more than 1,048,576 names", path.display());
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let node = match found {
            Found::Directory { mode } => Node::Directory { mode: *mode },
            Found::File { mode, stamp } => {
                let path = self.files.tree.real(path);
                Node::File { mode: *mode, content: Content::Host { path, stamp: *stamp } }
            }
            Found::Link { target } => Node::Link { target: target.clone() },
            Found::Special => {
                self.builder.skipped.push(path.to_owned());
                return Ok(());
            }
        };
        self.builder.add(path.to_owned(), node);
        Ok(())
    }

    /// With a cache for glibc's loader; one that was asked for stays.
    fn finish(mut self) -> Result<Closure> {
        if !self.cache.is_empty() {
            let content = Content::Made(ldcache::write(&self.cache));
            let node = Node::File { mode: 0o644, content };
            self.builder.place(Path::new("/etc/ld.so.cache"), node)?;
        }
        Ok(self.builder.finish())
    }
}
