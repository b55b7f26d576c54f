//! `cargo xtask vm`: the tests on a machine with cgroup v2 and systemd.
//!
//! A Debian root file system is made once (`target/vm/root`), gets the built programs and tests,
//! becomes a disk, and is booted by qemu without acceleration, so that it works everywhere. In it
//! the cgroup tests and the end-to-end tests run twice: with the cgroupfs driver, and with the
//! systemd driver. What they print comes over the second serial line; systemd has the first.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const PACKAGES: &str = "systemd,systemd-sysv,dbus,linux-image-cloud-amd64,initramfs-tools,\
                        busybox-static,procps,uidmap";
/// The guest's root file system and the room that tests need.
const DISK: &str = "2G";
/// An emulated machine boots within a minute and runs the tests within half an hour, on a slow host.
const DEADLINE: Duration = Duration::from_secs(2700);
/// Keeps an emulated kernel on a busy host from taking its own slowness for a fault.
const KERNEL_ARGUMENTS: &str = "root=/dev/vda rw console=ttyS0 quiet notsc clocksource=acpi_pm \
                                rcupdate.rcu_cpu_stall_suppress=1 nowatchdog mitigations=off \
                                systemd.unified_cgroup_hierarchy=1 systemd.show_status=0";
const UNIT: &str = "[Unit]\nDescription=tests\nAfter=dbus.service\n\
                    [Service]\nType=oneshot\nExecStart=/opt/tare/run\nDelegate=yes\n\
                    StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS1\n\
                    [Install]\nWantedBy=multi-user.target\n";
/// The tests of `robust` stop at every system call, which takes hours here. `RESULT` lines are what this program reads.
const SCRIPT: &str = "#!/bin/sh\ncd /tmp; export RUST_BACKTRACE=0 TERM=dumb\n\
    stat -f -c 'cgroups: %T' /sys/fs/cgroup; systemctl --version | head -n 1\n\
    step() { name=$1; shift; \"$@\" > /tmp/out 2>&1; code=$?; cat /tmp/out; echo; echo \"RESULT $name $code\"; }\n\
    step cgroup /opt/tare/deps/runtime --color never --test-threads 1 cgroup::\n\
    step cgroupfs /opt/tare/deps/e2e --color never --test-threads 1 --skip robust::\n\
    export TARE_E2E_SYSTEMD=1\n\
    step systemd /opt/tare/deps/e2e --color never --test-threads 1 --skip robust::\n\
    echo RESULT end 0\nsleep 3\nsystemctl --force poweroff\n";
const STEPS: [&str; 4] = ["cgroup", "cgroupfs", "systemd", "end"];

/// Makes the machine and runs the tests in it.
pub(crate) fn run() -> ExitCode {
    match prepare().and_then(|(kernel, initrd, disk)| boot(&kernel, &initrd, &disk)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(&format!("vm: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> Result<(PathBuf, PathBuf, PathBuf), String> {
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
    if !root.join("boot").is_dir() {
        make_root(&root)?;
    }
    let programs = own.parent().ok_or("no target directory")?;
    install(&root, programs).map_err(|error| format!("installing the tests: {error}"))?;
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
fn install(root: &Path, programs: &Path) -> std::io::Result<()> {
    let deps = root.join("opt/tare/deps");
    fs::create_dir_all(&deps)?;
    let build = ["build", "--locked", "-p", "tare", "-p", "tare-runtime", "-p", "e2e", "--bins"];
    command(env!("CARGO"), &build).map_err(std::io::Error::other)?;
    for program in ["tare", "tare-runtime", "watched", "criu_double"] {
        fs::copy(programs.join(program), root.join("opt/tare").join(program))?;
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
    let script = root.join("opt/tare/run");
    fs::write(&script, SCRIPT)?;
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

/// Boots the machine, shows what it prints, and judges by its results.
fn boot(kernel: &Path, initrd: &Path, disk: &Path) -> Result<(), String> {
    let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "null",
            "-serial",
            "stdio",
            "-no-reboot",
        ])
        .args(["-net", "none", "-append", KERNEL_ARGUMENTS, "-drive", &drive])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
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
    let end = Instant::now() + DEADLINE;
    let mut results: Vec<(String, String)> = Vec::new();
    while let Ok(line) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
        crate::print(&format!("{line}\n"));
        if let Some(result) = line.strip_prefix("RESULT ") {
            let (name, code) = result.split_once(' ').unwrap_or((result, "?"));
            results.push((name.into(), code.into()));
        }
    }
    let _ = machine.kill();
    let _ = machine.wait();
    for step in STEPS {
        match results.iter().find(|(name, _)| name == step) {
            Some((_, code)) if code == "0" => {}
            Some((_, code)) => return Err(format!("step {step} ended with {code}")),
            None => return Err(format!("step {step} was not reached")),
        }
    }
    Ok(())
}
