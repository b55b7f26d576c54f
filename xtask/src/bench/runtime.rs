//! `tare-runtime` beside crun, runc and youki: start, enter, ask, stop.
//!
//! The tools take turns in every round, so that a slow moment of the machine hits them alike; what
//! is quoted are medians and their ratios. Everything is measured twice: back to back, and with a
//! pause before each start. Users start containers on idle machines, where a write to
//! `cgroup.procs` waits for a grace period that a busy loop of starts hides.

use super::bundle::Bundle;
use super::measure::{Sample, Samples, sample};
use super::options::Options;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is measured, in the order in which one container goes through it.
const VERBS: [&str; 7] = ["create", "start", "state", "list", "exec", "kill", "delete"];
const RUN: usize = VERBS.len();
const BATCH: usize = RUN + 1;
/// Rows of the second half are those with a pause.
const ROWS: usize = BATCH + 1;
const BATCH_RUNS: usize = 64;
const BATCH_THREADS: usize = 8;
/// A batch is 64 runs: it needs fewer rounds.
const BATCH_ROUNDS: usize = 5;
/// Where the tools keep their state, in the benchmark's own mount namespace.
const STATE: &str = "/run";
/// A killed container is gone within milliseconds.
const END_DEADLINE: Duration = Duration::from_secs(5);

struct Tool {
    name: String,
    program: PathBuf,
    /// State directory; `None`: the floor, which keeps no state.
    root: Option<PathBuf>,
}

impl Tool {
    fn command(&self, arguments: &[&str]) -> Vec<String> {
        let program = self.program.to_string_lossy().into_owned();
        let root = self
            .root
            .iter()
            .flat_map(|root| ["--root".to_string(), root.to_string_lossy().into_owned()]);
        let rest = arguments.iter().map(|argument| argument.to_string());
        std::iter::once(program).chain(root).chain(rest).collect()
    }

    /// The command that makes, runs and removes a container.
    fn run(&self, bundle: &str, id: &str) -> Vec<String> {
        match self.root {
            Some(_) => self.command(&["run", "--bundle", bundle, id]),
            None => self.command(&[bundle, id]),
        }
    }
}

struct Bench {
    tools: Vec<Tool>,
    stopwatch: PathBuf,
    /// Its program ends at once.
    short: Bundle,
    /// Its program waits.
    long: Bundle,
    log: File,
    log_path: PathBuf,
}

/// Builds, measures and prints.
pub(super) fn run(options: &Options) -> Result<(), String> {
    if sys::ids::euid() != 0 {
        return Err("needs root".into());
    }
    let programs = options.programs(&[&["-p", "tare-runtime", "-p", "floor"]])?;
    enter_mount_namespace()?;
    let noop = programs.join("bench-noop");
    let log_path = std::env::temp_dir().join(format!("tare-bench-{}.log", std::process::id()));
    let mut bench = Bench {
        tools: Vec::new(),
        stopwatch: programs.join("bench-stopwatch"),
        short: Bundle::new("short", &noop, &[])?,
        long: Bundle::new("long", &noop, &["wait"])?,
        log: File::create(&log_path).map_err(|error| format!("making the log: {error}"))?,
        log_path,
    };
    bench.find_tools(&programs, options);
    let samples = bench.measure(options)?;
    bench.print(&samples, options);
    let _ = std::fs::remove_file(&bench.log_path);
    Ok(())
}

/// A mount namespace for all tools, with their state on a tmpfs, where it is on every machine that
/// has `/run` on one, and without a unified hierarchy beside v1, which crun refuses.
fn enter_mount_namespace() -> Result<(), String> {
    const UNIFIED: &str = "/sys/fs/cgroup/unified";
    let failed = |errno| format!("making a mount namespace: {errno}");
    sys::process::unshare(sys::process::CLONE_NEWNS).map_err(failed)?;
    let flags = sys::mount::MS_SLAVE | sys::mount::MS_REC;
    sys::mount::mount("", "/", "", flags, "").map_err(failed)?;
    if Path::new(UNIFIED).is_dir() {
        sys::mount::unmount(UNIFIED, sys::mount::MNT_DETACH).map_err(failed)?;
    }
    sys::mount::mount("tmpfs", STATE, "tmpfs", 0, "mode=755").map_err(failed)
}

pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

impl Bench {
    fn find_tools(&mut self, programs: &Path, options: &Options) {
        let floor = Path::new("/sys/fs/cgroup/memory").is_dir();
        if !floor {
            crate::say("floor: is written for cgroup v1, which this machine does not have\n");
        }
        if floor && options.wants("floor") {
            let program = programs.join("bench-floor");
            self.tools.push(Tool { name: "floor".into(), program, root: None });
        }
        let own = Some(programs.join("tare-runtime"));
        let peers = ["crun", "runc", "youki"].map(|name| (name, on_path(name)));
        for (name, program) in [("tare-runtime", own)].into_iter().chain(peers) {
            if !options.wants(name) {
                continue;
            }
            let Some(program) = program else {
                crate::say(&format!("{name}: not installed\n"));
                continue;
            };
            let root = Path::new(STATE).join(format!("bench-{name}"));
            let tool = Tool { name: name.into(), program, root: Some(root) };
            match sample(&self.stopwatch, 0, &tool.run(&self.short_path(), "warm-up"), &self.log) {
                Ok(_) => self.tools.push(tool),
                Err(error) => {
                    let log = std::fs::read_to_string(&self.log_path).unwrap_or_default();
                    let why = log.lines().last().unwrap_or("").to_string();
                    crate::say(&format!("{name}: left out, it cannot run here: {error}{why}\n"));
                }
            }
        }
    }

    fn short_path(&self) -> String {
        self.short.path().to_string_lossy().into_owned()
    }

    fn measure(&self, options: &Options) -> Result<Samples, String> {
        let mut samples = Samples::default();
        for round in 0..options.rounds {
            for (half, idle_ms) in [(0, 0), (ROWS, options.idle_ms)] {
                for turn in 0..self.tools.len() {
                    // Everyone is first as often as the others.
                    let index = (turn + round) % self.tools.len();
                    let id = format!("tare-bench-{round}");
                    self.measure_run(index, &id, idle_ms, half, &mut samples)?;
                    if self.tools[index].root.is_some() {
                        self.measure_verbs(index, &id, idle_ms, half, &mut samples)?;
                    }
                }
            }
        }
        for round in 0..options.rounds.min(BATCH_ROUNDS) {
            for turn in 0..self.tools.len() {
                let index = (turn + round) % self.tools.len();
                samples.add(BATCH, index, self.measure_batch(index)?);
            }
        }
        Ok(samples)
    }

    fn measure_run(
        &self,
        index: usize,
        id: &str,
        idle_ms: u64,
        half: usize,
        samples: &mut Samples,
    ) -> Result<(), String> {
        let command = self.tools[index].run(&self.short_path(), id);
        samples.add(half + RUN, index, sample(&self.stopwatch, idle_ms, &command, &self.log)?);
        Ok(())
    }

    /// One container through all verbs.
    fn measure_verbs(
        &self,
        index: usize,
        id: &str,
        idle_ms: u64,
        half: usize,
        samples: &mut Samples,
    ) -> Result<(), String> {
        let tool = &self.tools[index];
        let bundle = self.long.path().to_string_lossy();
        for (row, verb) in VERBS.iter().enumerate() {
            let command = match *verb {
                "create" => tool.command(&["create", "--bundle", &bundle, id]),
                "list" => tool.command(&["list"]),
                "exec" => tool.command(&["exec", id, "/bin/noop"]),
                "kill" => tool.command(&["kill", id, "KILL"]),
                verb => tool.command(&[verb, id]),
            };
            if *verb == "delete" {
                wait_until_stopped(tool, id)?;
            }
            samples.add(half + row, index, sample(&self.stopwatch, idle_ms, &command, &self.log)?);
        }
        Ok(())
    }

    fn measure_batch(&self, index: usize) -> Result<Sample, String> {
        let (tool, bundle) = (&self.tools[index], self.short_path());
        let one = |thread: usize| -> Result<(), String> {
            for run in 0..BATCH_RUNS / BATCH_THREADS {
                let command = tool.run(&bundle, &format!("tare-bench-{thread}-{run}"));
                let status = Command::new(&command[0])
                    .args(&command[1..])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(self.log.try_clone().map_err(|error| error.to_string())?)
                    .status();
                if !status.is_ok_and(|status| status.success()) {
                    return Err(format!("{} failed in a batch", tool.name));
                }
            }
            Ok(())
        };
        let start = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..BATCH_THREADS).map(|thread| scope.spawn(move || one(thread))).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| "a thread of the batch panicked".to_string())?
            })
        })?;
        Ok(Sample { wall_us: start.elapsed().as_micros() as u64, cpu_us: 0, peak_kib: 0 })
    }

    fn print(&self, samples: &Samples, options: &Options) {
        let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        let own = names.iter().position(|name| *name == "tare-runtime");
        let own = own.unwrap_or_default();
        let others: Vec<usize> = (0..names.len()).filter(|index| *index != own).collect();
        let ratios: Vec<String> =
            others.iter().map(|&index| format!("/ {}", names[index])).collect();
        let mut lines = vec![
            format!(
                "{} rounds, median (least); isolated: {} ms of rest before each start\n",
                options.rounds, options.idle_ms
            ),
            format!("| | {} | {} |", names.join(" | "), ratios.join(" | ")),
            format!("|---|{}", "---|".repeat(names.len() + others.len())),
        ];
        let mut row = |label: String, row: usize, of: fn(&Sample) -> u64, unit: f64| {
            let figures: Vec<_> =
                (0..names.len()).map(|tool| samples.figure(row, tool, of)).collect();
            let cell = |figure: &Option<(u64, u64)>| match figure {
                Some((median, least)) => {
                    format!("{:.2} ({:.2})", *median as f64 / unit, *least as f64 / unit)
                }
                None => "-".to_string(),
            };
            let ratio = |&other: &usize| match (figures[own], figures[other]) {
                (Some((mine, _)), Some((theirs, _))) => {
                    format!("{:.2}", mine as f64 / theirs.max(1) as f64)
                }
                _ => "-".to_string(),
            };
            let cells: Vec<String> = figures.iter().map(cell).collect();
            let ratios: Vec<String> = others.iter().map(ratio).collect();
            lines.push(format!("| {label} | {} | {} |", cells.join(" | "), ratios.join(" | ")));
        };
        for (half, how) in [(0, "back to back"), (ROWS, "isolated")] {
            row(format!("run {how}, ms"), half + RUN, |s| s.wall_us, 1000.0);
            for (index, verb) in VERBS.iter().enumerate() {
                row(format!("{verb} {how}, ms"), half + index, |s| s.wall_us, 1000.0);
            }
        }
        row("run, CPU ms".into(), RUN, |s| s.cpu_us, 1000.0);
        row("run, peak MiB".into(), RUN, |s| s.peak_kib, 1024.0);
        let label = format!("{BATCH_RUNS} runs, {BATCH_THREADS} at once, ms");
        row(label, BATCH, |s| s.wall_us, 1000.0);
        crate::print(&(lines.join("\n") + "\n"));
    }
}

fn wait_until_stopped(tool: &Tool, id: &str) -> Result<(), String> {
    let end = Instant::now() + END_DEADLINE;
    let command = tool.command(&["state", id]);
    while Instant::now() < end {
        let output = Command::new(&command[0]).args(&command[1..]).output();
        let output = output.map_err(|error| error.to_string())?;
        if String::from_utf8_lossy(&output.stdout).contains("\"stopped\"") {
            return Ok(());
        }
    }
    Err(format!("{}: the container does not end", tool.name))
}
