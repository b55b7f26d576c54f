//! What this crate reads and others wrote, by name: what fuzzers feed.
//!
//! [`Input::feed`] takes bytes through the reader, and checks what must hold for any bytes: no panic, a refusal that is
//! a sentence, and that what was taken is written and read as the same.

use crate::attachment::Attachment;
use crate::record::Network;
use crate::texts::HostResolver;
use crate::{Options, PortSpec, dns, parse_added_host, parse_exposed};
use oci::json::{FromJson, ToJson};

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A question for the name service.
    Question,
    /// The record of a network.
    Network,
    /// The record of a container in one.
    Attachment,
    /// What `--publish`, `--expose` and `--add-host` say, and the host's `resolv.conf`, one a line.
    Ports,
}

/// Longest refusal, but for the value that it is about.
const REFUSAL_LIMIT_BYTES: usize = 4096;

impl Input {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Question, Self::Network, Self::Attachment, Self::Ports];

    /// The name of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Network => "network",
            Self::Attachment => "attachment",
            Self::Ports => "ports",
        }
    }

    /// Feeds bytes; whether they were taken. `Err` says what does not hold that must.
    pub fn feed(self, bytes: &[u8]) -> Result<bool, String> {
        match self {
            Self::Question => dns::feed(bytes),
            Self::Network => feed_record(bytes, |network: Network| {
                let network = network.check().map_err(|error| error.to_string())?;
                // Options are another matter: a record may have some that are not understood any more.
                drop(Options::of(&network));
                Ok(network)
            }),
            Self::Attachment => feed_record(bytes, |attachment: Attachment| {
                let fine = attachment.names().all(|name| !name.contains('/'));
                if fine { Ok(attachment) } else { Err("a name is a path".into()) }
            }),
            Self::Ports => Ok(feed_lines(&String::from_utf8_lossy(bytes))),
        }
    }
}

fn feed_record<T: FromJson + ToJson + Default + PartialEq>(
    bytes: &[u8],
    check: impl Fn(T) -> Result<T, String>,
) -> Result<bool, String> {
    let refused = |text: String| match text.len() > REFUSAL_LIMIT_BYTES + bytes.len() {
        true => Err("a refusal is longer than a sentence".to_owned()),
        false => Ok(false),
    };
    let record = match oci::json::read::<T>(bytes) {
        Ok(record) => record,
        Err(text) => return refused(text),
    };
    let record = match check(record) {
        Ok(record) => record,
        Err(text) => return refused(text),
    };
    match oci::json::read::<T>(oci::json::write(&record).as_bytes()) {
        Ok(again) if again == record => Ok(true),
        _ => Err("a record is read again as another one".into()),
    }
}

fn feed_lines(text: &str) -> bool {
    let mut taken = !HostResolver::read(text, Some(text)).servers.is_empty();
    for line in text.lines() {
        taken |= PortSpec::parse(line).is_ok() | parse_exposed(line).is_ok();
        taken |= parse_added_host(line, &[]).is_ok();
    }
    taken
}
