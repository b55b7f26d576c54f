//! Making files, directories, links and nodes.

use super::{DEFAULT_ACL, Extractor, Form, Owners};
use crate::error::{Error, Result};
use crate::limits::REMEMBERED_NAMES;
use crate::path::TreePath;
use crate::tar::{Entry, Reader, Tap, What, Xattr};
use std::io::BufRead;
use sys::fs::{
    AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, S_IFBLK, S_IFCHR,
    S_IFIFO, S_IFMT, S_IFREG,
};
use sys::{Errno, Fd};

/// What holds an attribute.
enum Holder<'a> {
    Open(&'a Fd),
    /// A link or node of the top directory: there is nothing to open.
    Named(&'a [u8]),
}

impl Extractor<'_> {
    pub(super) fn make_file<R: BufRead, T: Tap>(
        &mut self,
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<R, T>,
    ) -> Result<()> {
        // With the right mode from the beginning, a call is saved; set-id bits come after the owner.
        let direct = entry.mode & (self.umask | 0o7000) == 0 && entry.xattrs.is_empty();
        let mode = if direct { entry.mode } else { 0o600 };
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        let fd = self.made(name, &entry.path, "creating a file", |top| {
            sys::fs::open_at(top, name, flags, mode)
        })?;
        self.fill(&fd, entry, reader)?;
        if !self.has_owner(entry) {
            sys::fs::chown_fd(&fd, entry.uid, entry.gid).map_err(|e| owner_error(e, entry))?;
        }
        for xattr in &entry.xattrs {
            self.set_xattr(&Holder::Open(&fd), xattr)?;
        }
        if !direct {
            sys::fs::chmod_fd(&fd, entry.mode).map_err(|e| Error::os(e, "setting the mode"))?;
        }
        sys::fs::set_times(&fd, "", entry.mtime).map_err(|e| Error::os(e, "setting the time"))?;
        if self.stack.has_detour() {
            let stat = sys::fs::stat_fd(&fd).map_err(|e| Error::os(e, "looking at a file"))?;
            self.remember(entry.path.as_bytes().len(), "files behind links")?;
            self.detoured.insert(stat.st_ino, entry.path.clone());
        }
        Ok(())
    }

    fn fill<R: BufRead, T: Tap>(
        &mut self,
        fd: &Fd,
        entry: &Entry,
        reader: &mut Reader<R, T>,
    ) -> Result<()> {
        let failed = |e| Error::os(e, "writing");
        let What::File { size, stored, sparse } = &entry.what else { return Ok(()) };
        let Some(pieces) = sparse else {
            let mut left = *stored;
            while left > 0 {
                let bytes = reader.body()?;
                sys::fs::write_all(fd, bytes).map_err(failed)?;
                let length = bytes.len();
                reader.consume(length)?;
                left -= length as u64;
            }
            self.report.bytes += stored;
            return Ok(());
        };
        for piece in pieces {
            sys::fs::seek(fd, piece.offset).map_err(failed)?;
            let mut left = piece.length;
            while left > 0 {
                let bytes = reader.body()?;
                let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                sys::fs::write_all(fd, &bytes[..length]).map_err(failed)?;
                reader.consume(length)?;
                left -= length as u64;
            }
        }
        self.report.bytes += stored;
        sys::fs::truncate(fd, *size).map_err(failed)
    }

    pub(super) fn make_directory(&mut self, name: &[u8], entry: &Entry) -> Result<()> {
        let path = &entry.path;
        let top = &self.stack.top().fd;
        match sys::fs::mkdir(top, name, 0o700) {
            Err(Errno::EEXIST) if Self::is_directory(&self.stat(name)?) => {
                self.report.implied.remove(path);
            }
            Err(Errno::EEXIST) => {
                let hidden = self.is_whiteout(&self.stack.top().fd, name)?;
                self.clear(name, path)?;
                let top = &self.stack.top().fd;
                sys::fs::mkdir(top, name, 0o700)
                    .map_err(|e| Error::os(e, "creating a directory"))?;
                if hidden {
                    self.note(path.as_bytes())?;
                    self.enter(path.as_bytes())?;
                    self.set_opaque()?;
                }
            }
            made => made.map_err(|e| Error::os(e, "creating a directory"))?,
        }
        self.note(path.as_bytes())?;
        self.enter(path.as_bytes())?;
        self.set_directory(entry)
    }

    /// Gives the top directory the attributes of its entry. The time comes when it is left.
    pub(super) fn set_directory(&mut self, entry: &Entry) -> Result<()> {
        if self.options.owners == Owners::Exact {
            let fd = &self.stack.top().fd;
            sys::fs::chown_fd(fd, entry.uid, entry.gid).map_err(|e| owner_error(e, entry))?;
        }
        for xattr in entry.xattrs.iter().filter(|xattr| xattr.name != DEFAULT_ACL) {
            let fd = sys::fs::duplicate(&self.stack.top().fd, 0)
                .map_err(|e| Error::os(e, "setting an attribute"))?;
            self.set_xattr(&Holder::Open(&fd), xattr)?;
        }
        for xattr in entry.xattrs.iter().filter(|xattr| xattr.name == DEFAULT_ACL) {
            self.remember(entry.path.as_bytes().len() + xattr.value.len(), "default ACLs")?;
            self.default_acls.push((entry.path.clone(), xattr.value.clone()));
        }
        let closed = self.user != 0 && entry.mode & 0o700 != 0o700;
        let frame = self.stack.top_mut();
        frame.mtime = entry.mtime;
        frame.mode = closed.then_some(entry.mode);
        frame.setgid = entry.mode & 0o2000 != 0;
        let now = if closed { entry.mode | 0o700 } else { entry.mode };
        sys::fs::chmod_fd(&frame.fd, now).map_err(|e| Error::os(e, "setting the mode"))
    }

    pub(super) fn make_link(&mut self, name: &[u8], entry: &Entry, to: &TreePath) -> Result<()> {
        let missing = || {
            let shown = to.as_bytes().escape_ascii();
            Error::denied(format!("a hard link to \"{shown}\", which is no file of the layer"))
        };
        let Some((to_parent, to_name)) = to.split() else { return Err(missing()) };
        if *to == entry.path {
            return Err(Error::ambiguous("a hard link to itself"));
        }
        if to_name.starts_with(super::whiteout::PREFIX) {
            return Err(missing());
        }
        // The target's parent, links of this layer followed inside, like that of any entry.
        const INSIDE: u32 = sys::fs::RESOLVE_IN_ROOT | sys::fs::RESOLVE_NO_MAGICLINKS;
        const PARENT: u32 = sys::fs::O_PATH | sys::fs::O_DIRECTORY;
        let to_parent: &[u8] = if to_parent.is_empty() { b"." } else { to_parent };
        let from = sys::fs::open_at2(self.stack.root(), to_parent, PARENT, 0, INSIDE)
            .map_err(|_| missing())?;
        // Behind a link of this layer it has another name.
        if !self.is_own(to.as_bytes()) && !self.is_own(&self.stack.real_path_in(&from, to_name)?) {
            return Err(missing());
        }
        let stat = sys::fs::stat_at(&from, to_name, AT_SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        if Self::is_directory(&stat) || self.is_whiteout(&from, to_name)? {
            return Err(missing());
        }
        self.made(name, &entry.path, "linking", |top| {
            // Without AT_SYMLINK_FOLLOW a link to a link is one more name of that link.
            sys::fs::link(&from, to_name, top, name, 0)
        })?;
        self.linked.insert(self.hash(entry.path.as_bytes()));
        match self.linked.len() > REMEMBERED_NAMES {
            true => Err(Error::limit("too many hard links", REMEMBERED_NAMES)),
            false => Ok(()),
        }
    }

    pub(super) fn make_node(&mut self, name: &[u8], entry: &Entry) -> Result<()> {
        self.made(name, &entry.path, "creating", |top| match &entry.what {
            What::Symlink(target) => sys::fs::symlink(target, top, name),
            What::Character(major, minor) => {
                sys::fs::mknod(top, name, S_IFCHR | 0o600, sys::fs::makedev(*major, *minor))
            }
            What::Block(major, minor) => {
                sys::fs::mknod(top, name, S_IFBLK | 0o600, sys::fs::makedev(*major, *minor))
            }
            _ => sys::fs::mknod(top, name, S_IFIFO | 0o600, 0),
        })?;
        if !self.has_owner(entry) {
            let top = &self.stack.top().fd;
            sys::fs::chown(top, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW)
                .map_err(|e| owner_error(e, entry))?;
        }
        for xattr in &entry.xattrs {
            self.set_xattr(&Holder::Named(name), xattr)?;
        }
        let top = &self.stack.top().fd;
        if !matches!(entry.what, What::Symlink(_)) {
            sys::fs::chmod(top, name, entry.mode).map_err(|e| Error::os(e, "setting the mode"))?;
        }
        sys::fs::set_times(top, name, entry.mtime).map_err(|e| Error::os(e, "setting the time"))
    }

    /// Makes something in the top directory, out of the way of which something else may have to go.
    fn made<M>(
        &mut self,
        name: &[u8],
        path: &TreePath,
        call: &str,
        make: impl Fn(&Fd) -> sys::Result<M>,
    ) -> Result<M> {
        let result = match make(&self.stack.top().fd) {
            Err(Errno::EEXIST) => {
                self.clear(name, path)?;
                make(&self.stack.top().fd)
            }
            result => result,
        };
        result.map_err(|e| Error::os(e, call))
    }

    /// Takes what is at `name` away for something else.
    fn clear(&mut self, name: &[u8], path: &TreePath) -> Result<()> {
        let failed = |e| Error::os(e, "replacing a file");
        let stat = self.stat(name)?;
        let own = self.is_own(path.as_bytes()) || self.detoured.contains_key(&stat.st_ino);
        if Self::is_directory(&stat) {
            if self.options.form == Form::Plain && self.remove_foreign(name, path.as_bytes())? {
                return Ok(());
            }
            self.report.implied.remove(path);
            return match sys::fs::unlink(&self.stack.top().fd, name, AT_REMOVEDIR) {
                Err(Errno::ENOTEMPTY) => {
                    Err(Error::ambiguous("it replaces a directory of its own layer that has files"))
                }
                result => result.map_err(failed),
            };
        }
        let hash = self.hash(path.as_bytes());
        let link = self.linked.remove(&hash);
        let top = &self.stack.top().fd;
        let regular = stat.st_mode & S_IFMT == S_IFREG;
        if !own || link || !regular || stat.st_size == 0 {
            return sys::fs::unlink(top, name, 0).map_err(failed);
        }
        let owner = match self.detoured.remove(&stat.st_ino) {
            Some(owner) => owner,
            None if stat.st_nlink > 1 && !self.detoured.is_empty() => {
                return Err(Error::ambiguous("it replaces a file that has names behind links"));
            }
            None => path.clone(),
        };
        match self.options.keep {
            Some(keep) => {
                let number = self.report.replaced.len().to_string();
                sys::fs::rename(top, name, keep, number, 0).map_err(failed)?;
            }
            None => sys::fs::unlink(top, name, 0).map_err(failed)?,
        }
        self.remember(owner.as_bytes().len(), "files that are replaced")?;
        self.report.replaced.push(owner);
        Ok(())
    }

    fn has_owner(&self, entry: &Entry) -> bool {
        let same = entry.uid == self.user && entry.gid == self.group;
        self.options.owners == Owners::Own || (same && !self.stack.top().setgid)
    }

    fn set_xattr(&mut self, holder: &Holder<'_>, xattr: &Xattr) -> Result<()> {
        /// What the host says about files, or overlayfs: not for archives to say.
        const HOSTS: [&[u8]; 5] = [
            b"trusted.overlay.",
            b"user.overlay.",
            b"security.selinux",
            b"security.ima",
            b"security.evm",
        ];
        if HOSTS.iter().any(|prefix| xattr.name.starts_with(prefix)) {
            self.report.xattrs_dropped += 1;
            return Ok(());
        }
        let set = match holder {
            Holder::Open(fd) => sys::xattr::set(*fd, &xattr.name, &xattr.value),
            Holder::Named(name) => {
                let top = self.stack.top().fd.raw();
                let path = [format!("/proc/self/fd/{top}/").as_bytes(), name].concat();
                sys::xattr::set_at(path, &xattr.name, &xattr.value)
            }
        };
        match set {
            Ok(()) => Ok(()),
            Err(Errno::ENOTSUP | Errno::EPERM) => {
                self.report.xattrs_refused += 1;
                Ok(())
            }
            Err(e) => {
                let name = xattr.name.escape_ascii();
                Err(Error::os(e, &format!("setting the attribute \"{name}\"")))
            }
        }
    }

    /// Marks the top directory: nothing of what lies below shows through it.
    pub(super) fn set_opaque(&mut self) -> Result<()> {
        let Form::Overlay(notes) = self.options.form else { return Ok(()) };
        sys::xattr::set(&self.stack.top().fd, notes.opaque(), b"y")
            .map_err(|e| Error::os(e, "marking a directory as opaque"))
    }
}

fn owner_error(errno: Errno, entry: &Entry) -> Error {
    let (uid, gid) = (entry.uid, entry.gid);
    match errno {
        Errno::EINVAL => Error::os(
            errno,
            &format!("giving it to {uid}:{gid}, which this user namespace does not map"),
        ),
        _ => Error::os(errno, &format!("giving it to {uid}:{gid}")),
    }
}
