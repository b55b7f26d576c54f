//! `tare list-tags`.

use super::print_json;
use crate::failure::{Failure, Result};
use crate::settings::{Global, PlaceArgs, RetryArgs, Settings, ask_registry};
use clap::Args;
use template::{Field, Struct, Value};
use transport::docker_archive::Archive;
use transport::place::Place;

/// List the tags of a repository
///
/// SOURCE is a repository without a tag, with docker:// or without, or docker-archive:FILE. The tags come as JSON; images of an
/// archive that have none are called @ and their number.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare list-tags docker://registry.example.com/team/app")]
pub(crate) struct ListTags {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    retry: RetryArgs,
    /// Where the images are
    #[arg(value_name = "SOURCE")]
    source: String,
}

pub(crate) fn run(global: &Global, arguments: &ListTags) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("listing {}", arguments.source));
    let settings = Settings::load(global)?;
    let fields = fields(&settings, arguments).map_err(during)?;
    print_json(&Struct::value("tagListOutput", fields))
}

fn fields(settings: &Settings<'_>, arguments: &ListTags) -> Result<Vec<Field>> {
    match Place::parse_unless_name(&arguments.source)? {
        // There is nothing else that a name could be.
        None | Some(Place::Registry(_)) => {
            let name = arguments.source.trim_start_matches("docker://");
            let repository = oci::Reference::parse(name)?;
            if repository.tag().is_some() || repository.digest().is_some() {
                return Err(Failure::new("a repository has many tags, and this is one image")
                    .hint(format!("write docker://{}", repository.name())));
            }
            let access = arguments.place.access(&arguments.retry)?;
            let tags = ask_registry(settings, &repository, &access, &|registry| registry.tags())?;
            Ok(vec![
                Field::new("Repository", repository.name()),
                Field::new("Tags", Value::texts(tags)),
            ])
        }
        Some(Place::DockerArchive(place)) => {
            let archive = Archive::open(&place.path, &settings.temporary_dir()?)?;
            let mut names = Vec::new();
            for image in archive.images() {
                match image.written.is_empty() {
                    true => names.push(format!("@{}", image.position)),
                    false => names.extend(image.written),
                }
            }
            Ok(vec![Field::new("Tags", Value::texts(names))])
        }
        Some(other) => {
            let text = format!("images of {}: have no list of tags", other.transport());
            Err(Failure::new(text).hint("docker://REPOSITORY and docker-archive:FILE have one"))
        }
    }
}
