//! `tare system boot` and `enable-boot`: containers with a restart policy come back after the machine does.

use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::{Global, store_paths};
use clap::Args;
use engine::Attach;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNIT: &str = "tare-boot.service";

/// Start the containers that a restart policy wants to run
///
/// `always` starts those that were stopped, too. What `enable-boot` runs when the machine starts.
#[derive(Debug, Args)]
pub(crate) struct Boot {}

/// Have systemd run `tare system boot` when the machine starts
///
/// Writes one unit and enables it; of an ordinary user one of the user's manager, which lives from boot on with
/// `loginctl enable-linger`.
#[derive(Debug, Args)]
pub(crate) struct EnableBoot {
    /// Print the unit, and change nothing
    #[arg(long)]
    print: bool,
    /// Take it away again
    #[arg(long)]
    disable: bool,
}

pub(crate) fn boot(global: &Global, _arguments: &Boot) -> Result<u8> {
    crate::container::seal()?;
    let engine = crate::container::open(global, false)?;
    let mut code = 0;
    for container in engine.list()? {
        let (config, state) = (&container.config, &container.state);
        let is_wanted = match config.restart.policy.as_str() {
            "always" => true,
            "unless-stopped" => !state.stopped,
            // It did not end by itself.
            "on-failure" => !state.stopped && state.exit_code != 0,
            _ => false,
        };
        let never_ran = container.status() == engine::record::status::CREATED;
        if !is_wanted || never_ran || container.is_running() || container.supervised {
            continue;
        }
        match engine::start(engine.place(), &config.id, Attach::default()) {
            Ok(_) => output::write(format!("{}\n", config.name).as_bytes())?,
            Err(error) => {
                Failure::from(error).during(format_args!("starting {}", config.name)).tell();
                code = 1;
            }
        }
    }
    Ok(code)
}

pub(crate) fn enable(global: &Global, arguments: &EnableBoot) -> Result<()> {
    let caller = crate::caller::Caller::new();
    let is_root = caller.uid == 0;
    let program = std::env::current_exe()?;
    let (root, runroot) = store_paths(global, &caller);
    let text = unit(&program, &root, &runroot, is_root);
    if arguments.print {
        return output::write(text.as_bytes());
    }
    let dir = match is_root {
        true => PathBuf::from("/etc/systemd/system"),
        false => {
            let home = caller.config_home();
            home.ok_or_else(|| Failure::new("there is no home to write a unit to"))?
                .join("systemd/user")
        }
    };
    let path = dir.join(UNIT);
    let failed = |what: &str, error: std::io::Error| {
        Failure::new(format!("{what} {}: {error}", path.display()))
    };
    if arguments.disable {
        let _ = systemctl(is_root, &["disable", UNIT]);
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("removing", error))
            }
            _ => Ok(()),
        };
    }
    std::fs::create_dir_all(&dir).map_err(|error| failed("making the directory of", error))?;
    std::fs::write(&path, text).map_err(|error| failed("writing", error))?;
    systemctl(is_root, &["daemon-reload"])?;
    systemctl(is_root, &["enable", UNIT])
}

fn systemctl(is_root: bool, args: &[&str]) -> Result<()> {
    let mut command = Command::new("systemctl");
    if !is_root {
        command.arg("--user");
    }
    let hint = "run `tare system boot` by whatever starts the machine's services";
    match command.args(args).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::new(format!("systemctl {}: it failed", args.join(" "))).hint(hint)),
        Err(error) => Err(Failure::new(format!("systemctl: {error}")).hint(hint)),
    }
}

fn unit(program: &Path, root: &Path, runroot: &Path, is_root: bool) -> String {
    let target = if is_root { "multi-user.target" } else { "default.target" };
    let quoted = |path: &Path| {
        let text = path.display().to_string();
        // What systemd would understand in a word.
        format!(
            "\"{}\"",
            text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$")
        )
    };
    format!(
        "[Unit]\nDescription=Containers of tare that a restart policy wants to run\n\
         Wants=network-online.target\nAfter=network-online.target local-fs.target\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n\
         # Each container has a supervisor of its own, which is nobody's to end with this unit.\n\
         KillMode=none\nDelegate=yes\n\
         ExecStart={} --root {} --runroot {} system boot\n\n\
         [Install]\nWantedBy={target}\n",
        quoted(program),
        quoted(root),
        quoted(runroot)
    )
}
