//! Who calls, and where what is theirs is.

use crate::failure::Failure;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The invoking process's surroundings, read once.
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: Option<PathBuf>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) runtime_dir: Option<PathBuf>,
}

impl Caller {
    pub(crate) fn new() -> Self {
        let path = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        Self {
            uid: sys::ids::euid(),
            gid: sys::ids::egid(),
            home: path("HOME"),
            cache: path("XDG_CACHE_HOME"),
            data: path("XDG_DATA_HOME"),
            config: path("XDG_CONFIG_HOME"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
        }
    }

    /// Where state lives that a reboot may take.
    pub(crate) fn state_root(&self) -> PathBuf {
        match &self.runtime_dir {
            _ if self.uid == 0 => "/run/tare".into(),
            Some(dir) => dir.join("tare"),
            None => format!("/tmp/tare-{}", self.uid).into(),
        }
    }

    /// Where images are.
    pub(crate) fn data_root(&self) -> PathBuf {
        match (&self.data, &self.home) {
            _ if self.uid == 0 => "/var/lib/tare".into(),
            (Some(data), _) => data.join("tare"),
            (None, Some(home)) if is_usable(home) => home.join(".local/share/tare"),
            // A user without a home, such as nobody.
            _ => self.state_root().join("data"),
        }
    }

    /// Makes what a reboot may take, and sees that it is nobody else's: a directory below `/tmp` may have been prepared
    /// by another user.
    pub(crate) fn make_state_root(&self) -> std::result::Result<PathBuf, Failure> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let dir = self.state_root();
        let failed = |what: &str, error: std::io::Error| {
            Failure::new(format!("{what} {}: {error}", dir.display()))
        };
        if self.uid == 0 || self.runtime_dir.is_some() {
            return Ok(dir);
        }
        std::fs::create_dir_all(&dir).map_err(|error| failed("making", error))?;
        let metadata =
            std::fs::symlink_metadata(&dir).map_err(|error| failed("looking at", error))?;
        if metadata.uid() != self.uid || !metadata.is_dir() {
            return Err(Failure::new(format!("{} belongs to another user", dir.display()))
                .hint("set XDG_RUNTIME_DIR and XDG_CACHE_HOME"));
        }
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))
            .map_err(|error| failed("protecting", error))?;
        Ok(dir)
    }

    /// The user's directory of configurations.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| self.home.as_ref().map(|home| home.join(".config")))
    }

    /// What this process may do with files of images.
    pub(crate) fn rights(&self) -> images::Rights {
        /// All ids are mapped: the host's own user namespace.
        const WHOLE_MAP: [&str; 3] = ["0", "0", "4294967295"];
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let is_host = map.split_whitespace().eq(WHOLE_MAP);
        match (self.uid, is_host && sys::ids::is_administrator()) {
            (0, true) => images::Rights::ROOT,
            (0, false) => images::Rights::NAMESPACE_ROOT,
            (uid, _) => images::Rights::user(uid, self.gid),
        }
    }
}

/// Whether something can be kept there.
fn is_usable(home: &Path) -> bool {
    const W_OK: u32 = 2;
    let can_write = || sys::fs::access(sys::CWD, home.as_os_str().as_bytes(), W_OK, 0).is_ok();
    home.is_dir() && (home.join(".local/share").is_dir() || can_write())
}
