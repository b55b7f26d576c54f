//! Samples, and what is made of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// What one run of a program took.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) wall_us: u64,
    pub(super) cpu_us: u64,
    pub(super) peak_kib: u64,
}

/// Runs a command under the stopwatch, after `idle_ms` of rest.
pub(super) fn sample(
    stopwatch: &Path,
    idle_ms: u64,
    command: &[String],
    log: &File,
) -> Result<Sample, String> {
    let log = log.try_clone().map_err(|error| error.to_string())?;
    let output = Command::new(stopwatch)
        .arg(idle_ms.to_string())
        .args(command)
        .stdin(Stdio::null())
        .stderr(log)
        .output()
        .map_err(|error| format!("running the stopwatch: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> =
        text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [wall_ns, cpu_us, peak_kib, 0] => Ok(Sample { wall_us: wall_ns / 1000, cpu_us, peak_kib }),
        _ => Err(format!("{} failed: {text}", command.join(" "))),
    }
}

/// Samples by what was measured and by tool.
#[derive(Default)]
pub(super) struct Samples(BTreeMap<(usize, usize), Vec<Sample>>);

impl Samples {
    pub(super) fn add(&mut self, row: usize, tool: usize, sample: Sample) {
        self.0.entry((row, tool)).or_default().push(sample);
    }

    /// Median and least of one figure, in its own unit.
    pub(super) fn figure(
        &self,
        row: usize,
        tool: usize,
        of: fn(&Sample) -> u64,
    ) -> Option<(u64, u64)> {
        let samples = self.0.get(&(row, tool))?;
        let mut values: Vec<u64> = samples.iter().map(of).collect();
        values.sort_unstable();
        Some((*values.get(values.len() / 2)?, *values.first()?))
    }
}
