//! `--security strict|default|docker|none`: the table of docs/security-presets.md is what containers find.

use super::running::box_with;
use std::collections::BTreeMap;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/security-presets.md");
const PRESETS: [&str; 4] = ["strict", "default", "docker", "none"];

/// What a container looks at, and how the page calls it.
const ROWS: [(&str, &str); 12] = [
    ("capabilities of root", "busybox awk '/^CapEff/ {print $2}' /proc/self/status"),
    ("capabilities that can ever be had", "busybox awk '/^CapBnd/ {print $2}' /proc/self/status"),
    (
        "setuid programs raise rights",
        "busybox awk '/^NoNewPrivs/ {print $2 ? \"no\" : \"yes\"}' /proc/self/status",
    ),
    (
        "system calls are filtered",
        "busybox awk '/^Seccomp:/ {print $2 == 2 ? \"yes\" : \"no\"}' /proc/self/status",
    ),
    ("new namespaces inside", "busybox unshare -m busybox true 2>/dev/null && echo yes || echo no"),
    (
        "what tells of the machine is covered",
        "busybox grep -q -e ' /proc/keys ' -e ' /proc/timer_list ' -e ' /sys/firmware ' /proc/mounts && echo yes || echo no",
    ),
    (
        "`/proc/sys` can be written",
        "busybox grep -q ' /proc/sys proc ro' /proc/mounts && echo no || echo yes",
    ),
    (
        "`/sys` can be written",
        "busybox awk '$2 == \"/sys\" {print substr($4, 1, 2) == \"ro\" ? \"no\" : \"yes\"}' /proc/mounts",
    ),
    ("the root directory can be written", "(echo > /new) 2>/dev/null && echo yes || echo no"),
    (
        "user namespace of its own",
        "[ \"$(busybox awk '{print $3}' /proc/self/uid_map)\" = 4294967295 ] && echo no || echo yes",
    ),
    ("processes", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"),
    ("devices", "ls /dev | busybox grep -cv -e pts -e shm -e mqueue -e fd -e std -e core -e ptmx"),
];

/// The names of capabilities in a mask, short.
fn names(mask: &str, all: &str) -> String {
    if mask == all {
        return "all".into();
    }
    let mask = u64::from_str_radix(mask, 16).unwrap_or(0);
    // In the order of their numbers (linux/capability.h).
    const NAMES: [&str; 41] = [
        "chown",
        "dac_override",
        "dac_read_search",
        "fowner",
        "fsetid",
        "kill",
        "setgid",
        "setuid",
        "setpcap",
        "linux_immutable",
        "net_bind_service",
        "net_broadcast",
        "net_admin",
        "net_raw",
        "ipc_lock",
        "ipc_owner",
        "sys_module",
        "sys_rawio",
        "sys_chroot",
        "sys_ptrace",
        "sys_pacct",
        "sys_admin",
        "sys_boot",
        "sys_nice",
        "sys_resource",
        "sys_time",
        "sys_tty_config",
        "mknod",
        "lease",
        "audit_write",
        "audit_control",
        "setfcap",
        "mac_override",
        "mac_admin",
        "syslog",
        "wake_alarm",
        "block_suspend",
        "audit_read",
        "perfmon",
        "bpf",
        "checkpoint_restore",
    ];
    let set: Vec<&str> =
        (0..NAMES.len()).filter(|bit| mask >> bit & 1 == 1).map(|bit| NAMES[bit]).collect();
    match set.len() {
        0 => "none".into(),
        count => format!("{count}: {}", set.join(" ")),
    }
}

#[test]
fn presets_are_what_the_page_says() {
    let Some(scratch) = box_with("presets_are_what_the_page_says", &["CMD [\"sh\"]"]) else {
        return;
    };
    let script: String = ROWS.iter().map(|(_, look)| format!("echo \"$( {look} )\"\n")).collect();
    let mut columns: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for preset in PRESETS {
        let said = scratch.ok(&["run", "--rm", "--security", preset, "box:1", "sh", "-c", &script]);
        let values: Vec<String> = said.lines().map(str::to_owned).collect();
        assert_eq!(values.len(), ROWS.len(), "{preset}: {said}");
        columns.insert(preset, values);
    }
    // What is not said is the default.
    let said = scratch.ok(&["run", "--rm", "box:1", "sh", "-c", &script]);
    assert_eq!(said.lines().collect::<Vec<_>>(), columns["default"]);
    // A machine may be a container itself, with fewer of them.
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let all = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap().to_owned();
    let mut page = String::from(
        "# Presets of rights\n\nWhat a container of root's finds with `tare run --security PRESET`, as \
         `presets_are_what_the_page_says` looks at it. `--cap-add`, `--cap-drop`, `--security-opt`, `--read-only`, \
         `--userns`, `--pids-limit` and `--network` change each of it; without an option the preset is `default`, and \
         `inspect` shows it as `HostConfig.SecurityPreset`. The network is the same with all: a bridge of the \
         containers' own, or what `--network` says. Ordinary users' containers have a user namespace always, and the \
         rights are rights in that.\n\n| | `strict` | `default` | `docker` | `none` |\n|---|---|---|---|---|\n",
    );
    for (row, (name, _)) in ROWS.iter().enumerate() {
        let shown = |preset: &&str| {
            let value = &columns[*preset][row];
            if name.starts_with("capabilities") { names(value, &all) } else { value.clone() }
        };
        let cells: Vec<String> = PRESETS.iter().map(shown).collect();
        page.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    if std::env::var_os("TARE_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(kept == page, "{PAGE}: TARE_WRITE_DOCS=1 writes it anew\n{page}");
    scratch.ok(&["create", "--name", "it", "--security", "strict", "box:1"]);
    assert_eq!(
        scratch.ok(&["inspect", "--format", "{{.HostConfig.SecurityPreset}}", "it"]),
        "strict"
    );
    scratch.ok(&["rm", "it"]);
    let text = scratch.tare(&["run", "--security", "loose", "box:1"]);
    assert!(!text.status.success());
}
