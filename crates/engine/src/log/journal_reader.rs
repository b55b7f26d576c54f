//! Reading a container's entries back from the journal, by systemd's own program: the journal's files are its business.

use super::Entry;
use crate::error::{During, Error, Kind, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// An entry with all that is said beside it.
const LINE_LIMIT_BYTES: u64 = 4 << 20;
/// Looking costs a process.
const PAUSE: Duration = Duration::from_millis(500);
const FIELDS: &str = "MESSAGE,PRIORITY,SYSLOG_TIMESTAMP,CONTAINER_PARTIAL_MESSAGE";

/// The entries of one container.
#[derive(Debug)]
pub(super) struct JournalReader {
    id: String,
    /// The last entry that was read.
    cursor: Option<String>,
    looked: Option<Instant>,
}

impl JournalReader {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), cursor: None, looked: None }
    }

    /// Whether it is time to look again.
    pub(super) fn is_due(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() >= PAUSE)
    }

    /// The entries that have come since the last look.
    pub(super) fn read(&mut self, each: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        const WHAT: &str = "reading the journal";
        self.looked = Some(Instant::now());
        let mut command = Command::new("journalctl");
        command.args(["--quiet", "--no-pager", "--all", "--output=json"]);
        command.arg(format!("--output-fields={FIELDS}"));
        command.arg(format!("CONTAINER_ID_FULL={}", self.id));
        if let Some(cursor) = &self.cursor {
            command.arg(format!("--after-cursor={cursor}"));
        }
        let started =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = started.map_err(|error| {
            Error::new(Kind::Unsupported, format!("the log is in the journal: journalctl: {error}"))
                .with_hint(
                    "install systemd's journalctl, or make containers with --log-driver json-file",
                )
        })?;
        let stdout = child.stdout.take().ok_or_else(|| Error::os(WHAT, sys::Errno::EPIPE))?;
        let mut lines = BufReader::new(stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = lines.by_ref().take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line);
            if count.during(|| WHAT)? == 0 {
                break;
            }
            let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
            if let Some(cursor) = value["__CURSOR"].as_str() {
                self.cursor = Some(cursor.to_owned());
            }
            if let Some(entry) = entry(&value)
                && !each(entry)
            {
                let _ = child.kill();
                break;
            }
        }
        child.wait().during(|| WHAT).map(drop)
    }
}

fn entry(value: &Value) -> Option<Entry> {
    // What is no text comes as its bytes.
    let mut text = match &value["MESSAGE"] {
        Value::String(text) => text.clone(),
        Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes
                .iter()
                .filter_map(|it| it.as_u64().and_then(|it| u8::try_from(it).ok()))
                .collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => return None,
    };
    if value["CONTAINER_PARTIAL_MESSAGE"].is_null() {
        text.push('\n');
    }
    let time = value["SYSLOG_TIMESTAMP"].as_str()?.to_owned();
    Some(Entry { time, is_error: value["PRIORITY"] == "3", text })
}

#[test]
fn entries_of_the_journal_are_read() {
    let of = |text: &str| entry(&serde_json::from_str(text).unwrap());
    let made = of(r#"{"MESSAGE":"a","PRIORITY":"6","SYSLOG_TIMESTAMP":"T"}"#).unwrap();
    assert_eq!((made.text.as_str(), made.is_error, made.time.as_str()), ("a\n", false, "T"));
    let made = of(
        r#"{"MESSAGE":[97,255],"PRIORITY":"3","SYSLOG_TIMESTAMP":"T","CONTAINER_PARTIAL_MESSAGE":"true"}"#,
    );
    assert_eq!(made.map(|it| (it.text, it.is_error)), Some(("a\u{fffd}".into(), true)));
    assert_eq!(of("{}"), None);
}
