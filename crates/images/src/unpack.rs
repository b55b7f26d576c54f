//! From the bytes of a layer to a tree and an index, in one pass.

use crate::error::{Error, Kind, Result};
use archive::apply::{Devices, Form, Notes, Options, Owners, apply};
use archive::index::Builder;
use archive::tar::Reader;
use archive::{Limits, Sum, Summary, Sums, pass};
use oci::{Algorithm, Digest};
use std::io::Read;
use store::{File, LayerFacts, StagedLayer};
use sys::fs::O_DIRECTORY;

/// What the process may do with files: the layers of a store are made by programs with the same rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Where overlayfs finds its notes: `trusted` for the host's root only.
    pub notes: Notes,
    /// Whether devices can be made.
    pub devices: Devices,
    /// Whether files can be given to others.
    pub owners: Owners,
    /// Whose the directories are that a tar has no entries for.
    pub owner: (u32, u32),
}

impl Rights {
    /// The host's root.
    pub const ROOT: Self = Self {
        notes: Notes::Trusted,
        devices: Devices::Make,
        owners: Owners::Exact,
        owner: (0, 0),
    };

    /// Root of a user namespace with many ids.
    pub const NAMESPACE_ROOT: Self =
        Self { notes: Notes::User, devices: Devices::Skip, owners: Owners::Exact, owner: (0, 0) };

    /// A user with one id.
    pub fn user(uid: u32, gid: u32) -> Self {
        let owners = Owners::Own;
        Self { notes: Notes::User, devices: Devices::Skip, owners, owner: (uid, gid) }
    }
}

/// A layer in staging, whole.
pub(crate) struct Unpacked {
    pub(crate) staged: StagedLayer,
    pub(crate) facts: LayerFacts,
    /// The digest of the tar.
    pub(crate) diff_id: Digest,
    /// Directories that the tar has no entries for, sorted.
    pub(crate) implied: Vec<Vec<u8>>,
}

/// Unpacks a layer. The digest of its tar is made with `algorithm`, and compared by the caller.
pub(crate) fn unpack(
    staged: StagedLayer,
    input: impl Read + Send,
    algorithm: Algorithm,
    rights: Rights,
) -> Result<Unpacked> {
    let limits = Limits::default();
    let index = Builder::new(File(staged.create_index()?))?;
    let kept = staged.create_kept()?;
    let options = Options {
        form: Form::Overlay(rights.notes),
        devices: rights.devices,
        owners: rights.owners,
        keep: Some(kept.borrow()),
    };
    // What comes is verified by its source.
    let plain = if algorithm == Algorithm::Sha512 { Sum::Both } else { Sum::Sha256 };
    let sums = Sums { packed: Sum::None, plain };
    let root = staged.diff_dir();
    let passed = pass(input, &limits, sums, |blocks| {
        let mut reader = Reader::with_tap(blocks, limits.clone(), index);
        let report = apply(root.borrow(), &mut reader, options)?;
        Ok((report, reader.into_tap()))
    })?;
    let (report, index) = passed.result;
    index.finish(&report.replaced, &passed.plain)?;
    if report.replaced.is_empty() {
        staged.drop_kept()?;
    }
    let implied: Vec<Vec<u8>> =
        report.implied.iter().map(|path| path.as_bytes().to_vec()).collect();
    let facts = LayerFacts {
        tar_bytes: passed.plain.bytes,
        disk_bytes: None,
        entries: report.entries,
        implied: implied.len() as u64,
        has_root: report.has_root,
    };
    let diff_id = digest_of(&passed.plain, algorithm);
    let wrong = || Error::new(Kind::Corrupt, "a hash has not the length of its algorithm");
    Ok(Unpacked { staged, facts, diff_id: diff_id.ok_or_else(wrong)?, implied })
}

/// One of the digests of a stream.
pub(crate) fn digest_of(sum: &Summary, algorithm: Algorithm) -> Option<Digest> {
    match algorithm {
        Algorithm::Sha256 => Digest::new(algorithm, sum.sha256.as_ref()?),
        Algorithm::Sha512 => Digest::new(algorithm, sum.sha512.as_ref()?),
    }
}

/// What a directory of a layer takes from the layers below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Gives attributes to a directory of a staged layer.
pub(crate) fn adopt(staged: &StagedLayer, path: &[u8], wanted: Attributes) -> Result<()> {
    let dir = open_below(staged.diff_dir(), path, 0)
        .map_err(|errno| Error::new(Kind::Os, format!("opening a layer's directory: {errno}")))?;
    let failed = |errno| Error::new(Kind::Os, format!("changing a layer's directory: {errno}"));
    sys::fs::chown_fd(&dir, wanted.uid, wanted.gid).map_err(failed)?;
    sys::fs::chmod_fd(&dir, wanted.mode).map_err(failed)
}

/// Opens a directory of a layer's tree, by a path without links.
pub(crate) fn open_below(
    root: &sys::Fd,
    path: &[u8],
    flags: u32,
) -> std::result::Result<sys::Fd, sys::Errno> {
    use sys::fs::{O_NOFOLLOW, O_RDONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS};
    let how = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    sys::fs::open_at2(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | flags, 0, how)
}
