//! `tare run`.

mod parse;
mod rootfs;
mod seccomp;
mod spec;

use crate::caller::Caller;
use crate::cli::Run;
use crate::failure::Failure;
use runtime::config::ContainerId;
use runtime::error::Kind;
use runtime::{Console, Host, Options};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

impl From<pkg::Error> for Failure {
    fn from(error: pkg::Error) -> Self {
        let code = if error.kind() == pkg::ErrorKind::NotFound { 127 } else { 125 };
        Self::from_parts(code, error.to_string(), error.hint())
    }
}

impl From<runtime::error::Error> for Failure {
    fn from(error: runtime::error::Error) -> Self {
        let program = error.to_string().starts_with("exec: ");
        let code = match error.kind() {
            Kind::NotFound if program => 127,
            _ if program => 126,
            _ => 125,
        };
        Self::from_parts(code, error.to_string(), error.hint())
    }
}

/// Runs a container in the foreground; returns the program's exit code.
pub(crate) fn run(arguments: &Run) -> Result<u8, Failure> {
    let Some(program) = arguments.image.strip_prefix("host:").filter(|name| !name.is_empty())
    else {
        let image = &arguments.image;
        let what = format!("{image:?}: only programs of this machine can be run so far");
        return Err(Failure::new(what)
            .hint("write host:PROGRAM, for example `tare run host:/bin/sh -c 'echo hello'`"));
    };
    if arguments.tty
        && arguments.interactive
        && !sys::tty::is_terminal(sys::BorrowedFd::from_raw(0))
    {
        let what = "cannot attach stdin to a TTY-enabled container because stdin is not a terminal";
        return Err(Failure::new(what).hint("leave -t out"));
    }
    seal()?;
    let caller = Caller::new();
    let host = pkg::HostView {
        root: "/".into(),
        path: search_path(),
        working_directory: std::env::current_dir().unwrap_or_else(|_| "/".into()),
    };
    let program = pkg::find_program(&host, OsStr::new(program))?;
    let rootfs =
        rootfs::prepare(&caller, &host, &program, &arguments.with, !arguments.volume.is_empty())?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => random_name()?,
    };
    let id = ContainerId::parse(&name)?;
    let spec = spec::build(arguments, &caller, &name, &program, rootfs.path())?;
    if !arguments.interactive {
        discard_input()?;
    }
    let state_root = caller.state_root();
    let host = Host {
        root: state_root.to_string_lossy().into_owned(),
        rootless: caller.uid != 0,
        ..Host::default()
    };
    let options = Options {
        bundle: rootfs.path().to_string_lossy().into_owned(),
        spec: Some(spec),
        console: Console::Inherit,
        init: arguments.init,
        ..Options::default()
    };
    let mut warnings = Vec::new();
    let exit = runtime::run(&host, &id, options, &mut warnings)?;
    Ok(u8::try_from(exit.shell_code()).unwrap_or(255))
}

/// The program's own file is out of the container's reach from here on.
fn seal() -> Result<(), runtime::error::Error> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let env: Vec<OsString> = std::env::vars_os()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        })
        .collect();
    let bytes = |list: &[OsString]| list.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>();
    runtime::seal::ensure(&bytes(&args), &bytes(&env))
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect()
}

fn random_name() -> Result<String, Failure> {
    let mut bytes = [0u8; 6];
    sys::time::random(&mut bytes)
        .map_err(|errno| Failure::new(format!("making a name: {errno}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn discard_input() -> Result<(), Failure> {
    sys::fs::open_read("/dev/null")
        .and_then(|null| sys::fs::duplicate_to(&null, 0))
        .map_err(|errno| Failure::new(format!("opening /dev/null: {errno}")))
}
