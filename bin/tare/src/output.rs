//! What verbs print: tables, templates, JSON, times.

use crate::called::Called;
use crate::failure::Result;
use std::io::Write;
use std::path::Path;
use template::listing::{Form, Listing};
use template::{Time, Value, Zone, units};

/// Spaces that JSON for people is indented by.
const INDENT: usize = 4;
const ZONES: &str = "/usr/share/zoneinfo";

/// How many of something there are, in words.
pub(crate) fn several(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Now, and the zone in which times are shown.
pub(crate) struct Clock {
    now: i64,
    zone: Zone,
}

impl Clock {
    pub(crate) fn new(now: i64) -> Self {
        Self { now, zone: local_zone() }
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// A point in time where the user is.
    pub(crate) fn local(&self, time: &Time) -> Time {
        self.zone.show(time.clone())
    }

    /// The point in time at which clocks here show that of Greenwich's: seconds since 1970.
    pub(crate) fn of_clock(&self, shown: i64) -> i64 {
        let offset = |at: i64| i64::from(self.zone.show(Time::unix(at, 0)).offset());
        // Near a change of the clocks the first offset is the other one's.
        shown - offset(shown - offset(shown))
    }

    /// How long ago it was: `3 weeks ago`; of no time at all `N/A`.
    pub(crate) fn age(&self, time: Option<&Time>) -> String {
        match time {
            Some(time) => format!("{} ago", units::duration(self.now - time.seconds())),
            None => "N/A".into(),
        }
    }

    /// As docker writes it in lists: `2024-01-27 00:30:48 +0000 UTC`.
    pub(crate) fn listed(&self, time: Option<&Time>) -> String {
        time.map_or_else(
            || "N/A".into(),
            |time| self.local(time).format("2006-01-02 15:04:05 -0700 MST"),
        )
    }
}

/// The zone of `TZ`, or else the machine's.
fn local_zone() -> Zone {
    let named = std::env::var("TZ").ok();
    let path = match named.as_deref().map(|name| name.trim_start_matches(':')) {
        Some("") => return Zone::utc(),
        Some(name) if name.starts_with('/') => name.into(),
        Some(name) if !name.contains("..") => Path::new(ZONES).join(name),
        Some(_) => return Zone::utc(),
        None => "/etc/localtime".into(),
    };
    read_small(&path).and_then(|file| Zone::parse(&file)).unwrap_or_else(Zone::utc)
}

fn read_small(path: &Path) -> Option<Vec<u8>> {
    let is_file = std::fs::metadata(path).ok()?;
    let fits = is_file.is_file() && is_file.len() <= template::ZONE_LIMIT_BYTES as u64;
    fits.then(|| std::fs::read(path).ok()).flatten()
}

/// Whether a list's rows are shown: in JSON it is its images.
pub(crate) fn shows_rows(format: Option<&str>) -> bool {
    format.map(Form::read) != Some(Form::Json) || Called::is_docker()
}

/// Writes what was asked for. A reader who has seen enough, as `head` has, is no failure.
pub(crate) fn write(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints a list as `--format` wants it. JSON is a list of what `json` makes; to a program called
/// docker it is each row in a line.
pub(crate) fn list(
    format: Option<&str>,
    listing: &Listing<'_>,
    json: impl FnOnce() -> Vec<Value>,
) -> Result<()> {
    let text = match format.filter(|format| !format.is_empty()).map(Form::read) {
        None | Some(Form::Table(None)) => listing.table()?,
        Some(Form::Table(Some(template))) => listing.table_by(&template)?,
        Some(Form::Json) if Called::is_docker() => listing.template("{{json .}}")?,
        Some(Form::Json) => pretty(&Value::list(json())),
        Some(Form::Template(template)) => listing.template(&template)?,
    };
    write(&text)
}

/// Prints what was inspected: a list in JSON, or each by a template.
pub(crate) fn inspected(format: Option<&str>, values: &[Value]) -> Result<()> {
    let text = match format {
        Some("json") if Called::is_docker() => {
            let mut text = Value::list(values.iter().cloned()).json();
            text.push(b'\n');
            text
        }
        None | Some("json" | "") => pretty(&Value::list(values.iter().cloned())),
        Some(format) => {
            let mut text = Vec::new();
            for value in values {
                text.append(&mut template::listing::inspect(format, value)?);
            }
            text
        }
    };
    write(&text)
}

/// JSON for people, as one line more than its own.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    let mut text = value.json_indented(INDENT);
    text.push(b'\n');
    text
}

/// A text of an image, in a table: what would move the cursor is left out.
pub(crate) fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
