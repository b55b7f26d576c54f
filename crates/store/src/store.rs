//! Opening and making a store.

use crate::error::{During, Error, Kind, Result};
use crate::files::{self, Durability};
use crate::limits::ADDITIONAL;
use crate::{fault, layout, lock, probe};
use oci::Algorithm;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use sys::fs::{self, O_DIRECTORY, O_RDONLY};
use sys::{CWD, Fd};

/// The format that this program reads and writes.
pub const FORMAT: u32 = 1;
/// Features of the format without which a program must not touch a store: this program knows none.
const INCOMPAT_KNOWN: [&str; 0] = [];
/// Features without which a program must not write to a store: this program knows none.
const RO_COMPAT_KNOWN: [&str; 0] = [];
const RECORD_TEMP: &str = "store.json.tmp";

oci::document! {
    /// `store.json`. Like an ext4 superblock it tells programs of another age what they may do.
    StoreRecord(snake) {
        format: u32 => required,
        /// Names this store beside others, in the records of mounts.
        uuid: String => required,
        /// Features that every program may ignore.
        compat: Vec<String> => always,
        /// Features that only programs that know them may write with.
        ro_compat: Vec<String> => always,
        /// Features that only programs that know them may read with.
        incompat: Vec<String> => always,
        /// What the file system could do when the store was made. Nothing relies on it: each use tries.
        abilities: Abilities => always,
    }

    /// What the file system and kernel can do, for whoever made the store.
    Abilities(snake) {
        /// The kernel that was asked.
        kernel: String,
        /// Copies that share their blocks (`FICLONE`).
        reflink: bool => always,
        /// Layers of the store can be stacked by overlayfs.
        overlay: bool => always,
        /// Files can have attributes of the `user` name space.
        xattrs: bool => always,
    }
}

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Nothing is made, changed or locked: for listing, and for media that cannot be written to.
    pub read_only: bool,
    /// What survives a power cut.
    pub durability: Durability,
    /// Read-only stores where layers, blobs and names are looked for that are not here.
    pub additional: Vec<PathBuf>,
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    root: Fd,
    path: PathBuf,
    run_path: PathBuf,
    record: StoreRecord,
    durability: Durability,
    writable: bool,
    additional: Vec<(PathBuf, Fd)>,
}

impl Store {
    /// Opens the store at `root`, whose records of mounts are below `runroot`. Unless it is only to
    /// be read, it is made if there is none, and what killed processes left in it is removed.
    pub fn open(root: &Path, runroot: &Path, options: &Options) -> Result<Self> {
        if options.additional.len() > ADDITIONAL {
            return Err(Error::new(
                Kind::Limit,
                format!("more than {ADDITIONAL} additional stores"),
            ));
        }
        let (dir, record) = match options.read_only {
            true => open_existing(root)?,
            false => open_or_make(root, options.durability)?,
        };
        if let Some(feature) = unknown(&record.ro_compat, &RO_COMPAT_KNOWN)
            && !options.read_only
        {
            let text = format!("{}: has the feature `{feature}`", root.display());
            return Err(Error::new(Kind::ReadOnly, text)
                .with_hint("this program can only read it; a newer one can write to it"));
        }
        let mut additional = Vec::new();
        for path in &options.additional {
            additional.push((path.clone(), open_existing(path)?.0));
        }
        let store = Self {
            root: dir,
            path: root.to_path_buf(),
            run_path: runroot.join(&record.uuid),
            record,
            durability: options.durability,
            writable: !options.read_only,
            additional,
        };
        if store.writable {
            store.sweep()?;
        }
        Ok(store)
    }

    /// The directory of the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `store.json` says.
    pub fn record(&self) -> &StoreRecord {
        &self.record
    }

    pub(crate) fn root(&self) -> &Fd {
        &self.root
    }

    pub(crate) fn run_path(&self) -> &Path {
        &self.run_path
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// This store's directory, then those of the additional ones.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Fd> {
        std::iter::once(&self.root).chain(self.additional.iter().map(|(_, root)| root))
    }

    /// The lock that everything takes that adds, names or mounts.
    pub(crate) fn share(&self) -> Result<lock::Guard> {
        self.check_writable()?;
        lock::shared(&self.root)
    }

    /// The lock of what takes things away.
    pub(crate) fn exclude(&self) -> Result<lock::Guard> {
        self.check_writable()?;
        lock::exclusive(&self.root)
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        match self.writable {
            true => Ok(()),
            false => {
                let text = format!("{}: opened for reading only", self.path.display());
                Err(Error::new(Kind::ReadOnly, text))
            }
        }
    }
}

fn open_root(path: &Path) -> Result<Fd> {
    fs::open_at(CWD, path.as_os_str().as_bytes(), O_RDONLY | O_DIRECTORY, 0)
        .during(|| format!("opening the store {}", path.display()))
}

/// Opens a store without writing to it.
fn open_existing(path: &Path) -> Result<(Fd, StoreRecord)> {
    let root = open_root(path)?;
    match read_checked(&root, path) {
        Err(error) if error.kind() == Kind::NotFound => {
            let text = format!("{}: is not a store: it has no store.json", path.display());
            Err(Error::not_found(text))
        }
        result => Ok((root, result?)),
    }
}

fn open_or_make(path: &Path, durability: Durability) -> Result<(Fd, StoreRecord)> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).map_err(|error| {
        let errno = sys::Errno(error.raw_os_error().unwrap_or(sys::Errno::EIO.0));
        Error::os(format!("making the store {}", path.display()), errno)
    })?;
    let root = open_root(path)?;
    match read_checked(&root, path) {
        Err(error) if error.kind() == Kind::NotFound => {}
        result => return Ok((root, result?)),
    }
    let names = files::list(&root, ".")?;
    // Whoever makes a store makes its gate first. A list that is read meanwhile may lack it, and have
    // what was made later: only another look is certain.
    if !names.is_empty() && !fs::exists(&root, lock::GATE) {
        let text = format!("{}: is not a store, and not empty", path.display());
        return Err(Error::new(Kind::Invalid, text)
            .with_hint("choose an empty directory with --root, or one that is not there"));
    }
    let guard = lock::exclusive(&root)?;
    let record = match read_checked(&root, path) {
        Err(error) if error.kind() == Kind::NotFound => {
            let record = make(&root, durability)?;
            sync_ancestors(path, durability)?;
            record
        }
        result => result?,
    };
    drop(guard);
    Ok((root, record))
}

/// A store whose directory is lost in a power cut is lost with it.
fn sync_ancestors(path: &Path, durability: Durability) -> Result<()> {
    let Ok(path) = std::fs::canonicalize(path) else { return Ok(()) };
    for ancestor in path.ancestors().skip(1) {
        // One that may not be read was not made here.
        if let Ok(dir) = open_root(ancestor) {
            durability.sync(&dir, "the directories above the store")?;
        }
    }
    Ok(())
}

/// Makes everything, and `store.json` last.
fn make(root: &Fd, durability: Durability) -> Result<StoreRecord> {
    for dir in [
        layout::BLOBS,
        layout::CLAIMS,
        layout::CONTAINERS,
        layout::LAYERS,
        layout::NAMES,
        layout::STAGING,
        layout::TRASH,
    ] {
        files::make_dir(root, dir)?;
        fault::step("directory of the store made");
    }
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        files::make_dir(root, &format!("{}/{}", layout::BLOBS, algorithm.name()))?;
    }
    let record = StoreRecord {
        format: FORMAT,
        uuid: uuid()?,
        abilities: probe::abilities(root)?,
        ..StoreRecord::default()
    };
    files::write_record(root, RECORD_TEMP, &record, durability)?;
    durability.sync_dir(root, layout::BLOBS)?;
    files::rename(root, RECORD_TEMP, layout::RECORD)?;
    fault::step("store made");
    durability.sync(root, "the store")?;
    Ok(record)
}

fn read_checked(root: &Fd, path: &Path) -> Result<StoreRecord> {
    let record: StoreRecord = files::read_record(root, layout::RECORD)?;
    let refuse = |what: String| {
        let text = format!("{}: {what}", path.display());
        Err(Error::new(Kind::Unsupported, text)
            .with_hint("use the program that made the store, or another directory"))
    };
    if record.format != FORMAT {
        return refuse(format!("is a store of format {}, not {FORMAT}", record.format));
    }
    if let Some(feature) = unknown(&record.incompat, &INCOMPAT_KNOWN) {
        return refuse(format!("has the feature `{feature}`, which this program does not know"));
    }
    // It becomes part of a path.
    layout::check_id(&record.uuid)?;
    Ok(record)
}

fn unknown<'a>(features: &'a [String], known: &[&str]) -> Option<&'a str> {
    features.iter().map(String::as_str).find(|feature| !known.contains(feature))
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> Result<String> {
    let mut bytes = [0; 16];
    sys::time::random(&mut bytes).during(|| "asking for a random number".into())?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
