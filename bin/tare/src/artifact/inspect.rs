//! `tare artifact inspect`.

use super::InStore;
use crate::failure::{Failure, Result};
use crate::output::{pretty, write as write_out};
use crate::settings::{Global, Settings};
use clap::Args;
use oci::Map;
use oci::image::{Descriptor, Manifest};
use template::{Field, Struct, Value, listing};

/// Show the manifest of an artifact of the store
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Write it by a template of Go's
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The artifact
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(global: &Global, arguments: &Inspect) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("inspecting {}", arguments.name));
    inspect(global, arguments).map_err(during)
}

fn inspect(global: &Global, arguments: &Inspect) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    let artifact = InStore::find(&store, &arguments.name)?;
    let Some(found) = artifact.document.manifest() else { return Ok(()) };
    let value = Struct::value(
        "*types.ArtifactInspectReport",
        vec![
            Field::new("Manifest", manifest(found)),
            Field::new("Name", &artifact.record.reference),
            Field::new("Digest", artifact.document.digest().to_string()),
        ],
    );
    match &arguments.format {
        Some(format) if format != "json" => write_out(&listing::inspect(format, &value)?),
        _ => write_out(&pretty(&value)),
    }
}

fn manifest(manifest: &Manifest) -> Value {
    let layers = manifest.layers.iter().map(descriptor).collect();
    let subject = manifest.subject.as_ref().map_or(Value::Nil("*v1.Descriptor"), descriptor);
    Struct::value(
        "v1.Manifest",
        vec![
            Field::renamed("SchemaVersion", "schemaVersion", i64::from(manifest.schema_version)),
            text("MediaType", "mediaType", &manifest.media_type),
            text("ArtifactType", "artifactType", &manifest.artifact_type),
            Field::renamed("Config", "config", descriptor(&manifest.config)),
            Field::renamed("Layers", "layers", Value::list_of("v1.Descriptor", layers)),
            Field::renamed("Subject", "subject", subject).omit_empty(),
            annotations(&manifest.annotations),
        ],
    )
}

fn descriptor(descriptor: &Descriptor) -> Value {
    Struct::value(
        "v1.Descriptor",
        vec![
            Field::renamed("MediaType", "mediaType", &descriptor.media_type),
            Field::renamed("Digest", "digest", descriptor.digest.to_string()),
            Field::renamed("Size", "size", descriptor.size),
            annotations(&descriptor.annotations),
            text("Data", "data", &descriptor.data),
            text("ArtifactType", "artifactType", &descriptor.artifact_type),
        ],
    )
}

fn text(name: &'static str, json: &'static str, value: &str) -> Field {
    Field::renamed(name, json, value).omit_empty()
}

fn annotations(map: &Map) -> Field {
    let map = Value::text_map(map.iter().map(|(name, value)| (name.clone(), value)));
    Field::renamed("Annotations", "annotations", map).omit_empty()
}
