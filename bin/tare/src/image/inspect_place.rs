//! `tare inspect`: of images anywhere, with skopeo's members; names without a place are containers, images of the store
//! and volumes.

use super::{print_json, write_out};
use crate::failure::{Failure, Result};
use crate::settings::{Global, PlaceArgs, RetryArgs, Settings, open_source, registry_source, warn};
use clap::{Args, ValueEnum};
use images::{LayerFacts, Overview};
use oci::Algorithm;
use oci::image::{ContainerConfig, ImageConfig};
use std::sync::Arc;
use template::{Element, Field, Map, Struct, Template, Time, Value, table};
use transport::place::Place;
use transport::registry::RegistrySource;
use transport::{ErrorKind, Source};

/// Show what is known of containers, images, networks and volumes
///
/// A name is that of a container, or else of an image of the store, a network or a volume. Or it is the place of an image
/// anywhere: docker://NAME, oci:DIRECTORY:NAME, dir:DIRECTORY, ... Nothing of its layers is fetched.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare inspect --format '{{.State.Status}}' web\n  tare inspect docker://debian:13\n  \
                        tare inspect --config docker://alpine\n  \
                        tare inspect --format '{{.Name}} {{.Digest}}' docker://alpine"
)]
pub(crate) struct Inspect {
    /// Show the configuration
    #[arg(long)]
    config: bool,
    /// Show the manifest, or with --config the configuration, byte for byte
    #[arg(long, conflicts_with = "format")]
    raw: bool,
    /// json, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not ask for the tags of the repository
    #[arg(short, long)]
    no_tags: bool,
    /// Algorithm of the manifest's digest [default: that of the configuration's]
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    manifest_digest: Option<Hash>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    retry: RetryArgs,
    /// Kind of what is named: container, image, network or volume
    #[arg(short = 't', long = "type", value_name = "KIND", hide_short_help = true)]
    kind: Option<String>,
    /// Count what each container has written
    #[arg(short, long)]
    size: bool,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// What is to be shown
    #[arg(value_name = "NAME", required_unless_present = "latest")]
    image: Option<String>,
    /// More of them
    #[arg(value_name = "NAME")]
    more: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::Sha256 => Algorithm::Sha256,
            Self::Sha512 => Algorithm::Sha512,
        }
    }
}

/// Where an image is read from, and what its registry can tell besides.
enum Opened {
    Registry { source: Box<RegistrySource>, name: String },
    Other(Box<dyn Source>),
}

pub(crate) fn run(global: &Global, arguments: &Inspect) -> Result<u8> {
    if arguments.latest {
        if arguments.image.is_some() {
            return Err(Failure::new("--latest and names cannot be used together"));
        }
        let id = crate::container::latest(global)?;
        let format = arguments.format.as_deref();
        return crate::container::inspect::show(global, &[&id], format, arguments.size);
    }
    let image = arguments.image.as_deref().unwrap_or_default();
    let names = std::iter::once(image).chain(arguments.more.iter().map(String::as_str));
    let names: Vec<&str> = names.collect();
    let format = arguments.format.as_deref();
    match arguments.kind.as_deref() {
        Some("container") => {
            return crate::container::inspect::show(global, &names, format, arguments.size);
        }
        Some("volume") => return crate::volume::show(global, &names, format),
        Some("network") => return crate::network::inspect::show(global, &names, format),
        None | Some("image" | "all" | "") => {}
        Some(kind) => {
            return Err(Failure::new(format!("--type {kind}: there is nothing of this kind"))
                .hint("there are containers, images, networks and volumes"));
        }
    }
    let settings = Settings::load(global)?;
    match Place::parse_unless_name(image)? {
        Some(place) if arguments.more.is_empty() => inspect(&settings, &place, arguments)
            .map_err(|failure| failure.during(format_args!("inspecting {image}")))
            .map(|()| 0),
        Some(_) => {
            Err(Failure::new(format!("{image}: only what is in the store is inspected together")))
        }
        None => show_names(&settings, arguments, &names),
    }
}

/// Containers, images and volumes, by their names.
fn show_names(settings: &Settings<'_>, arguments: &Inspect, names: &[&str]) -> Result<u8> {
    let is_image_wanted = arguments.kind.as_deref() == Some("image");
    let engine = crate::container::open(settings.global, true).ok().filter(|_| !is_image_wanted);
    let other = |name: &str| -> Result<Option<Value>> {
        let Some(engine) = &engine else { return Ok(None) };
        if let Some(value) = crate::container::inspect::value(engine, name, arguments.size)? {
            return Ok(Some(value));
        }
        // An image comes first.
        if images::find(&settings.store(true)?, name).is_ok() {
            return Ok(None);
        }
        match crate::network::inspect::value(settings.global, name)? {
            Some(value) => Ok(Some(value)),
            None => crate::volume::value(engine, name),
        }
    };
    super::inspect::show_any(settings, names, arguments.format.as_deref(), &other)
}

fn inspect(settings: &Settings<'_>, place: &Place, arguments: &Inspect) -> Result<()> {
    let opened = open(settings, place, arguments)?;
    let source = opened.source();
    if arguments.raw && !arguments.config {
        return write_out(source.manifest(None)?.bytes());
    }
    let overview = Overview::read(source, &settings.wanted())?;
    if arguments.config {
        if arguments.raw {
            return write_out(&overview.config);
        }
        let Some(config) = &overview.parsed else {
            return Err(Failure::new("it is an artifact, and has no configuration of an image")
                .hint("--config --raw shows what it has"));
        };
        return show(arguments.format.as_deref(), &config_value(config));
    }
    let tags = match &opened {
        Opened::Registry { source, .. } if !arguments.no_tags => tags(source)?,
        _ => Vec::new(),
    };
    let name = match &opened {
        Opened::Registry { name, .. } => name,
        Opened::Other(_) => "",
    };
    let algorithm = arguments.manifest_digest.map(Hash::algorithm);
    let digest = overview.digest(algorithm.unwrap_or(overview.algorithm()))?;
    show(arguments.format.as_deref(), &output(&overview, name, &digest, &tags)?)
}

fn open(settings: &Settings<'_>, place: &Place, arguments: &Inspect) -> Result<Opened> {
    let access = arguments.place.access(&arguments.retry)?;
    match place {
        Place::Registry(image) => {
            let source = registry_source(settings, &image.name, &access)?;
            let name = image.name.name().to_owned();
            Ok(Opened::Registry { source: Box::new(source), name })
        }
        place => Ok(Opened::Other(open_source(settings, place, &access)?)),
    }
}

impl Opened {
    fn source(&self) -> &dyn Source {
        match self {
            Self::Registry { source, .. } => &**source,
            Self::Other(source) => &**source,
        }
    }
}

/// The repository's tags. Registries that tell them nobody, or not us, are no failure: the image is known.
fn tags(source: &RegistrySource) -> Result<Vec<String>> {
    match source.registry().tags() {
        Ok(tags) => Ok(tags),
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => {
            warn(&format!("the registry does not list its tags: {error}"));
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

fn show(format: Option<&str>, value: &Value) -> Result<()> {
    match format {
        None | Some("" | "json") => print_json(value),
        Some(format) => {
            // Shells pass on what Go's flags understand.
            let format = format.replace("\\t", "\t").replace("\\n", "\n");
            let (format, is_table) = match format.strip_prefix("table ") {
                Some(format) => (format, true),
                None => (&*format, false),
            };
            let mut text = Template::parse("skopeo inspect", format)?.render(value)?;
            if is_table {
                let lossy = String::from_utf8_lossy(&text);
                text = table::align(&lossy, table::Columns::PODMAN).into_bytes();
            }
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            write_out(&text)
        }
    }
}

/// A list of texts that is nothing when it is empty, as Go's are that nobody has made.
fn texts_or_nil(texts: &[String]) -> Value {
    match texts {
        [] => Value::Nil("[]string"),
        texts => Value::texts(texts),
    }
}

fn map_or_nil(map: &oci::Map) -> Value {
    match map.is_empty() {
        true => Value::Nil("map[string]string"),
        false => Value::text_map(map.iter().map(|(name, value)| (name.clone(), value))),
    }
}

fn time(text: &str) -> Value {
    match Time::parse_rfc3339(text) {
        Some(time) => Value::from(time),
        None if text.is_empty() => Value::Nil("*time.Time"),
        None => Value::from(text),
    }
}

fn output(overview: &Overview, name: &str, digest: &oci::Digest, tags: &[String]) -> Result<Value> {
    let empty = ImageConfig::default();
    let config = overview.parsed.as_ref().unwrap_or(&empty);
    let own = config.config.clone().unwrap_or_default();
    let layers = overview.layers()?;
    let data = layers.iter().map(layer_value).collect();
    Ok(Struct::value(
        "inspect.Output",
        vec![
            Field::new("Name", name).omit_empty(),
            Field::new("Tag", overview.tag()).omit_empty(),
            Field::new("Digest", digest.to_string()),
            Field::new("RepoTags", Value::texts(tags)),
            Field::new("Created", time(&config.created)),
            Field::new("DockerVersion", overview.docker_version()),
            Field::new("Labels", map_or_nil(&own.labels)),
            Field::new("Architecture", &config.architecture),
            Field::new("Os", &config.os),
            Field::new("Layers", Value::texts(layers.iter().map(|layer| &layer.digest))),
            Field::new("LayersData", Value::list_of("types.ImageInspectLayer", data)),
            Field::new("Env", texts_or_nil(&own.env)),
        ],
    ))
}

fn layer_value(layer: &LayerFacts) -> Value {
    let size = layer.size.and_then(|size| i64::try_from(size).ok()).unwrap_or(-1);
    Struct::value(
        "types.ImageInspectLayer",
        vec![
            Field::new("MIMEType", &layer.media_type),
            Field::new("Digest", &layer.digest),
            Field::new("Size", size),
            Field::new("Annotations", map_or_nil(&layer.annotations)),
        ],
    )
}

/// The configuration with the image specification's members.
fn config_value(config: &ImageConfig) -> Value {
    let rootfs = Struct::value(
        "v1.RootFS",
        vec![
            Field::renamed("Type", "type", &config.rootfs.kind),
            Field::renamed(
                "DiffIDs",
                "diff_ids",
                Value::texts(config.rootfs.diff_ids.iter().map(ToString::to_string)),
            ),
        ],
    );
    let step = |step: &oci::image::History| {
        Struct::value(
            "v1.History",
            vec![
                Field::renamed("Created", "created", time(&step.created)).omit_empty(),
                Field::renamed("CreatedBy", "created_by", &step.created_by).omit_empty(),
                Field::renamed("Author", "author", &step.author).omit_empty(),
                Field::renamed("Comment", "comment", &step.comment).omit_empty(),
                Field::renamed("EmptyLayer", "empty_layer", step.empty_layer).omit_empty(),
            ],
        )
    };
    let history = Value::list_of("v1.History", config.history.iter().map(step).collect());
    let own = config.config.clone().unwrap_or_default();
    Struct::value(
        "v1.Image",
        vec![
            Field::renamed("Created", "created", time(&config.created)).omit_empty(),
            Field::renamed("Author", "author", &config.author).omit_empty(),
            Field::renamed("Architecture", "architecture", &config.architecture),
            Field::renamed("OS", "os", &config.os),
            Field::renamed("OSVersion", "os.version", &config.os_version).omit_empty(),
            Field::renamed("OSFeatures", "os.features", texts_or_nil(&config.os_features))
                .omit_empty(),
            Field::renamed("Variant", "variant", &config.variant).omit_empty(),
            Field::renamed("Config", "config", container_value(&own)),
            Field::renamed("RootFS", "rootfs", rootfs),
            Field::renamed("History", "history", history).omit_empty(),
        ],
    )
}

fn container_value(config: &ContainerConfig) -> Value {
    let set = |map: &oci::Map<oci::json::Raw>| {
        let entries =
            map.iter().map(|(name, _)| (name.clone(), Struct::value("struct {}", vec![])));
        Value::Map(Arc::new(Map {
            element: Element::Named("struct {}"),
            entries: entries.collect(),
        }))
    };
    Struct::value(
        "v1.ImageConfig",
        vec![
            Field::new("User", &config.user).omit_empty(),
            Field::new("ExposedPorts", set(&config.exposed_ports)).omit_empty(),
            Field::new("Env", texts_or_nil(&config.env)).omit_empty(),
            Field::new("Entrypoint", texts_or_nil(&config.entrypoint.0)).omit_empty(),
            Field::new("Cmd", texts_or_nil(&config.cmd.0)).omit_empty(),
            Field::new("Volumes", set(&config.volumes)).omit_empty(),
            Field::new("WorkingDir", &config.working_dir).omit_empty(),
            Field::new("Labels", map_or_nil(&config.labels)).omit_empty(),
            Field::new("StopSignal", &config.stop_signal).omit_empty(),
        ],
    )
}
