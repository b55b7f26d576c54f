//! The root file system of a `host:` image, kept by its content.
//!
//! ```text
//! <cache>/<digest>/         a root file system, never changed once it has this name
//! <cache>/f-<fingerprint>   link to it: names, sizes and times of the host's files that it is from
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

/// A root file system; a private one is removed when it is dropped.
pub(super) struct Rootfs {
    path: PathBuf,
    private: bool,
}

impl Rootfs {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Rootfs {
    fn drop(&mut self) {
        if self.private {
            // What cannot be removed now is swept by a later run.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Finds or makes the root file system for `program` and what goes with it. A private one may get
/// mount points of its own.
pub(super) fn prepare(
    caller: &Caller,
    host: &pkg::HostView,
    program: &Path,
    with: &[String],
    private: bool,
) -> Result<Rootfs, Failure> {
    let programs = [program.as_os_str().to_os_string()].into_iter();
    let programs = programs.chain(with.iter().map(OsString::from));
    let wanted: Vec<pkg::Wanted> = programs.map(pkg::Wanted::Program).collect();
    let mut closure = pkg::closure(host, &wanted)?;
    closure.merge(pkg::skeleton())?;
    let cache = cache_dir(caller)?;
    sweep(&cache);
    if private {
        let path = make(&cache, &closure)?;
        return Ok(Rootfs { path, private });
    }
    let link = cache.join(format!("f-{}", hex(&closure.fingerprint())));
    if let Ok(path) = fs::canonicalize(&link) {
        return Ok(Rootfs { path, private });
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
    Ok(Rootfs { path, private })
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
    let fallback = caller.state_root();
    let cache = base.join("tare/host");
    match fs::create_dir_all(&cache) {
        Ok(()) => Ok(cache),
        // A user without a home, such as nobody.
        Err(_) if caller.uid != 0 => {
            let cache = fallback.join("host");
            fs::create_dir_all(&cache).map_err(|error| io("making", &cache, &error))?;
            check_owner(caller, &fallback)?;
            Ok(cache)
        }
        Err(error) => Err(io("making", &cache, &error)),
    }
}

/// A directory below `/tmp` may have been prepared by somebody else.
fn check_owner(caller: &Caller, dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let metadata = fs::symlink_metadata(dir).map_err(|error| io("looking at", dir, &error))?;
    if metadata.uid() != caller.uid || !metadata.is_dir() {
        return Err(Failure::new(format!("{} belongs to another user", dir.display()))
            .hint("set XDG_RUNTIME_DIR and XDG_CACHE_HOME"));
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .map_err(|error| io("protecting", dir, &error))
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
