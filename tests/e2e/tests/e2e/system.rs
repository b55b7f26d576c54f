//! System containers: a full init as the first process.
//!
//! Real ones are of a Debian root that mmdebstrap makes from where the machine itself has its packages. It is kept
//! beside the programs, so that only the first run pays for it.

use super::images_scratch::{Scratch, has_program};
use super::networks::Host;
use super::running::box_with;
use e2e::{program, skip, stderr, stdout};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use sys::fs::{self, Lock};

const PACKAGES: &str = "systemd-sysv,dbus,openrc,s6";
/// An emulated machine takes a minute for what takes a second here.
const PATIENCE: Duration = Duration::from_secs(300);

/// The Debian root; nothing where it cannot be made, which is said by SKIP.
fn debian(test: &str) -> Option<PathBuf> {
    let root = program("tare").with_file_name("debian-root.tar");
    let flags = fs::O_RDWR | fs::O_CREAT;
    let lock = root.with_extension("lock");
    let lock = fs::open_at(sys::CWD, lock.to_str().unwrap(), flags, 0o644).unwrap();
    fs::lock(&lock, Lock::Exclusive).unwrap();
    if root.is_file() {
        return Some(root);
    }
    let part = root.with_extension("part.tar");
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=essential", &format!("--include={PACKAGES}")]);
    command.args(
        ["doc", "man", "locale"].map(|dir| format!("--dpkgopt=path-exclude=/usr/share/{dir}/*")),
    );
    command.arg("bookworm").arg(&part);
    // The machine's own sources, where it has them in the usual place.
    let sources = "/etc/apt/sources.list.d/debian.sources";
    if std::path::Path::new(sources).is_file() {
        command.arg(sources);
    }
    match command.output() {
        Ok(output) if output.status.success() => {
            std::fs::rename(&part, &root).unwrap();
            return Some(root);
        }
        Ok(output) => {
            let why = stderr(&output);
            let line = why.lines().find(|line| line.starts_with("E:")).unwrap_or("it failed");
            skip(test, &format!("mmdebstrap cannot make a Debian root: {line}"));
        }
        Err(_) => skip(test, "needs mmdebstrap, or the Debian root that it has made before"),
    }
    let _ = std::fs::remove_file(&part);
    None
}

/// A store with the Debian root, on a host of its own.
fn host(test: &str) -> Option<Host> {
    let host = Host::new(test)?;
    let root = debian(test)?;
    host.0.ok(&["import", "-q", "--change", "CMD [\"/sbin/init\"]", root.to_str()?, "deb:1"]);
    Some(host)
}

/// A service that says so when it begins, and writes so to the disk when it ends.
const NOTE: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/echo the note begins\n\
                    ExecStop=/bin/sh -c 'echo stopped >> /var/stopped'\n[Install]\nWantedBy=multi-user.target\n";
/// Waits until all services are there; a failed one is shown.
const UP: &str = "up() { for i in $(seq 1500); do tare exec $1 test -S /run/systemd/private 2> /dev/null && break; sleep 0.2; done
                  tare exec $1 systemctl is-system-running --wait || tare exec $1 systemctl --failed --no-legend --plain; };";

#[test]
fn a_debian_system_runs_and_stops_in_order() {
    let Some(host) = host("a_debian_system_runs_and_stops_in_order") else { return };
    std::fs::write(host.0.path("note.service"), NOTE).unwrap();
    let said = host.run(&format!(
        "{UP}
         tare network create --subnet 10.78.0.0/24 lan > /dev/null
         id=$(tare create --name sys -h guest --network lan --ip 10.78.0.5 --memory 400m --cpus 0.5 deb:1)
         tare cp note.service sys:/etc/systemd/system/note.service
         tare start sys
         up sys
         tare exec sys systemctl -q enable --now note 2>&1
         tare exec sys sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2> /dev/null; hostname; hostname -I'
         tare exec sys sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2> /dev/null' | cut -d ' ' -f 1
         busybox ping -c 1 -W 5 10.78.0.5 | grep -c '1 packets received'
         tare exec sys systemd-run -q --wait --pipe -p DynamicUser=yes -p PrivateTmp=yes sh -c 'test $(id -u) -gt 60000 && ls /tmp | wc -l'
         test $(tare exec sys cat /etc/machine-id) = $(echo $id | cut -c -32) && echo own
         tare stop -t 300 sys
         tare inspect --format '{{{{.State.ExitCode}}}} {{{{.Config.StopSignal}}}} {{{{.HostConfig.UsernsMode}}}}' sys
         tare start sys
         up sys
         tare exec sys cat /var/stopped
         test $(tare exec sys cat /etc/machine-id) = $(echo $id | cut -c -32) && echo own
         tare exec sys systemctl reboot
         until test $(tare inspect --format '{{{{.RestartCount}}}} {{{{.State.Status}}}}' sys | tr ' ' -) = 1-running; do sleep 0.2; done
         up sys
         tare exec sys systemctl is-active note
         tare exec sys wc -l /var/stopped
         tare exec sys systemctl poweroff
         tare wait sys
         tare logs sys > log"
    ));
    let expected = "sys\nrunning\n419430400\nguest\n10.78.0.5 \n50000\n1\n0\nown\nsys\n0 SIGRTMIN+3 auto\n\
                    sys\nrunning\nstopped\nown\nrunning\nactive\n2 /var/stopped\n0\n";
    assert_eq!(said, expected);
    let log = std::fs::read_to_string(host.0.path("log")).unwrap();
    for text in ["the note begins\n", "Reached target multi-user.target", "System Halt"] {
        assert!(log.contains(text), "{text}: {log}");
    }
    assert!(!log.contains(['\r', '\x1b']), "{log:?}");
}

/// The console of a system whose supervisor was killed has hung up, and systemd tries for a second to open it, for each line.
#[test]
fn a_system_without_a_supervisor_is_stopped_in_order() {
    let Some(host) = host("a_system_without_a_supervisor_is_stopped_in_order") else { return };
    std::fs::write(host.0.path("note.service"), NOTE).unwrap();
    let said = host.run(&format!(
        "{UP}
         id=$(tare run -d --name sys --network none deb:1)
         tare cp note.service sys:/etc/systemd/system/note.service
         up sys
         tare exec sys systemctl -q enable --now note 2>&1
         kill -9 $(sed -n 's/.*\"supervisor\":\\([0-9]*\\).*/\\1/p' {store}/containers/$id/state.json)
         until tare doctor --format json | grep -q '1 container without a supervisor'; do sleep 0.1; done
         tare exec sys stat -c %t:%T /dev/console
         tare stop -t 300 sys
         tare start sys; up sys; tare exec sys cat /var/stopped; tare rm -f sys",
        store = host.0.path("store"),
    ));
    assert_eq!(said, "running\n1:3\nsys\nsys\nrunning\nstopped\nsys\n");
}

#[test]
fn openrc_and_s6_are_stopped_in_order() {
    let Some(host) = host("openrc_and_s6_are_stopped_in_order") else { return };
    let scratch = &host.0;
    scratch.sh(
        "mkdir -p svc/one; printf '#!/bin/sh\\ntrap \"echo s6 ends; exit\" TERM\\necho s6 begins\\nsleep 1000 & wait\\n' > svc/one/run
         printf '#!/sbin/openrc-run\\nstart() { echo note begins; }\\nstop() { echo note ends; }\\n' > note; chmod +x svc/one/run note",
    );
    scratch.ok(&["create", "--name", "s6", "deb:1", "s6-svscan", "/etc/svc"]);
    scratch.ok(&["cp", &scratch.path("svc"), "s6:/etc/svc"]);
    scratch.ok(&["create", "--name", "rc", "deb:1", "/sbin/openrc-init"]);
    scratch.ok(&["cp", &scratch.path("note"), "rc:/etc/init.d/note"]);
    scratch.sh("mkdir default; ln -s /etc/init.d/note default/note");
    scratch.ok(&["cp", &format!("{}/.", scratch.path("default")), "rc:/etc/runlevels/default"]);
    for (name, begins, ends) in [("s6", "s6 begins", "s6 ends"), ("rc", "note begins", "note ends")]
    {
        scratch.ok(&["start", name]);
        wait_for(scratch, name, begins);
        scratch.ok(&["stop", "-t", "300", name]);
        let state = scratch.ok(&[
            "inspect",
            "--format",
            "{{.State.ExitCode}} {{.Config.StopSignal}}",
            name,
        ]);
        assert_eq!(state, "0 SIGTERM", "{name}");
        wait_for(scratch, name, ends);
    }
}

#[test]
fn an_ordinary_users_system_runs_where_control_groups_are_delegated() {
    let test = "an_ordinary_users_system_runs_where_control_groups_are_delegated";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    let Some(root) = debian(test).filter(|_| has_program(test, "newuidmap")) else { return };
    std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
    std::fs::copy(root, scratch.path("root.tar")).unwrap();
    scratch.sh(
        "mkdir home; chmod 755 . tare; chown 65534:65534 home; echo 65534:200000:65536 > ranges",
    );
    let group = format!("/sys/fs/cgroup/tare-e2e-{}", std::process::id());
    let user = "unshare -m sh -ec 'mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid
        test -z \"$1\" || echo $$ > $1/cgroup.procs
        exec setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME TARE_NETWORK=none HOME=$PWD/home \
        XDG_RUNTIME_DIR=$PWD/home sh ./script' x \"$1\"";
    std::fs::write(scratch.path("user"), user).unwrap();
    let run = |group: &str, script: &str| {
        let tare =
            "tare() { ./tare --root home/store --runroot home/run --insecure-policy \"$@\"; }";
        std::fs::write(scratch.path("script"), format!("{tare}\n{script}\n")).unwrap();
        let mut command = Command::new("sh");
        let output = command.args(["user", group]).current_dir(scratch.path("")).output().unwrap();
        (stdout(&output), stderr(&output))
    };
    let import = "tare import -q --change 'CMD [\"/sbin/init\"]' root.tar deb:1 > /dev/null
                  tare run --rm deb:1; echo $?";
    let (said, why) = run("", import);
    assert_eq!(said, "125\n", "{why}");
    let is_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let reason = match is_v2 {
        true => {
            "it needs a control group of its own, and none may be made here\nhint: `systemd-run --user"
        }
        false => {
            "with cgroup v1 nobody but root can give it control groups of its own\nhint: run it as root"
        }
    };
    assert!(why.contains(reason), "{why}");
    if !is_v2 {
        return;
    }
    scratch.sh(&format!(
        "mkdir -p {group}/own; echo +memory +pids > /sys/fs/cgroup/cgroup.subtree_control; echo +memory +pids > {group}/cgroup.subtree_control
         chown 65534:65534 {group} {group}/own {group}/cgroup.procs {group}/cgroup.subtree_control {group}/own/cgroup.procs"
    ));
    let (said, why) = run(
        &format!("{group}/own"),
        &format!(
            "{UP}
         tare run -d --name sys --memory 300m deb:1 > /dev/null
         up sys
         tare exec sys cat /sys/fs/cgroup/memory.max
         tare exec sys systemd-run -q --wait --pipe -p DynamicUser=yes true && echo done
         tare stop -t 300 sys; tare inspect --format '{{{{.State.ExitCode}}}}' sys; tare rm sys"
        ),
    );
    scratch.sh(&format!("rmdir {group}/own {group}"));
    assert_eq!(said, "running\n314572800\ndone\nsys\n0\nsys\n", "{why}");
}

/// Waits until a container's log has a line.
fn wait_for(scratch: &Scratch, name: &str, line: &str) {
    let begun = Instant::now();
    loop {
        let said = stdout(&scratch.tare(&["logs", name]));
        if said.contains(line) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{name} does not say {line:?}: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An image in which a shell script is systemd; it says what it was given.
fn with_init(test: &str) -> Option<Scratch> {
    let scratch = box_with(test, &["CMD [\"sh\"]"])?;
    scratch.sh(
        "mkdir -p i/sbin i/lib/systemd i/run i/var/log i/opt; ln -s ../lib/systemd/systemd i/sbin/init
         touch i/run/of-image; echo of-image > i/machine-id
         printf '#!/bin/sh\\nexec 2>&1\\necho \"args $*\"\\necho \"container $container $container_uuid\"
         test -t 1 && echo terminal\\nread a b c < /proc/self/uid_map; echo users $b\\ncat /etc/machine-id
         while read a b c; do case $b in /run/.*) ;; /run*|/tmp|/var*) echo mount $b; esac; done < /proc/mounts
         echo /run/*\\nwhile read a b; do case $a in NoNew*|CapEff*) echo $a $b; esac; done < /proc/self/status\\n' > i/lib/systemd/systemd
         chmod +x i/lib/systemd/systemd; cp i/lib/systemd/systemd i/opt/start; cp -a box/. i/; mkdir -p i/etc; mv i/machine-id i/etc/
         tar -C i -cf i.tar .",
    );
    scratch.ok(&[
        "import",
        "-q",
        "--change",
        "CMD [\"/sbin/init\"]",
        &scratch.path("i.tar"),
        "init:1",
    ]);
    Some(scratch)
}

#[test]
fn an_init_gets_what_it_needs() {
    let Some(scratch) = with_init("an_init_gets_what_it_needs") else { return };
    let run = |args: &[&str]| scratch.ok(&[&["run", "--name", "one"], args].concat());
    let id = || scratch.ok(&["inspect", "--format", "{{.Id}}", "one"])[..32].to_owned();
    let said = run(&["init:1"]);
    let lines: Vec<&str> = said.lines().collect();
    let uuid = id();
    let is_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    // Its newer versions want that to be said.
    let legacy = if is_v2 { "" } else { "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 " };
    let expected =
        format!("args {legacy}systemd.journald.forward_to_console=1 systemd.show_status=auto");
    assert_eq!(lines[0], expected);
    assert_eq!(lines[1..3], [&format!("container tare {uuid}"), "terminal"]);
    assert!(lines[3].strip_prefix("users ").is_some_and(|it| it != "0"), "{said}");
    let mounts = ["mount /run", "mount /run/lock", "mount /tmp", "mount /var/log/journal"];
    assert_eq!(lines[4..9], [&[uuid.as_str()], &mounts[..]].concat());
    assert_eq!(lines[9], "/run/lock /run/of-image");
    assert!(lines[10].starts_with("CapEff: 00000000b5ec"), "{said}");
    assert_eq!(lines[11], "NoNewPrivs: 0");
    // Another start is no other machine.
    assert_eq!(scratch.ok(&["start", "-a", "one"]), said);
    scratch.ok(&["rm", "one"]);
    // A program that is called so by somebody gets its own arguments only.
    let said = run(&["--systemd", "always", "init:1", "/opt/start", "x"]);
    assert!(said.starts_with(&format!("args x\ncontainer tare {}\n", id())), "{said}");
    scratch.ok(&["rm", "one"]);
    let said = run(&["--systemd=false", "init:1"]);
    assert_eq!(
        said.lines().take(4).collect::<Vec<_>>(),
        ["args ", "container  ", "users 0", "of-image"]
    );
    assert!(!said.contains("mount") && said.ends_with("NoNewPrivs: 1"), "{said}");
    scratch.ok(&["rm", "one"]);
    // What is said by options counts more.
    let options = [
        "--userns",
        "host",
        "--stop-signal",
        "INT",
        "--tmpfs",
        "/run:size=1m",
        "-e",
        "container=x",
    ];
    let said = run(&[&options[..], &["init:1"]].concat());
    assert!(said.contains("\ncontainer x ") && said.contains("\nusers 0\n"), "{said}");
    assert!(!said.contains("of-image"), "{said}");
    assert_eq!(scratch.ok(&["inspect", "--format", "{{.Config.StopSignal}}", "one"]), "INT");
    scratch.ok(&["rm", "one"]);
    for (option, why) in [
        (&["--init"][..], "has to be the container's first process"),
        (&["--pid", "host"], "has to be the container's first process"),
        (&["--cgroupns", "host"], "needs control groups of its own"),
    ] {
        let text = scratch.fails(125, &[&["run", "--rm"], option, &["init:1"]].concat());
        assert!(text.contains(&format!("systemd {why}\nhint: leave it out")), "{text}");
    }
    scratch.ok(&["fsck"]);
}

#[test]
fn an_interrupted_client_stops_the_system() {
    let Some(scratch) = with_init("an_interrupted_client_stops_the_system") else { return };
    let script = "#!/bin/sh\ntrap 'echo ended; exit 3' 37\ntrap 'exit 9' INT\necho up\nwhile :; do sleep 0.1; done\n";
    std::fs::write(scratch.path("script"), script).unwrap();
    scratch.sh("chmod +x script");
    let volume = format!("{}:/lib/systemd/systemd", scratch.path("script"));
    let mut command = scratch.command(&["run", "--rm", "-v", &volume, "init:1"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    said.read_line(&mut text).unwrap();
    assert!(sys::process::kill(child.id() as i32, 2).is_ok());
    said.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), child.wait().unwrap().code()), ("up\nended\n", Some(3)));
}

/// What a container's root would do to its own limits and the host. Every success is said, and would change nothing.
const RAISE: &str = "#!/bin/sh
    try() { \"$@\" > /dev/null 2>&1 && echo done $*; }
    raise() { for file in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; do test -e $file && echo 200000000 > $file && return; done; false; }
    try raise\n";
const ATTACK: &str = "
    put() { cat $1 > /tmp/value && cat /tmp/value > $1; }
    remount() { for dir in /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/devices /proc/sys; do busybox mount -o remount,rw,bind $dir; done; busybox umount /proc/kcore; }
    core() { test -n \"$(busybox head -c 4 /proc/kcore)\"; }
    allow() { echo a > /sys/fs/cgroup/devices/devices.allow; }
    clock() { busybox date -s \"$(busybox date)\"; }
    remount > /dev/null 2>&1; try raise; try allow; try clock; try put /proc/sys/kernel/sysrq; try put /proc/sys/vm/overcommit_memory
    try busybox mknod /dev/mem0 c 1 1; try core; try busybox dmesg; echo end\n";

#[test]
fn s5_a_system_container_reaches_nothing_outside() {
    let Some(scratch) = with_init("s5_a_system_container_reaches_nothing_outside") else { return };
    let run = |options: &[&str], script: &str| {
        std::fs::write(scratch.path("attack"), script).unwrap();
        scratch.sh("chmod +x attack");
        let volume = format!("{}:/lib/systemd/systemd", scratch.path("attack"));
        let args = ["run", "--rm", "--memory", "100m", "-v", &volume];
        let output = scratch.tare(&[&args[..], options, &["init:1"]].concat());
        stdout(&output) + &stderr(&output)
    };
    let all = format!("{RAISE}{ATTACK}");
    assert_eq!(run(&[], &all), "end\n");
    // Whoever mounts cgroup2 without this option (criu, if it is not told where it is) takes it from the whole machine.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let said = run(&["--userns", "host"], &all);
    match is_v2 && !mounts.contains("nsdelegate") {
        false => assert_eq!(said, "end\n"),
        true => assert!(said.contains("mounted without nsdelegate\nhint: "), "{said}"),
    }
    // Whoever is given all rights has them; in a cgroup namespace v2 keeps its limits from everybody.
    let open = ["--privileged", "--cgroupns", "host", "--systemd", "false"];
    assert_eq!(run(&open, RAISE), "done raise\n");
}
