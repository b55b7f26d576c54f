//! `tare run`.

mod enter;
mod image;
mod parse;
mod rootfs;
mod seccomp;
mod spec;
mod userns;
mod users;

use crate::caller::Caller;
use crate::cli::Run;
use crate::failure::Failure;
use crate::settings::Global;
use oci::runtime::Spec;
use runtime::config::ContainerId;
use runtime::error::Kind;
use runtime::{Console, Host, Options};
use spec::{Plan, Users};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
pub(crate) use userns::UserArgs;
use users::User;

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
pub(crate) fn run(global: &Global, arguments: &Run) -> Result<u8, Failure> {
    if arguments.tty
        && arguments.interactive
        && !sys::tty::is_terminal(sys::BorrowedFd::from_raw(0))
    {
        let what = "cannot attach stdin to a TTY-enabled container because stdin is not a terminal";
        return Err(Failure::new(what).hint("leave -t out"));
    }
    if arguments.detach {
        return Err(Failure::new("--detach: containers run in the foreground so far")
            .hint("leave it out, and let a service manager or the shell (`&`) have the command"));
    }
    if !arguments.publish.is_empty() {
        return Err(Failure::new("--publish: there are no networks of containers yet")
            .hint("with --network host the program listens at the machine's own addresses"));
    }
    seal()?;
    match arguments.image.strip_prefix("host:").filter(|name| !name.is_empty()) {
        Some(program) => host(arguments, program),
        None => image::run(global, arguments),
    }
}

/// Runs a program of this machine.
fn host(arguments: &Run, program: &str) -> Result<u8, Failure> {
    if arguments.entrypoint.is_some() {
        return Err(Failure::new("--entrypoint: it is for images that have one"));
    }
    if arguments.users.is_some() {
        let what = "--userns: a program of this machine has the caller's ids";
        return Err(Failure::new(what).hint("leave it out, or run an image"));
    }
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
    let (uid, gid) = arguments.user.as_deref().map_or(Ok((0, 0)), parse::user)?;
    let mut env = Vec::new();
    for file in &arguments.env_file {
        env.extend(parse::env_file(file)?);
    }
    let plan = Plan {
        name: &name,
        args: std::iter::once(spec::text(&program)?).chain(arguments.args.clone()).collect(),
        env,
        cwd: arguments.workdir.clone().unwrap_or_else(|| "/".into()),
        user: User { uid, gid, ..User::default() },
        rootfs: rootfs.path(),
        is_read_only: true,
        has_own_directories: false,
        binds: Vec::new(),
        volumes: Vec::new(),
        users: match caller.uid {
            0 => Users::Host,
            uid => Users::Made { uid, gid: caller.gid },
        },
        mapping: None,
    };
    let spec = spec::build(arguments, &plan)?;
    start(arguments, &host_of(&caller), &id, spec, rootfs.path())
}

/// Where the runtime keeps what it knows of containers.
fn host_of(caller: &Caller) -> Host {
    Host {
        root: caller.state_root().to_string_lossy().into_owned(),
        rootless: caller.uid != 0,
        ..Host::default()
    }
}

/// Runs what is planned.
fn start(
    arguments: &Run,
    host: &Host,
    id: &ContainerId,
    spec: Spec,
    bundle: &Path,
) -> Result<u8, Failure> {
    if !arguments.interactive {
        discard_input()?;
    }
    let options = Options {
        bundle: bundle.to_string_lossy().into_owned(),
        spec: Some(spec),
        console: Console::Inherit,
        init: arguments.init,
        ..Options::default()
    };
    let mut warnings = Vec::new();
    let exit = runtime::run(host, id, options, &mut warnings)?;
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
