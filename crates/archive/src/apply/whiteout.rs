//! Whiteouts: names that hide what the layers below have.

use super::{Extractor, Form};
use crate::error::{Error, Result};
use sys::fs::{
    AT_SYMLINK_NOFOLLOW, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, S_IFCHR, S_IFMT, S_IFREG,
};
use sys::{Errno, Fd};

/// What the name of a whiteout begins with (image-spec, layer.md).
pub(crate) const PREFIX: &[u8] = b".wh.";
/// Behind the prefix: the directory itself is opaque.
pub(crate) const OPAQUE: &[u8] = b".wh..opq";

impl Extractor<'_> {
    pub(super) fn white_out(&mut self, parent: &[u8], hidden: &[u8]) -> Result<()> {
        match hidden {
            b"" | b"." | b".." => return Err(Error::denied("a whiteout of nothing that can be")),
            OPAQUE => {
                self.enter_straight(parent)?;
                return self.make_opaque(parent);
            }
            // What aufs keeps for itself (`.wh..wh.aufs`, `.wh..wh.plnk`).
            _ if hidden.starts_with(PREFIX) => return Ok(()),
            _ => self.enter_straight(parent)?,
        }
        let path = match parent {
            b"" => hidden.to_vec(),
            _ => [parent, b"/", hidden].concat(),
        };
        match self.options.form {
            Form::Overlay(_) => self.hide(hidden, &path),
            Form::Plain => self.remove_foreign(hidden, &path).map(drop),
        }
    }

    fn enter_straight(&mut self, parent: &[u8]) -> Result<()> {
        self.enter(parent)?;
        match self.stack.has_detour() {
            true => Err(Error::denied("a whiteout behind a symbolic link")),
            false => Ok(()),
        }
    }

    fn make_opaque(&mut self, path: &[u8]) -> Result<()> {
        self.report.root_opaque |= path.is_empty();
        match self.options.form {
            Form::Overlay(_) => self.set_opaque(),
            Form::Plain => self.remove_foreign_children(path),
        }
    }

    fn hide(&mut self, name: &[u8], path: &[u8]) -> Result<()> {
        match sys::fs::mknod(&self.stack.top().fd, name, S_IFCHR, 0) {
            Err(Errno::EEXIST) => {}
            // On overlayfs itself, such as the root of a container, there are none.
            Err(Errno::EPERM) => return self.hide_by_note(name),
            made => return made.map_err(|e| Error::os(e, "making a whiteout")),
        }
        let stat = self.stat(name)?;
        match Self::is_directory(&stat) {
            // A new directory where an old one was: nothing of the old one shows through.
            true => {
                self.enter(path)?;
                self.set_opaque()
            }
            // A file, or a second whiteout, hides what is below it by itself.
            false => Ok(()),
        }
    }

    /// An empty file that overlayfs takes for a whiteout by its note. It looks for such files only in
    /// directories that say so, and only where the layer's root says so (overlayfs.rst, "nesting").
    fn hide_by_note(&mut self, name: &[u8]) -> Result<()> {
        let Form::Overlay(notes) = self.options.form else { return Ok(()) };
        let failed = |errno| {
            Error::os(errno, "making a whiteout, which overlayfs below it takes since Linux 6.7")
        };
        let top = &self.stack.top().fd;
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        let file = match sys::fs::open_at(top, name, flags, 0) {
            // What is there hides what is below it by itself, or is a directory.
            Err(Errno::EEXIST) => return Ok(()),
            file => file.map_err(failed)?,
        };
        sys::xattr::set(&file, notes.whiteout(), b"y").map_err(failed)?;
        for dir in [top.borrow(), self.stack.root()] {
            if !matches!(sys::xattr::get(dir, notes.opaque()), Ok(value) if value == b"y") {
                sys::xattr::set(dir, notes.opaque(), b"x").map_err(failed)?;
            }
        }
        self.has_noted_whiteouts = true;
        Ok(())
    }

    /// Whether a name hides what is below the layer.
    pub(super) fn is_whiteout(&self, dir: &Fd, name: &[u8]) -> Result<bool> {
        let stat = sys::fs::stat_at(dir, name, AT_SYMLINK_NOFOLLOW)
            .map_err(|e| Error::os(e, "looking at a file"))?;
        let kind = stat.st_mode & S_IFMT;
        if kind == S_IFCHR {
            return Ok(stat.st_rdev == 0);
        }
        let (true, S_IFREG, 0) = (self.has_noted_whiteouts, kind, stat.st_size) else {
            return Ok(false);
        };
        let Form::Overlay(notes) = self.options.form else { return Ok(false) };
        let path = [format!("/proc/self/fd/{}/", dir.raw()).as_bytes(), name].concat();
        Ok(sys::xattr::get_at(path, notes.whiteout()).is_ok())
    }
}
