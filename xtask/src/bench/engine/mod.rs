//! Running images: `tare` beside podman and docker, each with the same image, in a network namespace of their own.

mod network;
mod ordinary;
mod tools;

use super::bundle::Bundle;
use super::measure::{Sample, Samples, sample};
use super::options::Options;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tools::{Daemon, Tool};

/// Says that this process is in the network namespace already.
const INSIDE: &str = "TARE_BENCH_INSIDE";
/// Containers that are listed.
const LISTED: usize = 500;
/// Containers that are started at once, and so many starters.
const CROWD: usize = 100;
const STARTERS: usize = 8;
/// What a container says in the test of logs.
const SAID_BYTES: usize = 1_000_000_000;
/// Between looks at who keeps the log meanwhile: the kernel remembers its most.
const PEAK_PAUSE: Duration = Duration::from_millis(250);

/// What is done in turns.
const ROWS: [&str; 4] =
    ["run --rm, no network", "run --rm, bridge", "exec", "the runtime alone: run"];

struct Bench {
    dir: PathBuf,
    stopwatch: PathBuf,
    runtime: PathBuf,
    bundle: Bundle,
    log: File,
    tools: Vec<Tool>,
    image: PathBuf,
    _daemon: Option<Daemon>,
}

/// Builds, measures and prints.
pub(super) fn run(options: &Options) -> Result<(), String> {
    if sys::ids::euid() != 0 {
        return Err("needs root".into());
    }
    let programs = options.programs(&[&["-p", "tare", "-p", "tare-runtime", "-p", "floor"]])?;
    if std::env::var_os(INSIDE).is_none() {
        return enter(&programs, options);
    }
    let bench = Bench::new(&programs, options)?;
    let mut samples = Samples::default();
    for round in 0..options.rounds {
        for turn in 0..bench.tools.len() {
            let index = (turn + round) % bench.tools.len();
            bench.measure(index, &mut samples)?;
        }
        samples.add(3, 0, bench.runtime_alone()?);
    }
    bench.print(&samples);
    bench.networks()?;
    let results: Vec<Result<Vec<String>, String>> =
        bench.tools.iter().map(|tool| bench.crowd(tool)).collect();
    crate::print(&format!(
        "\n| | {CROWD} started by {STARTERS} at once, s | memory beside each, KiB | ps -a with {LISTED}, ms | 1 GB of lines, s | peak memory of who logs them, MiB |\n|---|---|---|---|---|---|\n"
    ));
    for (tool, result) in bench.tools.iter().zip(results) {
        crate::print(&format!("| {} | {} |\n", tool.name, result?.join(" | ")));
    }
    crate::print(&format!("\n1 GB of lines by a pipe to cat: {:.2} s\n", bench.pipe()?));
    if super::is_installed("pasta") {
        let has_podman = bench.tools.iter().any(|tool| tool.name == "podman");
        ordinary::measure(&bench.dir, &programs, &bench.image, has_podman)?;
    }
    Ok(())
}

/// Goes on in a network and mount namespace: bridges and rules of the peers are none of the machine's.
fn enter(programs: &Path, options: &Options) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let rounds = options.rounds.to_string();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "slave", "sh", "-c"]);
    command.arg("ip link set lo up; [ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified; exec \"$@\"");
    command
        .arg("sh")
        .arg(own)
        .args(["bench", "engine", "--rounds", &rounds, "--programs"])
        .arg(programs);
    if !options.only.is_empty() {
        command.args(["--only", &options.only.join(",")]);
    }
    let status = command.env(INSIDE, "1").status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("it failed in its namespaces".into()),
        Err(error) => Err(format!("running unshare: {error}")),
    }
}

impl Bench {
    fn new(programs: &Path, options: &Options) -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("tare-bench-engine-{}", std::process::id()));
        std::fs::create_dir_all(&dir)
            .map_err(|error| format!("making {}: {error}", dir.display()))?;
        let tar = tools::image(&dir)?;
        let log =
            File::create(dir.join("log")).map_err(|error| format!("making the log: {error}"))?;
        let mut tools = vec![Tool::tare(&programs.join("tare"), &dir)];
        if options.wants("podman") && super::is_installed("podman") {
            tools.push(Tool::podman(&dir));
        }
        let mut daemon = None;
        if options.wants("docker") && super::is_installed("dockerd") {
            match Daemon::start(&dir) {
                Ok(started) => {
                    tools.push(Tool::docker(&dir));
                    daemon = Some(started);
                }
                Err(error) => crate::say(&format!("docker: left out: {error}\n")),
            }
        }
        for tool in &tools {
            tool.import(&tar)?;
        }
        let mut bench = Self {
            stopwatch: programs.join("bench-stopwatch"),
            runtime: programs.join("tare-runtime"),
            bundle: Bundle::new("engine", &programs.join("bench-noop"), &[])?,
            dir,
            log,
            tools,
            image: tar,
            _daemon: daemon,
        };
        bench.warm_up();
        Ok(bench)
    }

    /// Leaves those out that cannot run here, and starts a container for `exec` with the others.
    fn warm_up(&mut self) {
        let tools = std::mem::take(&mut self.tools);
        for tool in tools {
            let tried = tool.output(&["run", "--rm", "--network", "none", "box:1", "true"]);
            let started = tried.and_then(|_| {
                tool.output(&[
                    "run",
                    "-d",
                    "--name",
                    "long",
                    "--network",
                    "none",
                    "box:1",
                    "sleep",
                    "100000",
                ])
            });
            match started {
                Ok(_) => self.tools.push(tool),
                Err(error) => crate::say(&format!("{}: left out: {error}\n", tool.name)),
            }
        }
    }

    fn measure(&self, index: usize, samples: &mut Samples) -> Result<(), String> {
        let tool = &self.tools[index];
        let verbs: [&[&str]; 3] = [
            &["run", "--rm", "--network", "none", "box:1", "true"],
            &["run", "--rm", "--network", "bridge", "box:1", "true"],
            &["exec", "long", "true"],
        ];
        for (row, verb) in verbs.iter().enumerate() {
            let taken = sample(&self.stopwatch, 0, &tool.command(verb), &self.log);
            samples.add(row, index, taken.map_err(|error| format!("{}: {error}", tool.name))?);
        }
        Ok(())
    }

    fn runtime_alone(&self) -> Result<Sample, String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let root = text(&self.dir.join("runtime"));
        let words = [
            &text(&self.runtime),
            "--root",
            &root,
            "run",
            "--bundle",
            &text(self.bundle.path()),
            "bench",
        ];
        sample(&self.stopwatch, 0, &words.map(str::to_owned), &self.log)
    }

    fn print(&self, samples: &Samples) {
        let heads: String =
            self.tools.iter().map(|tool| format!(" {}: wall ms, CPU ms |", tool.name)).collect();
        let ratios: String =
            self.tools[1..].iter().map(|tool| format!(" wall / {} |", tool.name)).collect();
        crate::print(&format!("\n| |{heads}{ratios}\n|{}\n", "---|".repeat(self.tools.len() * 2)));
        let ms = |us: u64| us as f64 / 1000.0;
        for (row, name) in ROWS.iter().enumerate() {
            let mut line = format!("| {name} |");
            let figure =
                |tool, of: fn(&Sample) -> u64| samples.figure(row, tool, of).map(|it| it.0);
            for tool in 0..self.tools.len() {
                line.push_str(
                    &match (figure(tool, |it| it.wall_us), figure(tool, |it| it.cpu_us)) {
                        (Some(wall), Some(cpu)) => format!(" {:.1}, {:.1} |", ms(wall), ms(cpu)),
                        _ => " - |".to_owned(),
                    },
                );
            }
            for tool in 1..self.tools.len() {
                line.push_str(&match (figure(0, |it| it.wall_us), figure(tool, |it| it.wall_us)) {
                    (Some(own), Some(other)) => {
                        format!(" {:.3} |", own as f64 / other.max(1) as f64)
                    }
                    _ => " - |".to_owned(),
                });
            }
            crate::print(&format!("{line}\n"));
        }
        crate::print("\n(The processor time of docker is its client's.)\n");
    }

    /// Many at once, what stays beside them, lists, logs.
    fn crowd(&self, tool: &Tool) -> Result<Vec<String>, String> {
        let began = Instant::now();
        std::thread::scope(|scope| {
            let start = |starter: usize| {
                for number in (starter..CROWD).step_by(STARTERS) {
                    let name = format!("crowd{number}");
                    let words = [
                        "run",
                        "-d",
                        "--name",
                        &name,
                        "--network",
                        "none",
                        "box:1",
                        "sleep",
                        "100000",
                    ];
                    tool.output(&words)?;
                }
                Ok::<(), String>(())
            };
            let threads: Vec<_> = (0..STARTERS).map(|it| scope.spawn(move || start(it))).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| "a starter failed")?)
        })?;
        let started = began.elapsed();
        let beside_kib = tools::memory_beside(tool) / CROWD as u64;
        let listed = self.list(tool)?;
        let (said, peak_kib) = self.say_much(tool)?;
        let figures = [
            format!("{:.2}", started.as_secs_f64()),
            beside_kib.to_string(),
            listed.map_or_else(|| "-".into(), |time| format!("{:.1}", time.as_secs_f64() * 1e3)),
            format!("{said:.2}"),
            format!("{:.1}", peak_kib as f64 / 1024.0),
        ];
        tool.remove_all();
        Ok(figures.to_vec())
    }

    /// Only of a tool that makes hundreds of containers in seconds.
    fn list(&self, tool: &Tool) -> Result<Option<Duration>, String> {
        if tool.name != "tare" {
            return Ok(None);
        }
        for _ in CROWD..LISTED {
            tool.output(&["create", "--network", "none", "box:1", "true"])?;
        }
        let mut times = Vec::new();
        for _ in 0..11 {
            let began = Instant::now();
            tool.output(&["ps", "-a"])?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(Some(times[times.len() / 2]))
    }

    /// Seconds that a container takes to say much, and the most memory of a process that keeps its log, in KiB.
    fn say_much(&self, tool: &Tool) -> Result<(f64, u64), String> {
        let line = "yes 'a line of a program that has much to say, as they are'";
        let script = format!("{line} | head -c {SAID_BYTES}");
        let run =
            ["run", "-d", "--name", "talker", "--network", "none", "box:1", "sh", "-c", &script];
        let is_over = AtomicBool::new(false);
        let watch = || {
            let mut peak = 0;
            while !is_over.load(Ordering::Relaxed) {
                peak = peak.max(tools::peak_beside(tool));
                std::thread::sleep(PEAK_PAUSE);
            }
            peak
        };
        let (taken, peak) = std::thread::scope(|scope| {
            let watcher = scope.spawn(watch);
            let began = Instant::now();
            let said = tool.output(&run).and_then(|_| tool.output(&["wait", "talker"]));
            let taken = said.map(|_| began.elapsed().as_secs_f64());
            is_over.store(true, Ordering::Relaxed);
            (taken, watcher.join().unwrap_or(0))
        });
        tool.output(&["rm", "-f", "talker"])?;
        Ok((taken?, peak))
    }

    fn networks(&self) -> Result<(), String> {
        crate::print(
            "\n| | container to container, MB/s | host to container, MB/s | connections per second |\n|---|---|---|---|\n",
        );
        for tool in &self.tools {
            let [between, from_host, connections] = network::figures(tool)?;
            let name = tool.name;
            crate::print(&format!(
                "| {name} | {between:.0} | {from_host:.0} | {connections:.0} |\n"
            ));
        }
        Ok(())
    }

    fn pipe(&self) -> Result<f64, String> {
        let script = format!(
            "busybox yes 'a line of a program that has much to say, as they are' | busybox head -c {} | cat > /dev/null",
            SAID_BYTES
        );
        let began = Instant::now();
        let status = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
        status.map_err(|error| format!("running a shell: {error}"))?;
        Ok(began.elapsed().as_secs_f64())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.tools.iter().for_each(Tool::remove_all);
        self._daemon = None;
        // What stays in the temporary directory hurts nobody.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
