//! Many containers, one after the other and all at once, and what is left of them.

use super::quietly;
use e2e::{Bundle, rounds, stdout};
use serde_json::json;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How many cycles a test run makes; `cargo xtask soak` makes 10,000.
const USUAL_CYCLES: usize = 30;
/// Containers alive at once, at most: each is a process.
const MOST_ALIVE: usize = 1000;
const MOST_EXECS: usize = 100;
const PARALLEL: usize = 8;
/// From this number of cycles on the machine's totals say something about a single one.
const SIGNIFICANT_CYCLES: usize = 1000;
/// The kernel frees much of what a container had some time after its end.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);
/// What everybody else on the machine may have of each meanwhile.
const SLACK: u64 = 64;
/// A leaked cgroup, mount or descriptor costs the kernel several times this, which is noise.
const NOISE_BYTES: u64 = 512;

/// What a leak would make grow, on the whole machine.
#[derive(Clone, Copy, Debug)]
struct Totals {
    mounts: u64,
    cgroups: u64,
    descriptors: u64,
    processes: u64,
    kernel_bytes: u64,
}

impl Totals {
    fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0u64);
        let cgroups = text("/proc/cgroups");
        let cgroups = cgroups.lines().filter(|line| !line.starts_with('#'));
        let memory = text("/proc/meminfo");
        // Memory that the kernel cannot take back from whoever holds it.
        let held = ["SUnreclaim:", "KernelStack:", "PageTables:", "Percpu:"];
        let held = memory.lines().filter(|line| held.iter().any(|name| line.starts_with(name)));
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let is_pid = |name: &std::ffi::OsStr| name.to_string_lossy().parse::<u32>().is_ok();
        Self {
            mounts: text("/proc/self/mountinfo").lines().count() as u64,
            cgroups: cgroups.map(|line| number(line.split_ascii_whitespace().nth(2))).sum(),
            descriptors: number(text("/proc/sys/fs/file-nr").split_ascii_whitespace().next()),
            processes: processes.filter(|entry| is_pid(&entry.file_name())).count() as u64,
            kernel_bytes: held
                .map(|line| 1024 * number(line.split_ascii_whitespace().nth(1)))
                .sum(),
        }
    }

    /// Whether no more is there than before `cycles` cycles.
    fn is_within(&self, before: &Self, cycles: usize) -> bool {
        let noise = cycles as u64 * NOISE_BYTES;
        self.mounts <= before.mounts
            && self.cgroups <= before.cgroups + SLACK
            && self.descriptors <= before.descriptors + 16 * SLACK
            && self.processes <= before.processes + SLACK
            && self.kernel_bytes <= before.kernel_bytes + noise
    }
}

fn prepare(test: &str) -> Option<Bundle> {
    let mut bundle = Bundle::new(test)?;
    bundle.config["linux"]["resources"] =
        json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 300}});
    bundle.args(&["sleep", "1000"]).write();
    Some(bundle)
}

#[test]
fn a_cycle_leaves_nothing() {
    let Some(bundle) = prepare("a_cycle_leaves_nothing") else { return };
    let (path, id) = (bundle.path(""), bundle.id());
    let cycle = |number: usize| {
        quietly(&bundle, &["create", "--bundle", path, id]);
        quietly(&bundle, &["start", id]);
        if number.is_multiple_of(10) {
            quietly(&bundle, &["exec", id, "true"]);
        }
        quietly(&bundle, &["delete", "--force", id]);
        assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new(), "cycle {number}");
    };
    // What is made once: caches of the kernel, the state root.
    (0..20).for_each(cycle);
    let (cycles, files) = (rounds(USUAL_CYCLES), count_files(&bundle));
    let (before, begin) = (Totals::read(), Instant::now());
    (0..cycles).for_each(cycle);
    let took = begin.elapsed();
    assert_eq!(count_files(&bundle), files);
    let end = Instant::now() + SETTLE_DEADLINE;
    let mut after = Totals::read();
    let counts = cycles >= SIGNIFICANT_CYCLES;
    while counts && !after.is_within(&before, cycles) && Instant::now() < end {
        std::thread::sleep(Duration::from_secs(1));
        after = Totals::read();
    }
    e2e::report(&format!("{cycles} cycles in {took:?}\nbefore {before:?}\nafter  {after:?}"));
    assert!(!counts || after.is_within(&before, cycles));
}

fn count_files(bundle: &Bundle) -> usize {
    let count = |path: &str| fs::read_dir(bundle.path(path)).into_iter().flatten().count();
    count("") + count("state")
}

#[test]
fn a_thousand_containers_live_at_once() {
    let Some(mut bundle) = prepare("a_thousand_containers_live_at_once") else { return };
    let count = rounds(12).min(MOST_ALIVE);
    let name = bundle.id().to_string();
    let ids: Vec<String> = (0..count).map(|number| format!("{name}-{number:04}")).collect();
    for id in &ids {
        bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}/{id}"));
        bundle.write();
        quietly(&bundle, &["create", "--bundle", bundle.path(""), id]);
    }
    let begin = Instant::now();
    assert_eq!(stdout(&bundle.runtime(&["list", "--quiet"])), ids.join("\n") + "\n");
    e2e::report(&format!("{count} containers are listed in {:?}", begin.elapsed()));
    for id in &ids {
        quietly(&bundle, &["start", id]);
    }
    let begin = Instant::now();
    for id in &ids {
        quietly(&bundle, &["delete", "--force", id]);
    }
    e2e::report(&format!("{count} containers are deleted in {:?}", begin.elapsed()));
    // The parent of their cgroups is nobody's, and empty.
    for place in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let _ = fs::remove_dir(place.path().join(&name));
    }
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_hundred_processes_enter_at_once() {
    let Some(bundle) = prepare("a_hundred_processes_enter_at_once") else { return };
    let (path, id) = (bundle.path(""), bundle.id());
    quietly(&bundle, &["create", "--bundle", path, id]);
    quietly(&bundle, &["start", id]);
    let exec = |_| {
        let mut exec = bundle.command(&["exec", id, "sh", "-c", "exit 7"]);
        exec.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starting the runtime")
    };
    let mut running: Vec<_> = (0..rounds(12).min(MOST_EXECS)).map(exec).collect();
    let codes = running.iter_mut().map(|exec| exec.wait().unwrap().code());
    assert!(codes.into_iter().all(|code| code == Some(7)));
    quietly(&bundle, &["delete", "--force", id]);
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn eight_runtimes_work_at_once() {
    let each = rounds(2).min(64 / PARALLEL);
    let work = |_| {
        let Some(mut bundle) = prepare("eight_runtimes_work_at_once") else { return };
        for _ in 0..each {
            let output = bundle.sh("echo $$");
            assert_eq!(stdout(&output), "1\n", "{}", e2e::stderr(&output));
            assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..PARALLEL).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a runtime's work"));
    });
}
