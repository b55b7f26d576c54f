//! `checkpoint` and `restore`: their options.

use crate::args::{Args, Environment, Flag};
use crate::usage::{HELP, option, switch};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use runtime::criu::{CgroupsMode, CriuOptions, NetworkLock, Switch};
use runtime::error::{Error, Kind};
use sys::{CWD, fs};

const IMAGES: Flag = option(
    "image-path",
    None,
    "DIR",
    "criu's images (default: checkpoint in the current directory)",
);
const WORK: Flag = option("work-path", None, "DIR", "criu's logs (default: beside the images)");
const PARENT: Flag = option("parent-path", None, "DIR", "earlier images, relative to --image-path");
const CGROUPS: Flag =
    option("manage-cgroups-mode", None, "MODE", "soft (default), full, strict or ignore");
const EMPTY: Flag = option("empty-ns", None, "network", "leave the network to others (always)");
const LOCK: Flag = option("network-lock", None, "METHOD", "iptables (default), nftables or skip");

/// criu's own switches, by the option's name.
const SWITCHES: [(&str, Switch); 10] = [
    ("leave-running", Switch::LeaveRunning),
    ("ext-unix-sk", Switch::ExternalUnixSockets),
    ("tcp-established", Switch::TcpEstablished),
    ("tcp-skip-in-flight", Switch::TcpSkipInFlight),
    ("tcp-close", Switch::TcpClose),
    ("shell-job", Switch::ShellJob),
    ("file-locks", Switch::FileLocks),
    ("auto-dedup", Switch::AutoDedup),
    ("link-remap", Switch::LinkRemap),
    ("lazy-pages", Switch::LazyPages),
];

const ESTABLISHED: Flag = switch("tcp-established", None, "allow open TCP connections");
const UNIX: Flag = switch("ext-unix-sk", None, "allow unix sockets with an end outside");
const SHELL: Flag = switch("shell-job", None, "allow a terminal and session from outside");
const LOCKS: Flag = switch("file-locks", None, "allow locks on files");
const DEDUP: Flag = switch("auto-dedup", None, "take pages out of earlier images");
const LAZY: Flag = switch("lazy-pages", None, "fetch memory when it is touched");

/// Options of `checkpoint`.
pub const CHECKPOINT_FLAGS: &[Flag] = &[
    IMAGES,
    WORK,
    PARENT,
    switch("leave-running", None, "let the container go on"),
    ESTABLISHED,
    switch("tcp-skip-in-flight", None, "skip TCP connections that are being made"),
    switch("link-remap", None, "allow files without a name, by giving them one"),
    UNIX,
    SHELL,
    LAZY,
    option("status-fd", None, "FD", "write a zero byte to FD when lazy pages can be fetched"),
    option("page-server", None, "ADDRESS:PORT", "send memory there"),
    LOCKS,
    switch("pre-dump", None, "write memory only, and let the container go on"),
    CGROUPS,
    EMPTY,
    DEDUP,
    LOCK,
    HELP,
];

/// Options of `restore`.
pub const RESTORE_FLAGS: &[Flag] = &[
    crate::usage::BUNDLE,
    crate::usage::CONSOLE,
    crate::usage::PID_FILE,
    crate::usage::NO_PIVOT,
    crate::usage::SUBREAPER,
    switch("detach", Some('d'), "return when the container runs"),
    switch("keep", None, "do not delete the container at its end"),
    IMAGES,
    WORK,
    ESTABLISHED,
    switch("tcp-close", None, "close TCP connections that were open"),
    UNIX,
    SHELL,
    LOCKS,
    CGROUPS,
    EMPTY,
    DEDUP,
    LAZY,
    option("lsm-profile", None, "TYPE:NAME", "another security profile"),
    option("lsm-mount-context", None, "CONTEXT", "another security context of mounts"),
    LOCK,
    HELP,
];

/// How criu is to be used.
pub fn options(
    args: &Args,
    env: &Environment<'_>,
    raw: &rt::Arguments,
) -> Result<CriuOptions, Error> {
    if let Some(kind) = args.all("empty-ns").find(|kind| *kind != "network") {
        return Err(Error::invalid(format!("--empty-ns: {kind:?} is not network")));
    }
    let text = |name: &str| args.get(name).filter(|value| !value.is_empty()).map(String::from);
    let on = |(name, switch): &(&str, Switch)| args.has(name).then_some(*switch);
    Ok(CriuOptions {
        program: find(env.get("PATH").unwrap_or("/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"))?,
        environment: raw.env.iter().map(|variable| variable.to_vec()).collect(),
        images: text("image-path").unwrap_or_else(|| "checkpoint".to_string()),
        work: text("work-path"),
        parent: text("parent-path"),
        page_server: args.get("page-server").map(page_server).transpose()?,
        switches: SWITCHES.iter().filter_map(on).collect::<Vec<Switch>>(),
        cgroups_mode: cgroups_mode(args.get("manage-cgroups-mode").unwrap_or(""))?,
        network_lock: args.get("network-lock").map(network_lock).transpose()?,
        pre_dump: args.has("pre-dump"),
        status_fd: args.number("status-fd")?,
        lsm_profile: text("lsm-profile"),
        lsm_mount_context: text("lsm-mount-context"),
    })
}

fn find(path: &str) -> Result<String, Error> {
    const EXECUTE: u32 = 1;
    let mut candidates =
        path.split(':').filter(|dir| dir.starts_with('/')).map(|dir| format!("{dir}/criu"));
    candidates.find(|file| fs::access(CWD, file, EXECUTE, 0).is_ok()).ok_or_else(|| {
        Error::new(
            Kind::Unsupported,
            "checkpoint and restore need the program criu, which is not on PATH",
        )
        .with_hint("install the package criu, version 3.15 or newer")
    })
}

fn page_server(text: &str) -> Result<(String, u16), Error> {
    let parts = text.rsplit_once(':').and_then(|(address, port)| {
        let address =
            address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        Some((address.to_string(), port.parse().ok()?))
    });
    parts
        .filter(|(address, port)| !address.is_empty() && *port > 0)
        .ok_or_else(|| Error::invalid(format!("--page-server: {text:?} is not ADDRESS:PORT")))
}

fn cgroups_mode(text: &str) -> Result<CgroupsMode, Error> {
    Ok(match text {
        "" => CgroupsMode::Default,
        "soft" => CgroupsMode::Soft,
        "full" => CgroupsMode::Full,
        "strict" => CgroupsMode::Strict,
        "ignore" => CgroupsMode::Ignore,
        other => {
            let what =
                format!("--manage-cgroups-mode: {other:?} is not soft, full, strict or ignore");
            return Err(Error::invalid(what));
        }
    })
}

fn network_lock(text: &str) -> Result<NetworkLock, Error> {
    Ok(match text {
        "iptables" => NetworkLock::Iptables,
        "nftables" => NetworkLock::Nftables,
        "skip" => NetworkLock::Skip,
        other => {
            let what = format!("--network-lock: {other:?} is not iptables, nftables or skip");
            return Err(Error::invalid(what));
        }
    })
}
