//! What a container mounts upon where its image has nothing: a directory of the engine's below all of the image's.
//!
//! It spares each container of such an image a dozen files in its own directory, which are slow to make and to remove on a
//! disk, and whoever compares the container with its image does not see them. What the image has lies above, and so
//! does what it hides.

use crate::error::{During, Result};
use crate::files;
use crate::place::Engine;
use crate::record::Config;
use sys::Fd;
use sys::fs::{self, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, O_WRONLY};

/// In the engine's directory.
const DIR: &str = "points";
const DIRS: [&str; 5] = ["dev", "etc", "proc", "run", "sys"];
/// What is bound over them is never empty. The last one says that all are there.
const FILES: [&str; 4] = ["etc/hostname", "etc/hosts", "etc/resolv.conf", LAST];
const LAST: &str = "run/.containerenv";

/// The directory, if the container mounts upon everything in it, and if there is one.
pub(super) fn below(engine: &Engine, config: &Config) -> Option<Fd> {
    if config.network.no_hosts || config.network.no_hostname {
        return None;
    }
    // Whoever cannot make it is told why of the first file that cannot be made in the container.
    open(&engine.dir).or_else(|_| make(&engine.dir)).ok()
}

fn open(engine: &Fd) -> Result<Fd> {
    let attempt = || format!("opening {DIR}");
    let dir = fs::open_at(engine, DIR, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0).during(attempt)?;
    fs::stat_at(&dir, LAST, 0).during(attempt)?;
    Ok(dir)
}

/// Makes what is not there: others may be about the same.
fn make(engine: &Fd) -> Result<Fd> {
    let attempt = || format!("making {DIR}");
    let make_dir = |parent: &Fd, name: &str| -> Result<Fd> {
        files::make_dir(parent, name)?;
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
        let dir = fs::open_at(parent, name, flags, 0).during(attempt)?;
        fs::chmod_fd(&dir, 0o755).during(attempt)?;
        Ok(dir)
    };
    let dir = make_dir(engine, DIR)?;
    for name in DIRS {
        make_dir(&dir, name)?;
    }
    for name in FILES {
        let flags = O_WRONLY | O_CREAT | O_NOFOLLOW;
        let file = fs::open_at(&dir, name, flags, 0o644).during(attempt)?;
        fs::chmod_fd(&file, 0o644).during(attempt)?;
    }
    open(engine)
}
