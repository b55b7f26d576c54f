//! podman's options before the verb: taken where what they ask for is so here, and refused where it is not.

use crate::failure::{Failure, Result};
use clap::{ArgAction, Args};
use std::path::{Path, PathBuf};

/// podman's options of every verb.
#[derive(Debug, Default, Args)]
pub(crate) struct PodmanGlobal {
    /// podman's: write nothing to standard output
    #[arg(long, hide = true)]
    noout: bool,
    /// podman's: write standard output to a file
    #[arg(long, value_name = "FILE", hide = true)]
    out: Option<PathBuf>,
    /// podman's: overlay, or vfs; layers are directories in any case
    #[arg(long, value_name = "DRIVER", hide = true)]
    storage_driver: Option<String>,
    /// podman's: the store has no options
    #[arg(long, value_name = "OPTION", hide = true)]
    storage_opt: Vec<String>,
    /// podman's: events are in a file
    #[arg(long, value_name = "KIND", hide = true)]
    events_backend: Option<String>,
    /// podman's: cgroups are made as directories
    #[arg(long, value_name = "KIND", hide = true, global = true)]
    cgroup_manager: Option<String>,
    /// podman's: the default network backend has no directory of its own
    #[arg(long, value_name = "DIR", hide = true)]
    network_config_dir: Option<String>,
    /// podman's: messages to syslog, of which there are none
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    syslog: Option<bool>,
    /// podman's: there is no other machine
    #[arg(short = 'r', long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    remote: Option<bool>,
}

impl PodmanGlobal {
    /// Does what can be done, and refuses what cannot.
    pub(crate) fn apply(&self) -> Result<()> {
        let refuse = |option: &str, said: &Option<String>, known: &[&str], why: &str| match said {
            Some(value) if !known.contains(&value.as_str()) => {
                Err(Failure::new(format!("{option} {value}: {why}")).hint("leave it out"))
            }
            _ => Ok(()),
        };
        refuse(
            "--storage-driver",
            &self.storage_driver,
            // What vfs is chosen for, layers that are whole directories, is so here in any case.
            &["overlay", "vfs", ""],
            "there is one driver, overlay",
        )?;
        refuse("--events-backend", &self.events_backend, &["file"], "events are kept in a file")?;
        refuse(
            "--cgroup-manager",
            &self.cgroup_manager,
            &["cgroupfs"],
            "cgroups are made as directories",
        )?;
        if let Some(option) = self.storage_opt.iter().find(|option| !option.is_empty()) {
            return Err(Failure::new(format!("--storage-opt {option}: the store has no options")));
        }
        if self.network_config_dir.is_some() {
            return Err(Failure::new("--network-config-dir: networks are in the store")
                .hint("--root names another one"));
        }
        if self.remote == Some(true) {
            return Err(Failure::new("--remote: there is no service to connect to")
                .hint("`ssh HOST tare ...` runs it elsewhere"));
        }
        match &self.out {
            Some(path) => redirect(path),
            None if self.noout => redirect(Path::new("/dev/null")),
            None => Ok(()),
        }
    }
}

/// Standard output goes to a file from here on.
fn redirect(path: &Path) -> Result<()> {
    use std::os::fd::AsRawFd;
    let failed =
        |why: &dyn std::fmt::Display| Failure::new(format!("--out {}: {why}", path.display()));
    let file = std::fs::File::create(path).map_err(|error| failed(&error))?;
    sys::fs::duplicate_to(sys::BorrowedFd::from_raw(file.as_raw_fd()), 1)
        .map_err(|error| failed(&error))
}
