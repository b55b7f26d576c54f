//! `tare manifest inspect`.

use super::Images;
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::json_lines::indented;
use crate::settings::{Global, RegistryArgs, Settings};
use clap::Args;
use images::Instances;
use oci::image::{Document, ImageConfig};
use oci::json::{Object, Raw};
use std::io::Read;
use transport::Source;

/// Show an index or manifest: of the store, or if it is not there, of its registry
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// docker's word for --tls-verify=false
    #[arg(long, conflicts_with = "tls_verify")]
    insecure: bool,
    /// Show every manifest of it, with its descriptor
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The index; or as docker has it, an index and an image of it
    #[arg(value_name = "LIST", num_args = 1..=2, required = true)]
    names: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Inspect) -> Result<()> {
    let name = arguments.names.last().map_or("", String::as_str);
    let during = |failure: Failure| failure.during(format_args!("inspecting {name}"));
    inspect(global, arguments).map_err(during)
}

fn inspect(global: &Global, arguments: &Inspect) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    let mut access = arguments.registry.access()?;
    if arguments.insecure {
        access.tls_verify = Some(false);
    }
    let images = Images::new(&settings, &store, &access)?;
    let [name, rest @ ..] = &arguments.names[..] else { return Ok(()) };
    let opened = images.open(name, &Instances::All)?;
    let mut document = opened.source.manifest(None)?;
    if let [image] = rest {
        let of_image = images.open(image, &Instances::All)?;
        let digest = *of_image.source.manifest(None)?.digest();
        let index = document.index().map(|index| &index.manifests[..]).unwrap_or_default();
        if !index.iter().any(|it| it.verifiable() == Ok(&digest)) {
            return Err(Failure::new(format!("{image} is not in {name}")));
        }
        document = of_image.source.manifest(None)?;
    }
    if !arguments.verbose {
        return print(&pretty(document.bytes())?);
    }
    let Some(index) = document.index() else {
        return print(&indented(&verbose(&*opened.source, name, &document)?));
    };
    let mut all = Vec::new();
    for child in &index.manifests {
        let digest = child.verifiable()?;
        let shown = format!("{}@{digest}", name.split('@').next().unwrap_or(name));
        all.push(verbose(&*opened.source, &shown, &opened.source.manifest(Some(digest))?)?);
    }
    print(&indented(&format!("[{}]", all.join(","))))
}

/// docker's object: the reference, the descriptor with its platform, and the manifest.
fn verbose(source: &dyn Source, name: &str, document: &Document) -> Result<String> {
    let raw = |bytes: &[u8]| -> Result<Raw> {
        oci::json::read(bytes).map_err(|text| Failure::new(format!("malformed JSON: {text}")))
    };
    let mut descriptor = document.descriptor();
    if let Some(manifest) = document.manifest().filter(|it| it.artifact_kind().is_none()) {
        let limit = oci::image::CONFIG_LIMIT_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        source.blob(&manifest.config)?.take(limit).read_to_end(&mut bytes)?;
        let config = ImageConfig::read(&bytes)?;
        descriptor.platform = Some(oci::image::Platform {
            architecture: config.architecture,
            os: config.os,
            os_version: config.os_version,
            os_features: config.os_features,
            variant: config.variant,
            features: Vec::new(),
        });
    }
    let is_dockers = document.media_type().contains("docker");
    let content = if is_dockers { "SchemaV2Manifest" } else { "OCIManifest" };
    Ok(oci::json::write(&Object(&[
        ("Ref", &name),
        ("Descriptor", &descriptor),
        ("Raw", &oci::base64::encode(document.bytes())),
        (content, &raw(document.bytes())?),
    ])))
}

/// The same document with a line for each member: its members in their order, all of them.
fn pretty(bytes: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes);
    Ok(indented(text.map_err(|_| Failure::new("the manifest is not text"))?))
}
