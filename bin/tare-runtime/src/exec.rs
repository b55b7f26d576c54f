//! `exec`: from options to a process.

use crate::args::{Args, Environment};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use oci::runtime::Process;
use runtime::error::Error;
use runtime::state::Record;
use runtime::{Console, ExecOptions};

/// Builds the options of `exec` from the command line and the container's own process.
pub fn options(args: &Args, env: &Environment<'_>, record: &Record) -> Result<ExecOptions, Error> {
    let process = match args.get("process") {
        Some(path) => runtime::config::load_process(path)?,
        None => process(args, record)?,
    };
    Ok(ExecOptions {
        process,
        console: match args.get("console-socket") {
            Some(path) => Console::Socket(path.to_string()),
            None => Console::Inherit,
        },
        pid_file: args.get("pid-file").map(ToString::to_string),
        pidfd_socket: args.get("pidfd-socket").map(ToString::to_string),
        detach: args.has("detach"),
        preserve_fds: args.number("preserve-fds")?.unwrap_or(0),
        listen_fds: crate::verbs::listen_fds(env),
        ignore_paused: args.has("ignore-paused"),
        cgroups: args.all("cgroup").map(ToString::to_string).collect(),
        orphan: false,
    })
}

/// The CPUs that the process starts on, in the words of runc's log.
pub fn initial_affinity(process: &Process) -> Option<String> {
    let affinity = process.exec_cpu_affinity.as_ref()?;
    let mask = runtime::parse_list(&affinity.initial).ok()?;
    let (last, rest) = mask.split_last()?;
    let mut text = format!("nsexec: affinity: {last:#x}");
    for word in rest.iter().rev() {
        text.push_str(&format!("{word:016x}"));
    }
    Some(text)
}

fn process(args: &Args, record: &Record) -> Result<Process, Error> {
    let program: Vec<String> = args.operands[1..].to_vec();
    if program.is_empty() {
        return Err(Error::invalid("exec needs a program, or --process FILE"));
    }
    let mut process = record.process.clone();
    process.args = program;
    process.terminal = args.has("tty");
    process.console_size = None;
    process.env.extend(args.all("env").map(ToString::to_string));
    if let Some(cwd) = args.get("cwd") {
        process.cwd = cwd.to_string();
    }
    if let Some(label) = args.get("process-label") {
        process.selinux_label = label.to_string();
    }
    if let Some(profile) = args.get("apparmor") {
        process.apparmor_profile = profile.to_string();
    }
    if args.get("no-new-privs").is_some() {
        process.no_new_privileges = args.has("no-new-privs");
    }
    if let Some(user) = args.get("user") {
        set_user(&mut process, user)?;
    }
    for group in args.all("additional-gids") {
        process.user.additional_gids.push(id("--additional-gids", group)?);
    }
    let added: Vec<String> = args.all("cap").map(ToString::to_string).collect();
    if !added.is_empty() {
        let sets = process.capabilities.get_or_insert_default();
        // With something to inherit, programs that are not root's keep it by ambient capabilities.
        let inheritable: Vec<&String> =
            added.iter().filter(|name| sets.inheritable.contains(name)).collect();
        let missing = |set: &[String], names: &[&String]| -> Vec<String> {
            let new = names.iter().filter(|name| !set.contains(name));
            new.map(|name| String::clone(name)).collect()
        };
        let new = missing(&sets.ambient, &inheritable);
        sets.ambient.extend(new);
        let added: Vec<&String> = added.iter().collect();
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            let new = missing(set, &added);
            set.extend(new);
        }
    }
    Ok(process)
}

/// `UID[:GID]`. Anything but numbers that fit is an error: a name that is taken for 0 would run
/// as root (CVE-2026-30892).
fn set_user(process: &mut Process, text: &str) -> Result<(), Error> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    process.user.uid = id("--user", uid)?;
    if let Some(gid) = gid {
        process.user.gid = id("--user", gid)?;
    }
    Ok(())
}

fn id(option: &str, text: &str) -> Result<u32, Error> {
    let number = text.parse::<u32>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    // The largest number means "no change" to the kernel.
    number.filter(|&number| number != u32::MAX).ok_or_else(|| {
        let what = format!("{option}: {text:?} is not a numeric id (0 to {})", u32::MAX - 1);
        Error::invalid(what)
    })
}
