//! The journal of systemd, by its own protocol: fields in a datagram.

use crate::error::{During, Error, Kind, Result};
use crate::record::Config;
use sys::{Fd, socket};

const SOCKET: &str = "/run/systemd/journal/socket";

#[derive(Debug)]
pub(super) struct Journal {
    socket: Fd,
    /// The fields that every entry has.
    common: Vec<u8>,
}

impl Journal {
    pub(super) fn open(config: &Config, tag: &str) -> Result<Self> {
        let socket = socket::unix(socket::Kind::Datagram).during(|| "making a socket")?;
        socket::connect(&socket, SOCKET).map_err(|errno| {
            Error::new(Kind::Unsupported, format!("--log-driver journald: {SOCKET}: {errno}"))
                .with_hint("choose json-file where there is no journal")
        })?;
        let short = config.id.get(..12).unwrap_or(&config.id);
        let mut common = Vec::new();
        let made = super::attributes::tag(tag, config);
        let tag = if tag.is_empty() { short } else { &made };
        for (name, value) in [
            ("CONTAINER_ID", short),
            ("CONTAINER_ID_FULL", &config.id),
            ("CONTAINER_NAME", &config.name),
            ("CONTAINER_TAG", tag),
            ("IMAGE_NAME", &config.image),
            ("SYSLOG_IDENTIFIER", tag),
        ] {
            push(&mut common, name, value.as_bytes());
        }
        for (name, value) in super::attributes::named(config) {
            // What the journal takes for a name.
            let name: String = name
                .to_ascii_uppercase()
                .chars()
                .map(|it| if it.is_ascii_alphanumeric() { it } else { '_' })
                .collect();
            let name = name.trim_start_matches('_');
            if !name.is_empty() && !name.starts_with(|it: char| it.is_ascii_digit()) {
                push(&mut common, name, value.as_str().unwrap_or_default().as_bytes());
            }
        }
        Ok(Self { socket, common })
    }

    /// Sends one entry; says whether the journal took it.
    pub(super) fn write(&self, is_error: bool, line: &[u8], is_part: bool, time: &str) -> bool {
        let mut fields = self.common.clone();
        push(&mut fields, "PRIORITY", if is_error { b"3" } else { b"6" });
        if is_part {
            push(&mut fields, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        push(&mut fields, "SYSLOG_TIMESTAMP", time.as_bytes());
        push(&mut fields, "MESSAGE", line);
        socket::send(&self.socket, &fields, &[]).is_ok()
    }
}

/// In the form for values of any bytes: the name, a length, the value.
fn push(fields: &mut Vec<u8>, name: &str, value: &[u8]) {
    fields.extend(name.as_bytes());
    fields.push(b'\n');
    fields.extend((value.len() as u64).to_le_bytes());
    fields.extend(value);
    fields.push(b'\n');
}
