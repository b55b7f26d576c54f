//! A closure as a directory.
//!
//! Bytes are copied, in the kernel where it can (`copy_file_range`, which shares blocks on file
//! systems that do), and never linked: a container that writes to its copy must not write to the
//! host's file. Owner is whoever writes. Set-user-ID and set-group-ID are dropped (closures do
//! not have them). Times are one given moment, so that the same closure gives the same tree.
//!
//! *Invariant: nothing outside of the directory is touched.* A closure has no entry behind a link,
//! directories are made or found to be directories, files and links are made anew and never
//! opened where something is there. The directory is the caller's alone while this runs: somebody
//! else who can write to it could swap what was just made.

use crate::closure::{Closure, Content, Entry, Node, Source};
use crate::error::{Error, Result};
use filetime::FileTime;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

impl Closure {
    /// Writes every entry below `directory`, which is made if it is not there; directories that are
    /// there already are kept. Each file, link and directory of the closure, and `directory` itself,
    /// gets `mtime`.
    ///
    /// After an error what was made is removed again, as far as that is possible. A name that is
    /// taken is an error of kind `Exists`, a file that changed since it was listed one of kind
    /// `Busy`.
    pub fn write_to(&self, directory: &Path, mtime: SystemTime) -> Result<()> {
        let mut writer = Writer { root: directory, mtime, made: Vec::new() };
        let written = writer.write(&self.entries);
        if written.is_err() {
            writer.remove();
        }
        written
    }
}

struct Writer<'a> {
    root: &'a Path,
    mtime: SystemTime,
    /// What was made, and whether it is a directory, in that order.
    made: Vec<(PathBuf, bool)>,
}

impl Writer<'_> {
    fn write(&mut self, entries: &[Entry]) -> Result<()> {
        self.directory(self.root.to_owned())?;
        for entry in entries {
            let path = self.below(&entry.path);
            match &entry.node {
                Node::Directory { .. } => self.directory(path)?,
                Node::File { mode, content } => self.file(path, *mode, content)?,
                Node::Link { target } => self.link(path, target)?,
            }
        }
        // Last, and from the leaves up: what is made in a directory changes its time and needs its
        // permission.
        for entry in entries.iter().rev() {
            if let Node::Directory { mode } = entry.node {
                self.finish_directory(&self.below(&entry.path), Some(mode))?;
            }
        }
        self.finish_directory(self.root, None)
    }

    fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn directory(&mut self, path: PathBuf) -> Result<()> {
        let is_root = path == self.root;
        // Others may look into the root as soon as it is there; into the rest when it is finished.
        let mode = if is_root { 0o755 } else { 0o700 };
        let Err(error) = DirBuilder::new().mode(mode).create(&path) else {
            self.made.push((path, true));
            return Ok(());
        };
        // The root itself may be given by a link.
        let there = if is_root { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
        match there {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            _ => Err(Error::io("making directory", &path, error)),
        }
    }

    fn file(&mut self, path: PathBuf, mode: u32, content: &Content) -> Result<()> {
        let failed = |error| Error::io("writing", &path, error);
        let source = content.open()?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut target = options.open(&path).map_err(failed)?;
        self.made.push((path.clone(), false));
        let size_bytes = content.size_bytes();
        let copied = match source {
            // One byte more than there should be, to notice a file that grew. Between files
            // `io::copy` is `copy_file_range`.
            Source::File(file) => io::copy(&mut file.take(size_bytes + 1), &mut target),
            Source::Bytes(mut bytes) => io::copy(&mut bytes, &mut target),
        };
        if copied.map_err(failed)? != size_bytes {
            return Err(content.changed());
        }
        target.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        target.set_times(self.times()).map_err(failed)
    }

    fn link(&mut self, path: PathBuf, target: &Path) -> Result<()> {
        let failed = |error| Error::io("making link", &path, error);
        symlink(target, &path).map_err(failed)?;
        self.made.push((path.clone(), false));
        let time = FileTime::from_system_time(self.mtime);
        filetime::set_symlink_file_times(&path, time, time).map_err(failed)
    }

    fn finish_directory(&self, path: &Path, mode: Option<u32>) -> Result<()> {
        let failed = |error| Error::io("finishing directory", path, error);
        let directory = File::open(path).map_err(failed)?;
        if let Some(mode) = mode {
            directory.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        }
        directory.set_times(self.times()).map_err(failed)
    }

    fn times(&self) -> FileTimes {
        FileTimes::new().set_accessed(self.mtime).set_modified(self.mtime)
    }

    /// Undoes what was made, as far as possible: the first error is the one that matters.
    fn remove(&mut self) {
        for (path, is_directory) in &self.made {
            if *is_directory {
                // Its final mode may not let its owner remove what is in it.
                let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
            }
        }
        for (path, is_directory) in self.made.drain(..).rev() {
            let _ = if is_directory { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}
