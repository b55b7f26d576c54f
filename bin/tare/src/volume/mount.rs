//! `tare volume mount` and `tare volume unmount`: where the files of a volume are.

use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::Args;

/// Say where the files of volumes are
///
/// A volume is a directory of the store, which is there without being mounted. One with a file system of its own is
/// mounted by the containers that have it, and nowhere else.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ls $(tare volume mount data)")]
pub(super) struct Mount {
    /// The volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

/// podman's: a volume is nowhere mounted, so that it is enough that there is one
#[derive(Debug, Args)]
pub(super) struct Unmount {
    /// The volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

pub(super) fn mount(global: &Global, arguments: &Mount) -> Result<u8> {
    each(global, &arguments.volumes, |engine, volume| {
        if !volume.options.is_empty() {
            let text = format!("volume {}: it has a file system of its own", volume.name);
            return Err(Failure::new(text).hint(
                "containers that have it mount it: `tare cp`, and `tare volume export` and `import`",
            ));
        }
        Ok(engine.volume_path(&volume.name).display().to_string())
    })
}

pub(super) fn unmount(global: &Global, arguments: &Unmount) -> Result<u8> {
    each(global, &arguments.volumes, |_, volume| Ok(volume.name.clone()))
}

/// Prints something of each volume; the exit code.
fn each(
    global: &Global,
    names: &[String],
    of: impl Fn(&engine::Engine, &engine::volumes::Volume) -> Result<String>,
) -> Result<u8> {
    let engine = crate::container::open(global, true)?;
    let mut code = 0;
    for name in names {
        let volume = engine.volume(name)?;
        let missing = || Failure::new(format!("get {name}: no such volume"));
        match volume.ok_or_else(missing).and_then(|volume| of(&engine, &volume)) {
            Ok(line) => output::write(format!("{line}\n").as_bytes())?,
            Err(failure) => {
                failure.tell();
                code = crate::own_code();
            }
        }
    }
    Ok(code)
}
