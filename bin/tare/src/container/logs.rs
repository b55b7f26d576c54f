//! `tare logs`.

use super::parse;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::Args;
use engine::log::{Entry, LogReader, Wanted};
use std::io::{ErrorKind, Write};
use std::time::Duration;

/// Between looks at a log that is followed.
const PAUSE: Duration = Duration::from_millis(50);

/// Show what a container has said
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare logs -f --tail 20 web")]
pub(crate) struct Logs {
    /// Labels and variables that --log-opt names, in front
    #[arg(long)]
    details: bool,
    /// Go on with what it says from now on
    #[arg(short, long)]
    follow: bool,
    /// Nothing older: a time, or how long ago it was, such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Nothing newer
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The last lines only; all for all
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value = "all",
        allow_hyphen_values = true
    )]
    tail: String,
    /// The time of each line in front
    #[arg(short, long)]
    timestamps: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(crate) fn run(global: &Global, arguments: &Logs) -> Result<()> {
    let engine = super::open(global, true)?;
    let container = engine.find(&arguments.container)?;
    let id = container.config.id.clone();
    let wanted = Wanted {
        tail: match arguments.tail.as_str() {
            "all" | "" => None,
            text => text.parse().ok(),
        },
        since: arguments.since.as_deref().map(instant).transpose()?,
        until: arguments.until.as_deref().map(instant).transpose()?,
    };
    let details = if arguments.details { details(&container.config) } else { String::new() };
    let mut reader = LogReader::open(&container, &engine.path_of(&id), wanted.clone())?;
    let show = |entry: &Entry| write(entry, arguments.timestamps, &details);
    let done = reader.read(&mut |entry| show(&entry));
    if let Err(error) = done {
        // A reader who has seen enough.
        return if error.to_string().contains("Broken pipe") { Ok(()) } else { Err(error.into()) };
    }
    let mut runs = arguments.follow && (container.is_running() || container.supervised);
    while runs {
        std::thread::sleep(PAUSE);
        // What is written before the end is read after it was seen.
        runs = engine.load(&id)?.is_some_and(|it| it.supervised || it.is_running());
        let mut result = Ok(());
        reader.follow(&mut |entry| {
            result = show(&entry);
            result.is_ok()
        })?;
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
        if wanted.until.as_ref().is_some_and(|until| *until < now()) {
            break;
        }
    }
    Ok(())
}

fn now() -> String {
    runtime::state::format_time(sys::time::now())
}

fn write(entry: &Entry, with_time: bool, details: &str) -> std::io::Result<()> {
    let mut line = String::new();
    if with_time {
        line.push_str(&entry.time);
        line.push(' ');
    }
    line.push_str(details);
    line.push_str(&entry.text);
    match entry.is_error {
        true => std::io::stderr().write_all(line.as_bytes()),
        false => {
            let mut out = std::io::stdout().lock();
            out.write_all(line.as_bytes()).and_then(|()| out.flush())
        }
    }
}

/// `k=v,...` of what the log's options name.
fn details(config: &engine::record::Config) -> String {
    let names = |option: &str| -> Vec<String> {
        let list = config.log.options.get(option);
        list.map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default()
    };
    let mut parts: Vec<String> = Vec::new();
    for name in names("env") {
        let known = config.env.iter().find(|it| it.split('=').next() == Some(&name));
        parts.extend(known.cloned());
    }
    for name in names("labels") {
        parts.extend(config.labels.get(&name).map(|value| format!("{name}={value}")));
    }
    if parts.is_empty() { String::new() } else { parts.join(",") + " " }
}

/// A time in the form of logs: RFC 3339, a date, seconds since 1970, or how long ago.
pub(crate) fn instant(text: &str) -> Result<String> {
    let time = sys::time::now();
    if let Some((seconds, nanos)) = unix(text) {
        return Ok(format(seconds, nanos));
    }
    if let Ok(ago) = parse::duration(text) {
        let now = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let then = (now - i128::from(ago)).max(0);
        return Ok(format((then / 1_000_000_000) as i64, (then % 1_000_000_000) as u32));
    }
    let full = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    match template::Time::parse_rfc3339(&full) {
        Some(time) => Ok(format(time.seconds(), time.nanoseconds())),
        None => Err(Failure::new(format!("{text:?} is not a time")).hint(
            "write 2026-01-02T15:04:05, seconds since 1970, or how long ago it was, such as 10m",
        )),
    }
}

fn unix(text: &str) -> Option<(i64, u32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    Some((seconds.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
}

fn format(seconds: i64, nanos: u32) -> String {
    let mut time = sys::time::now();
    time.seconds = seconds;
    time.nanos = nanos.into();
    runtime::state::format_time(time)
}
