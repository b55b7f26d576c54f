//! Every option of docker's `run` and `create`: what it does. The table is docs/docker-run.md, which the test holds. And
//! that the options of the other verbs are taken in their long and short forms; what they do is in `docker_verbs`.

use super::networks::Host;
use e2e::stderr;
use serde_json::Value;
use std::collections::BTreeMap;

const TABLE: &str = include_str!("../data/cli/docker-containers.json");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/docker-run.md");

/// What an option has to do.
enum Effect {
    /// What a command in the container prints has this in it.
    Inside(&'static str, &'static str),
    /// What `container inspect` prints by a template has this in it.
    Shown(&'static str, &'static str),
    /// It is refused, and the message has this in it.
    Refused(&'static str),
    /// It is taken, and there is nothing to see of it here.
    Taken,
}

use Effect::{Inside, Refused, Shown, Taken};

/// The options, how they are given, and what comes of them.
const ROWS: &[(&str, &str, Effect)] = &[
    ("--add-host", "--add-host db:10.9.8.7", Inside("cat /etc/hosts", "10.9.8.7\tdb")),
    ("--annotation", "--annotation a=b", Taken),
    ("--attach", "-a stdout", Inside("echo out; echo err >&2", "out")),
    ("--blkio-weight", "--blkio-weight 500", Shown("{{.HostConfig.BlkioWeight}}", "500")),
    ("--blkio-weight-device", "--blkio-weight-device /dev/nosuch:5", Refused("/dev/nosuch")),
    (
        "--cap-add",
        "--cap-add NET_RAW --cap-drop ALL",
        Inside("grep CapBnd /proc/self/status", "0000000000002000"),
    ),
    ("--cap-drop", "--cap-drop ALL", Inside("grep CapBnd /proc/self/status", "0000000000000000")),
    ("--cgroup-parent", "--cgroup-parent /tare/below", Inside("cat /proc/1/cgroup", ":/")),
    ("--cgroupns", "--cgroupns private", Inside("cat /proc/self/cgroup", ":/\n")),
    ("--cidfile", "--cidfile cid-file", Taken),
    ("--cpu-count", "--cpu-count 1", Refused("containers of Windows")),
    ("--cpu-percent", "--cpu-percent 1", Refused("containers of Windows")),
    (
        "--cpu-period",
        "--cpu-period 50000 --cpu-quota 25000",
        Shown("{{.HostConfig.CpuPeriod}}", "50000"),
    ),
    (
        "--cpu-quota",
        "--cpu-quota 25000",
        Inside(
            "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null",
            "25000",
        ),
    ),
    ("--cpu-rt-period", "--cpu-rt-period 1000000", Taken),
    ("--cpu-rt-runtime", "--cpu-rt-runtime 0", Taken),
    (
        "--cpu-shares",
        "-c 512",
        Inside("cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || echo 512", "512"),
    ),
    (
        "--cpus",
        "--cpus 0.5",
        Inside(
            "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null",
            "50000",
        ),
    ),
    (
        "--cpuset-cpus",
        "--cpuset-cpus 0",
        Inside("grep Cpus_allowed_list /proc/self/status", "\t0\n"),
    ),
    (
        "--cpuset-mems",
        "--cpuset-mems 0",
        Inside("grep Mems_allowed_list /proc/self/status", "\t0\n"),
    ),
    ("--detach", "-d", Taken),
    ("--detach-keys", "--detach-keys ctrl-a", Taken),
    ("--device", "--device /dev/full:/dev/mine:r", Inside("ls /dev/mine", "/dev/mine")),
    ("--device-cgroup-rule", "--device-cgroup-rule 'c 7:* rmw'", Taken),
    ("--device-read-bps", "--device-read-bps /dev/nosuch:1m", Refused("/dev/nosuch")),
    ("--device-read-iops", "--device-read-iops /dev/nosuch:5", Refused("/dev/nosuch")),
    ("--device-write-bps", "--device-write-bps /dev/nosuch:1m", Refused("/dev/nosuch")),
    ("--device-write-iops", "--device-write-iops /dev/nosuch:5", Refused("/dev/nosuch")),
    ("--disable-content-trust", "--disable-content-trust", Taken),
    ("--dns", "--dns 10.1.1.1", Inside("cat /etc/resolv.conf", "10.1.1.1")),
    (
        "--dns-option",
        "--dns 10.1.1.1 --dns-option ndots:3",
        Inside("cat /etc/resolv.conf", "options ndots:3"),
    ),
    (
        "--dns-search",
        "--dns 10.1.1.1 --dns-search a.example",
        Inside("cat /etc/resolv.conf", "search a.example"),
    ),
    (
        "--domainname",
        "--domainname d.example",
        Inside("cat /proc/sys/kernel/domainname", "d.example"),
    ),
    ("--entrypoint", "--entrypoint /bin/echo", Inside("said", "said")),
    ("--env", "-e A=b", Inside("echo $A", "b")),
    ("--env-file", "--env-file variables", Inside("echo $FROM_FILE", "yes")),
    ("--expose", "--expose 81", Shown("{{json .Config.ExposedPorts}}", "81/tcp")),
    ("--gpus", "--gpus all", Refused("no CDI specification")),
    ("--group-add", "--group-add 77", Inside("id", "77")),
    ("--health-cmd", "--health-cmd true", Shown("{{json .Config.Healthcheck.Test}}", "CMD-SHELL")),
    (
        "--health-interval",
        "--health-cmd true --health-interval 7s",
        Shown("{{.Config.Healthcheck.Interval}}", "7000000000"),
    ),
    (
        "--health-retries",
        "--health-cmd true --health-retries 4",
        Shown("{{.Config.Healthcheck.Retries}}", "4"),
    ),
    (
        "--health-start-interval",
        "--health-cmd true --health-start-interval 7s",
        Shown("{{.Config.Healthcheck.StartInterval}}", "7000000000"),
    ),
    (
        "--health-start-period",
        "--health-cmd true --health-start-period 7s",
        Shown("{{.Config.Healthcheck.StartPeriod}}", "7000000000"),
    ),
    (
        "--health-timeout",
        "--health-cmd true --health-timeout 7s",
        Shown("{{.Config.Healthcheck.Timeout}}", "7000000000"),
    ),
    ("--hostname", "-h here", Inside("cat /proc/sys/kernel/hostname", "here")),
    ("--init", "--init", Inside("echo $$", "2")),
    ("--interactive", "-i", Inside("cat", "")),
    ("--io-maxbandwidth", "--io-maxbandwidth 1m", Refused("containers of Windows")),
    ("--io-maxiops", "--io-maxiops 1", Refused("containers of Windows")),
    ("--ip", "--ip 172.17.0.99", Inside("busybox ip addr", "172.17.0.99")),
    ("--ip6", "--ip6 fd00::7", Refused("fd00::7")),
    ("--ipc", "--ipc host", Shown("{{.HostConfig.IpcMode}}", "host")),
    ("--isolation", "--isolation hyperv", Refused("containers of Windows")),
    ("--kernel-memory", "--kernel-memory 4m", Refused("the kernel counts it")),
    ("--label", "-l a=b", Shown("{{.Config.Labels.a}}", "b")),
    ("--label-file", "--label-file variables", Shown("{{.Config.Labels.FROM_FILE}}", "yes")),
    ("--link", "--link nosuch:alias", Refused("nosuch")),
    ("--link-local-ip", "--link-local-ip 169.254.1.1", Refused("the kernel's")),
    ("--log-driver", "--log-driver nosuch", Refused("no log driver named 'nosuch'")),
    ("--log-opt", "--log-opt nosuch=1", Refused("unknown log opt")),
    (
        "--mac-address",
        "--mac-address 02:00:00:00:00:07",
        Inside("cat /sys/class/net/eth0/address", "02:00:00:00:00:07"),
    ),
    (
        "--memory",
        "-m 64m",
        Inside(
            "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
            "67108864",
        ),
    ),
    (
        "--memory-reservation",
        "--memory-reservation 32m",
        Shown("{{.HostConfig.MemoryReservation}}", "33554432"),
    ),
    ("--memory-swap", "-m 64m --memory-swap 32m", Refused("cannot be less than --memory")),
    ("--memory-swappiness", "--memory-swappiness 200", Refused("a number from 0 to 100")),
    ("--mount", "--mount type=tmpfs,target=/t", Inside("grep tmpfs./t /proc/mounts", "tmpfs")),
    ("--name", "--name mine", Shown("{{.Name}}", "/mine")),
    ("--network", "--network none", Inside("busybox ip -o link | busybox wc -l", "1")),
    ("--network-alias", "--network-alias a", Refused("only supported for user-defined networks")),
    ("--no-healthcheck", "--no-healthcheck", Shown("{{json .Config.Healthcheck.Test}}", "NONE")),
    ("--oom-kill-disable", "--oom-kill-disable", Taken),
    ("--oom-score-adj", "--oom-score-adj 300", Inside("cat /proc/self/oom_score_adj", "300")),
    ("--pid", "--pid host", Inside("cat /proc/1/comm", "")),
    (
        "--pids-limit",
        "--pids-limit 77",
        Inside("cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null", "77"),
    ),
    ("--platform", "--platform linux/amd64", Taken),
    (
        "--privileged",
        "--privileged",
        Inside(
            "grep -c . /proc/kcore >/dev/null 2>&1; grep CapEff /proc/self/status",
            "CapEff:\t000001ff",
        ),
    ),
    ("--publish", "-p 8123:80", Shown("{{json .HostConfig.PortBindings}}", "8123")),
    ("--publish-all", "-P --expose 81", Shown("{{.HostConfig.PublishAllPorts}}", "true")),
    ("--pull", "--pull never", Taken),
    ("--quiet", "-q", Taken),
    ("--read-only", "--read-only", Inside("touch /x 2>&1", "Read-only file system")),
    ("--restart", "--restart always", Shown("{{.HostConfig.RestartPolicy.Name}}", "always")),
    ("--rm", "--rm", Taken),
    ("--runtime", "--runtime runsc", Refused("only this program's own")),
    (
        "--security-opt",
        "--security-opt no-new-privileges=false",
        Inside("grep NoNewPrivs /proc/self/status", "\t0"),
    ),
    ("--shm-size", "--shm-size 1m", Inside("grep /dev/shm /proc/mounts", "size=1024k")),
    ("--sig-proxy", "--sig-proxy=false", Taken),
    ("--stop-signal", "--stop-signal SIGNONE", Refused("invalid signal")),
    ("--stop-timeout", "--stop-timeout 3", Shown("{{.Config.StopTimeout}}", "3")),
    ("--storage-opt", "--storage-opt size=1g", Refused("no storage driver")),
    (
        "--sysctl",
        "--sysctl net.ipv4.ip_forward=1",
        Inside("cat /proc/sys/net/ipv4/ip_forward", "1"),
    ),
    ("--tmpfs", "--tmpfs /t:size=1m", Inside("grep tmpfs./t /proc/mounts", "size=1024k")),
    ("--tty", "-t", Inside("[ -t 1 ] && echo terminal", "terminal")),
    ("--ulimit", "--ulimit nofile=77:99", Inside("ulimit -n; ulimit -Hn", "77\n99")),
    ("--use-api-socket", "--use-api-socket", Refused("no daemon")),
    ("--user", "-u web", Inside("id -un", "web")),
    ("--userns", "--userns auto", Inside("cat /proc/self/uid_map", "65536")),
    ("--uts", "--uts host", Shown("{{.HostConfig.UTSMode}}", "host")),
    ("--volume", "-v data:/d", Inside("touch /d/x; ls /d", "x")),
    ("--volume-driver", "--volume-driver nfs", Refused("no such driver")),
    ("--volumes-from", "--volumes-from nosuch", Refused("No such container: nosuch")),
    ("--workdir", "-w /made/of/it", Inside("pwd", "/made/of/it")),
];

fn options_of(verb: &str) -> Vec<(String, Option<String>, bool)> {
    let all: BTreeMap<String, Value> = serde_json::from_str(TABLE).unwrap();
    let flags = all[verb]["flags"].as_object().unwrap();
    let read = |(long, about): (&String, &Value)| {
        (long.clone(), about["short"].as_str().map(str::to_owned), about["value"].is_string())
    };
    flags.iter().map(read).collect()
}

#[test]
fn every_option_of_dockers_run_works_or_is_refused_with_a_reason() {
    let test = "every_option_of_dockers_run_works_or_is_refused_with_a_reason";
    let known: Vec<&str> = ROWS.iter().map(|(option, ..)| *option).collect();
    for (option, ..) in options_of("run") {
        assert!(known.contains(&option.as_str()), "{option} is in no row");
    }
    let page = page();
    if std::env::var_os("TARE_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    // The virtual machine has the program alone.
    if std::path::Path::new(env!("CARGO_MANIFEST_DIR")).is_dir() {
        let kept = std::fs::read_to_string(PAGE).unwrap();
        assert!(kept == page, "{PAGE}: TARE_WRITE_DOCS=1 writes it anew");
    }
    try_all(test, "tare run --rm");
}

#[test]
fn every_option_of_dockers_create_does_the_same() {
    let of_create = options_of("create");
    for (option, ..) in options_of("run") {
        // What the others say is about the client of a running container.
        let is_of_run = ["--detach", "--detach-keys", "--sig-proxy"].contains(&option.as_str());
        assert_eq!(of_create.iter().all(|(known, ..)| *known != option), is_of_run, "{option}");
    }
    try_all(
        "every_option_of_dockers_create_does_the_same",
        "made() { tare start -ai $(tare create \"$@\"); }; made",
    );
}

/// Tries every row with a command that runs a container.
fn try_all(test: &str, run: &str) {
    let Some(host) = Host::new(test) else { return };
    host.0.sh("echo FROM_FILE=yes > variables");
    let of_create = options_of("create");
    let is_of_verb =
        |option: &str| run.starts_with("tare run") || of_create.iter().any(|it| it.0 == option);
    let mut wrong = String::new();
    for (option, given, effect) in ROWS.iter().filter(|(option, ..)| is_of_verb(option)) {
        let script = match effect {
            Inside(command, _) if *option == "--entrypoint" => {
                format!("{run} {given} box:1 {command} < /dev/null")
            }
            Inside(command, _) => {
                format!("{run} {given} box:1 busybox sh -c '{command}; exit 0' < /dev/null")
            }
            Shown(template, _) => format!(
                "id=$(tare create {given} box:1); tare container inspect --format '{template}' $id"
            ),
            Refused(_) => format!("{run} {given} box:1 pwd 2>&1 && echo TAKEN || true"),
            Taken => format!("{} {given} box:1 pwd", run.trim_end_matches(" --rm")),
        };
        let said = host.try_run(&script);
        let is_right = match (effect, &said) {
            (Inside(_, expected) | Shown(_, expected), Ok(said)) => said.contains(expected),
            (Refused(reason), Ok(said)) => {
                said.contains("tare: ") && said.contains(reason) && !said.contains("TAKEN")
            }
            (Taken, Ok(_)) => true,
            (_, Err(_)) => false,
        };
        if !is_right {
            wrong.push_str(&format!("{given}: {said:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn page() -> String {
    let mut page = String::from(
        "# Options of docker run\n\nEvery option of docker 28's `run` with `tare run`, as \
         `every_option_of_dockers_run_works_or_is_refused_with_a_reason` tries it.\n\n\
         | option | tried with | what comes of it |\n|---|---|---|\n",
    );
    for (option, given, effect) in ROWS {
        let cell = |text: &str| text.replace('|', "\\|").replace(['\n', '\t'], " ");
        let what = match effect {
            Inside(command, expected) => {
                format!("`{}` prints `{}`", cell(command), cell(expected.trim()))
            }
            Shown(template, expected) => {
                format!("`inspect --format '{}'` prints `{}`", cell(template), cell(expected))
            }
            Refused(reason) => format!("refused: … {} …", cell(reason)),
            Taken => "works".into(),
        };
        let what = what.replace(" prints ``", " works");
        page.push_str(&format!("| `{option}` | `{}` | {what} |\n", cell(given)));
    }
    page
}

#[test]
fn every_option_of_dockers_other_verbs_is_taken() {
    let test = "every_option_of_dockers_other_verbs_is_taken";
    let Some(host) = Host::new(test) else { return };
    let all: BTreeMap<String, Value> = serde_json::from_str(TABLE).unwrap();
    for verb in all.keys().filter(|verb| *verb != "(global)") {
        for (long, short, takes_value) in options_of(verb) {
            let value = match long.as_str() {
                _ if !takes_value => None,
                "--timeout" | "--last" | "--tail" => Some("1"),
                "--security-opt" => Some("no-new-privileges"),
                _ => Some("1"),
            };
            let long = value.map_or_else(|| long.clone(), |value| format!("{long}={value}"));
            let short = short.map(|short| format!("{short}{}", value.unwrap_or_default()));
            for form in [Some(long), short].into_iter().flatten() {
                let words: Vec<&str> = verb.split(' ').collect();
                let output = host.0.tare(&[&words[..], &[&form, "nosuch", "nosuch"]].concat());
                let text = stderr(&output);
                for complaint in ["unexpected argument", "unexpected value", "a value is required"]
                {
                    let is_operand = text.contains("unexpected argument 'nosuch'");
                    assert!(!text.contains(complaint) || is_operand, "{verb} {form}: {text}");
                }
            }
        }
    }
}
