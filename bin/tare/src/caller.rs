//! Who calls, and where what is theirs is.

use std::path::PathBuf;

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
            (None, Some(home)) => home.join(".local/share/tare"),
            (None, None) => self.state_root().join("data"),
        }
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
