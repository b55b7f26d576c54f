//! `tare search`.

use super::{connect, default_registry};
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::settings::{Access, Global, RegistryArgs, Settings, warn};
use clap::Args;
use std::io::Write;
use template::listing::{Form, Listing};
use template::table::Columns;
use template::{Field, Struct, Value};
use transport::registry::{Found, Registry};

/// The longest description that is shown, as with docker.
const DESCRIPTION_LENGTH: usize = 45;

/// Search registries for images
///
/// TERM is looked for in the registry that it begins with, or in all of unqualified-search-registries, or
/// docker.io.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare search --limit 5 postgres\n  \
                        tare search --list-tags registry.example/team/app")]
pub(crate) struct Search {
    /// Show only those of which this is true: stars=NUMBER, is-official=BOOL, is-automated=BOOL
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Show each by a Go template (.Name .Description .Stars .Official .Index .Tag), or all as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Most results of a registry [default: 25]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Show the tags of a repository
    #[arg(long)]
    list_tags: bool,
    /// Do not shorten descriptions
    #[arg(long)]
    no_trunc: bool,
    /// Accepted for podman's sake: the columns are docker's anyway
    #[arg(long, hide = true)]
    compatible: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// What to look for
    #[arg(value_name = "TERM")]
    term: String,
}

/// What results have to be.
#[derive(Default)]
struct Filter {
    stars: u64,
    official: Option<bool>,
    automated: Option<bool>,
}

impl Filter {
    fn read(texts: &[String]) -> Result<Self> {
        let mut filter = Self::default();
        for text in texts {
            let malformed = || {
                Failure::new(format!("--filter {text}: it is not understood"))
                    .hint("filters are stars=NUMBER, is-official=BOOL and is-automated=BOOL")
            };
            let (name, value) = text.split_once('=').ok_or_else(malformed)?;
            match name {
                "stars" => filter.stars = value.parse().map_err(|_| malformed())?,
                "is-official" => filter.official = Some(value.parse().map_err(|_| malformed())?),
                "is-automated" => filter.automated = Some(value.parse().map_err(|_| malformed())?),
                _ => return Err(malformed()),
            }
        }
        Ok(filter)
    }

    fn takes(&self, found: &Found) -> bool {
        found.stars >= self.stars
            && self.official.is_none_or(|wanted| wanted == found.official)
            && self.automated.is_none_or(|wanted| wanted == found.automated)
    }
}

pub(crate) fn run(global: &Global, arguments: &Search) -> Result<()> {
    let settings = Settings::load(global)?;
    let access = arguments.registry.access()?;
    let rows = match arguments.list_tags {
        true => tags(&settings, arguments, &access)?,
        false => images(&settings, arguments, &access)?,
    };
    let table = match arguments.list_tags {
        true => "{{.Name}}\t{{.Tag}}",
        false => "{{.Name}}\t{{.Description}}\t{{.Stars}}\t{{.Official}}",
    };
    let listing = Listing {
        headings: &[
            ("Index", "INDEX"),
            ("Name", "NAME"),
            ("Description", "DESCRIPTION"),
            ("Stars", "STARS"),
            ("StarCount", "STARS"),
            ("Official", "OFFICIAL"),
            ("IsOfficial", "OFFICIAL"),
            ("Automated", "AUTOMATED"),
            ("IsAutomated", "AUTOMATED"),
            ("Tag", "TAG"),
        ],
        table,
        rows: &rows,
        with_headings: !rows.is_empty(),
        columns: Columns::DOCKER,
    };
    let failed = |error: template::Error| Failure::new(format!("--format: {error}"));
    let out = match arguments.format.as_deref().map(Form::read) {
        None | Some(Form::Table(None)) => listing.table().map_err(failed)?,
        Some(Form::Table(Some(template))) => listing.table_by(&template).map_err(failed)?,
        Some(Form::Template(template)) => listing.template(&template).map_err(failed)?,
        Some(Form::Json) => {
            let json = Value::list(rows.iter().cloned()).json_indented(4);
            return print(&String::from_utf8_lossy(&json));
        }
    };
    Ok(std::io::stdout().write_all(&out)?)
}

/// The registries to search, and what for.
fn places(settings: &Settings<'_>, term: &str) -> Vec<(String, String)> {
    // A name of a registry is one that images may have before their first slash.
    if let Some((domain, rest)) = term.split_once('/')
        && oci::Reference::parse(&format!("{domain}/x")).is_ok_and(|it| it.domain() == domain)
    {
        return vec![(domain.to_owned(), rest.to_owned())];
    }
    let named = settings.registries.search();
    let all = if named.is_empty() { vec![default_registry(settings)] } else { named.to_vec() };
    all.into_iter().map(|domain| (domain, term.to_owned())).collect()
}

fn images(settings: &Settings<'_>, arguments: &Search, access: &Access) -> Result<Vec<Value>> {
    let filter = Filter::read(&arguments.filter)?;
    let limit = arguments.limit.unwrap_or(25);
    let mut rows = Vec::new();
    let places = places(settings, &arguments.term);
    let mut failed = None;
    for (domain, term) in &places {
        let found =
            connect(settings, domain, access).and_then(|host| Ok(host.search(term, limit)?));
        match found {
            Ok(found) => {
                let fitting = found.iter().filter(|it| filter.takes(it));
                rows.extend(fitting.map(|it| row(domain, it, arguments.no_trunc)));
            }
            // Others may have something.
            Err(failure) if places.len() > 1 => {
                warn(&format!("searching {domain}: {}", failure.message()));
                failed = Some(failure);
            }
            Err(failure) => return Err(failure.during(format_args!("searching {domain}"))),
        }
    }
    match failed {
        Some(failure) if rows.is_empty() => Err(failure.during("searching")),
        _ => Ok(rows),
    }
}

fn row(domain: &str, found: &Found, whole: bool) -> Value {
    // Docker's own images are in a namespace that it does not name.
    let space = if domain == "docker.io" && !found.name.contains('/') { "library/" } else { "" };
    let mark = |it: bool| if it { "[OK]" } else { "" };
    Struct::value(
        "search",
        vec![
            Field::new("Index", domain),
            Field::new("Name", format!("{domain}/{space}{}", found.name)),
            Field::new("Description", describe(&found.description, whole)),
            Field::new("Stars", found.stars),
            Field::hidden("StarCount", found.stars),
            Field::new("Official", mark(found.official)),
            Field::hidden("IsOfficial", mark(found.official)),
            Field::new("Automated", mark(found.automated)),
            Field::hidden("IsAutomated", mark(found.automated)),
            Field::new("Tag", "").omit_empty(),
        ],
    )
}

/// A description on one line, and of bearable length.
fn describe(text: &str, whole: bool) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|it| !it.is_control()).collect();
    match whole || text.chars().count() <= DESCRIPTION_LENGTH {
        true => text,
        false => text.chars().take(DESCRIPTION_LENGTH - 1).chain(['…']).collect(),
    }
}

fn tags(settings: &Settings<'_>, arguments: &Search, access: &Access) -> Result<Vec<Value>> {
    if !arguments.filter.is_empty() {
        return Err(Failure::new("--filter does not go with --list-tags"));
    }
    let mut failed = None;
    for reference in settings.candidates(&arguments.term)? {
        let place = settings.registries.push_target(&reference)?;
        let tags = Registry::connect(&reference, settings.registry_options(&place, access)?)
            .and_then(|registry| registry.tags());
        match tags {
            Ok(tags) => {
                let shown = tags.into_iter().take(arguments.limit.unwrap_or(usize::MAX));
                return Ok(shown.map(|tag| tag_row(reference.name(), tag)).collect());
            }
            Err(error) => failed = Some(error),
        }
    }
    let nothing = || Failure::new(format!("there is no registry for {}", arguments.term));
    Err(failed.map_or_else(nothing, Failure::from))
}

fn tag_row(name: &str, tag: String) -> Value {
    Struct::value("search", vec![Field::new("Name", name), Field::new("Tag", tag)])
}
