//! The table of contents, and the end of the layer with it.

use super::failed;
use super::header::Header;
use super::split::Packed;
use crate::error::Result;
use archive::compression::Encoder;
use oci::image::Descriptor;
use oci::{Algorithm, Digest, Map, base64};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;
use transport::hash::digest_of;

const CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
const POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
const SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";
/// A frame that every reader of zstd skips.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
const SKIPPABLE_HEAD_BYTES: u64 = 8;
/// The form of the table.
const FORM: u64 = 1;
const FOOTER_MAGIC: &[u8; 8] = b"GNUlInUx";

/// Whether a layer has a table of contents.
pub(crate) fn is_chunked(layer: &Descriptor) -> bool {
    layer.annotations.get(CHECKSUM).is_some()
}

/// An entry of the archive.
pub(super) struct Item {
    pub(super) header: Header,
    /// Of files that are not empty.
    pub(super) file: Option<File>,
}

pub(super) struct File {
    pub(super) digest: Digest,
    pub(super) chunks: Vec<Chunk>,
    /// The frame behind it.
    pub(super) end: u64,
}

pub(super) struct Chunk {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// With which frame it begins.
    pub(super) frame: u64,
}

/// Writes what stands behind the frames. Returns the layer's annotations, or why there is no table.
pub(super) fn write<W: Write>(
    mut output: W,
    items: &[Item],
    ends: &[u64],
    split: &Packed,
    mut packed: Encoder<Vec<u8>>,
) -> Result<(W, std::result::Result<Map, String>)> {
    let names: BTreeSet<&str> = items.iter().map(|item| &*item.header.name).collect();
    if names.len() < items.len() {
        return Ok((output, Err("it has entries of the same name".into())));
    }
    let table = table(items, ends, &digest_of(Algorithm::Sha256, &split.bytes));
    packed.write_all(table.as_bytes()).map_err(|_| failed("packing a table of contents"))?;
    let packed = packed.finish()?;
    let at = ends.last().copied().unwrap_or_default() + SKIPPABLE_HEAD_BYTES;
    let split_at = at + packed.len() as u64 + SKIPPABLE_HEAD_BYTES;
    let numbers = [
        at,
        packed.len() as u64,
        table.len() as u64,
        FORM,
        split_at,
        split.bytes.len() as u64,
        split.plain_bytes,
    ];
    let mut footer: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    footer.extend_from_slice(FOOTER_MAGIC);
    for frame in [&packed, &split.bytes, &footer] {
        skippable(&mut output, frame)?;
    }
    let annotations = [
        (CHECKSUM, digest_of(Algorithm::Sha256, &packed).to_string()),
        (POSITION, format!("{at}:{}:{}:{FORM}", packed.len(), table.len())),
        (SPLIT_POSITION, format!("{split_at}:{}:{}", split.bytes.len(), split.plain_bytes)),
    ];
    let annotations = annotations.into_iter().map(|(key, value)| (key.to_owned(), value));
    Ok((output, Ok(annotations.collect())))
}

fn skippable(output: &mut impl Write, bytes: &[u8]) -> Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| failed("a table of contents of 4 GiB"))?;
    let head = [SKIPPABLE, length.to_le_bytes()].concat();
    let written = output.write_all(&head).and_then(|()| output.write_all(bytes));
    Ok(written.map_err(|error| archive::Error::of_io(&error, "packing a layer"))?)
}

fn table(items: &[Item], ends: &[u64], split: &Digest) -> String {
    let mut text = String::from("{\"version\":1,\"entries\":[");
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        entry(&mut text, item, ends);
    }
    // Writing to a text does not fail.
    let _ = write!(text, "],\"tarSplitDigest\":\"{split}\"}}");
    text
}

/// Where a frame begins in the layer.
fn begin(ends: &[u64], frame: u64) -> u64 {
    let before = usize::try_from(frame).unwrap_or(usize::MAX).checked_sub(1);
    before.and_then(|before| ends.get(before)).copied().unwrap_or_default()
}

fn entry(text: &mut String, item: &Item, ends: &[u64]) {
    let header = &item.header;
    let name = oci::json::write(&header.name);
    let _ = write!(text, "{{\"type\":\"{}\",\"name\":{name}", header.kind);
    if !header.link.is_empty() {
        let _ = write!(text, ",\"linkName\":{}", oci::json::write(&header.link));
    }
    let numbers = [
        ("mode", header.mode),
        ("size", header.size),
        ("uid", header.uid),
        ("gid", header.gid),
        ("devMajor", header.major),
        ("devMinor", header.minor),
    ];
    for (key, number) in numbers.iter().filter(|(_, number)| *number > 0) {
        let _ = write!(text, ",\"{key}\":{number}");
    }
    let times =
        [("modtime", &header.mtime), ("accesstime", &header.atime), ("changetime", &header.ctime)];
    for (key, time) in times.iter().filter(|(_, time)| !time.is_empty()) {
        let _ = write!(text, ",\"{key}\":\"{time}\"");
    }
    if !header.xattrs.is_empty() {
        let pairs = header.xattrs.iter();
        let pairs = pairs
            .map(|(key, value)| format!("{}:\"{}\"", oci::json::write(key), base64::encode(value)));
        let _ = write!(text, ",\"xattrs\":{{{}}}", pairs.collect::<Vec<_>>().join(","));
    }
    let Some(file) = &item.file else { return text.push('}') };
    let offset = file.chunks.first().map_or(0, |chunk| begin(ends, chunk.frame));
    let end = begin(ends, file.end);
    let _ = write!(text, ",\"digest\":\"{}\",\"offset\":{offset},\"endOffset\":{end}", file.digest);
    if file.chunks.len() < 2 {
        return text.push('}');
    }
    for (number, chunk) in file.chunks.iter().enumerate() {
        if number > 0 {
            let offset = begin(ends, chunk.frame);
            let _ = write!(text, "}},{{\"type\":\"chunk\",\"name\":{name},\"offset\":{offset}");
            let _ = write!(text, ",\"chunkOffset\":{}", chunk.offset);
        }
        let _ = write!(text, ",\"chunkSize\":{},\"chunkDigest\":\"{}\"", chunk.size, chunk.digest);
    }
    text.push('}');
}
