//! `host:PROGRAM`: a program of this machine, with exactly the files that it needs.

use super::options::ContainerArgs;
use super::rootfs;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use engine::record::Config;
use std::ffi::OsStr;
use std::path::PathBuf;

/// Packs the program, and says what it comes to.
pub(super) fn prepare(arguments: &ContainerArgs, program: &str) -> Result<Config> {
    if arguments.entrypoint.is_some() {
        return Err(Failure::new("--entrypoint: it is for images that have one"));
    }
    let caller = Caller::new();
    let host = pkg::HostView {
        root: "/".into(),
        path: search_path(),
        working_directory: std::env::current_dir().unwrap_or_else(|_| "/".into()),
    };
    let program = pkg::find_program(&host, OsStr::new(program))?;
    // What is mounted needs a place.
    let is_private =
        [&arguments.volume, &arguments.mount, &arguments.tmpfs, &arguments.volumes_from]
            .iter()
            .any(|list| !list.is_empty());
    let rootfs = rootfs::prepare(&caller, &host, &program, &arguments.with, is_private)?;
    let text = |path: &std::path::Path| -> Result<String> {
        let shown = || Failure::new(format!("{}: the path is not UTF-8", path.display()));
        path.to_str().map(str::to_string).ok_or_else(shown)
    };
    Ok(Config {
        rootfs: text(&rootfs)?,
        owns_rootfs: is_private,
        cmd: std::iter::once(text(&program)?).chain(arguments.args().to_vec()).collect(),
        ..Config::default()
    })
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect()
}
