//! What a manifest claims to be, before it is read: only one kind may be possible.
//!
//! A text with the fields of two kinds is an image for one program and another image for the next
//! one, with the same digest (CVE-2021-41190).

use super::media_type::{self, Format, MediaType};
use super::read_json;
use crate::error::{Error, ErrorKind, shown};
use crate::json::{Failed, FromJson, Reader};
use alloc::borrow::ToOwned;
use alloc::string::String;

/// Fields that tell kinds apart, in lower case.
const FIELDS: [&str; 11] = [
    "schemaversion",
    "mediatype",
    "artifacttype",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fslayers",
    "history",
    "signatures",
];
/// The same as they are written.
const NAMES: [&str; 11] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fsLayers",
    "history",
    "signatures",
];

/// The outermost fields of a manifest.
#[derive(Default)]
struct Shape {
    /// One bit for each of [`FIELDS`] that is there.
    named: u16,
    /// The same without those that are `null`.
    seen: u16,
    schema_version: u32,
    media_type: String,
    config_type: ConfigType,
}

/// Of `config`, only its type.
#[derive(Default)]
struct ConfigType(String);

impl FromJson for Shape {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.open(b'{')?;
        while let Some(key) = reader.next_key()? {
            // Go's programs compare names without regard to case, and take the last of several.
            let found = FIELDS.iter().position(|field| key.eq_ignore_ascii_case(field));
            let Some(index) = found else {
                reader.skip()?;
                continue;
            };
            if key != NAMES[index] {
                let text = ["`", &*key, "` is `", NAMES[index], "` to other programs"].concat();
                return Err(reader.fail(&text));
            }
            if self.named & 1 << index != 0 {
                return Err(reader.fail(&["`", NAMES[index], "` is there twice"].concat()));
            }
            self.named |= 1 << index;
            if reader.null()? {
                continue;
            }
            self.seen |= 1 << index;
            let read = match index {
                0 => self.schema_version.read(reader),
                1 => self.media_type.read(reader),
                3 => self.config_type.read(reader),
                _ => reader.skip().map(drop),
            };
            read.map_err(|failed| reader.inside_key(failed, &key))?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl FromJson for ConfigType {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.open(b'{')?;
        while let Some(key) = reader.next_key()? {
            match key == "mediaType" && !reader.null()? {
                true => self.0.read(reader)?,
                false if key == "mediaType" => {}
                false => drop(reader.skip()?),
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.0.clear();
    }
}

impl Shape {
    fn has(&self, name: &str) -> bool {
        self.seen & bit(name) != 0
    }
}

fn bit(name: &str) -> u16 {
    let index = NAMES.iter().position(|known| *known == name);
    index.map_or(0, |index| 1 << index)
}

/// The media type of a manifest's text. `claimed` is what came with it: a header, a descriptor, or
/// nothing.
pub(super) fn media_type(bytes: &[u8], claimed: &str) -> Result<String, Error> {
    let shape: Shape = read_json(bytes)?;
    let written = &*shape.media_type;
    // Registries say either of a schema 1 manifest's names.
    let is_schema1 = |text: &str| MediaType::of(text) == MediaType::Schema1;
    let same = claimed == written || is_schema1(claimed) && is_schema1(written);
    if !claimed.is_empty() && !written.is_empty() && !same {
        let (claimed, written) = (shown(claimed), shown(written));
        let parts = ["mediaType: is `", &written, "`, but it came as `", &claimed, "`"];
        return Err(Error::new(ErrorKind::Ambiguous, &parts));
    }
    let media_type = match (written, claimed) {
        ("", "") => guess(&shape),
        ("", claimed) => claimed,
        (written, _) => written,
    };
    let (needed, forbidden): (&[&str], &[&str]) = match MediaType::of(media_type) {
        MediaType::Manifest(_) => {
            (&["config", "layers"], &["manifests", "fsLayers", "history", "signatures"])
        }
        MediaType::Index(_) => {
            (&["manifests"], &["config", "layers", "fsLayers", "history", "signatures"])
        }
        MediaType::Schema1 => (&["fsLayers", "history"], &["config", "layers", "manifests"]),
        _ => (&[], &[]),
    };
    if let Some(field) = forbidden.iter().find(|field| shape.has(field)) {
        let parts = [field, ": does not belong into `", media_type, "`"];
        return Err(Error::new(ErrorKind::Ambiguous, &parts));
    }
    // Go writes an empty list as null: it has to be there all the same.
    if let Some(field) = needed.iter().find(|field| shape.named & bit(field) == 0) {
        return Err(Error::invalid(&[field, ": is not there"]));
    }
    Ok(media_type.to_owned())
}

/// The type of a manifest that does not say it.
fn guess(shape: &Shape) -> &'static str {
    match shape.schema_version {
        1 if shape.has("signatures") => media_type::DOCKER_SCHEMA1_SIGNED,
        1 => media_type::DOCKER_SCHEMA1,
        2 if shape.has("manifests") => media_type::OCI_INDEX,
        2 if shape.has("config") => match MediaType::of(&shape.config_type.0) {
            MediaType::Config(Format::Docker) => media_type::DOCKER_MANIFEST,
            _ => media_type::OCI_MANIFEST,
        },
        _ => "",
    }
}
