//! What the benchmark of images measures of a commit: the upper directory of a container becomes a layer.
//!
//! ```text
//! commit fill DIR FROM     a store in DIR with a container, in which are copies of files below FROM
//! commit commit DIR        makes an image of what the container has changed
//! ```

use images::{Draft, Naming, Rights};
use oci::image::{History, Platform};
use std::error::Error;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use store::{ContainerRecord, Options, Store};

const NAME: &str = "bench";
/// A larger step of a build: 2,600 files, 113 MB.
const FILES: usize = 2600;
const BYTES: u64 = 113_000_000;
/// The mean of them would be 43 kB.
const FILE_LIMIT: u64 = 8 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["fill", dir, from] => fill(Path::new(dir), Path::new(from)),
        ["commit", dir] => commit(Path::new(dir)),
        _ => Err("commit fill DIR FROM, or commit commit DIR".into()),
    }
}

fn open(dir: &Path) -> Result<Store, store::Error> {
    Store::open(&dir.join("root"), &dir.join("run"), &Options::default())
}

fn fill(dir: &Path, from: &Path) -> Result<(), Box<dyn Error>> {
    let store = open(dir)?;
    let record = ContainerRecord { id: NAME.to_owned(), ..ContainerRecord::default() };
    drop(store.create_container(record)?);
    let upper = dir.join("root/containers").join(NAME).join("upper");
    let mut todo = vec![PathBuf::new()];
    let (mut files, mut bytes) = (0, 0);
    while let Some(below) = todo.pop() {
        let mut entries: Vec<_> = fs::read_dir(from.join(&below))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = below.join(entry.file_name());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                fs::create_dir(upper.join(&path))?;
                todo.push(path);
            } else if metadata.is_file() && metadata.len() <= FILE_LIMIT {
                fs::copy(entry.path(), upper.join(&path))?;
                (files, bytes) = (files + 1, bytes + metadata.len());
            }
            if files == FILES || bytes >= BYTES {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn commit(dir: &Path) -> Result<(), Box<dyn Error>> {
    let store = open(dir)?;
    let container = dir.join("root/containers").join(NAME);
    let container = sys::fs::open_at(
        sys::CWD,
        container.as_os_str().as_bytes(),
        sys::fs::O_RDONLY | sys::fs::O_DIRECTORY,
        0,
    )
    .map_err(|errno| format!("the container: {errno}"))?;
    let platform =
        Platform { os: "linux".into(), architecture: "amd64".into(), ..Platform::default() };
    let mut draft = Draft::new(&store, &platform, Rights::ROOT)?;
    let mut staged = draft.stage()?;
    staged.adopt(&container, "upper")?;
    draft.add_tree(staged, None, &History::default())?;
    let names = ["localhost/bench:latest".to_owned()];
    draft.finish(&Naming { names: &names, origin: "", time_s: 0 })?;
    Ok(())
}
