//! The programs in their shipping form, for what measures them or runs other projects' suites with them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds some packages, once for each list; returns the directory of the programs.
pub(crate) fn dist(packages: &[&[&str]]) -> Result<PathBuf, String> {
    for list in packages {
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "--locked", "--profile", "dist"]).args(*list);
        if !command.status().is_ok_and(|status| status.success()) {
            return Err("the build failed".into());
        }
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own.parent().and_then(Path::parent).ok_or("no target directory")?;
    Ok(target.join("dist"))
}
