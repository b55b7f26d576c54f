//! System containers: the first process is a full init, which wants a machine rather than a process' surroundings.
//!
//! systemd, OpenRC and s6 are known by their files, looked at below the container's root directory only, once, before
//! the first start. What follows for the container as a whole (a user namespace of its own, the stop signal, a machine
//! ID) is recorded as if somebody had asked for it; the rest is made at every start.
//!
//! What systemd is promised is its "Container Interface" (systemd.io/CONTAINER_INTERFACE).

use super::rootfs::Rootfs;
use super::security::{self, Rules};
use super::{Users, spec};
use crate::error::{Error, Result};
use crate::place::Engine;
use crate::record::Config;
use serde_json::{Value, json};
use sys::fs::{
    self, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY, RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS, S_IFLNK, S_IFMT, S_IFREG,
};
use sys::wait::Exit;
use sys::{Errno, Fd};

/// As many links as the kernel follows.
const LINKS_LIMIT: usize = 40;
const PATH_LIMIT_BYTES: usize = 4096;
/// Digits of a machine's ID.
const MACHINE_ID_DIGITS: usize = 32;
/// Services are given 90 seconds by systemd; most need one.
const STOP_TIMEOUT_S: i64 = 90;
/// What `reboot(2)` in a pid namespace ends its first process with (pid_namespaces(7)).
const REBOOTED: i32 = 1;
const HALTED: i32 = 2;
/// Programs that may be an init. All others are not looked at.
const NAMES: [&str; 4] = ["init", "systemd", "openrc-init", "s6-svscan"];
/// What s6-overlay of version 3 and 2 has beside `/init`.
const S6_OVERLAY: [&str; 3] = ["package/admin/s6-overlay", "etc/s6-overlay", "etc/s6/init"];

/// Without it systemd of 256 and 257 does not want to run with cgroup v1.
const LEGACY: &str = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1";

/// What an init manages a machine with. In a user namespace of the container's own these reach nothing outside; of the
/// host's devices, clocks, modules, and other containers' networks they are silent in any case.
const OWN_CAPABILITIES: [&str; 12] = [
    "CAP_AUDIT_WRITE",
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_SETFCAP",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_NICE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TTY_CONFIG",
];
/// Those that docker gives to everybody: all that there is without such a namespace.
const SHARED_CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_SETFCAP", "CAP_SYS_CHROOT"];
/// Calls that CAP_SYS_ADMIN lets through the filter and that no init needs in a user namespace.
const NOT_NEEDED: [&str; 8] = [
    "bpf",
    "fanotify_init",
    "lookup_dcookie",
    "lsm_set_self_attr",
    "perf_event_open",
    "quotactl",
    "quotactl_fd",
    "syslog",
];

/// A program that is an init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Init {
    Systemd,
    OpenRc,
    /// It supervises one application: all that it needs is a place in memory.
    S6,
}

impl Init {
    /// The init of a container that has been looked at.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        [Self::Systemd, Self::OpenRc, Self::S6].into_iter().find(|it| it.name() == config.system)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "openrc",
            Self::S6 => "s6",
        }
    }

    /// It manages a whole machine.
    pub(crate) fn is_whole(self) -> bool {
        self != Self::S6
    }
}

/// Looks whether a container's program is an init, unless that is known or nobody wants to know. `true`: the record
/// has changed.
pub(crate) fn settle(engine: &Engine, config: &mut Config, users: Users) -> Result<bool> {
    let is_forced = config.systemd == "always";
    let is_known = !config.system.is_empty() || config.systemd == "false";
    if is_known || !(is_forced || may_be_init(config)) {
        return Ok(false);
    }
    let rootfs = Rootfs::make(engine, config, None)?;
    let root = rootfs.open()?;
    let found = recognise(&root, config);
    let Some((init, signal)) = found.or(is_forced.then_some((Init::Systemd, "SIGRTMIN+3"))) else {
        return Ok(false);
    };
    if init.is_whole() {
        refuse_others(init, config)?;
        if rootfs.is_writable() {
            let id = config.id.get(..MACHINE_ID_DIGITS).unwrap_or_default();
            write_machine_id(&root, id)
                .map_err(|errno| Error::os("writing the container's /etc/machine-id", errno))?;
        }
        let names = &config.namespaces;
        let is_said = !names.user.is_empty()
            || !names.uid_map.is_empty()
            || !names.gid_map.is_empty()
            || !names.subuid_name.is_empty()
            || !names.subgid_name.is_empty();
        let may_own = users == Users::Host && rootfs.is_writable() && !config.security.privileged;
        if may_own && !is_said {
            config.namespaces.user = "auto".into();
        }
        config.stop_timeout = config.stop_timeout.or(Some(STOP_TIMEOUT_S));
    }
    if config.stop_signal.is_empty() {
        config.stop_signal = signal.into();
    }
    config.system = init.name().into();
    Ok(true)
}

/// Options that would keep an init from its work are not options that are ignored.
fn refuse_others(init: Init, config: &Config) -> Result<()> {
    let name = init.name();
    let (option, why) = match &config.namespaces {
        _ if config.init => ("--init", "has to be the container's first process"),
        names if !names.pid.is_empty() => ("--pid", "has to be the container's first process"),
        names if !names.cgroup.is_empty() => ("--cgroupns", "needs control groups of its own"),
        _ => return Ok(()),
    };
    let hint = format!("leave it out, or run with --systemd false, which lets {name} see to it");
    Err(Error::invalid(format!("{option}: {name} {why}")).with_hint(hint))
}

fn program(config: &Config) -> &str {
    config.entrypoint.iter().chain(&config.cmd).next().map_or("", String::as_str)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

pub(super) fn may_be_init(config: &Config) -> bool {
    NAMES.contains(&file_name(program(config)))
}

/// The init that a container's program is, and the signal that stops it.
fn recognise(root: &Fd, config: &Config) -> Option<(Init, &'static str)> {
    let program = program(config);
    let paths: Vec<String> = match program {
        _ if program.starts_with('/') => vec![program.into()],
        _ if program.contains('/') => vec![format!("{}/{program}", config.working_dir)],
        _ => {
            let own = config.env.iter().rev().find_map(|it| it.strip_prefix("PATH="));
            let dirs = own.or(spec::PATH.strip_prefix("PATH=")).unwrap_or_default();
            dirs.split(':').map(|dir| format!("{dir}/{program}")).collect()
        }
    };
    let links = paths.iter().find_map(|path| follow(root, path))?;
    let (first, last) = (links.first()?, links.last()?);
    let has = |path: &str| open(root, path, O_PATH).is_ok();
    match file_name(last) {
        "systemd" => Some((Init::Systemd, "SIGRTMIN+3")),
        "openrc-init" => Some((Init::OpenRc, "SIGTERM")),
        "s6-svscan" => Some((Init::S6, "SIGTERM")),
        "init" if last == "/init" && S6_OVERLAY.into_iter().any(has) => Some((Init::S6, "SIGTERM")),
        // Alpine's: it halts at SIGUSR1, and takes SIGTERM for a wish to begin anew.
        "busybox" if file_name(first) == "init" && has("sbin/openrc") => {
            Some((Init::OpenRc, "SIGUSR1"))
        }
        _ => None,
    }
}

fn open(root: &Fd, path: &str, flags: u32) -> sys::Result<Fd> {
    fs::open_at2(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
}

/// The paths by which a program is found, from link to link, the last one being the regular file. Every one of them is
/// looked up below the root directory.
fn follow(root: &Fd, path: &str) -> Option<Vec<String>> {
    let mut paths = vec![path.to_owned()];
    for _ in 0..LINKS_LIMIT {
        let last = paths.last()?;
        let file = open(root, last, O_PATH | O_NOFOLLOW).ok()?;
        match fs::stat_fd(&file).ok()?.st_mode & S_IFMT {
            S_IFREG => return Some(paths),
            S_IFLNK => {
                let target = String::from_utf8(fs::read_link(&file, "").ok()?).ok()?;
                let dir = last.rsplit_once('/').map_or("", |(dir, _)| dir);
                let next = match target.starts_with('/') {
                    true => target,
                    // The kernel knows where `..` leads, when what is before it is a link.
                    false => format!("{dir}/{target}"),
                };
                if next.len() > PATH_LIMIT_BYTES {
                    return None;
                }
                paths.push(next);
            }
            _ => return None,
        }
    }
    None
}

/// What an image has would be every container's that is made of it. An ID that is there also says that this is not the
/// first boot, in which systemd asks questions at the console.
fn write_machine_id(root: &Fd, id: &str) -> sys::Result<()> {
    const NAME: &str = "machine-id";
    let etc = match open(root, "etc", O_PATH | O_DIRECTORY) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        etc => etc?,
    };
    match fs::unlink(&etc, NAME, 0) {
        Err(Errno::ENOENT) => {}
        removed => removed?,
    }
    let file = fs::open_at(&etc, NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o444)?;
    fs::write_all(&file, format!("{id}\n").as_bytes())
}

/// Whether the program has a terminal: also without `--tty` systemd wants a console, whose output is the log.
pub(crate) fn has_terminal(config: &Config) -> bool {
    config.tty || Init::of(config) == Some(Init::Systemd)
}

/// The program and its arguments. systemd takes those of the kernel from them: without somebody at the console it
/// shows the journal instead of its own signs.
pub(super) fn words(config: &Config) -> Vec<&str> {
    let mut words: Vec<&str> =
        config.entrypoint.iter().chain(&config.cmd).map(String::as_str).collect();
    if Init::of(config) == Some(Init::Systemd) && !config.tty && may_be_init(config) {
        words.splice(1..1, ["systemd.journald.forward_to_console=1", "systemd.show_status=auto"]);
        if !is_unified() {
            words.insert(1, LEGACY);
        }
    }
    words
}

/// Whether the machine has nothing but cgroup v2.
fn is_unified() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// What says to an init where it is.
pub(super) fn environment(config: &Config) -> Vec<String> {
    match Init::of(config) {
        Some(Init::Systemd) => {
            let id = config.id.get(..MACHINE_ID_DIGITS).unwrap_or_default();
            vec!["container=tare".into(), format!("container_uuid={id}")]
        }
        // One of the names that it knows: it leaves out what is the host's.
        Some(Init::OpenRc) => vec!["container=lxc".into()],
        Some(Init::S6) | None => Vec::new(),
    }
}

/// What it finds in memory, with what the image has there.
pub(super) fn mounts(config: &Config) -> Vec<Value> {
    let Some(init) = Init::of(config) else { return Vec::new() };
    let all = [
        ("/run", "mode=755", true),
        ("/run/lock", "mode=1777", init.is_whole()),
        ("/tmp", "mode=1777", init.is_whole()),
        ("/var/log/journal", "mode=755", init == Init::Systemd),
    ];
    let mount = |(to, mode, _): &(&str, &str, bool)| {
        json!({
            "destination": to, "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", mode, "tmpcopyup"]
        })
    };
    all.iter().filter(|(.., is_wanted)| *is_wanted).map(mount).collect()
}

/// What its processes may do. `owns_users`: in a user namespace that is not the host's.
pub(super) fn rules(config: &Config, owns_users: bool) -> Result<Rules> {
    let is_whole = Init::of(config).is_some_and(Init::is_whole);
    let is_chosen = matches!(config.security.preset.as_str(), "strict" | "none");
    if !is_whole || is_chosen || config.security.privileged {
        return security::rules(&config.security);
    }
    let mut security = config.security.clone();
    let drops_all = security.cap_drop.iter().any(|name| name.eq_ignore_ascii_case("all"));
    if !drops_all {
        let more = if owns_users { &OWN_CAPABILITIES[..] } else { &SHARED_CAPABILITIES };
        security.cap_add.extend(more.iter().map(ToString::to_string));
    }
    let mut rules = security::rules(&security)?;
    let is_said = |option: &String| option.starts_with("no-new-privileges");
    if !config.security.options.iter().any(is_said) {
        // Its users log in and become others by setuid programs, as on every machine.
        rules.no_new_privileges = false;
    }
    if config.security.seccomp.is_empty()
        && let Some(filter) = &mut rules.seccomp
    {
        narrow(filter);
    }
    Ok(rules)
}

fn narrow(filter: &mut Value) {
    for rule in filter["syscalls"].as_array_mut().into_iter().flatten() {
        let is_allowed = rule["action"] == "SCMP_ACT_ALLOW";
        if let Some(names) = rule["names"].as_array_mut().filter(|_| is_allowed) {
            names.retain(|name| !name.as_str().is_some_and(|name| NOT_NEEDED.contains(&name)));
        }
    }
    if let Some(rules) = filter["syscalls"].as_array_mut() {
        rules.retain(|rule| rule["names"].as_array().is_none_or(|names| !names.is_empty()));
    }
}

/// What the end of a container's first process comes to: its exit code, and whether it wants to be started anew.
/// `reboot(2)` in a container ends it by a signal.
pub(crate) fn outcome(config: &Config, exit: Exit) -> (i32, bool) {
    match (Init::of(config), exit) {
        (Some(_), Exit::Signal(HALTED)) => (0, false),
        (Some(_), Exit::Signal(REBOOTED)) => (0, true),
        (_, exit) => (exit.shell_code(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Tree(PathBuf);

    impl Tree {
        /// Files, and links with `>` between name and target.
        fn new(name: &str, entries: &[&str]) -> Self {
            let top =
                std::env::temp_dir().join(format!("tare-system-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&top);
            for entry in entries {
                let (path, target) = entry.split_once('>').unwrap_or((entry, ""));
                let path = top.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                match target {
                    "" => std::fs::write(path, "").unwrap(),
                    target => symlink(target, path).unwrap(),
                }
            }
            Self(top)
        }

        fn look(&self, program: &str) -> Option<(Init, &'static str)> {
            let path = self.0.to_str().unwrap();
            let root = fs::open_at(sys::CWD, path, O_PATH | O_DIRECTORY, 0).unwrap();
            let config = Config { cmd: vec![program.into()], ..Config::default() };
            recognise(&root, &config).filter(|_| may_be_init(&config))
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn inits_are_known_by_their_files() {
        let systemd = Some((Init::Systemd, "SIGRTMIN+3"));
        let openrc = Some((Init::OpenRc, "SIGTERM"));
        let s6 = Some((Init::S6, "SIGTERM"));
        for (name, entries, program, wanted) in [
            (
                "debian",
                &[
                    "sbin>usr/sbin",
                    "lib>usr/lib",
                    "usr/sbin/init>../lib/systemd/systemd",
                    "usr/lib/systemd/systemd",
                ][..],
                "/sbin/init",
                systemd,
            ),
            ("plain", &["lib/systemd/systemd"], "/lib/systemd/systemd", systemd),
            (
                "path",
                &[
                    "usr/sbin/init>/nix/store/x-systemd/lib/systemd/systemd",
                    "nix/store/x-systemd/lib/systemd/systemd",
                ],
                "init",
                systemd,
            ),
            ("gentoo", &["sbin/init>openrc-init", "sbin/openrc-init"], "/sbin/init", openrc),
            ("openrc", &["sbin/openrc-init"], "openrc-init", openrc),
            (
                "alpine",
                &["sbin/init>/bin/busybox", "bin/busybox", "sbin/openrc"],
                "/sbin/init",
                Some((Init::OpenRc, "SIGUSR1")),
            ),
            ("busybox", &["sbin/init>/bin/busybox", "bin/busybox"], "/sbin/init", None),
            ("sysvinit", &["sbin/init"], "/sbin/init", None),
            ("overlay-3", &["init", "package/admin/s6-overlay/x"], "/init", s6),
            ("overlay-2", &["init", "etc/s6/init/init-stage1"], "/init", s6),
            ("own", &["init"], "/init", None),
            ("svscan", &["usr/bin/s6-svscan"], "s6-svscan", s6),
            ("missing", &["sbin/init>/lib/systemd/systemd"], "/sbin/init", None),
            ("loop", &["sbin/init>init"], "/sbin/init", None),
            ("directory", &["lib/systemd/systemd/x"], "/lib/systemd/systemd", None),
            ("other", &["usr/bin/my-systemd"], "my-systemd", None),
        ] {
            assert_eq!(Tree::new(name, entries).look(program), wanted, "{name}");
        }
    }

    #[test]
    fn links_of_inits_do_not_lead_out() {
        let outside = Tree::new("outside", &["systemd"]);
        let out = outside.0.to_str().unwrap();
        let up = "../".repeat(20);
        let link = |target: &str| format!("sbin/init>{target}");
        for target in [
            format!("{out}/systemd"),
            format!("{up}{out}/systemd"),
            format!("/proc/self/root{out}/systemd"),
        ] {
            let tree = Tree::new("inside", &[&link(&target)]);
            assert_eq!(tree.look("/sbin/init"), None, "{target}");
            // The same path below the root is one.
            let inside = format!("{}/systemd", out.trim_start_matches('/'));
            let tree = Tree::new("inside", &[&link(&target), &inside]);
            let is_found = !target.starts_with("/proc");
            assert_eq!(tree.look("/sbin/init").is_some(), is_found, "{target}");
        }
    }

    fn of(system: &str) -> Config {
        Config {
            id: "0123456789abcdef0123456789abcdef0123".into(),
            system: system.into(),
            cmd: vec!["/sbin/init".into(), "own".into()],
            ..Config::default()
        }
    }

    #[test]
    fn rights_reach_no_further_than_the_users() {
        let all = rules(&of("systemd"), true).unwrap();
        let shared = rules(&of("systemd"), false).unwrap();
        let plain = rules(&of(""), true).unwrap();
        let has = |rules: &Rules, name: &str| rules.capabilities.contains(&name);
        assert!(has(&all, "CAP_SYS_ADMIN") && has(&all, "CAP_SYS_BOOT"));
        assert!(!has(&shared, "CAP_SYS_ADMIN") && !has(&shared, "CAP_SYS_BOOT"));
        assert!(has(&shared, "CAP_SYS_CHROOT") && !has(&plain, "CAP_SYS_CHROOT"));
        for name in [
            "CAP_NET_ADMIN",
            "CAP_NET_RAW",
            "CAP_MKNOD",
            "CAP_SYS_MODULE",
            "CAP_SYS_TIME",
            "CAP_SYS_RAWIO",
            "CAP_BPF",
        ] {
            assert!(!has(&all, name), "{name}");
        }
        assert!(plain.no_new_privileges && !all.no_new_privileges);
        let text = |rules: &Rules| rules.seccomp.as_ref().unwrap().to_string();
        assert!(text(&all).contains("\"mount\"") && !text(&shared).contains("\"mount\""));
        for name in NOT_NEEDED {
            assert!(!text(&all).contains(&format!("\"{name}\"")), "{name}");
        }
        // What somebody has asked for counts.
        let mut config = of("systemd");
        config.security.cap_drop = vec!["all".into()];
        config.security.options = vec!["no-new-privileges".into()];
        let least = rules(&config, true).unwrap();
        assert!(least.capabilities.is_empty() && least.no_new_privileges);
        config = of("systemd");
        config.security.cap_drop = vec!["sys_admin".into()];
        assert!(!has(&rules(&config, true).unwrap(), "CAP_SYS_ADMIN"));
        config.security.preset = "strict".into();
        assert!(rules(&config, true).unwrap().capabilities.is_empty());
        assert_eq!(rules(&of("s6"), true).unwrap().capabilities, plain.capabilities);
    }

    #[test]
    fn the_journal_is_shown_unless_somebody_is_at_the_console() {
        let mut config = of("systemd");
        let count = if is_unified() { 4 } else { 5 };
        assert_eq!(words(&config).len(), count);
        assert_eq!((words(&config)[0], words(&config)[count - 1]), ("/sbin/init", "own"));
        config.tty = true;
        assert_eq!(words(&config), ["/sbin/init", "own"]);
        // It may be anything that somebody has called an init.
        config = of("systemd");
        config.entrypoint = vec!["/start".into()];
        assert_eq!(words(&config).len(), 3);
        assert_eq!(words(&of("openrc")), ["/sbin/init", "own"]);
        assert_eq!(
            environment(&of("systemd")),
            ["container=tare", "container_uuid=0123456789abcdef0123456789abcdef"]
        );
    }

    #[test]
    fn a_reboot_is_another_start() {
        let config = of("openrc");
        assert_eq!(outcome(&config, Exit::Signal(1)), (0, true));
        assert_eq!(outcome(&config, Exit::Signal(2)), (0, false));
        assert_eq!(outcome(&config, Exit::Signal(9)), (137, false));
        assert_eq!(outcome(&config, Exit::Code(3)), (3, false));
        assert_eq!(outcome(&of(""), Exit::Signal(1)), (129, false));
    }
}
