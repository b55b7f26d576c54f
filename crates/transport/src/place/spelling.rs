//! What a user may have meant.

use super::TRANSPORTS;
use crate::error::{Error, ErrorKind};

/// Transports of others that are not here, and why.
const REFUSED: [(&str, &str); 5] = [
    ("atomic", "OpenShift's old registry API is gone; use `docker://`"),
    ("containerd", "export the image with `ctr images export`, and read it as `oci-archive:`"),
    ("ostree", "OSTree repositories are not read; export the image as `oci-archive:`"),
    ("sif", "Singularity's images are not read; convert them to `oci-archive:`"),
    ("tarball", "use `tar:FILE`, which makes an image of an archive"),
];
/// Names that users try, and what is meant.
const ALIASES: [(&str, &str); 14] = [
    ("buildah", "containers-storage:"),
    ("directory", "dir:"),
    ("docker-registry", "docker://"),
    ("docker-save", "docker-archive:"),
    ("docker-tar", "docker-archive:"),
    ("http", "docker://"),
    ("https", "docker://"),
    ("oci-dir", "oci:"),
    ("oci-layout", "oci:"),
    ("oci-tar", "oci-archive:"),
    ("podman", "containers-storage:"),
    ("registry", "docker://"),
    ("tare", "store:"),
    ("tree", "rootfs:"),
];
/// How many letters may be wrong, missing or too many in a transport's name.
const DISTANCE_LIMIT: usize = 2;
/// Longest name that is compared with others: all are shorter.
const COMPARED_LIMIT: usize = 24;

/// Why a transport is not here; `None` when nobody has it.
pub(super) fn reason(transport: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(name, _)| *name == transport).map(|(_, reason)| *reason)
}

/// Refuses a transport that is not here.
pub(super) fn unknown(text: &str, transport: &str, rest: &str) -> Error {
    if let Some(reason) = reason(transport) {
        let text = format!("transport `{transport}` is not supported");
        return Error::new(ErrorKind::Unsupported, text).with_hint(reason);
    }
    let error = Error::new(ErrorKind::Invalid, format!("`{text}`: unknown transport"));
    let rest = rest.trim_start_matches("//");
    let lower = transport.to_ascii_lowercase().replace('_', "-");
    let alias = ALIASES.iter().find(|(name, _)| *name == lower).map(|(_, meant)| *meant);
    if let Some(meant) = alias {
        return error.with_hint(format!("write `{meant}{rest}`"));
    }
    match nearest(&lower) {
        Some("docker") => error.with_hint(format!("write `docker://{rest}`")),
        Some(name) => error.with_hint(format!("write `{name}:{rest}`")),
        None => error.with_hint(advice(text)),
    }
}

/// Refuses a text without a transport.
pub(super) fn without_transport(text: &str) -> Error {
    let error = Error::new(ErrorKind::Invalid, format!("`{text}`: there is no transport"));
    error.with_hint(advice(text))
}

/// Refuses `docker:NAME`.
pub(super) fn without_slashes(rest: &str) -> Error {
    let text = format!("`docker:{rest}`: a registry's image is written with two slashes");
    let name = rest.trim_start_matches('/');
    Error::new(ErrorKind::Invalid, text).with_hint(format!("write `docker://{name}`"))
}

fn advice(text: &str) -> String {
    match text.starts_with(['/', '.', '~']) {
        true => {
            let archive =
                text.ends_with(".tar") || text.contains(".tar.") || text.contains(".tar:");
            match archive {
                true => format!("write `oci-archive:{text}` or `docker-archive:{text}`"),
                false => format!("write `oci:{text}` or `dir:{text}`"),
            }
        }
        false => format!("write `docker://{text}` for a registry, `store:{text}` for the store"),
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > COMPARED_LIMIT {
        return None;
    }
    let known = TRANSPORTS.iter().map(|known| (distance(name, known), *known));
    // Of a short name, two wrong letters leave nothing.
    let near = known.filter(|(distance, known)| *distance <= DISTANCE_LIMIT.min(known.len() / 3));
    near.min().map(|(_, known)| known)
}

/// How many letters are wrong, missing or too many (Levenshtein).
pub fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
