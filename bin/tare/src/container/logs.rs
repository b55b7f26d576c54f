//! `tare logs`.

use super::{parse, which};
use crate::failure::{Failure, Result};
use crate::output::Clock;
use crate::settings::Global;
use clap::Args;
use engine::Engine;
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
    /// With several containers, their names in front of lines instead of their IDs
    #[arg(long)]
    names: bool,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// Containers: names, or the beginnings of IDs; of several, each line has its container's ID in front
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// A container's log that is shown.
struct Shown {
    id: String,
    reader: LogReader,
    /// What stands in front of its lines.
    prefix: String,
    details: String,
    runs: bool,
}

impl Shown {
    fn open(engine: &Engine, name: &str, arguments: &Logs, wanted: &Wanted) -> Result<Self> {
        let container = engine.find(name)?;
        let id = container.config.id.clone();
        let prefix = match arguments.containers.len() {
            0 | 1 if !arguments.names => String::new(),
            _ if arguments.names => format!("{} ", container.config.name),
            _ => format!("{} ", id.get(..12).unwrap_or(&id)),
        };
        let details = if arguments.details { details(&container.config) } else { String::new() };
        let runs = arguments.follow && (container.is_running() || container.supervised);
        let reader = LogReader::open(&container, &engine.path_of(&id), wanted.clone())?;
        Ok(Self { id, reader, prefix, details, runs })
    }

    fn write(&mut self, arguments: &Logs, follow: bool) -> Result<Result<(), std::io::Error>> {
        let mut result = Ok(());
        let Self { reader, prefix, details, runs, .. } = self;
        let show = &mut |entry: &Entry| write(entry, arguments.timestamps, prefix, details);
        if !follow {
            if let Err(error) = reader.read(&mut |entry| show(&entry)) {
                // A reader who has seen enough.
                return match error.to_string().contains("Broken pipe") {
                    true => Ok(Err(ErrorKind::BrokenPipe.into())),
                    false => Err(error.into()),
                };
            }
            return Ok(result);
        }
        let each = &mut |entry| {
            result = show(&entry);
            result.is_ok()
        };
        if *runs {
            reader.follow(each)?
        } else {
            reader.finish(each)?
        };
        Ok(result)
    }
}

pub(crate) fn run(global: &Global, arguments: &Logs) -> Result<()> {
    let engine = super::open(global, true)?;
    let wanted = Wanted {
        tail: match arguments.tail.as_str() {
            "all" | "" => None,
            text => text.parse().ok(),
        },
        since: said(&arguments.since).map(instant).transpose()?,
        until: said(&arguments.until).map(instant).transpose()?,
    };
    let latest = arguments.latest.then(|| which::latest(&engine)).transpose()?;
    let latest = latest.map(|container| container.config.id);
    let mut all = Vec::new();
    for name in arguments.containers.iter().chain(&latest) {
        all.push(Shown::open(&engine, name, arguments, &wanted)?);
    }
    for shown in &mut all {
        if let Err(error) = shown.write(arguments, false)? {
            return ended(error);
        }
    }
    let is_over = || wanted.until.as_ref().is_some_and(|until| *until < now());
    while all.iter().any(|shown| shown.runs) && !is_over() {
        std::thread::sleep(PAUSE);
        for shown in all.iter_mut().filter(|shown| shown.runs) {
            // What is written before the end is read after it was seen.
            shown.runs = engine.load(&shown.id)?.is_some_and(|it| it.supervised || it.is_running());
            if let Err(error) = shown.write(arguments, true)? {
                return ended(error);
            }
        }
    }
    Ok(())
}

/// A reader who has seen enough is no failure.
fn ended(error: std::io::Error) -> Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error.into()) }
}

fn now() -> String {
    runtime::state::format_time(sys::time::now())
}

fn write(entry: &Entry, with_time: bool, prefix: &str, details: &str) -> std::io::Result<()> {
    let mut line = prefix.to_owned();
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
    // ISO 8601 has a comma there, too.
    let text = &*text.replacen(',', ".", 1);
    // Before now is behind it.
    if let Some(Ok(ahead)) = text.strip_prefix('-').map(parse::duration) {
        let now = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let then = now + i128::from(ahead);
        return Ok(format((then / 1_000_000_000) as i64, (then % 1_000_000_000) as u32));
    }
    if let Some((seconds, nanos)) = unix(text) {
        return Ok(format(seconds, nanos));
    }
    if let Ok(ago) = parse::duration(text) {
        let now = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let then = (now - i128::from(ago)).max(0);
        return Ok(format((then / 1_000_000_000) as i64, (then % 1_000_000_000) as u32));
    }
    // Without a zone it is the user's clock that is read.
    let is_zoned = text.ends_with('Z') || text.get(10..).is_some_and(|it| it.contains(['+', '-']));
    let full = match (is_zoned, text.len()) {
        (true, 17 | 22) => format!("{}:00{}", &text[..16], &text[16..]),
        (true, _) => text.to_owned(),
        (false, 10) => format!("{text}T00:00:00Z"),
        (false, 16) => format!("{text}:00Z"),
        (false, _) => format!("{text}Z"),
    };
    match template::Time::parse_rfc3339(&full) {
        Some(time) if is_zoned => Ok(format(time.seconds(), time.nanoseconds())),
        Some(time) => {
            let seconds = Clock::new(crate::image::now()).of_clock(time.seconds());
            Ok(format(seconds, time.nanoseconds()))
        }
        None => Err(Failure::new(format!("{text:?} is not a time")).hint(
            "write 2026-01-02T15:04:05, seconds since 1970, or how long ago it was, such as 10m",
        )),
    }
}

/// The value of an option; one that is empty says nothing.
pub(crate) fn said(option: &Option<String>) -> Option<&str> {
    option.as_deref().filter(|text| !text.is_empty())
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
