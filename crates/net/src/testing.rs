//! What tests of this crate need: directories that go away.

use crate::files;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use sys::Fd;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A directory, removed at the end of the test.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In memory, as the directory of a boot is.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    fn below(dir: &Path) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 4];
        sys::time::random(&mut random).unwrap();
        let name =
            format!("tare-net-{}-{number}-{:08x}", std::process::id(), u32::from_ne_bytes(random));
        let path = dir.join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn dir(&self) -> Fd {
        files::open_or_make(&self.0).unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
