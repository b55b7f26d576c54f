//! `tare ps`.

use super::rows::{HEADINGS, Maker, SHORT_ID, shown};
use crate::failure::{Failure, Result};
use crate::image::now;
use crate::labels;
use crate::output::{self, Clock};
use crate::settings::Global;
use clap::Args;
use engine::record::Config;
use engine::{Container, Engine};
use template::listing::Listing;
use template::table::Columns;

/// List containers
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare ps -a\n  tare ps -q --filter status=exited\n  \
                        tare ps --format '{{.Names}}: {{.Status}}'")]
pub(crate) struct List {
    /// Show those that do not run, too
    #[arg(short, long)]
    all: bool,
    /// Show only containers for which this holds (repeated): ancestor, before, exited, expose, health, id, is-task,
    /// label, name, network, publish, since, status, volume
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json, table, table TEMPLATE, or a Go template for each container
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show the last ones that were made, in any state
    #[arg(short = 'n', long, value_name = "NUMBER", allow_hyphen_values = true)]
    last: Option<i64>,
    /// Show the last one that was made, in any state
    #[arg(short, long)]
    latest: bool,
    /// Show IDs and commands in full
    #[arg(long, visible_alias = "notruncate")]
    no_trunc: bool,
    /// Show no headings
    #[arg(long)]
    noheading: bool,
    /// Show IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Show what each has written
    #[arg(short, long)]
    size: bool,
    /// Sort by command, created, id, image, names, runningfor, size or status [default: created, the newest first]
    #[arg(long, value_enum, value_name = "KEY")]
    sort: Option<Sort>,
    /// podman's: containers of other programs in its store, of which there are none here
    #[arg(long, hide = true)]
    external: bool,
    /// podman's: ask the kernel, as is done here always
    #[arg(long, hide = true)]
    sync: bool,
}

/// podman's ways to sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    Command,
    Created,
    Id,
    Image,
    Names,
    Runningfor,
    Size,
    Status,
}

impl Sort {
    fn apply(self, engine: &Engine, containers: &mut [Container]) {
        let words = |it: &Container| {
            let words: Vec<&str> =
                it.config.entrypoint.iter().chain(&it.config.cmd).map(String::as_str).collect();
            words.join(" ")
        };
        match self {
            Self::Command => containers.sort_by_cached_key(words),
            Self::Created => containers.sort_by(|a, b| a.config.created.cmp(&b.config.created)),
            Self::Runningfor => containers.sort_by(|a, b| a.state.started.cmp(&b.state.started)),
            Self::Id => containers.sort_by(|a, b| a.config.id.cmp(&b.config.id)),
            Self::Image => containers.sort_by(|a, b| a.config.image.cmp(&b.config.image)),
            Self::Names => containers.sort_by(|a, b| a.config.name.cmp(&b.config.name)),
            Self::Size => containers.sort_by_cached_key(|it| engine.writable_bytes(&it.config.id)),
            Self::Status => containers.sort_by_key(|it| it.status().to_owned()),
        }
    }
}

pub(crate) fn run(global: &Global, arguments: &List) -> Result<()> {
    let engine = super::open(global, true)?;
    let filters = Filters::read(&engine, &arguments.filter, &KEYS)?;
    let mut containers = engine.list()?;
    containers.retain(|container| filters.choose(container));
    let last = if arguments.latest { Some(1) } else { arguments.last.filter(|it| *it > 0) };
    let shows_all = arguments.all || last.is_some() || filters.chooses_state();
    containers.retain(|container| {
        shows_all || container.is_running() || container.status() == "restarting"
    });
    containers.truncate(last.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(0)));
    if let Some(sort) = arguments.sort {
        sort.apply(&engine, &mut containers);
    }
    if arguments.quiet && arguments.format.is_none() {
        let ids = containers.iter().map(|it| shown(&it.config.id, arguments.no_trunc) + "\n");
        return output::write(ids.collect::<String>().as_bytes());
    }
    let clock = Clock::new(now());
    let size = |container: &Container| {
        let image = super::image_bytes(&engine, container);
        (engine.writable_bytes(&container.config.id), Some(image))
    };
    let wants_size =
        arguments.size || arguments.format.as_ref().is_some_and(|format| format.contains(".Size"));
    let maker = Maker {
        clock: &clock,
        no_trunc: arguments.no_trunc,
        size: if wants_size { Some(&size) } else { None },
    };
    let rows: Vec<_> = containers.iter().map(|container| maker.row(container)).collect();
    let mut table =
        "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
            .to_owned();
    if arguments.size {
        table.push_str("\t{{.Size}}");
    }
    let listing = Listing {
        headings: &HEADINGS,
        table: &table,
        rows: &rows,
        with_headings: !arguments.noheading,
        columns: Columns::DOCKER,
    };
    output::list(arguments.format.as_deref(), &listing, || rows.clone())
}

/// What `status` and `health` can be.
const STATES: [&str; 8] =
    ["created", "restarting", "running", "removing", "paused", "exited", "dead", "stopped"];
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

pub(super) const KEYS: [&str; 17] = [
    "ancestor",
    "before",
    "command",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "restart-policy",
    "since",
    "status",
    "until",
    "volume",
];
const POLICIES: [&str; 5] = ["no", "none", "on-failure", "always", "unless-stopped"];

/// What a container has to be. Values of one key are alternatives, but for labels.
pub(super) struct Filters {
    all: Vec<(String, String)>,
    /// Patterns of `id` and `name`, where they are some.
    patterns: Vec<(String, regex_lite::Regex)>,
    before: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl Filters {
    pub(super) fn read(engine: &Engine, texts: &[String], keys: &[&str]) -> Result<Self> {
        let mut filters =
            Self { all: Vec::new(), patterns: Vec::new(), before: None, since: None, until: None };
        for text in texts {
            let bad = || {
                Failure::new(format!("--filter {text}: bad format of filter"))
                    .hint("write KEY=VALUE")
            };
            let (key, value) = text.split_once('=').ok_or_else(bad)?;
            let plain = key.trim_end_matches('!');
            let is_known = match key {
                "status" => STATES.contains(&value),
                "health" => HEALTH.contains(&value),
                "is-task" => matches!(value, "true" | "false" | "1" | "0"),
                "isolation" => {
                    return Err(Failure::new(format!(
                        "--filter {text}: it is for containers of Windows"
                    )));
                }
                _ => true,
            };
            if !is_known {
                return Err(Failure::new(format!("invalid filter '{key}={value}'")));
            }
            if !keys.contains(&plain) || (plain != key && plain != "label") {
                return Err(Failure::new(format!("invalid filter '{key}'"))
                    .hint(format!("known are {}", keys.join(", "))));
            }
            match key {
                "before" => filters.before = Some(engine.find(value)?.config.created),
                "since" => filters.since = Some(engine.find(value)?.config.created),
                "until" => filters.until = Some(super::logs::instant(value)?),
                "exited" if value.parse::<i32>().is_err() => return Err(bad()),
                "id" | "name" => {
                    let value = match key {
                        "name" => value.trim_start_matches('/').replace("^/", "^"),
                        // Of an ID the beginning is enough, in either case.
                        _ if is_hex(value) => format!("^{}", value.to_ascii_lowercase()),
                        _ => value.to_owned(),
                    };
                    let pattern = crate::pattern::read(key, &value)?;
                    filters.patterns.push((key.into(), pattern));
                }
                "restart-policy" if !POLICIES.contains(&value) => {
                    return Err(Failure::new(format!("{value} invalid restart policy"))
                        .hint(format!("known are {}", POLICIES.join(", "))));
                }
                _ => filters.all.push((key.into(), value.into())),
            }
        }
        Ok(filters)
    }

    /// Whether it is said in which state they are.
    fn chooses_state(&self) -> bool {
        self.all.iter().any(|(key, _)| matches!(key.as_str(), "status" | "exited"))
    }

    pub(super) fn choose(&self, container: &Container) -> bool {
        let created = &container.config.created;
        if self.before.as_ref().is_some_and(|time| created >= time)
            || self.since.as_ref().is_some_and(|time| created <= time)
            || self.until.as_ref().is_some_and(|time| created >= time)
        {
            return false;
        }
        let holds = |key: &str| {
            let mut of_key = self.all.iter().filter(|(known, _)| known == key).peekable();
            of_key.peek().is_none() || of_key.any(|(_, value)| is(container, key, value))
        };
        let every = |key: &str| {
            let mut of_key = self.all.iter().filter(|(known, _)| known == key);
            of_key.all(|(_, value)| is(container, key, value))
        };
        let matches = |key: &str, text: &str| {
            let mut of_key = self.patterns.iter().filter(|(known, _)| known == key).peekable();
            of_key.peek().is_none() || of_key.any(|(_, pattern)| pattern.is_match(text))
        };
        matches("id", &container.config.id)
            && matches("name", &container.config.name)
            && KEYS.iter().filter(|key| **key != "label").all(|key| holds(key))
            && every("label")
            && every("label!")
    }
}

fn is(container: &Container, key: &str, value: &str) -> bool {
    let (config, state) = (&container.config, &container.state);
    match key {
        "ancestor" => is_of(config, value),
        "exited" => container.status() == "exited" && value.parse() == Ok(state.exit_code),
        // docker's meaning: of a published port the one inside, or the one of the host.
        "expose" => {
            let published = state.ports.iter();
            config.exposed_ports.iter().any(|port| is_port(port, value))
                || published
                    .map(|it| format!("{}/{}", it.container, it.protocol))
                    .any(|it| is_port(&it, value))
        }
        "publish" => {
            let mut published = state.ports.iter();
            published.any(|port| is_port(&format!("{}/{}", port.host, port.protocol), value))
        }
        "health" => state.health.as_ref().map_or("none", |health| &health.status) == value,
        "command" => {
            config.entrypoint.iter().chain(&config.cmd).next().is_some_and(|it| it == value)
        }
        "is-task" => matches!(value, "false" | "0"),
        "label" => labels::has(&config.labels, value),
        "label!" => !labels::has(&config.labels, value),
        "network" => {
            config.network.mode == value
                || config.network.endpoints.iter().any(|endpoint| endpoint.network == value)
                || value.len() >= SHORT_ID
                    && state.networks.iter().any(|it| is_id(&it.network_id, value))
        }
        "restart-policy" => match value {
            "no" | "none" => matches!(config.restart.policy.as_str(), "" | "no"),
            value => config.restart.policy == value,
        },
        // podman's word for it.
        "status" if value == "stopped" => container.status() == "exited",
        "status" => container.status() == value,
        "volume" => config
            .mounts
            .iter()
            .any(|mount| [&mount.name, &mount.source, &mount.target].iter().any(|it| *it == value)),
        _ => false,
    }
}

/// Whether a container is of an image: by the ID or its beginning, or by a name, with or without what is understood.
fn is_of(config: &Config, wanted: &str) -> bool {
    const UNDERSTOOD: [&str; 4] = ["", "localhost/", "docker.io/", "docker.io/library/"];
    let is = |name: &String| {
        let without_tag = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        let forms = [Some(name.as_str()), without_tag.map(|(name, _)| name)];
        forms
            .into_iter()
            .flatten()
            .any(|form| UNDERSTOOD.iter().any(|prefix| form.strip_prefix(prefix) == Some(wanted)))
    };
    let id = config.image_id.strip_prefix("sha256:").unwrap_or(&config.image_id);
    is(&config.image)
        || is(&config.image_name)
        || is_id(id, wanted.strip_prefix("sha256:").unwrap_or(wanted))
}

/// Whether a text is an ID, or its beginning.
fn is_id(id: &str, text: &str) -> bool {
    is_hex(text) && id.starts_with(text)
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// Whether a port is the one that is wanted, or one of a range: `80`, `80/tcp`, `80-90/tcp`.
fn is_port(port: &str, wanted: &str) -> bool {
    let read = |text: &str| {
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?, protocol.to_owned()))
    };
    let (Some((from, to, of)), Some((first, last, protocol))) = (read(port), read(wanted)) else {
        return false;
    };
    of == protocol && from <= last && to >= first
}

#[test]
fn ports_are_found_in_ranges() {
    for (port, wanted, expected) in [
        ("80/tcp", "80", true),
        ("80", "80/tcp", true),
        ("80/udp", "80", false),
        ("85", "80-90/tcp", true),
        ("91", "80-90", false),
        ("80-90", "85", true),
        ("80", "x", false),
    ] {
        assert_eq!(is_port(port, wanted), expected, "{port} {wanted}");
    }
}
