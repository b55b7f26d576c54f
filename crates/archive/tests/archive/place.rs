//! A place of a test: a root to unpack into, and what must not change beside it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory with `root` and `outside`; removed at the end.
pub struct Place(PathBuf);

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Place {
    pub fn new(name: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir();
        let path = base.join(format!("tare-archive-{}-{number}-{name}", std::process::id()));
        for part in ["root", "outside/dir", "kept"] {
            std::fs::create_dir_all(path.join(part)).unwrap();
        }
        std::fs::write(path.join("outside/canary"), "alive").unwrap();
        std::fs::write(path.join("outside/dir/canary"), "alive").unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    pub fn open(&self, part: &str) -> sys::Fd {
        open(&self.0.join(part))
    }

    /// Everything outside of the root, as text.
    pub fn outside(&self) -> BTreeMap<String, String> {
        listing(&self.0.join("outside"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(&self.0);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

pub fn open(path: &Path) -> sys::Fd {
    let path = path.as_os_str().as_encoded_bytes();
    sys::fs::open_at(sys::CWD, path, sys::fs::O_RDONLY | sys::fs::O_DIRECTORY, 0).unwrap()
}

/// Every file of a tree with all that there is to know about it.
pub fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    walk(root, root, &mut all);
    all
}

fn walk(root: &Path, path: &Path, all: &mut BTreeMap<String, String>) {
    let data = std::fs::symlink_metadata(path).unwrap();
    let kind = data.file_type();
    let content = if kind.is_symlink() {
        format!("-> {:?}", std::fs::read_link(path).unwrap())
    } else if kind.is_file() {
        // Some are a gigabyte of nothing.
        match data.len() {
            0..1000 => format!("{:?}", String::from_utf8_lossy(&std::fs::read(path).unwrap())),
            length => format!("{length} bytes"),
        }
    } else {
        format!("{:x}", data.rdev())
    };
    let mut xattrs = Vec::new();
    let bytes = path.as_os_str().as_encoded_bytes();
    for name in sys::xattr::list_at(bytes).unwrap() {
        let value = sys::xattr::get_at(bytes, &name).unwrap();
        xattrs.push(format!("{}={}", name.escape_ascii(), value.escape_ascii()));
    }
    xattrs.sort();
    let (mode, uid, gid) = (data.mode(), data.uid(), data.gid());
    let (seconds, nanos) = (data.mtime(), data.mtime_nsec());
    let xattrs = xattrs.join(" ");
    let text = format!("{mode:o} {uid}:{gid} {seconds}.{nanos:09} {content} {xattrs}");
    let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    all.insert(name, text.trim_end().to_string());
    if kind.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            walk(root, &entry.unwrap().path(), all);
        }
    }
}
