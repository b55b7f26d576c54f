//! `tare top`.

use super::which;
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::Args;
use std::collections::HashSet;
use std::process::Command;

/// What `getconf CLK_TCK` says on all of Linux.
const TICKS: u64 = 100;

/// Show the processes of a container
///
/// As `ps -ef` shows them, with the ids that this machine knows them by. With options of ps(1), the machine's own ps is
/// run, and its lines about the container's processes are shown.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare top web\n  tare top web -o pid,rss,args")]
pub(crate) struct Top {
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// The container (its name, or the beginning of its ID), and options of ps(1)
    #[arg(
        required_unless_present = "latest",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_names = ["CONTAINER", "OPTION"]
    )]
    words: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Top) -> Result<()> {
    let engine = super::open(global, true)?;
    let (name, options) = match arguments.words.split_first() {
        Some((name, options)) if !arguments.latest => (Some(name), options),
        _ => (None, &arguments.words[..]),
    };
    let container = which::one(&engine, name, arguments.latest)?;
    if !container.is_running() {
        return Err(Failure::new(format!("container {} is not running", container.config.id))
            .hint(format!("`tare start {}` first", container.config.name)));
    }
    let pids = engine.processes(&container)?;
    let text = match options.is_empty() {
        true => own(&pids),
        false => of_ps(&pids, options)?,
    };
    engine.tell("top", &container.config, &[]);
    output::write(text.as_bytes())
}

/// The machine's ps, as docker asks it.
fn of_ps(pids: &[i32], options: &[String]) -> Result<String> {
    let output = Command::new("ps").args(options).output().map_err(|error| {
        Failure::new(format!("running ps: {error}"))
            .hint("without options nothing but /proc is needed")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|line| !line.is_empty()).unwrap_or("it has failed");
        return Err(Failure::new(format!("ps: {first}")));
    }
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let Some(column) = heading.split_whitespace().position(|name| name == "PID") else {
        return Err(Failure::new("Couldn't find PID field in ps output")
            .hint("have ps show it: -o pid,..."));
    };
    let wanted: HashSet<String> = pids.iter().map(i32::to_string).collect();
    let is_own =
        |line: &&str| line.split_whitespace().nth(column).is_some_and(|pid| wanted.contains(pid));
    let mut shown = format!("{heading}\n");
    lines.filter(is_own).for_each(|line| shown.push_str(&format!("{line}\n")));
    Ok(shown)
}

/// `UID PID PPID C STIME TTY TIME CMD`, from /proc.
fn own(pids: &[i32]) -> String {
    let up = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up: f64 = up.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0.0);
    let clock = output::Clock::new(crate::image::now());
    let mut rows: Vec<Vec<String>> =
        vec![["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(String::from).to_vec()];
    let mut pids = pids.to_vec();
    pids.sort_unstable();
    rows.extend(pids.iter().filter_map(|pid| row(*pid, up, &clock)));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}   {}\n", cells.join("   "), row[7])
    };
    rows.iter().map(line).collect()
}

/// A process; nothing if it has ended.
fn row(pid: i32, up: f64, clock: &output::Clock) -> Option<Vec<String>> {
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).ok();
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uid: u32 = uid.split_whitespace().nth(1)?.parse().ok()?;
    let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
    // The name may hold anything, a parenthesis, too.
    let (name, rest) = (stat.split_once('(')?.1.rsplit_once(')')?.0, stat.rsplit_once(')')?.1);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    let (used, begun) = ((number(11) + number(12)) / TICKS, number(19));
    let age = (up - begun as f64 / TICKS as f64).max(0.0);
    let share = if age < 1.0 { 0 } else { (used as f64 * 100.0 / age) as u64 };
    let time = template::Time::unix(clock.now() - age as i64, 0);
    let layout = if age < 86_400.0 { "15:04" } else { "Jan02" };
    let mut command: Vec<String> = read("cmdline")?
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    command.pop();
    if command.is_empty() {
        command.push(format!("[{name}]"));
    }
    Some(vec![
        login(uid),
        pid.to_string(),
        fields.get(1)?.to_string(),
        share.to_string(),
        clock.local(&time).format(layout),
        terminal(number(4)),
        format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60),
        output::tame(&command.join(" ")),
    ])
}

/// `pts/0`, of the number that /proc has.
fn terminal(number: u64) -> String {
    const PTS: std::ops::RangeInclusive<u64> = 136..=143;
    let (major, minor) = (number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xfff00));
    match major {
        _ if number == 0 => "?".into(),
        major if PTS.contains(&major) => format!("pts/{}", (major - PTS.start()) * 256 + minor),
        4 => format!("tty{minor}"),
        major => format!("{major}/{minor}"),
    }
}

/// The machine's name of a user, or the number.
fn login(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields[0].to_owned())
    };
    passwd.lines().find_map(of).unwrap_or_else(|| uid.to_string())
}
