//! `tare diff` of containers.

use super::copy::stream::told;
use super::which;
use crate::failure::Result;
use crate::image::diff::{Format, show};
use crate::settings::Global;
use clap::Args;
use engine::{Changed, Container, Engine};
use images::{ChangeKind, Differing};

/// Show what a container has changed of its image
///
/// A line is a letter and a path: A is added, C is changed (or something in the directory is), D is deleted. No file is
/// read.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// As lines, or as JSON
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    container: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &Diff) -> Result<()> {
    let engine = super::open(global, true)?;
    let container = which::one(&engine, arguments.container.as_ref(), arguments.latest)?;
    of(&engine, &container, arguments.format)
}

/// The container that a name means, if it means one, and where it is.
pub(crate) fn look(global: &Global, name: &str) -> Result<Option<(Engine, Container)>> {
    let engine = super::open(global, true)?;
    match engine.find(name) {
        Ok(container) => Ok(Some((engine, container))),
        Err(error) if error.kind() == engine::Kind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Shows what a container has changed.
pub(crate) fn of(engine: &Engine, container: &Container, format: Option<Format>) -> Result<()> {
    engine.with_ids(|engine| {
        let changes = engine.changes(&container.config.id)?;
        let differing = |(changed, path): (Changed, Vec<u8>)| {
            let kind = match changed {
                Changed::Changed => ChangeKind::Changed,
                Changed::Added => ChangeKind::Added,
                Changed::Deleted => ChangeKind::Deleted,
            };
            Differing { kind, path }
        };
        let all: Vec<Differing> = changes.into_iter().map(differing).collect();
        show(&all, format).map_err(|failure| told(failure.message()))
    })?;
    Ok(())
}
