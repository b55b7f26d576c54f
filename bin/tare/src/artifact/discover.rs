//! `tare artifact discover`.

use crate::failure::{Failure, Result};
use crate::image::print;
use crate::json_lines::indented;
use crate::settings::{Global, PlatformArgs, RegistryArgs, Settings};
use clap::{Args, ValueEnum};
use images::{Beside, Instances, Referrer};
use oci::image::Document;
use oci::json::{Object, Raw};
use oci::{Digest, Map};
use transport::place::Place;
use transport::registry::Registry;

/// Show what is about an image: signatures, bills of materials and other artifacts, and what is about these
#[derive(Debug, Args)]
pub(crate) struct Discover {
    /// Only artifacts of this type
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,
    /// How deep to look
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..))]
    depth: u8,
    /// As a tree, a table, or JSON
    #[arg(long, short = 'o', alias = "output", value_enum, value_name = "FORMAT", default_value_t = Format::Tree)]
    format: Format,
    /// Show annotations, too
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The image: a name in a registry, or store:NAME
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Tree,
    Table,
    Json,
}

pub(super) fn run(global: &Global, arguments: &Discover) -> Result<()> {
    let during =
        |failure: Failure| failure.during(format_args!("looking beside {}", arguments.name));
    discover(global, arguments).map_err(during)
}

fn discover(global: &Global, arguments: &Discover) -> Result<()> {
    let settings = Settings::load(global)?;
    let wanted = arguments.platform.wanted(settings.wanted())?;
    match Place::parse_unless_name(&arguments.name)? {
        Some(Place::Store(name)) => {
            let store = settings.store(true)?;
            let found = images::find(&store, &name)?;
            let subject = match arguments.platform.is_given() {
                true => images::open_image(&store, &found, &wanted)?,
                false => images::open_document(&store, &found)?,
            };
            show(arguments, &Beside::Store(&store), &subject)
        }
        _ => {
            let access = arguments.registry.access()?;
            let (source, place) = super::pull::open(&settings, &access, &arguments.name)?;
            let Place::Registry(image) = place else {
                return Err(Failure::new(
                    "only registries and the store know what is about an image",
                ));
            };
            let mut subject = source.manifest(None)?;
            if let Some(index) = subject.index().filter(|_| arguments.platform.is_given()) {
                let chosen = Instances::One(wanted).choose(index)?;
                let none = || Failure::new("there is no image for the platform");
                let digest = *chosen.first().ok_or_else(none)?.verifiable()?;
                subject = source.manifest(Some(&digest))?;
            }
            // The first of its places that can be asked.
            let mut failed = None;
            for place in settings.registries.pull_sources(&image.name)? {
                let options = settings.registry_options(&place, &access)?;
                let shown = Registry::connect(&place.reference, options)
                    .map_err(Failure::from)
                    .and_then(|registry| show(arguments, &Beside::Registry(&registry), &subject));
                match shown {
                    Ok(()) => return Ok(()),
                    Err(failure) => failed = Some(failure),
                }
            }
            failed.map_or(Ok(()), Err)
        }
    }
}

fn show(arguments: &Discover, beside: &Beside<'_>, subject: &Document) -> Result<()> {
    let kind = arguments.artifact_type.as_deref().unwrap_or_default();
    let found = beside.referrers(subject.digest(), kind, usize::from(arguments.depth))?;
    let name = named(&arguments.name, subject.digest());
    match arguments.format {
        Format::Tree => {
            let mut lines = name;
            branches(&found, "", arguments.verbose, &mut lines);
            print(&lines)
        }
        Format::Table => {
            let mut lines = format!("{:<60} DIGEST", "ARTIFACT TYPE");
            table(&found, &mut lines);
            print(&lines)
        }
        Format::Json => print(&indented(&oci::json::write(&Object(&[
            ("reference", &name),
            ("mediaType", &subject.media_type()),
            ("digest", &subject.digest().to_string()),
            ("size", &(subject.bytes().len() as u64)),
            ("referrers", &nodes(&arguments.name, &found)?),
        ])))),
    }
}

/// The name with the digest that was looked at.
fn named(name: &str, digest: &Digest) -> String {
    let name = name.split('@').next().unwrap_or(name);
    format!("{name}@{digest}")
}

/// A text of an artifact on a line of its own.
fn line(text: &str) -> String {
    text.chars()
        .flat_map(
            |it| if it.is_control() { it.escape_debug().collect::<Vec<_>>() } else { vec![it] },
        )
        .collect()
}

fn branches(found: &[Referrer], indent: &str, verbose: bool, lines: &mut String) {
    for (number, referrer) in found.iter().enumerate() {
        let last = number + 1 == found.len();
        let (branch, below) = if last {
            ("\u{2514}\u{2500}\u{2500} ", "    ")
        } else {
            ("\u{251c}\u{2500}\u{2500} ", "\u{2502}   ")
        };
        let descriptor = &referrer.descriptor;
        let kind = match descriptor.artifact_type.is_empty() {
            true => "<unknown>".to_owned(),
            false => line(&descriptor.artifact_type),
        };
        lines.push_str(&format!("\n{indent}{branch}{kind}"));
        let indent = format!("{indent}{below}");
        lines.push_str(&format!("\n{indent}\u{2514}\u{2500}\u{2500} {}", descriptor.digest));
        let indent = format!("{indent}    ");
        if verbose {
            for (name, value) in &descriptor.annotations {
                lines.push_str(&format!("\n{indent}    {}: {}", line(name), line(value)));
            }
        }
        branches(&referrer.referrers, &indent, verbose, lines);
    }
}

fn table(found: &[Referrer], lines: &mut String) {
    for referrer in found {
        let kind = line(&referrer.descriptor.artifact_type);
        lines.push_str(&format!("\n{kind:<60} {}", referrer.descriptor.digest));
        table(&referrer.referrers, lines);
    }
}

fn nodes(name: &str, found: &[Referrer]) -> Result<Vec<Raw>> {
    let node = |referrer: &Referrer| -> Result<Raw> {
        let descriptor = &referrer.descriptor;
        let digest = descriptor.verifiable()?;
        let annotations: &Map = &descriptor.annotations;
        let text = oci::json::write(&Object(&[
            ("reference", &named(name, digest)),
            ("mediaType", &descriptor.media_type),
            ("digest", &digest.to_string()),
            ("size", &descriptor.size),
            ("artifactType", &descriptor.artifact_type),
            ("annotations", annotations),
            ("referrers", &nodes(name, &referrer.referrers)?),
        ]));
        oci::json::read(text.as_bytes()).map_err(Failure::new)
    };
    found.iter().map(node).collect()
}
