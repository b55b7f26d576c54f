//! `cargo xtask vm`: the tests on a machine with cgroup v2 and systemd.
//!
//! A Debian root file system is made once (`target/vm/root`), gets the built programs and tests,
//! becomes a disk, and is booted by qemu without acceleration, so that it works everywhere. In it
//! the cgroup tests run, and the end-to-end tests twice: with the cgroupfs driver, and with the
//! systemd driver. What they print comes over the second serial line; systemd has the first.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const PACKAGES: &str = "systemd,systemd-sysv,dbus,linux-image-cloud-amd64,initramfs-tools,\
                        libpam-systemd,busybox-static,procps,uidmap,iproute2,criu,iptables,nftables,passt,python3-minimal,\
                        docker-registry,nginx-light,redis-server,iputils-ping,libcap2-bin";
/// Of these only the programs are wanted.
const MASKED: [&str; 4] = ["docker-registry", "nginx", "redis-server", "apt-daily.timer"];
/// The guest's root file system and the room that tests need.
const DISK: &str = "3G";
/// An emulated machine boots within a minute and runs the tests within half an hour; on a host with
/// as much other work in thrice the time.
const DEADLINE: Duration = Duration::from_secs(5400);
/// Keeps an emulated kernel on a busy host from taking its own slowness for a fault.
const KERNEL_ARGUMENTS: &str = "root=/dev/vda rw console=ttyS0 quiet notsc clocksource=acpi_pm \
                                rcupdate.rcu_cpu_stall_suppress=1 nowatchdog mitigations=off \
                                systemd.unified_cgroup_hierarchy=1 systemd.show_status=0";
const UNIT: &str = "[Unit]\nDescription=tests\nAfter=dbus.service\n\
                    [Service]\nType=oneshot\nExecStart=/opt/tare/run\nDelegate=yes\n\
                    StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS1\n\
                    [Install]\nWantedBy=multi-user.target\n";
const USAGE: &str = "usage: cargo xtask vm [STEP...] [--only TEXT]...

  Runs the tests in a virtual machine with cgroup v2 and systemd. STEP is cgroup (unit tests of
  cgroups), cgroupfs or systemd (end-to-end tests with this driver); by default all of them.
  --only takes the end-to-end tests whose names have TEXT in them.
";

/// Test programs that run in the machine, one after the other.
struct Step {
    name: &'static str,
    /// The test program, what it is called with, and what is set for it.
    program: &'static str,
    arguments: [&'static str; 2],
    environment: &'static str,
}

/// The tests of `robust` stop at every system call, which takes hours here; images at rest have no cgroups.
const E2E: &str = "--skip robust:: --skip images --skip registry:: --skip peers:: --skip transcript:: \
                   --skip mounting:: --skip login::";
/// What has nothing to do with how the runtime's cgroups are made is tested once.
const NOT_TWICE: &str = "--skip chaos:: --skip containers:: --skip containers_cdi:: --skip containers_cp:: \
                         --skip containers_images:: --skip containers_mounts:: --skip containers_presets:: \
                         --skip containers_ready:: --skip containers_secrets:: --skip containers_volumes:: \
                         --skip containers_watch:: --skip delegated:: --skip docker_options:: --skip docker_verbs:: \
                         --skip networks:: --skip networks_connect:: --skip podmans:: --skip popular:: --skip running:: \
                         --skip system:: --skip userns:: --skip users::";
const STEPS: [Step; 3] = [
    Step { name: "cgroup", program: "runtime", arguments: ["cgroup::", ""], environment: "" },
    Step { name: "cgroupfs", program: "e2e", arguments: [E2E, ""], environment: "" },
    Step {
        name: "systemd",
        program: "e2e",
        arguments: [E2E, NOT_TWICE],
        environment: "TARE_E2E_SYSTEMD=1",
    },
];

/// The machine has an interface with a way out that leads nowhere: an ordinary user's network is made after one.
/// Races are run elsewhere as often as they should be. Tests write to a file, as they look for terminals; what comes to be in it is shown at once.
/// `STEP` and `RESULT` lines are what this program reads. A step fails, too, if the machine's own mount of control groups
/// is another one afterwards, or control groups are left.
const SCRIPT: &str = "#!/bin/sh
cd /tmp; export RUST_BACKTRACE=0 TERM=dumb TARE_E2E_ROUNDS=30
stat -f -c 'cgroups: %T' /sys/fs/cgroup; systemctl --version | head -n 1
ip link add ext0 type veth peer name ext1; ip addr add 192.0.2.2/24 dev ext0
ip link set ext0 up; ip link set ext1 up; ip route add default via 192.0.2.1 || echo 'no way out'
useradd -m tare-e2e; loginctl enable-linger tare-e2e
for i in $(seq 60); do test -S /run/user/$(id -u tare-e2e)/systemd/private && break; sleep 1; done
mounted() { grep ' /sys/fs/cgroup .* - cgroup2 ' /proc/self/mountinfo; }
left() { find /sys/fs/cgroup -type d \\( -path '*/tare/?*' -o -name 'tare-*' ! -name 'tare-test.service' \\); }
step() {
    name=$1; shift; echo \"STEP $name\"; before=$(mounted)
    : > out; tail -f out & tail=$!
    \"$@\" --color never --nocapture --test-threads 1 > out 2>&1; code=$?
    sleep 2; kill $tail; echo
    test \"$(mounted)\" = \"$before\" || { echo \"LOST $before; now $(mounted)\"; code=99; }
    test -z \"$(left)\" || { echo LEFT $(left); code=98; }
    echo \"RESULT $name $code\"
}
";
const SCRIPT_END: &str = "echo RESULT end 0\nsleep 3\nsystemctl --force poweroff\n";

/// What is to run.
#[derive(Debug, PartialEq)]
struct Choice {
    steps: Vec<&'static str>,
    only: Vec<String>,
}

impl Choice {
    /// `None`: it cannot be understood.
    fn read(arguments: &[String]) -> Option<Self> {
        let mut choice = Self { steps: Vec::new(), only: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--only" => choice.only.push(rest.next().filter(|text| is_plain(text))?.clone()),
                name => choice.steps.push(STEPS.iter().find(|step| step.name == name)?.name),
            }
        }
        if choice.steps.is_empty() {
            choice.steps = STEPS.iter().map(|step| step.name).collect();
        }
        Some(choice)
    }

    fn script(&self) -> String {
        let mut script = String::from(SCRIPT);
        for Step { name, program, arguments, environment } in &STEPS {
            if self.steps.contains(name) {
                let only = if *program == "e2e" { self.only.join(" ") } else { String::new() };
                let [first, second] = arguments;
                script += &format!(
                    "step {name} env {environment} /opt/tare/deps/{program} {first} {second} {only}\n"
                );
            }
        }
        script + SCRIPT_END
    }
}

/// It goes into a script as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
}

/// Makes the machine and runs the tests in it.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let Some(choice) = Choice::read(arguments) else { return crate::misused(USAGE) };
    let done = prepare(&choice)
        .and_then(|(kernel, initrd, disk)| boot(&kernel, &initrd, &disk))
        .and_then(|results| judge(&choice, &results));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(&format!("vm: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn prepare(choice: &Choice) -> Result<(PathBuf, PathBuf, PathBuf), String> {
    if sys::ids::euid() != 0 {
        return Err("needs root".into());
    }
    for (program, package) in [
        ("mmdebstrap", "mmdebstrap"),
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("mke2fs", "e2fsprogs"),
    ] {
        if !crate::bench::is_installed(program) {
            return Err(format!("{program} is not installed: install the package {package}"));
        }
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own.ancestors().nth(3).ok_or("no target directory")?;
    let place = target.join("vm");
    let root = place.join("root");
    // Written when the root is complete.
    let made = place.join("packages");
    let is_made = fs::read_to_string(&made).is_ok_and(|packages| packages == PACKAGES);
    if !is_made || !root.join("boot").is_dir() {
        remove_root(&root)?;
        make_root(&root)?;
        fs::write(&made, PACKAGES).map_err(|error| format!("{}: {error}", made.display()))?;
    }
    let programs = own.parent().ok_or("no target directory")?;
    install(&root, programs, choice).map_err(|error| format!("installing the tests: {error}"))?;
    let disk = place.join("disk");
    let _ = fs::remove_file(&disk);
    let (root_text, disk_text) = (root.to_string_lossy(), disk.to_string_lossy());
    command("mke2fs", &["-q", "-t", "ext4", "-d", &root_text, &disk_text, DISK])?;
    let boot = |prefix| find(&root.join("boot"), prefix);
    Ok((boot("vmlinuz")?, boot("initrd")?, disk))
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let status = Command::new(program).args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} failed: {status}")),
        Err(error) => Err(format!("starting {program}: {error}")),
    }
}

/// Removes what is left of an earlier root, unless the program that was making it has left the host's
/// files mounted in it, or is still at work.
fn remove_root(root: &Path) -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    if let Some(point) = points.find(|point| Path::new(point).starts_with(root)) {
        return Err(format!("{point} is mounted: another machine is being made, or unmount it"));
    }
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("removing {}: {error}", root.display()))
        }
        _ => Ok(()),
    }
}

fn make_root(root: &Path) -> Result<(), String> {
    fs::create_dir_all(root).map_err(|error| error.to_string())?;
    let include = format!("--include={PACKAGES}");
    let root = root.to_string_lossy();
    let mut arguments = vec!["--quiet", "--variant=minbase", &include, "bookworm", &root];
    // The machine's own sources, where it has them in the usual place.
    let sources = "/etc/apt/sources.list.d/debian.sources";
    if Path::new(sources).is_file() {
        arguments.push(sources);
    }
    command("mmdebstrap", &arguments)
}

fn find(dir: &Path, prefix: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(dir).map_err(|error| error.to_string())?;
    let named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    entries.flatten().map(|entry| entry.path()).find(named).ok_or(format!("no {prefix}"))
}

/// Builds the programs and the tests, and puts them where the harness looks for them.
fn install(root: &Path, programs: &Path, choice: &Choice) -> std::io::Result<()> {
    let deps = root.join("opt/tare/deps");
    fs::create_dir_all(&deps)?;
    let build = ["build", "--locked", "-p", "tare", "-p", "tare-runtime", "-p", "e2e", "--bins"];
    command(env!("CARGO"), &build).map_err(std::io::Error::other)?;
    for program in ["tare", "tare-runtime", "watched", "criu_double"] {
        fs::copy(programs.join(program), root.join("opt/tare").join(program))?;
    }
    // The machine has no network: what the tests of system containers have made here goes along.
    let system = "debian-root.tar";
    match fs::copy(programs.join(system), root.join("opt/tare").join(system)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            crate::say(
                "vm: no Debian root for system containers: run the tests of e2e here first\n",
            );
        }
        copied => drop(copied?),
    }
    for (name, test) in test_programs()? {
        fs::copy(test, deps.join(name))?;
    }
    fs::write(root.join("etc/systemd/system/tare-test.service"), UNIT)?;
    let wanted = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    let link = wanted.join("tare-test.service");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink("../tare-test.service", link)?;
    for name in MASKED {
        let unit = if name.contains('.') { name.to_string() } else { format!("{name}.service") };
        let link = root.join("etc/systemd/system").join(unit);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink("/dev/null", link)?;
    }
    let script = root.join("opt/tare/run");
    fs::write(&script, choice.script())?;
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// (name, path) of the test programs of `runtime` and `e2e`.
fn test_programs() -> std::io::Result<Vec<(String, PathBuf)>> {
    let arguments =
        ["test", "--no-run", "--locked", "-p", "runtime", "-p", "e2e", "--message-format=json"];
    let output = Command::new(env!("CARGO")).args(arguments).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found = Vec::new();
    for line in text.lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let name = message["target"]["name"].as_str().unwrap_or("");
        let is_test = message["profile"]["test"] == true;
        let wanted = match name {
            "runtime" => message["target"]["kind"][0] == "lib",
            "e2e" => message["target"]["kind"][0] == "test",
            _ => false,
        };
        if let (true, true, Some(path)) = (is_test, wanted, message["executable"].as_str()) {
            found.push((name.to_string(), PathBuf::from(path)));
        }
    }
    match found.len() {
        2 => Ok(found),
        count => Err(std::io::Error::other(format!("{count} test programs were built"))),
    }
}

/// What the machine has told of a step.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    name: String,
    /// The exit status; empty: the step has not ended.
    code: String,
    passed: usize,
    failed: usize,
    /// The tests among those that passed that this machine cannot run.
    skipped: BTreeSet<String>,
}

impl Outcome {
    /// Takes a line of the machine's.
    fn note(all: &mut Vec<Self>, line: &str) {
        if let Some(name) = line.strip_prefix("STEP ") {
            all.push(Self { name: name.into(), ..Self::default() });
        }
        let Some(now) = all.last_mut() else { return };
        // libtest writes a test's name first, and whatever the test says behind it.
        if let Some((_, skip)) = line.split_once("SKIP ") {
            now.skipped.extend(skip.split_once(": ").map(|(test, _)| test.to_string()));
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            let before = |what: &str| {
                let (number, _) = counts.split_once(what)?;
                number.rsplit(' ').next()?.parse::<usize>().ok()
            };
            now.passed += before(" passed").unwrap_or(0);
            now.failed += before(" failed").unwrap_or(0);
        }
        if let Some((name, code)) = line.strip_prefix("RESULT ").and_then(|r| r.split_once(' '))
            && name == now.name
        {
            now.code = code.into();
        }
    }
}

/// Boots the machine and shows what it prints, with the seconds since its start.
fn boot(kernel: &Path, initrd: &Path, disk: &Path) -> Result<Vec<Outcome>, String> {
    let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-display", "none", "-monitor", "none", "-no-reboot", "-net", "none"])
        .args(["-serial", "null", "-serial", "stdio"])
        .args(["-append", KERNEL_ARGUMENTS, "-drive", &drive, "-kernel"])
        .args([kernel.as_os_str(), "-initrd".as_ref(), initrd.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("starting qemu: {error}"))?;
    let lines = machine.stdout.take().map(BufReader::new).ok_or("no serial line")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    // The reader ends with the machine's output, at the latest when the machine is killed.
    std::thread::spawn(move || {
        for line in lines.split(b'\n').map_while(Result::ok) {
            let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_string());
        }
    });
    let start = Instant::now();
    let mut outcomes = Vec::new();
    while let Ok(line) = receiver.recv_timeout(DEADLINE.saturating_sub(start.elapsed())) {
        crate::print(&format!("{:5} {line}\n", start.elapsed().as_secs()));
        Outcome::note(&mut outcomes, &line);
    }
    let _ = machine.kill();
    let _ = machine.wait();
    Ok(outcomes)
}

/// Says what came of each step, which all have to be there and to have passed.
fn judge(choice: &Choice, outcomes: &[Outcome]) -> Result<(), String> {
    let mut wrong = Vec::new();
    for name in &choice.steps {
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.name == *name) else {
            wrong.push(format!("step {name} was not reached"));
            continue;
        };
        let Outcome { code, passed, failed, skipped, .. } = outcome;
        crate::print(&format!(
            "step {name}: {} passed, {failed} failed, {} skipped\n",
            passed.saturating_sub(skipped.len()),
            skipped.len()
        ));
        match code.as_str() {
            "0" if *passed > 0 => {}
            "" => wrong.push(format!("step {name} did not end")),
            code => wrong.push(format!("step {name} ended with {code}, {passed} tests passed")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Option<Choice> {
        Choice::read(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_choose_steps_and_tests() {
        assert_eq!(read(&[]).unwrap().steps, ["cgroup", "cgroupfs", "systemd"]);
        let choice = read(&["systemd", "--only", "life::", "--only", "r4_"]).unwrap();
        let script = choice.script();
        let call =
            format!("env TARE_E2E_SYSTEMD=1 /opt/tare/deps/e2e {E2E} {NOT_TWICE} life:: r4_\n");
        assert!(script.contains(&format!("step systemd {call}")), "{script}");
        assert!(!script.contains("step cgroupfs"), "{script}");
        for wrong in [&["--help"][..], &["nothing"], &["--only"], &["--only", "a; b"]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_step_is_green_when_tests_ran_and_none_failed() {
        let mut outcomes = Vec::new();
        let text = "STEP cgroup\ntest a ... SKIP a: no b\nSKIP a: no c\nok\n\
                    test result: ok. 5 passed; 0 failed; 0 ignored\nRESULT cgroup 0\n\
                    STEP cgroupfs\ntest result: FAILED. 2 passed; 1 failed; 0 ignored\n\
                    RESULT cgroupfs 101\nSTEP systemd\n";
        text.lines().for_each(|line| Outcome::note(&mut outcomes, line));
        let counts: Vec<_> =
            outcomes.iter().map(|o| (o.passed, o.failed, o.skipped.len())).collect();
        assert_eq!(counts, [(5, 0, 1), (2, 1, 0), (0, 0, 0)]);
        let error = judge(&read(&[]).unwrap(), &outcomes).unwrap_err();
        let expected = "step cgroupfs ended with 101, 2 tests passed; step systemd did not end";
        assert_eq!(error, expected);
        assert_eq!(judge(&read(&["cgroup"]).unwrap(), &outcomes), Ok(()));
        assert!(judge(&read(&["cgroup"]).unwrap(), &[]).is_err());
    }
}
