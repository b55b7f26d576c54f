//! `tar:` and `rootfs:`, a root file system that becomes an image of one layer.
//!
//! An archive is the layer as it is, packed or not, so that its digest is that of the file; one that
//! is packed in a way that layers are not (bzip2, xz) is unpacked where it is read. A directory is
//! packed in the archive crate's canonical form, twice: once for its digest, once for its content.
//! If it changes in between, its content is refused.

#[cfg(test)]
mod tests;

use crate::archives::{Section, kept, refused, unpack};
use crate::blob_file::not_found;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Verified, digest_of, verify_manifest};
use crate::policy::Scopes;
use crate::transfer::{Blob, Source};
use archive::compression::Format as Packing;
use archive::pack::{Report, pack};
use archive::tar::{Bytes, Reader, Tap, Writer};
use archive::{Limits, Sum, Summary, Summing, Sums, pass};
use oci::image::media_type::{
    DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, Format, OCI_CONFIG, OCI_LAYER,
    OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use oci::image::{Descriptor, Document, ImageConfig, Manifest, RootFs};
use oci::{Algorithm, Digest};
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use sys::Fd;
use sys::fs::{O_DIRECTORY, O_RDONLY};

/// What an import becomes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The image's configuration. Its layers are filled in.
    pub config: ImageConfig,
    /// Whose manifest it gets.
    pub format: Format,
    /// No file of a directory is later than this, in seconds since 1970.
    pub latest_seconds: Option<i64>,
    /// Where a stream waits, in a file without a name.
    pub temporary: PathBuf,
}

/// An image of one layer.
pub struct ImportSource {
    scopes: Scopes,
    path: PathBuf,
    config: Vec<u8>,
    manifest: Document,
    layer: Descriptor,
    diff_id: Digest,
    content: Content,
    report: Report,
}

/// Where the layer is.
enum Content {
    /// A file, which has the layer as it is.
    File(Arc<File>),
    /// A file whose bytes have to be unpacked, and how many it has.
    Packed(Arc<File>, u64),
    Tree(Tree),
}

impl ImportSource {
    /// Reads an archive: plain, or packed with gzip, zstd, bzip2 or xz.
    pub fn open_tar(path: &Path, options: &Options) -> Result<Self> {
        let mut file = File::open(path).map_err(|error| Error::os("open", path, &error))?;
        let metadata = file.metadata().map_err(|error| Error::os("look at", path, &error))?;
        if metadata.is_dir() {
            let hint = format!("write `rootfs:{}`", path.display());
            return Err(Error::in_file(path, "is a directory, no archive").with_hint(hint));
        }
        match metadata.is_file() {
            true => Self::of_file(file, path, options),
            false => Self::read_tar(&mut file, path, options),
        }
    }

    /// Reads an archive from a stream, which messages call `path`.
    pub fn read_tar(input: &mut dyn Read, path: &Path, options: &Options) -> Result<Self> {
        Self::of_file(kept(input, path, &options.temporary)?, path, options)
    }

    fn of_file(file: File, path: &Path, options: &Options) -> Result<Self> {
        let limits = Limits::default();
        let file = Arc::new(file);
        let input = Section::whole(&file).map_err(|error| Error::os("read", path, &error))?;
        // Whatever is no archive that the store will take is refused here.
        let passed = pass(input, &limits, Sums::default(), |blocks| {
            let mut reader = Reader::new(blocks, limits.clone());
            while reader.next_entry()?.is_some() {}
            Ok(())
        });
        let passed = passed.map_err(|error| refused(path, &error))?;
        if passed.plain.bytes == 0 {
            return Err(Error::in_file(path, "is empty"));
        }
        let media_type = match (passed.format, options.format) {
            (Packing::Plain, Format::Oci) => Some(OCI_LAYER),
            (Packing::Gzip, Format::Oci) => Some(OCI_LAYER_GZIP),
            (Packing::Zstd, Format::Oci) => Some(OCI_LAYER_ZSTD),
            (Packing::Plain, Format::Docker) => Some(DOCKER_LAYER),
            (Packing::Gzip, Format::Docker) => Some(DOCKER_LAYER_GZIP),
            // There is no such layer.
            (Packing::Zstd | Packing::Bzip2 | Packing::Xz, _) => None,
        };
        let (media_type, sum, content) = match media_type {
            Some(media_type) => (media_type, &passed.packed, Content::File(file)),
            None => {
                let content = Content::Packed(file, passed.packed.bytes);
                (plain_type(options.format), &passed.plain, content)
            }
        };
        let layer = Descriptor::new(media_type, digest(sum)?, sum.bytes);
        let scopes = Scopes::of_transport("tar", &path.to_string_lossy());
        Self::new(scopes, path, layer, digest(&passed.plain)?, content, options)
    }

    /// Reads a directory.
    pub fn open_tree(directory: &Path, options: &Options) -> Result<Self> {
        let tree = Tree::open(directory, options.latest_seconds)?;
        let (report, sum) = tree.pack(Summing::new(Sum::Sha256))?;
        let sum = sum.finish();
        let layer = Descriptor::new(plain_type(options.format), digest(&sum)?, sum.bytes);
        let scopes = Scopes::of_transport("rootfs", &directory.to_string_lossy());
        let diff_id = digest(&sum)?;
        let source = Self::new(scopes, directory, layer, diff_id, Content::Tree(tree), options)?;
        Ok(Self { report, ..source })
    }

    fn new(
        scopes: Scopes,
        path: &Path,
        layer: Descriptor,
        diff_id: Digest,
        content: Content,
        options: &Options,
    ) -> Result<Self> {
        let rootfs = RootFs { kind: "layers".into(), diff_ids: vec![diff_id.into()] };
        let config = ImageConfig { rootfs, ..options.config.clone() };
        config.check()?;
        let config = oci::json::write(&config).into_bytes();
        let (media_type, config_type) = match options.format {
            Format::Oci => (OCI_MANIFEST, OCI_CONFIG),
            Format::Docker => (DOCKER_MANIFEST, DOCKER_CONFIG),
        };
        let config_digest = digest_of(Algorithm::Sha256, &config);
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type.into(),
            config: Descriptor::new(config_type, config_digest, config.len() as u64),
            layers: vec![layer.clone()],
            ..Manifest::default()
        };
        let manifest = verify_manifest(oci::json::write(&manifest).into_bytes(), media_type, None)?;
        let (path, report) = (path.to_owned(), Report::default());
        Ok(Self { scopes, path, config, manifest, layer, diff_id, content, report })
    }

    /// What was packed of a directory, and what an archive cannot have.
    pub fn report(&self) -> &Report {
        &self.report
    }

    fn layer(&self) -> Result<Box<dyn Read + Send>> {
        let failed = |error| Error::os("read", &self.path, &error);
        Ok(match &self.content {
            Content::File(file) => Box::new(Section::whole(file).map_err(failed)?),
            Content::Packed(file, bytes) => {
                let packed = Section::whole(file).map_err(failed)?.take(*bytes);
                Box::new(unpack(packed, &self.path)?.1)
            }
            Content::Tree(tree) => Box::new(tree.read()?),
        })
    }
}

fn plain_type(format: Format) -> &'static str {
    match format {
        Format::Oci => OCI_LAYER,
        Format::Docker => DOCKER_LAYER,
    }
}

fn digest(sum: &Summary) -> Result<Digest> {
    Digest::new(Algorithm::Sha256, &sum.sha256.unwrap_or_default())
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a hash has not the length of its algorithm"))
}

impl Source for ImportSource {
    fn scopes(&self) -> Scopes {
        self.scopes.clone()
    }

    fn manifest(&self, wanted: Option<&Digest>) -> Result<Document> {
        match wanted {
            Some(wanted) if wanted != self.manifest.digest() => {
                Err(not_found("manifest", wanted, &self.path))
            }
            _ => Ok(self.manifest.clone()),
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let digest = *descriptor.verifiable()?;
        let size = Some(descriptor.size);
        if descriptor.digest == self.layer.digest {
            return Ok(Box::new(Verified::new(self.layer()?, digest, size)));
        }
        let config = self.manifest.manifest().map(|manifest| &manifest.config.digest);
        match config == Some(&descriptor.digest) {
            true => {
                let content = io::Cursor::new(self.config.clone());
                Ok(Box::new(Verified::new(content, digest, size)))
            }
            false => Err(not_found("blob", &digest, &self.path)),
        }
    }

    fn write_plain(
        &self,
        _: &Descriptor,
        diff_id: &Digest,
        output: &mut dyn Write,
    ) -> Result<bool> {
        let Content::Tree(tree) = &self.content else { return Ok(false) };
        if *diff_id != self.diff_id {
            return Err(not_found("layer", diff_id, &self.path));
        }
        let (_, (sum, _)) = tree.pack((Summing::new(Sum::Sha256), Bytes::new(output)))?;
        match digest(&sum.finish())? == self.diff_id {
            true => Ok(true),
            false => {
                let text = format!("{}: has changed while it was read", self.path.display());
                Err(Error::new(ErrorKind::Corrupt, text))
            }
        }
    }
}

/// A directory with a root file system.
#[derive(Clone)]
struct Tree {
    root: Arc<Fd>,
    path: PathBuf,
    options: archive::pack::Options,
}

impl Tree {
    fn open(directory: &Path, latest_seconds: Option<i64>) -> Result<Self> {
        let flags = O_RDONLY | O_DIRECTORY;
        let root = sys::fs::open_at(sys::CWD, directory.as_os_str().as_bytes(), flags, 0);
        let root = root.map_err(|errno| {
            let error = io::Error::from_raw_os_error(errno.0);
            Error::os("open directory", directory, &error)
        })?;
        let latest = latest_seconds.map(|seconds| sys::time::Time { seconds, nanos: 0 });
        let options =
            archive::pack::Options { notes: None, latest, is_live: false, is_system: false };
        Ok(Self { root: Arc::new(root), path: directory.to_owned(), options })
    }

    fn pack<T: Tap>(&self, tap: T) -> Result<(Report, T)> {
        let mut writer = Writer::new(tap);
        let packed = pack(self.root.borrow(), self.options, &mut writer);
        let packed = packed.and_then(|report| Ok((report, writer.finish()?)));
        packed.map_err(|error| refused(&self.path, &error))
    }

    /// The archive, packed by a thread.
    fn read(&self) -> Result<Packed> {
        let failed = |error| Error::os("read", &self.path, &error);
        let (pipe, output) = io::pipe().map_err(failed)?;
        let tree = self.clone();
        let thread = std::thread::Builder::new()
            .name("pack".into())
            .spawn(move || tree.pack(Bytes::new(io::BufWriter::new(output))).map(drop))
            .map_err(failed)?;
        Ok(Packed { pipe, thread: Some(thread) })
    }
}

/// An archive on its way. Its end is an error when it could not be packed.
struct Packed {
    pipe: PipeReader,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.pipe.read(buffer)?;
        if count == 0
            && !buffer.is_empty()
            && let Some(thread) = self.thread.take()
        {
            let packed = thread.join().map_err(|_| io::Error::other("a thread has panicked"))?;
            packed.map_err(|error| io::Error::other(error.to_string()))?;
        }
        Ok(count)
    }
}
