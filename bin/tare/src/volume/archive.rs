//! `tare volume export` and `tare volume import`: the files of a volume as a tar archive.

use crate::container::copy::stream::{self, Clash, Making, Owner, told};
use crate::container::export;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use archive::pack;
use archive::tar::{Bytes, Writer};
use clap::Args;
use engine::Access;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// Write the files of a volume as a tar archive
///
/// Users and groups are those that containers see. The same files make the same archive.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare volume export -o data.tar data\n  tare volume export data | zstd > data.tar.zst"
)]
pub(super) struct Export {
    /// Write to a file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The volume
    #[arg(value_name = "VOLUME")]
    volume: String,
}

/// Unpack a tar archive into a volume
///
/// The volume has to be there. What it has and the archive has not stays; what both have is the archive's then. The
/// archive may be packed with gzip, zstd, bzip2 or xz.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tare volume create copy && tare volume export data | tare volume import copy -"
)]
pub(super) struct Import {
    /// The volume
    #[arg(value_name = "VOLUME")]
    volume: String,
    /// The archive, - for standard input
    #[arg(value_name = "FILE", default_value = "-", allow_hyphen_values = true)]
    source: PathBuf,
}

pub(super) fn export(global: &Global, arguments: &Export) -> Result<()> {
    let engine = crate::container::open(global, true)?;
    let output = arguments.output.as_deref();
    exists(&engine, &arguments.volume)?;
    let to = export::output(output, "`tare volume export -o FILE VOLUME`")?;
    let done = engine::in_volume(&engine, &arguments.volume, Access::Read, |root| {
        let mut writer = Writer::new(Bytes::new(BufWriter::new(to)));
        // Containers go on meanwhile.
        let options = pack::Options { is_live: true, ..pack::Options::default() };
        pack::pack_one(root.borrow(), b".", b".", options, &mut writer).map_err(told)?;
        writer.finish().map_err(told)?.into_inner().flush().map_err(told)
    });
    if let (Err(_), Some(path)) = (&done, output) {
        let _ = std::fs::remove_file(path);
    }
    Ok(done?)
}

/// Nothing is written before it is known that there is something to write.
fn exists(engine: &engine::Engine, volume: &str) -> Result<()> {
    match engine.volume(volume)? {
        Some(_) => Ok(()),
        None => Err(Failure::new(format!("get {volume}: no such volume"))
            .hint("`tare volume ls` shows all; `tare volume create` makes one")),
    }
}

pub(super) fn import(global: &Global, arguments: &Import) -> Result<()> {
    let engine = crate::container::open(global, false)?;
    exists(&engine, &arguments.volume)?;
    let input: Box<dyn Read> = match arguments.source.as_path() {
        path if path == Path::new("-") => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                return Err(Failure::new(crate::terminal::NO_INPUT)
                    .hint("`tare volume import VOLUME FILE`"));
            }
            Box::new(stdin)
        }
        path => {
            let failed = |error| Failure::new(format!("opening {}: {error}", path.display()));
            Box::new(File::open(path).map_err(failed)?)
        }
    };
    engine::in_volume(&engine, &arguments.volume, Access::Write, |root| {
        let same = |uid, gid| (uid, gid);
        let making = Making { owner: Owner::Kept, ids: &same, clash: Clash::Replaced };
        stream::read(input, root, making).map(drop)
    })?;
    Ok(())
}
