//! A file of the administrator's that may change while the server runs.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks at a file: what was changed counts a second later.
const LOOK: Duration = Duration::from_secs(1);
/// Largest file of any kind.
const FILE_BYTES: u64 = 16 << 20;

/// What a file said when it could last be understood.
pub(crate) struct Watched<T> {
    path: PathBuf,
    read: fn(&[u8]) -> Result<T, String>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    seen: Seen,
    looked: Instant,
}

/// What tells two versions of a file apart.
#[derive(PartialEq, Eq)]
struct Seen {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Self { inode: metadata.ino(), size: metadata.len(), changed }
    }
}

impl<T> Watched<T> {
    /// Reads a file, which has to be right at first.
    pub(crate) fn open(path: &Path, read: fn(&[u8]) -> Result<T, String>) -> Result<Self, String> {
        let (value, seen) = load(path, read)?;
        let state = State { value: Arc::new(value), seen, looked: Instant::now() };
        Ok(Self { path: path.to_owned(), read, state: Mutex::new(state) })
    }

    /// What it says now. While it cannot be understood, that is what it said before, and `tell` hears of it.
    pub(crate) fn get(&self, tell: &dyn Fn(&str)) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < LOOK {
            return state.value.clone();
        }
        state.looked = Instant::now();
        let seen = std::fs::metadata(&self.path).map(|metadata| Seen::of(&metadata));
        if seen.is_ok_and(|seen| seen == state.seen) {
            return state.value.clone();
        }
        match load(&self.path, self.read) {
            Ok((value, seen)) => (state.value, state.seen) = (Arc::new(value), seen),
            Err(error) => tell(&format!("{error}; what it said before counts")),
        }
        state.value.clone()
    }
}

fn load<T>(path: &Path, read: fn(&[u8]) -> Result<T, String>) -> Result<(T, Seen), String> {
    let shown = path.display();
    let (bytes, seen) = read_file(path).map_err(|error| format!("{shown}: {error}"))?;
    let value = read(&bytes).map_err(|error| format!("{shown}: {error}"))?;
    Ok((value, seen))
}

fn read_file(path: &Path) -> io::Result<(Vec<u8>, Seen)> {
    use std::io::Read;
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES {
        return Err(io::Error::other("is no file of at most 16 MiB"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok((bytes, Seen::of(&metadata)))
}
