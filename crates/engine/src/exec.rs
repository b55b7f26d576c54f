//! One more program in a container.

mod messages;
mod terminal;

use crate::control::{enter_users, not_running};
use crate::error::{During, Error, Kind, Result};
use crate::launch;
use crate::place::{self, Container, Engine};
use crate::record::status;
use runtime::config::ContainerId;
use runtime::{ExecOptions, Executed, Host};
use sys::fs::{self, O_DIRECTORY, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS};
use sys::{Errno, Fd, process};

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables on top of the container's.
    pub env: Vec<String>,
    /// Instead of the container's.
    pub user: Option<String>,
    /// Instead of the container's.
    pub cwd: Option<String>,
    /// It gets a terminal.
    pub tty: bool,
    /// It gets this process' standard input.
    pub interactive: bool,
    /// It is not waited for.
    pub detach: bool,
    /// It gets all capabilities.
    pub privileged: bool,
    /// Keys that leave it and its terminal alone.
    pub detach_keys: Vec<u8>,
}

/// Runs it with this process' standard streams; returns its exit code.
pub fn exec(engine: &Engine, container: &Container, request: &Exec) -> Result<i32> {
    match exec_in(engine, container, request) {
        Err(error) if is_missing(&error) => {
            // It may have ended since it was looked at.
            Err(engine.unless_ended(container, error))
        }
        result => result,
    }
}

/// The root directory of a container that runs, and whether its user namespace was entered for that.
fn open_root(container: &Container) -> Result<(Fd, bool)> {
    let path = format!("/proc/{}/root", container.state.pid);
    let entered = enter_users(container.state.pid)?;
    let root = fs::open_at(sys::CWD, &path, O_PATH | O_DIRECTORY, 0)
        .during(|| "opening the container's root directory")?;
    // What was opened is of the process that is meant, if that is there still.
    match place::is_alive(&container.state) {
        true => Ok((root, entered)),
        false => Err(not_running(&container.config)),
    }
}

/// Whether an error may say no more than that the container has ended; those about the program do not.
fn is_missing(error: &Error) -> bool {
    !matches!(error.kind(), Kind::ProgramNotFound | Kind::ProgramNotExecutable | Kind::Invalid)
}

fn exec_in(engine: &Engine, container: &Container, request: &Exec) -> Result<i32> {
    let config = &container.config;
    check(container)?;
    launch::scope::approach(engine.place(), container)?;
    let (root, entered) = open_root(container)?;
    let id = ContainerId::parse(&config.id)?;
    let host =
        Host { rootless: entered || engine.place.host.rootless, ..engine.place.host.clone() };
    let (_, record, _) = runtime::verbs::look_up(&host, &id)?;
    let mut process = record.process;
    process.args.clone_from(&request.args);
    process.terminal = request.tty;
    process.env.retain(|known| {
        let name = |variable: &str| variable.split('=').next().map(str::to_owned);
        !request.env.iter().any(|variable| name(variable) == name(known))
    });
    process.env.extend(request.env.iter().cloned());
    if request.tty && !process.env.iter().any(|variable| variable.starts_with("TERM=")) {
        process.env.push("TERM=xterm".into());
    }
    if let Some(cwd) = &request.cwd {
        check_directory(&root, cwd)?;
        process.cwd.clone_from(cwd);
    }
    if let Some(user) = &request.user {
        let said = config.env.iter().chain(&request.env);
        set_user(&root, user, said, &mut process)?;
    }
    if request.privileged {
        launch::set_all_capabilities(&mut process);
    }
    drop(root);
    if !request.interactive || request.detach {
        null(0, fs::O_RDONLY)?;
    }
    if request.detach {
        (1..3).try_for_each(|standard| null(standard, fs::O_WRONLY))?;
    }
    engine.release_console(container);
    let (words, exec_id) = (request.args.join(" "), place::random_id()?);
    for action in ["exec_create", "exec_start"] {
        engine.tell(&format!("{action}: {words}"), config, &[("execID", &exec_id)]);
    }
    let code = if request.tty {
        terminal::exec(&host, &id, process, request, config)?
    } else if request.detach {
        let options = ExecOptions { process, detach: true, ..ExecOptions::default() };
        match runtime::exec(&host, &id, options, &mut Vec::new())? {
            Executed::Running(_) => None,
            Executed::Ended(exit) => Some(exit.shell_code()),
        }
    } else {
        Some(messages::exec(&host, &id, process, config)?)
    };
    match code {
        Some(code) => {
            let text = code.to_string();
            engine.tell("exec_die", config, &[("execID", &exec_id), ("exitCode", &text)]);
        }
        None if !request.detach => engine.tell("exec_detach", config, &[("execID", &exec_id)]),
        // Nobody here sees its end.
        None => {}
    }
    Ok(code.unwrap_or(0))
}

/// Whether programs can be executed in a container.
fn check(container: &Container) -> Result<()> {
    let config = &container.config;
    match container.status() {
        status::RUNNING => Ok(()),
        status::PAUSED => {
            let text =
                format!("container {} is paused, unpause the container before exec", config.name);
            Err(Error::new(Kind::State, text))
        }
        _ => {
            let text = format!("container {} is not running", config.id);
            Err(Error::new(Kind::State, text)
                .with_hint(format!("`tare start {}` first", config.name)))
        }
    }
}

/// Another user has another home, unless somebody has said where it is.
fn set_user<'v>(
    root: &Fd,
    user: &str,
    mut said: impl Iterator<Item = &'v String>,
    process: &mut oci::runtime::Process,
) -> Result<()> {
    let is_home = |variable: &String| variable.starts_with("HOME=");
    if !said.any(is_home) {
        process.env.retain(|variable| !is_home(variable));
    }
    launch::set_user(root, user, process)
}

/// A working directory has to be there: the one of the container's own program alone is made.
fn check_directory(root: &Fd, cwd: &str) -> Result<()> {
    if !cwd.starts_with('/') {
        return Err(Error::invalid(format!("working directory {cwd:?} is not an absolute path")));
    }
    let flags = O_PATH | O_DIRECTORY;
    match fs::open_at2(root, cwd, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) {
        Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) => {
            Err(Error::new(Kind::ProgramNotFound, format!("exec: chdir to {cwd:?}: {errno}")))
        }
        // Whoever may not look may be let in all the same.
        _ => Ok(()),
    }
}

fn null(standard: i32, access: u32) -> Result<()> {
    fs::open_at(sys::CWD, "/dev/null", access, 0)
        .and_then(|null| fs::duplicate_to(&null, standard))
        .during(|| "opening /dev/null")
}

/// Lets go of everything that was the command's in a process that it leaves behind; what the command was given may be
/// secret, and this stays for everybody to see.
fn stay_behind() {
    let _ = process::new_session();
    let _ = process::set_name("tare-exec");
    let _ = process::set_title("tare-exec");
    if let Ok(null) = fs::open_at(sys::CWD, "/dev/null", fs::O_RDWR, 0) {
        for standard in 0..3 {
            let _ = fs::duplicate_to(&null, standard);
        }
    }
    let _ = fs::chdir("/");
}
