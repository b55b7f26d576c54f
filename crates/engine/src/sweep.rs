//! Taking away what killed commands and supervisors have left.

use crate::error::{During, Error, Kind, Result};
use crate::place::{CONFIG, Engine, LOCK, PENDING, STATE, is_id};
use crate::record::{Config, State, status};
use crate::{files, names};
use sys::Errno;
use sys::fs::{self, Lock};

impl Engine {
    /// Takes away what killed commands and supervisors left.
    pub(crate) fn sweep(&self) {
        for id in files::list(&self.dir, PENDING).into_iter().flatten() {
            let _ = self.sweep_one(&id);
        }
        self.sweep_joined();
    }

    pub(crate) fn sweep_one(&self, id: &str) -> Result<()> {
        let path = format!("{PENDING}/{id}");
        if is_id(id) && fs::read_link(&self.dir, &path).is_ok() {
            return self.sweep_removed(id);
        }
        let file = match fs::open_at(&self.dir, &path, fs::O_RDWR, 0) {
            Err(Errno::ENOENT) => return Ok(()),
            result => result.during(|| format!("opening {path}"))?,
        };
        if !is_id(id) || fs::lock(&file, Lock::TryExclusive).is_err() {
            return Ok(());
        }
        match if self.is_torn(id) { Ok(None) } else { self.load(id) } {
            Ok(Some(container)) => {
                let is_kept = container.state.status == status::CREATED && !container.config.by_run;
                if container.supervised || container.is_running() || is_kept {
                    return Ok(());
                }
                if !container.config.auto_remove {
                    // It was made whole; only the last step is missing.
                    return files::remove(&self.dir, &path);
                }
                let lock = container.open_lock()?;
                if fs::lock(&lock, Lock::TryExclusive).is_err() {
                    return Ok(());
                }
                self.take_away(id, &container.config.name)
            }
            Ok(None) => {
                self.take_away(id, "")?;
                names::release_all(&self.dir, id)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on with the removal of a container, unless somebody is just about it.
    fn sweep_removed(&self, id: &str) -> Result<()> {
        if let Ok(dir) = self.open_dir(id) {
            let lock = files::open_lock(&dir, LOCK)?;
            if fs::lock(&lock, Lock::TryExclusive).is_err() {
                return Ok(());
            }
            return self.take_away(id, "");
        }
        files::remove(&self.dir, &format!("{PENDING}/{id}"))
    }

    /// Whether a power cut has left records of a container that was not made whole, or that nobody keeps.
    fn is_torn(&self, id: &str) -> bool {
        let Ok(dir) = self.open_dir(id) else { return false };
        let is_invalid = |error: Error| error.kind() == Kind::Invalid;
        match files::read::<Config>(&dir, CONFIG) {
            Ok(Some(config)) if config.auto_remove && config.version == Config::VERSION => {
                files::read::<State>(&dir, STATE).is_err_and(is_invalid)
            }
            Ok(_) => false,
            Err(error) => is_invalid(error),
        }
    }
}
