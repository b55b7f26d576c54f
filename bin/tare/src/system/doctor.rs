//! `tare doctor`: what this machine lets the caller do, and who can change that.

use crate::caller::Caller;
use crate::failure::Result;
use crate::output;
use crate::settings::Global;
use clap::{Args, ValueEnum};
use std::fs;
use std::path::Path;
use template::{Field, Struct, Value};

/// Say what works on this machine, and what to do about the rest
///
/// Ends with 1 if containers cannot run at all.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare doctor --format json")]
pub(crate) struct Doctor {
    /// How it is shown
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// Something is not there that some need.
    Missing,
    /// Without it nothing runs.
    Fatal,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Missing => "missing",
            Self::Fatal => "fails",
        }
    }
}

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    verdict: Verdict,
    /// What is there, or why not.
    detail: String,
    /// What to do.
    hint: &'static str,
}

impl Finding {
    fn new(
        what: &'static str,
        is_fine: bool,
        detail: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        let verdict = if is_fine { Verdict::Fine } else { Verdict::Missing };
        Self { what, verdict, detail: detail.into(), hint }
    }

    fn needed(self) -> Self {
        match self.verdict {
            Verdict::Missing => Self { verdict: Verdict::Fatal, ..self },
            _ => self,
        }
    }
}

pub(crate) fn run(global: &Global, arguments: &Doctor) -> Result<u8> {
    let caller = Caller::new();
    let is_root = sys::ids::is_administrator();
    let mut findings =
        vec![kernel(), file_systems(), cgroups(is_root, caller.uid), filter(), profiles()];
    findings.push(user_namespaces(is_root));
    if !is_root {
        findings.extend([ranges(&caller), helpers()]);
    }
    findings.push(idmaps(is_root));
    match is_root {
        true => findings.extend([rules(), bridges()]),
        false => findings.extend([pasta(), bridges()]),
    }
    findings.push(devices(global, &caller));
    findings.extend([store(global), containers(global)]);
    match arguments.format {
        Form::Json => {
            let rows = findings.iter().map(|it| {
                Struct::value(
                    "finding",
                    vec![
                        Field::new("Check", it.what),
                        Field::new("Verdict", it.verdict.word()),
                        Field::new("Detail", it.detail.as_str()),
                        Field::new("Hint", if it.verdict == Verdict::Fine { "" } else { it.hint }),
                    ],
                )
            });
            output::write(&output::pretty(&Value::list(rows)))?;
        }
        Form::Text => output::write(text(&findings).as_bytes())?,
    }
    Ok(u8::from(findings.iter().any(|it| it.verdict == Verdict::Fatal)))
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for it in findings {
        text.push_str(&format!("{:<8} {:<22} {}\n", it.verdict.word(), it.what, it.detail));
        if it.verdict != Verdict::Fine {
            text.push_str(&format!("{:<31} -> {}\n", "", it.hint));
        }
    }
    text
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let numbers: Vec<u32> = release
        .split(|it: char| !it.is_ascii_digit())
        .take(2)
        .filter_map(|it| it.parse().ok())
        .collect();
    let is_new = numbers >= vec![5, 12];
    let detail = format!("Linux {}", release.trim());
    Finding::new(
        "kernel",
        is_new,
        detail,
        "from 5.12 on mounts are made by descriptors; older ones work by slower ways",
    )
}

fn file_systems() -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has = |name: &str| known.lines().any(|line| line.split_whitespace().last() == Some(name));
    let hint = "`modprobe overlay`; without it layers are copied for each container and mount";
    Finding::new(
        "overlayfs",
        has("overlay"),
        if has("overlay") { "layers are stacked" } else { "the kernel has none" },
        hint,
    )
}

/// What limits need; a pause and what is used are read there, too.
const LIMITING: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

fn cgroups(is_root: bool, uid: u32) -> Finding {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers");
    let delegate = "an administrator delegates controllers to users: `systemctl edit user@.service`, with `[Service]` and \
                    `Delegate=cpu cpuset io memory pids`";
    let (detail, is_fine, hint) = match (fs::read_to_string(unified), is_root) {
        (Ok(list), true) => (format!("version 2: {}", list.trim()), true, ""),
        (Ok(_), false) => match engine::controllers_of_user(uid) {
            Some(list) => {
                let is_there = |name: &&str| list.iter().any(|it| it == name);
                let (there, missing): (Vec<&str>, Vec<&str>) =
                    LIMITING.iter().partition(|name| is_there(name));
                let without = match missing.is_empty() {
                    true => String::new(),
                    false => format!(", not {}", missing.join(" ")),
                };
                let detail = format!("version 2, delegated: {}{without}", there.join(" "));
                (detail, missing.is_empty(), delegate)
            }
            None => (
                "version 2, not delegated: no limit can be set".to_owned(),
                false,
                engine::NO_CONTROL_GROUPS_HINT,
            ),
        },
        (Err(_), _) if Path::new("/sys/fs/cgroup/memory").is_dir() => (
            "version 1".to_owned(),
            is_root,
            "nobody but root can limit containers there; boot with systemd.unified_cgroup_hierarchy=1",
        ),
        (Err(_), _) => ("none are mounted".to_owned(), false, "without them no limit can be set"),
    };
    Finding::new("cgroups", is_fine, detail, hint)
}

fn filter() -> Finding {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let hint = "a kernel with CONFIG_SECCOMP_FILTER, or --security-opt seccomp=unconfined";
    Finding::new(
        "seccomp",
        !actions.is_empty(),
        if actions.is_empty() { "the kernel has none" } else { "system calls are filtered" },
        hint,
    )
}

/// AppArmor is there or not; nothing here needs it.
fn profiles() -> Finding {
    let known = fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    let detail = match known.trim() {
        "Y" => "AppArmor is on: --security-opt apparmor=PROFILE chooses a profile that is loaded",
        _ => {
            "AppArmor is off: --security-opt apparmor=PROFILE is refused, and nothing else changes"
        }
    };
    Finding::new("apparmor", true, detail, "")
}

/// Tried with a mount that nobody sees.
fn idmaps(is_root: bool) -> Finding {
    let mapped = || -> std::result::Result<(), String> {
        let map = [oci::runtime::IdMapping { container_id: 0, host_id: 1, size: 1 }];
        let users = runtime::user_namespace(&map, &map).map_err(|error| error.to_string())?;
        let tree = sys::mount::clone_tree(sys::CWD, "/", false).map_err(|it| it.to_string())?;
        sys::mount::set_id_map(&tree, &users, false).map_err(|it| it.to_string())
    };
    if !is_root {
        let detail = "are root's: --userns keep-id and ranges of ids are in their place";
        return Finding::new("idmapped mounts", true, detail, "");
    }
    let tried = mapped();
    let detail = match &tried {
        Ok(()) => "containers can have ids of their own without a copy".to_owned(),
        Err(why) => format!("the kernel does not map the ids of a mount: {why}"),
    };
    let hint = "--userns auto and `-v ...:U` need Linux 5.19, and ext4, xfs, btrfs or another file system that knows them";
    Finding::new("idmapped mounts", tried.is_ok(), detail, hint)
}

fn user_namespaces(is_root: bool) -> Finding {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let count = read("/proc/sys/user/max_user_namespaces");
    if is_root {
        let detail = if count == "0" { "there may be none" } else { "can be made" };
        let hint =
            "`sysctl user.max_user_namespaces=31390`; --userns and system containers need them";
        return Finding::new("user namespaces", count != "0", detail, hint);
    }
    let debian = read("/proc/sys/kernel/unprivileged_userns_clone");
    let ubuntu = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let is_fine = count != "0" && debian != "0" && ubuntu != "1";
    let detail = if is_fine {
        "ordinary users may make them"
    } else {
        "they are forbidden to ordinary users"
    };
    let hint = "the administrator sets user.max_user_namespaces, kernel.unprivileged_userns_clone=1 or \
                kernel.apparmor_restrict_unprivileged_userns=0 by sysctl";
    Finding::new("user namespaces", is_fine, detail, hint).needed()
}

fn ranges(caller: &Caller) -> Finding {
    let own = caller.uid.to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&own.as_str())).then(|| fields[0].to_owned())
    });
    let has = |path: &str| {
        let table = fs::read_to_string(path).unwrap_or_default();
        table.lines().any(|line| {
            let owner = line.split(':').next();
            owner == Some(&own) || (owner.is_some() && owner == name.as_deref())
        })
    };
    let is_fine = has("/etc/subuid") && has("/etc/subgid");
    let detail = if is_fine { "containers have many users" } else { "containers have root alone" };
    Finding::new(
        "ranges of ids",
        is_fine,
        detail,
        "`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`",
    )
}

fn on_path(name: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"]
        .iter()
        .any(|dir| Path::new(dir).join(name).exists())
}

fn helpers() -> Finding {
    let is_fine = on_path("newuidmap") && on_path("newgidmap");
    let detail = if is_fine {
        "newuidmap and newgidmap are there"
    } else {
        "newuidmap or newgidmap is not there"
    };
    Finding::new("helpers for ids", is_fine, detail, "install the package uidmap (shadow-utils)")
}

fn pasta() -> Finding {
    let is_fine = on_path("pasta");
    let detail = match is_fine {
        true => "pasta is there: `tare network create` makes networks of one's own",
        false => "containers have no way out but the host's network, and publish no ports",
    };
    let hint =
        "install the package passt; --network host and `network create --internal` work without";
    Finding::new("networks", is_fine, detail, hint)
}

fn rules() -> Finding {
    const NETFILTER: u32 = 12;
    let is_fine = sys::socket::netlink(NETFILTER).is_ok();
    let detail = if is_fine { "rules can be made" } else { "the kernel has no netfilter" };
    let hint = "`modprobe nf_tables`; --network host works without";
    Finding::new("nftables", is_fine, detail, hint)
}

/// Part of the kernel, or a module that is there.
fn bridges() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = format!("/lib/modules/{}", release.trim());
    let lists = ["modules.builtin", "modules.dep"].map(|name| format!("{modules}/{name}"));
    let missing: Vec<&str> = [("bridge", "bridge/bridge.ko"), ("veth", "net/veth.ko")]
        .into_iter()
        .filter(|(name, file)| {
            let is_loaded = Path::new("/sys/module").join(name).is_dir();
            let is_listed =
                |list: &String| fs::read_to_string(list).is_ok_and(|text| text.contains(file));
            // A kernel that was made without modules says nothing.
            let is_silent = !Path::new(&modules).is_dir();
            !is_loaded && !is_silent && !lists.iter().any(is_listed)
        })
        .map(|(name, _)| name)
        .collect();
    let detail = match missing.is_empty() {
        true => "bridges and their devices can be made".to_owned(),
        false => format!("the kernel has no {}", missing.join(" and no ")),
    };
    let hint = "`modprobe bridge veth`, or a kernel that has them; --network host works without, of root's macvlan, too";
    Finding::new("bridge", missing.is_empty(), detail, hint)
}

/// CDI devices, if somebody has some.
fn devices(global: &Global, caller: &Caller) -> Finding {
    let all = engine::cdi::Catalogue::read(&crate::container::devices::spec_dirs(global, caller));
    let (detail, is_fine) = match all.refused().first() {
        Some((path, why)) => (format!("{} is refused: {why}", path.display()), false),
        None => (output::several(all.names().count(), "CDI device"), true),
    };
    Finding::new(
        "devices",
        is_fine,
        detail,
        "mend or remove the file; the vendor's tool writes it anew",
    )
}

fn store(global: &Global) -> Finding {
    let checked = crate::settings::open_store(global, &Caller::new(), false)
        .and_then(|store| Ok(store.fsck(store::Check::default())?));
    let (detail, is_fine) = match checked {
        Ok(found) if found.is_empty() => ("it is in order".to_owned(), true),
        Ok(found) => (output::several(found.len(), "finding"), false),
        Err(failure) => (failure.message().to_owned(), false),
    };
    Finding::new("store", is_fine, detail, "`tare fsck` says what, and --repair mends it")
}

fn containers(global: &Global) -> Finding {
    let hint = "`tare ps -a` shows them: without a supervisor nobody keeps what they say; `tare restart` gives them one";
    let listed = crate::container::open(global, true).and_then(|engine| Ok(engine.list()?));
    let (detail, is_fine) = match listed {
        Ok(all) => {
            let lost = all.iter().filter(|it| it.is_running() && !it.supervised).count();
            let running = all.iter().filter(|it| it.is_running()).count();
            match lost {
                0 => (
                    format!("{}, {running} running", output::several(all.len(), "container")),
                    true,
                ),
                lost => {
                    (format!("{} without a supervisor", output::several(lost, "container")), false)
                }
            }
        }
        Err(failure) => (failure.message().to_owned(), false),
    };
    Finding::new("containers", is_fine, detail, hint)
}
