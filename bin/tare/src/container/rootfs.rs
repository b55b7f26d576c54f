//! The root file system of a `host:` image, kept by its content.
//!
//! ```text
//! <cache>/<digest>/         a root file system, never changed once it has this name
//! <cache>/f-<fingerprint>   link to it: names, sizes and times of the host's files that it is from
//! <cache>/own-<pid>-<n>/    of one container, which removes it
//! <cache>/tmp-<pid>-<n>/    being made; swept by a later run when the process is gone
//! ```

use crate::caller::Caller;
use crate::failure::Failure;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Finds or makes the root file system for `program` and what goes with it. A private one may get
/// mount points of its own, and is the caller's to remove.
pub(super) fn prepare(
    caller: &Caller,
    host: &pkg::HostView,
    program: &Path,
    with: &[String],
    private: bool,
) -> Result<PathBuf, Failure> {
    let programs = [program.as_os_str().to_os_string()].into_iter();
    let programs = programs.chain(with.iter().map(OsString::from));
    let wanted: Vec<pkg::Wanted> = programs.map(pkg::Wanted::Program).collect();
    let mut closure = pkg::closure(host, &wanted)?;
    closure.merge(pkg::skeleton())?;
    let cache = cache_dir(caller)?;
    sweep(&cache);
    if private {
        return make_kept(&cache, &closure);
    }
    let link = cache.join(format!("f-{}", hex(&closure.fingerprint())));
    if let Ok(path) = fs::canonicalize(&link) {
        return Ok(path);
    }
    let digest = hex(&closure.digest()?);
    let path = cache.join(&digest);
    if !path.is_dir() {
        let made = make(&cache, &closure)?;
        match fs::rename(&made, &path) {
            Ok(()) => {}
            // Somebody else was as fast: the content is the same.
            Err(_) if path.is_dir() => drop(fs::remove_dir_all(&made)),
            Err(error) => return Err(io("keeping the root file system", &path, &error)),
        }
    }
    match symlink(&digest, &link) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(io("keeping", &link, &error));
        }
        _ => {}
    }
    Ok(path)
}

/// One that is a container's own, and goes with it.
fn make_kept(cache: &Path, closure: &pkg::Closure) -> Result<PathBuf, Failure> {
    let made = make(cache, closure)?;
    let name = made.file_name().map(|name| name.to_string_lossy().replace("tmp-", "own-"));
    let path = cache.join(name.unwrap_or_default());
    fs::rename(&made, &path).map_err(|error| io("keeping the root file system", &path, &error))?;
    Ok(path)
}

fn make(cache: &Path, closure: &pkg::Closure) -> Result<PathBuf, Failure> {
    let nanos = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.subsec_nanos());
    let path = cache.join(format!("tmp-{}-{nanos}", std::process::id()));
    fs::create_dir(&path).map_err(|error| io("making", &path, &error))?;
    match closure.write_to(&path, SystemTime::UNIX_EPOCH) {
        Ok(()) => Ok(path),
        Err(error) => {
            let _ = fs::remove_dir_all(&path);
            Err(error.into())
        }
    }
}

fn io(attempt: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{attempt} {}: {error}", path.display()))
}

fn cache_dir(caller: &Caller) -> Result<PathBuf, Failure> {
    let base = match (&caller.cache, &caller.home) {
        _ if caller.uid == 0 => PathBuf::from("/var/cache"),
        (Some(cache), _) => cache.clone(),
        (None, Some(home)) => home.join(".cache"),
        (None, None) => caller.state_root(),
    };
    let cache = base.join("tare/host");
    match fs::create_dir_all(&cache) {
        Ok(()) => Ok(cache),
        // A user without a home, such as nobody.
        Err(_) if caller.uid != 0 => {
            let cache = caller.make_state_root()?.join("host");
            fs::create_dir_all(&cache).map_err(|error| io("making", &cache, &error))?;
            Ok(cache)
        }
        Err(error) => Err(io("making", &cache, &error)),
    }
}

/// Removes what killed processes left.
fn sweep(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("tmp-")?.split('-').next());
        let gone = pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if gone {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
