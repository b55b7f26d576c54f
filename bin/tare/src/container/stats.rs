//! `tare stats`.

use super::rows::shown;
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::Args;
use engine::{Container, Engine, Usage};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use template::listing::{Form, Listing};
use template::table::Columns;
use template::{Field, Struct, Value, units};

/// Between looks: what has been used meanwhile is what is shown.
const PAUSE: Duration = Duration::from_secs(1);
/// Clears a terminal, as docker does.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

const HEADINGS: [(&str, &str); 9] = [
    ("BlockIO", "BLOCK I/O"),
    ("CPUPerc", "CPU %"),
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("MemPerc", "MEM %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("Name", "NAME"),
    ("NetIO", "NET I/O"),
    ("PIDs", "PIDS"),
];
const TABLE: &str = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

/// Show what containers use of the machine
///
/// Each second anew, in a terminal in the place of what was shown before.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare stats --no-stream --format '{{.Name}} {{.MemUsage}}'")]
pub(crate) struct Stats {
    /// Show those that do not run, too
    #[arg(short, long)]
    all: bool,
    /// json, table TEMPLATE, or a Go template for each container
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show it once
    #[arg(long)]
    no_stream: bool,
    /// Show IDs in full
    #[arg(long)]
    no_trunc: bool,
    /// podman's: do not clear the terminal
    #[arg(long, hide = true)]
    no_reset: bool,
    /// Containers: names, or the beginnings of IDs [default: all that run]
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// What a container had used at a moment.
type Samples = HashMap<String, (Instant, Usage)>;

pub(crate) fn run(global: &Global, arguments: &Stats) -> Result<()> {
    let engine = super::open(global, true)?;
    let clears = !arguments.no_stream && !arguments.no_reset && std::io::stdout().is_terminal();
    let mut before = sample(&engine, &chosen(&engine, arguments)?);
    loop {
        std::thread::sleep(PAUSE);
        let containers = chosen(&engine, arguments)?;
        let now = sample(&engine, &containers);
        let rows: Vec<Value> =
            containers.iter().map(|container| row(container, &before, &now, arguments)).collect();
        if clears {
            std::io::stdout().write_all(CLEAR)?;
        }
        show(arguments, &rows)?;
        if arguments.no_stream {
            return Ok(());
        }
        // Of those that were named nothing more comes when they are gone.
        if !arguments.containers.is_empty() && containers.iter().all(|it| !it.is_running()) {
            return Ok(());
        }
        before = now;
    }
}

fn chosen(engine: &Engine, arguments: &Stats) -> Result<Vec<Container>> {
    if arguments.containers.is_empty() {
        let mut all = engine.list()?;
        all.retain(|container| arguments.all || container.is_running());
        return Ok(all);
    }
    let found = arguments.containers.iter().map(|name| engine.find(name).map_err(Failure::from));
    found.collect()
}

fn sample(engine: &Engine, containers: &[Container]) -> Samples {
    let running = containers.iter().filter(|container| container.is_running());
    running
        .filter_map(|container| {
            let usage = engine.usage(container).ok()?;
            Some((container.config.id.clone(), (Instant::now(), usage)))
        })
        .collect()
}

fn show(arguments: &Stats, rows: &[Value]) -> Result<()> {
    let listing = Listing {
        headings: &HEADINGS,
        table: TABLE,
        rows,
        with_headings: true,
        columns: Columns::DOCKER,
    };
    // docker's JSON is a line for each container.
    match arguments.format.as_deref().map(Form::read) {
        Some(Form::Json) => output::write(&listing.template("{{json .}}")?),
        _ => output::list(arguments.format.as_deref(), &listing, || rows.to_vec()),
    }
}

fn row(container: &Container, before: &Samples, now: &Samples, arguments: &Stats) -> Value {
    let id = &container.config.id;
    let none = || "--".to_owned();
    let pair = |(one, other): (u64, u64)| {
        format!("{} / {}", units::decimal_size(one, 3), units::decimal_size(other, 3))
    };
    let share = |part: f64| format!("{part:.2}%");
    let (mut cpu, mut memory, mut memory_share) =
        (none(), format!("{} / {}", none(), none()), none());
    let (mut net, mut block, mut pids) = (none(), none(), none());
    if let Some((at, usage)) = now.get(id) {
        let used = before.get(id).map(|(then, old)| {
            let ns = usage.cpu_ns.saturating_sub(old.cpu_ns);
            (ns as f64, at.duration_since(*then).as_nanos() as f64)
        });
        cpu =
            share(used.filter(|(_, time)| *time > 0.0).map_or(0.0, |(ns, time)| ns * 100.0 / time));
        memory = format!(
            "{} / {}",
            units::binary_size(usage.memory),
            units::binary_size(usage.memory_limit)
        );
        memory_share = share(match usage.memory_limit {
            0 => 0.0,
            limit => usage.memory as f64 * 100.0 / limit as f64,
        });
        net = pair(usage.network);
        block = pair(usage.block);
        pids = usage.pids.to_string();
    } else if !container.is_running() {
        cpu = share(0.0);
        memory = "0B / 0B".into();
        memory_share = share(0.0);
        (net, block, pids) = ("0B / 0B".into(), "0B / 0B".into(), "0".into());
    }
    Struct::value(
        "stats",
        vec![
            Field::new("BlockIO", block),
            Field::new("CPUPerc", cpu),
            Field::new("Container", shown(id, arguments.no_trunc)),
            Field::new("ID", shown(id, arguments.no_trunc)),
            Field::new("MemPerc", memory_share),
            Field::new("MemUsage", memory),
            Field::new("Name", container.config.name.as_str()),
            Field::new("NetIO", net),
            Field::new("PIDs", pids),
        ],
    )
}
