//! Rows of the list of containers, with docker's and podman's names of fields.

use crate::called::Called;
use crate::labels;
use crate::output::{Clock, tame};
use engine::Container;
use engine::record::{Port, status};
use template::{Field, Struct, Time, Value, units};

pub(super) const SHORT_ID: usize = 12;
const COMMAND_LIMIT: usize = 20;
const SIZE_DIGITS: usize = 3;

/// Headings of the table, by the names of fields.
pub(crate) const HEADINGS: [(&str, &str); 22] = [
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("Created", "CREATED"),
    ("RunningFor", "CREATED"),
    ("CreatedHuman", "CREATED"),
    ("ExitCode", "EXIT CODE"),
    ("Exited", "EXITED"),
    ("HealthStatus", "HEALTH STATUS"),
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("ImageID", "IMAGE ID"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Names", "NAMES"),
    ("Networks", "NETWORKS"),
    ("Pid", "PID"),
    ("Platform", "PLATFORM"),
    ("Ports", "PORTS"),
    ("Size", "SIZE"),
    ("State", "STATE"),
    ("Status", "STATUS"),
];

/// Bytes that a container has written, and those of its image, where they are shown.
pub(crate) type Sizes<'s> = &'s dyn Fn(&Container) -> (u64, Option<u64>);

/// What rows are made with.
pub(crate) struct Maker<'m> {
    pub(crate) clock: &'m Clock,
    pub(crate) no_trunc: bool,
    /// They are counted for this.
    pub(crate) size: Option<Sizes<'m>>,
}

impl Maker<'_> {
    pub(crate) fn row(&self, container: &Container) -> Value {
        let (config, state) = (&container.config, &container.state);
        let created = Time::parse_rfc3339(&config.created);
        let words: Vec<&str> =
            config.entrypoint.iter().chain(&config.cmd).map(String::as_str).collect();
        let mut command = tame(&words.join(" "));
        let mut mounts: Vec<String> = config
            .mounts
            .iter()
            .map(|it| if it.name.is_empty() { it.source.clone() } else { it.name.clone() })
            .filter(|text| !text.is_empty())
            .collect();
        if !self.no_trunc {
            command = shorten(&command, COMMAND_LIMIT);
            mounts = mounts.iter().map(|text| shorten(text, 15)).collect();
        }
        if !Called::is_podman() {
            command = format!("\"{command}\"");
        }
        let volumes = config.mounts.iter().filter(|mount| mount.kind == "volume").count();
        let size = self.size.map(|size| size(container));
        let bytes = |bytes: u64| units::decimal_size(bytes, SIZE_DIGITS);
        let size = match size {
            None => "0B".into(),
            Some((own, None)) => bytes(own),
            Some((own, Some(image))) => format!("{} (virtual {})", bytes(own), bytes(own + image)),
        };
        let health = state.health.as_ref().map_or("", |health| health.status.as_str());
        Struct::value(
            "container",
            vec![
                Field::new("Command", command),
                Field::new("CreatedAt", self.clock.listed(created.as_ref())),
                Field::hidden("Created", self.clock.age(created.as_ref())),
                Field::hidden("CreatedHuman", self.clock.age(created.as_ref())),
                Field::new("ID", shown(&config.id, self.no_trunc)),
                Field::new("Image", config.image.as_str()),
                Field::hidden("ImageID", config.image_id.as_str()),
                Field::new("HealthStatus", if container.is_running() { health } else { "" }),
                Field::new("Labels", labels::text(&config.labels)),
                Field::hidden("Label", labels::lookup(&config.labels)),
                Field::new("LocalVolumes", volumes.to_string()),
                Field::new("Mounts", mounts.join(",")),
                Field::new("Names", config.name.as_str()),
                Field::new("Networks", networks(container)),
                Field::hidden("Pid", i64::from(state.pid)),
                Field::hidden("ExitCode", i64::from(state.exit_code)),
                Field::hidden("Exited", !container.is_running()),
                Field::hidden("Platform", config.platform.as_str()),
                Field::new("Ports", ports(container)),
                Field::new("RunningFor", self.clock.age(created.as_ref())),
                Field::new("Size", size),
                Field::new("State", container.status()),
                Field::new("Status", self.status(container)),
            ],
        )
    }

    /// `Up 5 minutes (healthy)`.
    fn status(&self, container: &Container) -> String {
        let state = &container.state;
        let since = |text: &str| {
            let time = Time::parse_rfc3339(text);
            time.map_or_else(|| "N/A".into(), |it| units::duration(self.clock.now() - it.seconds()))
        };
        let health = state.health.as_ref().map(|health| match health.status.as_str() {
            "starting" => " (health: starting)".to_owned(),
            other => format!(" ({other})"),
        });
        match container.status() {
            status::RUNNING => {
                format!("Up {}{}", since(&state.started), health.unwrap_or_default())
            }
            status::PAUSED if Called::is_podman() => "Paused".into(),
            status::PAUSED => format!("Up {} (Paused)", since(&state.started)),
            status::RESTARTING => {
                format!("Restarting ({}) {} ago", state.exit_code, since(&state.finished))
            }
            status::EXITED => {
                format!("Exited ({}) {} ago", state.exit_code, since(&state.finished))
            }
            status::CREATED => "Created".into(),
            other => other.into(),
        }
    }
}

/// docker's way to cut a text.
fn shorten(text: &str, limit: usize) -> String {
    match text.chars().count() > limit {
        true => text.chars().take(limit - 1).chain(['…']).collect(),
        false => text.into(),
    }
}

pub(super) fn shown(id: &str, no_trunc: bool) -> String {
    if no_trunc { id.into() } else { id.chars().take(SHORT_ID).collect() }
}

fn networks(container: &Container) -> String {
    let network = &container.config.network;
    match network.mode.as_str() {
        "" => {
            let names: Vec<&str> = network.endpoints.iter().map(|it| it.network.as_str()).collect();
            names.join(",")
        }
        mode => mode.into(),
    }
}

fn ports(container: &Container) -> String {
    if !container.is_running() {
        return String::new();
    }
    let published = &container.state.ports;
    let mut texts: Vec<String> = ranges(published).iter().map(Range::text).collect();
    for exposed in &container.config.exposed_ports {
        let exposed =
            if exposed.contains('/') { exposed.clone() } else { format!("{exposed}/tcp") };
        let is = |port: &Port| format!("{}/{}", port.container, port.protocol) == exposed;
        if !published.iter().any(is) {
            texts.push(exposed);
        }
    }
    texts.join(", ")
}

/// Published ports that follow each other.
struct Range<'p> {
    first: &'p Port,
    length: u32,
}

impl Range<'_> {
    /// Whether a port is the next one. docker puts ports together that are the same outside, podman others, too.
    fn is_followed_by(&self, port: &Port) -> bool {
        let Port { container, protocol, host_ip, host } = self.first;
        (protocol, host_ip) == (&port.protocol, &port.host_ip)
            && (container + self.length, host + self.length) == (port.container, port.host)
            && (container == host || Called::is_podman())
    }

    fn text(&self) -> String {
        let Port { container, protocol, host_ip, host } = self.first;
        let ip = if host_ip.contains(':') { format!("[{host_ip}]") } else { host_ip.clone() };
        let several = |first: &u32| match self.length {
            1 => first.to_string(),
            length => format!("{first}-{}", first + length - 1),
        };
        format!("{ip}:{}->{}/{protocol}", several(host), several(container))
    }
}

/// As few as the ports are, in the order of the first ones.
fn ranges(ports: &[Port]) -> Vec<Range<'_>> {
    let mut ranges: Vec<Range<'_>> = Vec::new();
    for port in ports {
        match ranges.iter_mut().find(|range| range.is_followed_by(port)) {
            Some(range) => range.length += 1,
            None => ranges.push(Range { first: port, length: 1 }),
        }
    }
    ranges
}
