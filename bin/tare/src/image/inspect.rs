//! `tare image inspect`: what is known of images of the store, with docker's and podman's members.

use super::rows::repo_digests;
use super::{look_at, with_all_names};
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::{Global, PlatformArgs, Settings};
use clap::Args;
use images::{Listed, View};
use oci::image::{ContainerConfig, Healthcheck, ImageConfig};
use std::collections::BTreeMap;
use store::Store;
use template::{Field, Map, Struct, Time, Value};

/// Show what is known of images
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare image inspect --format '{{json .Config.Env}}' debian:13")]
pub(crate) struct Inspect {
    /// json, or a Go template for each image
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    platform: PlatformArgs,
    /// Images: names, IDs or digests
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Inspect) -> Result<u8> {
    let settings = Settings::load(global)?;
    let names: Vec<&str> = arguments.images.iter().map(String::as_str).collect();
    show_all(&settings, &names, arguments.format.as_deref(), &arguments.platform)
}

/// Shows what names mean: something that `other` knows, or else images of the store; the exit code.
pub(crate) fn show_any(
    settings: &Settings<'_>,
    names: &[&str],
    format: Option<&str>,
    other: &dyn Fn(&str) -> Result<Option<Value>>,
) -> Result<u8> {
    let mut values = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    let of_image =
        |name: &str| inspect(settings, &settings.store(true)?, name, &PlatformArgs::default());
    for name in names {
        let found = match other(name) {
            Ok(None) => of_image(name),
            Ok(Some(value)) => Ok(value),
            Err(failure) => Err(failure),
        };
        match found {
            Ok(value) => values.push(value),
            // docker's words where nothing of any kind has the name.
            Err(failure) if failure.is_missing() => {
                failures.push(Failure::new(format!("No such object: {name}")));
            }
            Err(failure) => failures.push(failure),
        }
    }
    output::inspected(format, &values)?;
    failures.iter().for_each(Failure::tell);
    Ok(if failures.is_empty() { 0 } else { crate::own_code() })
}

fn show_all(
    settings: &Settings<'_>,
    names: &[&str],
    format: Option<&str>,
    platform: &PlatformArgs,
) -> Result<u8> {
    let store = settings.store(true)?;
    let mut values = Vec::new();
    let mut failed = false;
    for name in names {
        match inspect(settings, &store, name, platform) {
            Ok(value) => values.push(value),
            Err(failure) => {
                failure.tell();
                failed = true;
            }
        }
    }
    output::inspected(format, &values)?;
    Ok(u8::from(failed))
}

/// What is known of one image of the store.
fn inspect(
    settings: &Settings<'_>,
    store: &Store,
    name: &str,
    platform: &PlatformArgs,
) -> Result<Value> {
    let (image, view) = look_at(settings, store, name, platform)?;
    let Some(config) = &view.config else {
        return Err(Failure::new(format!("{name}: is an artifact, not an image")));
    };
    let image = with_all_names(store, image)?;
    Ok(document(store, &image, &view, config))
}

fn document(store: &Store, image: &Listed, view: &View, config: &ImageConfig) -> Value {
    let names: Vec<&str> = image.given_names().map(|name| name.reference.as_str()).collect();
    let own = config.config.clone().unwrap_or_default();
    let manifest = view.manifest.manifest();
    let annotations = manifest.map(|manifest| texts(&manifest.annotations)).unwrap_or_default();
    let last = config.history.last();
    let comment = last.map(|step| step.comment.clone()).unwrap_or_default();
    let created = Time::parse_rfc3339(&config.created);
    let tagged = image.given_names().map(|name| name.time_s).max();
    let tagged = tagged.map_or_else(
        || Time::parse_rfc3339("0001-01-01T00:00:00Z"),
        |time| Some(Time::unix(time, 0)),
    );
    let size = view.size();
    Struct::value(
        "image",
        vec![
            Field::renamed("ID", "Id", crate::called::image_id(&view.id.to_string())),
            Field::new("Digest", image.root.to_string()),
            Field::new("RepoTags", Value::texts(&names)),
            Field::new("RepoDigests", Value::texts(repo_digests(image))),
            Field::new("Parent", ""),
            Field::new("Comment", comment),
            Field::new(
                "Created",
                created.map_or_else(|| Value::from(&config.created), Value::from),
            ),
            Field::new("DockerVersion", ""),
            Field::new("Version", ""),
            Field::new("Author", config.author.as_str()),
            Field::new("Config", container_config(&own)),
            Field::new("Architecture", config.architecture.as_str()),
            Field::new("Variant", config.variant.as_str()).omit_empty(),
            Field::new("Os", config.os.as_str()),
            Field::new("OsVersion", config.os_version.as_str()).omit_empty(),
            Field::new("Size", size),
            Field::new("VirtualSize", size),
            Field::new("GraphDriver", driver(store, view)),
            Field::new(
                "RootFS",
                Struct::value(
                    "rootfs",
                    vec![
                        Field::new("Type", config.rootfs.kind.as_str()),
                        Field::new(
                            "Layers",
                            Value::texts(config.rootfs.diff_ids.iter().map(ToString::to_string)),
                        ),
                    ],
                ),
            ),
            Field::new(
                "Metadata",
                Struct::value(
                    "metadata",
                    vec![Field::new("LastTagTime", tagged.map_or(Value::Null, Value::from))],
                ),
            ),
            Field::new("Labels", Value::text_map(texts(&own.labels))),
            Field::new("Annotations", Value::text_map(annotations)),
            Field::new("ManifestType", view.manifest.media_type()),
            Field::new("User", own.user.as_str()),
            Field::new("History", history(config)),
            Field::new("NamesHistory", Value::texts(&names)),
            Field::new("HealthCheck", health(own.healthcheck.as_ref())).omit_empty(),
        ],
    )
}

fn texts(map: &oci::Map) -> BTreeMap<String, String> {
    map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// docker's: what containers have unless they are told otherwise.
fn container_config(config: &ContainerConfig) -> Value {
    let set = |map: &oci::Map<oci::json::Raw>| {
        let empty = || Struct::value("struct {}", Vec::new());
        let entries = map.iter().map(|(name, _)| (name.clone(), empty())).collect();
        Value::Map(std::sync::Arc::new(Map {
            element: template::Element::Named("struct {}"),
            entries,
        }))
    };
    let list = |words: &[String]| match words {
        [] => Value::Nil("[]string"),
        words => Value::texts(words),
    };
    Struct::value(
        "config",
        vec![
            Field::new("Hostname", config.hostname.as_str()).omit_empty(),
            Field::new("Domainname", config.domainname.as_str()).omit_empty(),
            Field::new("User", config.user.as_str()).omit_empty(),
            Field::new("ExposedPorts", set(&config.exposed_ports)).omit_empty(),
            Field::new("Env", list(&config.env)).omit_empty(),
            Field::new("Cmd", list(&config.cmd.0)).omit_empty(),
            Field::new("Healthcheck", health(config.healthcheck.as_ref())).omit_empty(),
            Field::new("Volumes", set(&config.volumes)).omit_empty(),
            Field::new("WorkingDir", config.working_dir.as_str()).omit_empty(),
            Field::new("Entrypoint", list(&config.entrypoint.0)).omit_empty(),
            Field::new("OnBuild", list(&config.on_build)).omit_empty(),
            Field::new(
                "Labels",
                match config.labels.is_empty() {
                    true => Value::Nil("map[string]string"),
                    false => Value::text_map(texts(&config.labels)),
                },
            )
            .omit_empty(),
            Field::new("StopSignal", config.stop_signal.as_str()).omit_empty(),
            Field::new("StopTimeout", config.stop_timeout.map_or(Value::Nil("*int"), Value::from))
                .omit_empty(),
            Field::new("Shell", list(&config.shell.0)).omit_empty(),
        ],
    )
}

fn health(check: Option<&Healthcheck>) -> Value {
    let Some(check) = check else { return Value::Nil("*config.Healthcheck") };
    Struct::value(
        "healthcheck",
        vec![
            Field::new("Test", Value::texts(&check.test)).omit_empty(),
            Field::new("Interval", check.interval).omit_empty(),
            Field::new("Timeout", check.timeout).omit_empty(),
            Field::new("StartPeriod", check.start_period).omit_empty(),
            Field::new("StartInterval", check.start_interval).omit_empty(),
            Field::new("Retries", check.retries).omit_empty(),
        ],
    )
}

fn history(config: &ImageConfig) -> Value {
    let step = |step: &oci::image::History| {
        Struct::value(
            "history",
            vec![
                Field::renamed("Created", "created", step.created.as_str()).omit_empty(),
                Field::renamed("CreatedBy", "created_by", step.created_by.as_str()).omit_empty(),
                Field::renamed("Author", "author", step.author.as_str()).omit_empty(),
                Field::renamed("Comment", "comment", step.comment.as_str()).omit_empty(),
                Field::renamed("EmptyLayer", "empty_layer", step.empty_layer).omit_empty(),
            ],
        )
    };
    Value::list_of("history", config.history.iter().map(step).collect())
}

/// Where the layers are, as docker's and podman's overlay drivers say it.
fn driver(store: &Store, view: &View) -> Value {
    let path = |key: &store::LayerKey| {
        store.path().join("layers").join(key.to_string()).join("diff").display().to_string()
    };
    let mut places: Vec<String> = view.layers.iter().flatten().rev().map(path).collect();
    let upper = if places.is_empty() { String::new() } else { places.remove(0) };
    let mut data = BTreeMap::from([("UpperDir", upper)]);
    if !places.is_empty() {
        data.insert("LowerDir", places.join(":"));
    }
    Struct::value(
        "driver",
        vec![Field::new("Name", "overlay"), Field::new("Data", Value::text_map(data))],
    )
}
