//! R13 and R16: what a container sees and may change of the machine in `/proc`, `/sys` and cgroups.

use e2e::{Bundle, is_root, program, skip, stderr, stdout, unprotected};
use serde_json::json;
use std::process::Command;

/// What may be read below `/proc` outside of the container's own processes; numbers stand for all
/// numbers, a slash at the end for everything below.
const PROC: &[&str] = &[
    "bootconfig",
    "buddyinfo",
    "bus/",
    "cgroups",
    "cmdline",
    "config.gz",
    "consoles",
    "cpuinfo",
    "crypto",
    "devices",
    "diskstats",
    "dma",
    "driver/",
    "execdomains",
    "fb",
    "filesystems",
    "fs/",
    // Addresses only for CAP_SYS_ADMIN.
    "iomem",
    "ioports",
    "irq/",
    // Addresses only for CAP_SYSLOG, as /proc/modules and /proc/vmallocinfo.
    "kallsyms",
    "key-users",
    "loadavg",
    "locks",
    "mdstat",
    "meminfo",
    "misc",
    "modules",
    "mtrr",
    "pagetypeinfo",
    "partitions",
    "pressure/",
    "schedstat",
    "slabinfo",
    "softirqs",
    "stat",
    "swaps",
    "sys/",
    "sysvipc/",
    "tty/",
    "uptime",
    "version",
    "vmallocinfo",
    "vmstat",
    "zoneinfo",
];

/// The same below `/sys`. Devices are the machine's hardware, which programs ask for.
const SYS: &[&str] = &[
    "block/",
    "bus/",
    "class/",
    "dev/",
    "devices/LNXSYSTM:#/",
    "devices/breakpoint/",
    "devices/cpu/",
    "devices/cpu_atom/",
    "devices/cpu_core/",
    "devices/faux/",
    "devices/intel_pt/",
    "devices/isa/",
    "devices/kprobe/",
    "devices/msr/",
    "devices/pci#:#/",
    "devices/platform/",
    "devices/pnp#/",
    "devices/rbd/",
    "devices/software/",
    "devices/system/",
    "devices/tracepoint/",
    "devices/uncore",
    "devices/uprobe/",
    "devices/virtual/bdi/",
    "devices/virtual/block/",
    "devices/virtual/cpuid/",
    "devices/virtual/dmi/",
    "devices/virtual/graphics/",
    "devices/virtual/input/",
    "devices/virtual/iommu/",
    "devices/virtual/mem/",
    "devices/virtual/memory_tiering/",
    "devices/virtual/misc/",
    "devices/virtual/msr/",
    "devices/virtual/net/",
    "devices/virtual/tty/",
    "devices/virtual/vc/",
    "devices/virtual/vtconsole/",
    "devices/virtual/workqueue/",
    "devices/virtual/xt_idletimer/",
    "fs/btrfs/",
    "fs/cgroup/",
    "fs/erofs/",
    "fs/ext#/",
    "fs/f#fs/",
    "fs/fuse/",
    "fs/xfs/",
    "hypervisor/",
    "kernel/address_bits",
    "kernel/boot_params/",
    "kernel/btf/",
    "kernel/cgroup/",
    "kernel/cpu_byteorder",
    "kernel/crash_elfcorehdr_size",
    "kernel/fscaps",
    "kernel/hardlockup_count",
    "kernel/iommu_groups/",
    "kernel/irq/",
    "kernel/kexec_",
    "kernel/livepatch/",
    "kernel/mm/",
    "kernel/notes",
    "kernel/oops_count",
    "kernel/profiling",
    "kernel/rcu_",
    "kernel/reboot/",
    "kernel/slab/",
    "kernel/softlockup_count",
    "kernel/software_nodes/",
    "kernel/uevent_helper",
    "kernel/uevent_seqnum",
    "kernel/vmcoreinfo",
    "kernel/warn_count",
    "module/",
    "power/",
];

/// What container root may open for writing; the kernel asks for a capability when it writes.
const WRITABLE: &[&str] = &[
    "/proc/mtrr",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/irq",
    "/proc/pressure/memory",
];

/// Measurements of power and heat tell what neighbours compute (CVE-2020-8694); wherever they are.
const FORBIDDEN: [&str; 4] = ["energy", "powercap", "rapl", "thermal"];

/// `cpu12` is `cpu#`.
fn class_of(path: &str) -> String {
    let mut class = String::new();
    for c in path.chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if c != '#' || !class.ends_with('#') {
            class.push(c);
        }
    }
    class
}

fn is_listed(list: &[&str], class: &str) -> bool {
    list.iter().any(|known| match known.ends_with(['/', '_']) || known.ends_with("uncore") {
        true => class.starts_with(known),
        false => class == *known,
    })
}

/// The classes of what a walk found and the lists do not have.
fn unlisted(walk: &str) -> Vec<String> {
    let forbidden = |line: &&str| {
        let (access, path) = line.split_once(' ').unwrap_or(("", line));
        let class = class_of(path);
        // Switches and parameters that only have such a name.
        let module = class.starts_with("/sys/module/");
        let measured =
            class.starts_with("/sys/") && FORBIDDEN.iter().any(|word| class.contains(word));
        !match access {
            "w" => WRITABLE.contains(&path),
            _ if measured => module,
            _ => match class.strip_prefix("/proc/") {
                Some(below) => is_listed(PROC, below),
                None => class.strip_prefix("/sys/").is_some_and(|below| is_listed(SYS, below)),
            },
        }
    };
    let lines = walk.lines().filter(|line| !line.starts_with("interrupted"));
    let mut found: Vec<String> = lines.filter(forbidden).map(class_of).collect();
    found.sort();
    found.dedup();
    found
}

/// R16: every file of /proc and /sys that gives a container a byte, or could be written by its
/// root, is one that is listed here.
#[test]
fn r16_proc_and_sys_show_only_what_is_listed() {
    let test = "r16_proc_and_sys_show_only_what_is_listed";
    let Some(mut bundle) = Bundle::new(test).filter(|bundle| bundle.arm(test)) else { return };
    let walk = ["/bin/attack", "walk", "/proc", "/sys"];
    let text = stdout(&bundle.args(&walk).run());
    assert!(text.lines().count() > 500 && text.contains("r /proc/version\n"), "{text}");
    assert_eq!(unlisted(&text), Vec::<String>::new());
    // Without masks, more is seen and could be changed.
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    let found = unlisted(&stdout(&bundle.run()));
    for expected in ["r /proc/interrupts", "w /proc/sys/kernel/panic", "w /proc/irq/#/smp_affinity"]
    {
        assert!(found.iter().any(|class| class == expected), "{expected}: {found:?}");
    }
}

/// What this machine does not have would be seen, too.
#[test]
fn r16_the_lists_know_what_leaks() {
    for path in [
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/sched_debug",
        "/proc/latency_stats",
        "/proc/acpi/alarm",
        "/proc/scsi/scsi",
        "/proc/kpageflags",
        "/proc/new-in-this-kernel",
        "/sys/firmware/efi/runtime",
        "/sys/devices/virtual/powercap/intel-rapl/intel-rapl:0/energy_uj",
        "/sys/devices/system/cpu/cpu7/thermal_throttle/core_throttle_count",
        "/sys/devices/virtual/thermal/thermal_zone0/temp",
        "/sys/devices/pci0000:00/0000:00:18.3/hwmon/hwmon1/energy1_input",
        "/sys/kernel/debug/sched/debug",
        "/sys/kernel/tracing/trace",
        "/sys/kernel/security/apparmor/profiles",
        "/sys/fs/selinux/policy",
        "/sys/fs/pstore/dmesg-0",
    ] {
        let class = class_of(&format!("r {path}"));
        assert_eq!(unlisted(&format!("r {path}\n")), [class]);
    }
    let writable = "w /proc/sysrq-trigger\nw /sys/power/state\nw /proc/pressure/cpu\n";
    assert_eq!(unlisted(writable), ["w /proc/sysrq-trigger", "w /sys/power/state"]);
}

/// R16: the masks cover what other machines have: a tree that has it all.
#[test]
fn r16_every_mask_covers() {
    let test = "r16_every_mask_covers";
    let Some(mut bundle) = Bundle::new(test).filter(|bundle| bundle.arm(test)) else { return };
    let masked = bundle.config["linux"]["maskedPaths"].as_array().unwrap().clone();
    let tree = bundle.path("tree");
    let mut covered = 0;
    for path in &masked {
        let Some(below) = path.as_str().unwrap().strip_prefix("/sys/") else { continue };
        std::fs::create_dir_all(format!("{tree}/{below}")).unwrap();
        std::fs::write(format!("{tree}/{below}/secret"), "secret").unwrap();
        covered += 1;
    }
    assert!(covered >= 6, "{masked:?}");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
    mounts.push(json!({"destination": "/sys", "source": tree, "options": ["bind", "ro"]}));
    let secrets = |bundle: &mut Bundle| {
        let text = stdout(&bundle.args(&["/bin/attack", "walk", "/sys"]).run());
        text.lines().filter(|line| line.ends_with("/secret")).count()
    };
    assert_eq!(secrets(&mut bundle), 0);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    assert_eq!(secrets(&mut bundle), covered);
}

/// R16 for `tare run`.
#[test]
fn r16_tare_run_has_the_same_masks() {
    if !is_root() {
        return skip("r16_tare_run_has_the_same_masks", "needs root");
    }
    let run = |args: &[&str]| Command::new(program("tare")).args(args).output().unwrap();
    let output =
        run(&["run", "--rm", "host:cat", "/proc/interrupts", "/proc/keys", "/proc/timer_list"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(0)), "{output:?}");
    let output =
        run(&["run", "--rm", "--with", "sh", "host:sh", "-c", "echo 1 > /proc/sys/kernel/panic"]);
    assert!(stderr(&output).contains("Read-only file system"), "{output:?}");
    // The host's are there to be read.
    assert!(stdout(&unprotected("cat /proc/interrupts")).contains("CPU0"));
}

/// R13 (CVE-2023-25809): cgroups cannot be written, also in a user namespace that shares the
/// host's cgroup namespace and has the host's root.
#[test]
fn r13_cgroups_are_read_only() {
    let test = "r13_cgroups_are_read_only";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let script = "cd /sys/fs/cgroup; find . -type d | while read -r d; do \
                  mkdir $d/new 2>/dev/null && echo made $d; done; \
                  for f in cgroup.procs */cgroup.procs; do \
                  [ -e $f ] && { echo 0 > $f; } 2>/dev/null && echo joined $f; done; \
                  find . -name new -type d | while read -r d; do rmdir $d; done; echo end";
    let script = &script.replace("find ", "busybox find ").replace("mkdir ", "busybox mkdir ");
    let script = &script.replace("rmdir ", "busybox rmdir ");
    assert_eq!(stdout(&bundle.sh(script)), "end\n");
    let own = bundle.config.clone();
    // The same container, where the mount may be written: the control.
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["destination"] == "/sys/fs/cgroup" {
            mount["options"].as_array_mut().unwrap().retain(|option| option != "ro");
        }
    }
    assert!(stdout(&bundle.sh(script)).contains("made"), "{}", stderr(&bundle.sh(script)));
    // As `spec --rootless` has it, for the host's root.
    let text = bundle.path("rootless");
    std::fs::create_dir(text).unwrap();
    assert!(bundle.runtime(&["spec", "--rootless", "--bundle", text]).status.success());
    let spec = std::fs::read(format!("{text}/config.json")).unwrap();
    bundle.config = serde_json::from_slice(&spec).unwrap();
    bundle.config["process"]["terminal"] = json!(false);
    bundle.config["linux"]["cgroupsPath"] = own["linux"]["cgroupsPath"].clone();
    let output = bundle.sh(script);
    assert_eq!(stdout(&output), "end\n", "{}", stderr(&output));
}
