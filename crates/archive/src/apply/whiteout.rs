//! Whiteouts: names that hide what the layers below have.

use super::{Extractor, Form};
use crate::error::{Error, Result};
use sys::Errno;
use sys::fs::S_IFCHR;

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
}
