//! Which containers a verb is about: those that are named, all, the last one, or those that filters choose (podman).

use super::list::Filters;
use crate::failure::{Failure, Result};
use clap::Args;
use engine::{Container, Engine};
use std::path::{Path, PathBuf};

/// A file with an ID is not larger.
const ID_FILE_LIMIT_BYTES: u64 = 4096;

/// podman's ways to name containers, beside their names.
#[derive(Debug, Default, Args)]
pub(crate) struct Which {
    /// The container that was made last
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// A file with a container's ID (repeated)
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Vec<PathBuf>,
    /// Those for which this holds (repeated), as `tare ps` has it
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
}

impl Which {
    /// The names that are meant: IDs, but for those that were typed. `all` says which ones all are.
    pub(crate) fn names(
        &self,
        engine: &Engine,
        typed: &[String],
        all: Option<&dyn Fn(&Container) -> bool>,
    ) -> Result<Vec<String>> {
        resolve(engine, typed, (self.latest, &self.cidfile, &self.filter), all, false)
    }
}

/// The same for verbs whose options have other short names. With `ignores` a file that is not there is no mistake.
pub(super) fn resolve(
    engine: &Engine,
    typed: &[String],
    (latest, files, filter): (bool, &[PathBuf], &[String]),
    all: Option<&dyn Fn(&Container) -> bool>,
    ignores: bool,
) -> Result<Vec<String>> {
    let filters = Filters::read(engine, filter, &super::list::KEYS)?;
    let mut names = Vec::new();
    for name in typed {
        if filter.is_empty() || filters.choose(&engine.find(name)?) {
            names.push(name.clone());
        }
    }
    for file in files {
        match read_id(file) {
            Ok(id) => names.push(id),
            Err(_) if ignores && !file.exists() => {}
            Err(failure) => return Err(failure),
        }
    }
    if latest {
        names.push(self::latest(engine)?.config.id);
    }
    let is_open = typed.is_empty() && files.is_empty() && !latest;
    if all.is_some() || is_open && !filter.is_empty() {
        let is_meant = |container: &Container| {
            all.is_none_or(|all| all(container)) && filters.choose(container)
        };
        names.extend(engine.list()?.into_iter().filter(is_meant).map(|it| it.config.id));
    }
    Ok(names)
}

/// The container that was made last.
pub(super) fn latest(engine: &Engine) -> Result<Container> {
    let last = engine.list()?.into_iter().next();
    last.ok_or_else(|| Failure::new("no containers: there is none that could be the last one"))
}

/// The name of the one container that a verb is about.
pub(super) fn one(engine: &Engine, name: Option<&String>, latest: bool) -> Result<Container> {
    match name {
        Some(_) if latest => Err(Failure::new("--latest and containers cannot be used together")),
        Some(name) => Ok(engine.find(name)?),
        None if latest => self::latest(engine),
        None => Err(Failure::new("no container is named").hint("name one, or say --latest")),
    }
}

pub(super) fn read_id(path: &Path) -> Result<String> {
    use std::io::Read;
    let failed = |error: std::io::Error| {
        let text = error.to_string();
        let why = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        Failure::new(format!("reading CIDFile: open {}: {why}", path.display()))
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(ID_FILE_LIMIT_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
