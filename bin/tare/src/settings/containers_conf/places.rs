//! Where the files are.

use crate::called::Called;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const NAME: &str = "containers/containers.conf";
/// What the distribution has: podman's defaults.
const SHARED: &str = "/usr/share";
const SYSTEM: &str = "/etc";
/// Directories of such files have a few.
const DROP_INS_LIMIT: usize = 1000;

/// Where files are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Files that may be there, each with a directory beside it.
    pub(super) usual: Vec<PathBuf>,
    /// Before them, without such a directory.
    pub(super) shared: Option<PathBuf>,
    /// Instead of both.
    pub(super) instead: Option<PathBuf>,
    /// After all that.
    pub(super) named: Vec<PathBuf>,
}

/// A file to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) is_named: bool,
}

impl Places {
    /// Those of this machine and of the caller's environment, with the modules that options name.
    pub(crate) fn of(caller: &Caller, modules: &[PathBuf]) -> Result<Self> {
        let variable = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let usual = [Some(PathBuf::from(SYSTEM)), caller.config_home()];
        let mut named: Vec<PathBuf> =
            modules.iter().map(|name| module(caller, name)).collect::<Result<_>>()?;
        named.extend(variable("CONTAINERS_CONF_OVERRIDE"));
        Ok(Self {
            usual: usual.into_iter().flatten().map(|dir| dir.join(NAME)).collect(),
            shared: Called::is_podman().then(|| Path::new(SHARED).join(NAME)),
            instead: variable("CONTAINERS_CONF"),
            named,
        })
    }

    /// The files in the order in which they count.
    pub(super) fn files(&self) -> Result<Vec<Place>> {
        let place = |path: &PathBuf, is_named| Place { path: path.clone(), is_named };
        let mut files = Vec::new();
        if let Some(instead) = &self.instead {
            files.push(place(instead, true));
        } else {
            files.extend(self.shared.iter().map(|path| place(path, false)));
            for path in &self.usual {
                files.push(place(path, false));
                files.extend(drop_ins(path)?.iter().map(|path| place(path, false)));
            }
        }
        files.extend(self.named.iter().map(|path| place(path, true)));
        Ok(files)
    }
}

/// `FILE.d/*.conf`, by their names.
fn drop_ins(file: &Path) -> Result<Vec<PathBuf>> {
    let dir = file.with_extension("conf.d");
    // Whoever may not look at it has none.
    let Ok(entries) = std::fs::read_dir(&dir) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension() == Some(OsStr::new("conf")) {
            files.push(path);
        }
        if files.len() > DROP_INS_LIMIT {
            let what = format!("{}: it has more than {DROP_INS_LIMIT} files", dir.display());
            return Err(Failure::new(what));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The file of a module: as it is, if its path is absolute.
pub(crate) fn module(caller: &Caller, name: &Path) -> Result<PathBuf> {
    let missing = |paths: &[PathBuf]| {
        // podman's code and words, which have its own beginning.
        let list: Vec<String> = paths
            .iter()
            .map(|path| format!("faccessat {}: no such file or directory", path.display()))
            .collect();
        let why = match &list[..] {
            [one] => one.clone(),
            many => format!("{} errors occurred:\n\t* {}", many.len(), many.join("\n\t* ")),
        };
        let what = format!("could not resolve module {name:?}: {why}");
        Failure::from_parts(1, what, None).podmans_own("Failed to obtain podman configuration")
    };
    let dirs = [caller.config_home(), Some(SYSTEM.into()), Some(SHARED.into())];
    let candidates: Vec<PathBuf> = match name.is_absolute() {
        true => vec![name.to_path_buf()],
        false => {
            let dirs = dirs.into_iter().flatten();
            dirs.map(|dir| dir.join("containers/containers.conf.modules").join(name)).collect()
        }
    };
    match candidates.iter().find(|path| path.exists()) {
        Some(path) => Ok(path.clone()),
        None => Err(missing(&candidates)),
    }
}
