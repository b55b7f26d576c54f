//! Names: what images are called by, each a root of the garbage collector.
//!
//! A record for each name, in a file that is called by the name's hash. Adding one costs the same
//! however many there are; listing reads them all.

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::limits::{DIRS_PER_READER, LOCK_WAIT_MS, READERS, REFERENCE_BYTES};
use crate::store::Store;
use crate::work::Work;
use crate::{fault, layout, lock};
use oci::{AnyDigest, Digest};
use sys::Fd;
use sys::fs::Lock;

oci::document! {
    /// A name of an image.
    NameRecord(snake) {
        /// The name in full: `docker.io/library/debian:13`.
        reference: String => required,
        /// What it names: a manifest or index.
        digest: AnyDigest => required,
        /// Its media type, which not every manifest says itself.
        media_type: String,
        /// Where it came from: `docker://docker.io/library/debian:13`.
        source: String,
        /// When it was given, in seconds since 1970.
        time_s: i64 => always,
        /// What lists show of the image, so that they need not read its documents: whoever gives the
        /// name knows it. It may be missing.
        facts: Option<ImageFacts>,
    }

    /// What lists show of an image.
    ImageFacts(snake) {
        /// Its manifest: of an index, that of the image which was chosen.
        manifest: AnyDigest => required,
        /// Its ID: the digest of its configuration.
        id: AnyDigest => required,
        /// When it was made, as its configuration says it.
        created: String,
        /// The size of its layers as tars.
        size_bytes: u64 => always,
    }
}

impl NameRecord {
    /// What it names.
    pub fn target(&self) -> Result<&Digest> {
        self.digest.verifiable().map_err(|error| {
            Error::new(Kind::Invalid, format!("the name {}: {error}", self.reference))
        })
    }
}

impl Work<'_> {
    /// Names a manifest or index that is in the store; whatever had the name loses it. When this
    /// returns, the name survives a power cut, and so does what was committed before.
    pub fn tag(&mut self, record: &NameRecord) -> Result<()> {
        self.give(record, None)
    }

    /// The same, if the name still names this, or nothing where it did not: otherwise it is [`Kind::InUse`], and what
    /// was made of what it named before has to be made again.
    pub fn tag_instead(&mut self, record: &NameRecord, of: Option<&AnyDigest>) -> Result<()> {
        self.give(record, Some(of))
    }

    fn give(&mut self, record: &NameRecord, instead: Option<Option<&AnyDigest>>) -> Result<()> {
        check_reference(&record.reference)?;
        let target = *record.target()?;
        let store = self.store();
        // What this work found in its place may be there by a process that was killed before it synced.
        self.sync_needed()?;
        let temp = self.path("name");
        files::write_record(store.root(), &temp, record, store.durability())?;
        let (dir, file) = layout::name(&record.reference);
        let _guard = store.share()?;
        if store.own_blob_size(&target)?.is_none() {
            let text = format!("naming {}: {target} is not in the store", record.reference);
            return Err(Error::not_found(text));
        }
        let locked = lock_dir(store, &dir, true)?;
        if let Some(expected) = instead {
            let now = match store.resolve(&record.reference) {
                Err(error) if error.kind() == Kind::NotFound => None,
                result => Some(result?.digest),
            };
            if now.as_ref() != expected {
                let names = now.map_or_else(|| "nothing".into(), |digest| digest.to_string());
                let text = format!("{}: names {names} now", record.reference);
                return Err(Error::new(Kind::InUse, text));
            }
        }
        files::rename(store.root(), &temp, &file)?;
        fault::step("name given");
        store.durability().sync(&locked, &dir)
    }
}

impl Store {
    /// Takes a name away; with `only`, only from this digest. Says what it named.
    pub fn untag(&self, reference: &str, only: Option<&Digest>) -> Result<NameRecord> {
        let (dir, file) = layout::name(reference);
        let _guard = self.share()?;
        let record = match read(self.root(), reference, &file) {
            Err(error) if error.kind() == Kind::NotFound => return Err(not_found(reference)),
            result => result?,
        };
        let locked = lock_dir(self, &dir, false)?;
        // Somebody may have given the name to something else before the directory was locked.
        let record = read(self.root(), reference, &file).unwrap_or(record);
        if only.is_some_and(|only| record.digest != AnyDigest::from(*only)) {
            let text = format!("{reference}: names {} now", record.digest);
            return Err(Error::new(Kind::InUse, text));
        }
        if !files::remove(self.root(), &file, 0)? {
            return Err(not_found(reference));
        }
        fault::step("name taken");
        self.durability().sync(&locked, &dir)?;
        Ok(record)
    }

    /// What a name names.
    pub fn resolve(&self, reference: &str) -> Result<NameRecord> {
        let (_, file) = layout::name(reference);
        for root in self.roots() {
            match read(root, reference, &file) {
                Err(error) if error.kind() == Kind::NotFound => {}
                result => return result,
            }
        }
        Err(not_found(reference))
    }

    /// All names of this store and of the additional ones, sorted; of equal ones the first store's.
    /// Records that cannot be read come as errors beside them, so that they hide no others.
    pub fn names(&self) -> Result<(Vec<NameRecord>, Vec<Error>)> {
        let (mut names, mut errors) = (Vec::new(), Vec::new());
        for root in self.roots() {
            each(root, &mut |result| match result {
                Ok(record) => names.push(record),
                Err(error) => errors.push(error),
            })?;
        }
        // Stable: the first store's records stay before the others'.
        names.sort_by(|one: &NameRecord, other| one.reference.cmp(&other.reference));
        names.dedup_by(|later, first| later.reference == first.reference);
        Ok((names, errors))
    }
}

/// Reads every record of one store.
pub(crate) fn each(root: &Fd, take: &mut dyn FnMut(Result<NameRecord>)) -> Result<()> {
    let dirs = files::list(root, layout::NAMES)?;
    let share = dirs.len().div_ceil(READERS).max(DIRS_PER_READER);
    // A thread for all but the first part: most stores have only that.
    let (first, others) = dirs.split_at(share.min(dirs.len()));
    std::thread::scope(|scope| {
        let readers: Vec<_> =
            others.chunks(share).map(|part| scope.spawn(|| read_dirs(root, part))).collect();
        read_dirs(root, first)?.into_iter().for_each(&mut *take);
        for reader in readers {
            let panicked = || Error::new(Kind::Corrupt, "a reader of names panicked");
            reader.join().map_err(|_| panicked())??.into_iter().for_each(&mut *take);
        }
        Ok(())
    })
}

/// Reads the records of some directories of names.
fn read_dirs(root: &Fd, dirs: &[String]) -> Result<Vec<Result<NameRecord>>> {
    let mut records = Vec::new();
    for dir in dirs {
        let path = format!("{}/{dir}", layout::NAMES);
        let opened = match files::open_dir(root, &path) {
            Err(error) if error.kind() == Kind::NotFound => continue,
            result => result?,
        };
        for file in files::list(&opened, ".")? {
            match files::read_record::<NameRecord>(&opened, &file) {
                // It was taken away since the directory was listed.
                Err(error) if error.kind() == Kind::NotFound => {}
                // The error names the whole path.
                Err(_) => records.push(read_any(root, &format!("{path}/{file}"))),
                Ok(record) => records.push(placed(record, &format!("{path}/{file}"))),
            }
        }
    }
    Ok(records)
}

fn read(root: &Fd, reference: &str, file: &str) -> Result<NameRecord> {
    let record: NameRecord = files::read_record(root, file)?;
    match record.reference == reference {
        true => Ok(record),
        false => Err(misplaced(&record, file)),
    }
}

pub(crate) fn read_any(root: &Fd, file: &str) -> Result<NameRecord> {
    placed(files::read_record(root, file)?, file)
}

fn placed(record: NameRecord, file: &str) -> Result<NameRecord> {
    match layout::name(&record.reference).1 == file {
        true => Ok(record),
        false => Err(misplaced(&record, file)),
    }
}

fn misplaced(record: &NameRecord, file: &str) -> Error {
    Error::new(Kind::Invalid, format!("{file}: is the record of {:?}", record.reference))
}

fn not_found(reference: &str) -> Error {
    Error::not_found(format!("{reference}: no image of this name"))
}

fn check_reference(reference: &str) -> Result<()> {
    let fine = !reference.is_empty() && !reference.chars().any(char::is_control);
    match fine && reference.len() <= REFERENCE_BYTES {
        true => Ok(()),
        false => {
            let shown: String = reference.chars().take(80).collect();
            Err(Error::new(Kind::Invalid, format!("{shown:?} cannot be a name")))
        }
    }
}

/// Locks one of the directories of names, which is made if need be.
fn lock_dir(store: &Store, dir: &str, make: bool) -> Result<Fd> {
    if make {
        files::make_dir(store.root(), dir)?;
        // Also when it was there: whoever made it may not have come so far.
        store.durability().sync_dir(store.root(), layout::NAMES)?;
    }
    let opened = files::open_dir(store.root(), dir)?;
    lock::wait(&opened, Lock::TryExclusive, LOCK_WAIT_MS, || dir.to_owned())?;
    Ok(opened)
}
