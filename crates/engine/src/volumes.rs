//! Named volumes: directories that outlive containers.
//!
//! ```text
//! ROOT/volumes/NAME/volume.json   its record; there once the volume is whole
//! ROOT/volumes/NAME/_data/        what is mounted
//! ```

use crate::error::{During, Error, Kind, Result};
use crate::place::{self, Engine};
use crate::{events, files, launch, names, record};
use oci::Map;
use std::path::PathBuf;
use sys::fs::{self, AT_REMOVEDIR, Lock};
use sys::{Errno, Fd};

const RECORD: &str = "volume.json";
const DATA: &str = "_data";
const VOLUMES: &str = "volumes";
/// Nobody is so unlucky.
const TRIES: usize = 16;

oci::document! {
    /// `volume.json`.
    Volume(snake) {
        name: String => required,
        driver: String => always,
        created: String => always,
        labels: Map,
        options: Map,
        /// Made for one container, that did not name it.
        anonymous: bool,
    }
}

impl Engine {
    /// Where volumes are: made on first use.
    fn volumes(&self) -> Result<Fd> {
        let root = self.open_root()?;
        files::make_dir(&root, VOLUMES)?;
        files::open_dir(&root, VOLUMES)
    }

    /// Where a volume's files are.
    pub fn volume_path(&self, name: &str) -> PathBuf {
        let root =
            std::path::absolute(&self.place.root).unwrap_or_else(|_| self.place.root.clone());
        root.join(VOLUMES).join(name).join(DATA)
    }

    /// A volume of that name, made if there is none; says whether it was.
    pub fn ensure_volume(&self, mut volume: Volume) -> Result<(Volume, bool)> {
        if volume.name.is_empty() {
            volume.name = crate::place::random_id()?;
            volume.anonymous = true;
        }
        names::check(&volume.name).map_err(|_| {
            Error::invalid(format!(
                "{:?} includes invalid characters for a local volume name",
                volume.name
            ))
            .with_hint(
                "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed; a path is absolute, or begins with ./",
            )
        })?;
        if let Some(known) = self.volume(&volume.name)? {
            return Ok((known, false));
        }
        launch::volume_file_systems::check(&volume.options)
            .map_err(|error| error.during(format!("create {}", volume.name)))?;
        "local".clone_into(&mut volume.driver);
        volume.created = place::now();
        let all = self.volumes()?;
        let name = &volume.name;
        let is_new = !fs::exists(&all, name);
        let dir = self.lock_volume(&all, name)?;
        if let Some(known) = files::read(&dir, RECORD)? {
            // Somebody else was faster.
            return Ok((known, false));
        }
        let make = || -> Result<()> {
            match fs::mkdir(&dir, DATA, 0o755) {
                Err(Errno::EEXIST) => {}
                result => result.during(|| format!("making volume {name}"))?,
            }
            files::write(&dir, RECORD, &volume, true)
        };
        if let Err(error) = make() {
            // What is empty and has no record is nobody's.
            if is_new && !fs::exists(&all, format!("{name}/{RECORD}")) {
                let _ = fs::unlink(&all, format!("{name}/{DATA}"), AT_REMOVEDIR);
                let _ = fs::unlink(&all, name, AT_REMOVEDIR);
            }
            return Err(error);
        }
        let _ = fs::sync(&all);
        events::append(&self.dir, "volume", "create", &volume.name, &[("driver", "local")]);
        Ok((volume, true))
    }

    /// Makes the directory of a volume, if there is none, and takes its lock: nobody else makes or removes it meanwhile.
    fn lock_volume(&self, all: &Fd, name: &str) -> Result<Fd> {
        let attempt = || format!("locking volume {name}");
        for _ in 0..TRIES {
            files::make_dir(all, name)?;
            // Somebody may remove it before it is locked.
            let Ok(dir) = files::open_dir(all, name) else { continue };
            fs::lock(&dir, Lock::Exclusive).during(attempt)?;
            let own = fs::stat_fd(&dir).during(attempt)?;
            if fs::stat_at(all, name, fs::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|it| it.st_ino == own.st_ino)
            {
                return Ok(dir);
            }
        }
        Err(Error::new(Kind::State, format!("volume {name}: others remove it again and again")))
    }

    pub(crate) fn open_volume(&self, name: &str) -> Result<Fd> {
        files::open_dir(&self.volumes()?, name)
    }

    /// A volume; nothing where there is none.
    pub fn volume(&self, name: &str) -> Result<Option<Volume>> {
        if names::check(name).is_err() {
            return Ok(None);
        }
        let Ok(dir) = files::open_dir(&self.volumes()?, name) else { return Ok(None) };
        files::read(&dir, RECORD)
    }

    /// All volumes, by name.
    pub fn list_volumes(&self) -> Result<Vec<Volume>> {
        let all = self.volumes()?;
        let mut volumes = Vec::new();
        for name in files::list(&all, ".")? {
            let Ok(dir) = files::open_dir(&all, &name) else { continue };
            volumes.extend(files::read::<Volume>(&dir, RECORD)?);
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// The containers that mount a volume, by identifier.
    pub fn users_of_volume(&self, name: &str) -> Result<Vec<String>> {
        let uses = |container: &crate::Container| {
            container.config.mounts.iter().any(|mount| mount.kind == "volume" && mount.name == name)
        };
        Ok(self.list()?.into_iter().filter(uses).map(|container| container.config.id).collect())
    }

    /// Keeps the volumes of a container that is being made from being removed, until they are dropped.
    pub(crate) fn hold_volumes(&self, mounts: &[record::Mount]) -> Result<Vec<Fd>> {
        let mut held = Vec::new();
        for mount in mounts.iter().filter(|mount| mount.kind == "volume") {
            let missing = || {
                let text = format!("volume {}: somebody has just removed it", mount.name);
                Error::new(Kind::NotFound, text).with_hint("try again")
            };
            let dir = self.open_volume(&mount.name).map_err(|_| missing())?;
            fs::lock(&dir, Lock::Shared).during(|| format!("locking volume {}", mount.name))?;
            if !fs::exists(&dir, RECORD) {
                return Err(missing());
            }
            held.push(dir);
        }
        Ok(held)
    }

    /// Removes a volume that no container mounts.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        let missing = || Error::new(Kind::NotFound, format!("get {name}: no such volume"));
        if self.volume(name)?.is_none() {
            return Err(missing());
        }
        let all = self.volumes()?;
        let dir = files::open_dir(&all, name).map_err(|_| missing())?;
        // Of a container that is being made nobody knows yet what it mounts.
        fs::lock(&dir, Lock::Exclusive).during(|| format!("locking volume {name}"))?;
        if self.volume(name)?.is_none() {
            return Err(missing());
        }
        let users = self.users_of_volume(name)?;
        if !users.is_empty() {
            let text = format!("remove {name}: volume is in use - [{}]", users.join(", "));
            return Err(Error::new(Kind::State, text).with_hint("remove the containers first"));
        }
        // Without a record it is none any more, whatever of it is left.
        files::remove(&dir, RECORD)?;
        files::remove(&dir, launch::volume_file_systems::MOUNTED)?;
        let path = self.volume_path(name);
        self.with_ids(|_| {
            std::fs::remove_dir_all(&path).during(|| format!("removing {}", path.display()))
        })?;
        fs::unlink(&all, name, AT_REMOVEDIR).during(|| format!("removing volume {name}"))?;
        events::append(&self.dir, "volume", "destroy", name, &[("driver", "local")]);
        Ok(())
    }
}
