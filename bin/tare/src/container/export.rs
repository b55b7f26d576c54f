//! `tare export`.

use super::copy::stream::told;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use archive::pack;
use archive::tar::{Bytes, Writer};
use clap::Args;
use engine::Scope;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Write the files of a container as a tar archive
///
/// Its layers and what it has written, without volumes and other mounts, and without its configuration. `tare import`
/// makes an image of it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare export web | tare import - web:files")]
pub(crate) struct Export {
    /// Write to a file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// Where an archive goes: a file, or standard output if that is no terminal.
pub(crate) fn output(path: Option<&Path>, hint: &str) -> Result<Box<dyn Write>> {
    match path {
        None if std::io::stdout().is_terminal() => {
            Err(Failure::new("a terminal is nothing to write an archive to").hint(hint))
        }
        None => Ok(Box::new(std::io::stdout().lock())),
        Some(path) => {
            let failed = |error| Failure::new(format!("making {}: {error}", path.display()));
            Ok(Box::new(File::create(path).map_err(failed)?))
        }
    }
}

pub(crate) fn run(global: &Global, arguments: &Export) -> Result<()> {
    let engine = super::open(global, false)?;
    let container = engine.find(&arguments.container)?;
    let output = output(arguments.output.as_deref(), "`tare export -o FILE CONTAINER`")?;
    let done = engine::inside(&engine, &container, Scope::Own, |inside| {
        let mut writer = Writer::new(Bytes::new(BufWriter::new(output)));
        let options = pack::Options { is_live: inside.is_live, ..pack::Options::default() };
        let root = inside.root().borrow();
        pack::pack_one(root, b".", b".", options, &mut writer).map_err(told)?;
        writer.finish().map_err(told)?.into_inner().flush().map_err(told)
    });
    if let (Err(_), Some(path)) = (&done, &arguments.output) {
        let _ = std::fs::remove_file(path);
    }
    done?;
    engine.tell("export", &container.config, &[]);
    Ok(())
}
