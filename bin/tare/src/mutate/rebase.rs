//! `tare mutate rebase`.

use super::{Base, ResultArgs};
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::settings::{Global, Settings};
use clap::Args;
use images::{BASE_DIGEST, BASE_NAME, Draft};

/// Put the layers of an image on another base
///
/// The old base has to be what the image was made upon. Both are found by the image's annotations
/// org.opencontainers.image.base.name and org.opencontainers.image.base.digest unless they are named. What containers
/// have is as in the image.
#[derive(Debug, Args)]
pub(crate) struct Rebase {
    /// What the image was made upon
    #[arg(long, alias = "old_base", value_name = "IMAGE")]
    old_base: Option<String>,
    /// What it comes upon
    #[arg(long, alias = "new_base", value_name = "IMAGE")]
    new_base: Option<String>,
    #[command(flatten)]
    result: ResultArgs,
    /// The image
    #[arg(value_name = "IMAGE", required_unless_present = "original")]
    image: Option<String>,
    /// The image, as crane had it first
    #[arg(long, value_name = "IMAGE", hide = true, conflicts_with = "image")]
    original: Option<String>,
}

pub(super) fn run(global: &Global, arguments: &Rebase) -> Result<()> {
    let name = arguments.image.as_deref().or(arguments.original.as_deref()).unwrap_or_default();
    let during = |failure: Failure| failure.during(format_args!("rebasing {name}"));
    rebase(global, name, arguments).map_err(during)
}

fn rebase(global: &Global, name: &str, arguments: &Rebase) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let rights = settings.caller.rights();
    let platform = &arguments.result.platform;
    let image = Base::find(&settings, &store, name, platform)?;
    let mut draft = Draft::of_image(&store, &image.document, rights)?;
    let noted = |key: &str| draft.annotations.get(key).cloned();
    let unknown = |which: &str| {
        Failure::new(format!("nothing says what the {which} base is"))
            .hint(format!("name it by --{which}-base"))
    };
    let new_name = arguments.new_base.clone().or_else(|| noted(BASE_NAME));
    let new_name = new_name.ok_or_else(|| unknown("new"))?;
    let old_name = arguments.old_base.clone().or_else(|| noted(BASE_DIGEST));
    let old_name = old_name.ok_or_else(|| unknown("old"))?;
    let find = |name: &str, which: &str| {
        Base::find(&settings, &store, name, platform)
            .map_err(|failure| failure.during(format_args!("the {which} base")))
    };
    let (old, new) = (find(&old_name, "old")?, find(&new_name, "new")?);
    images::rebase(&store, &mut draft, &old.document, &new.document, rights)?;
    note_base(&mut draft, &new);
    let made = arguments.result.finish(draft, &origins(&[&new, &image]))?;
    print(&made.id.hex())
}

/// Notes what an image was made upon.
pub(super) fn note_base(draft: &mut Draft<'_>, base: &Base) {
    draft.annotations.insert(BASE_DIGEST.into(), base.found.digest.to_string());
    let mut names = base.found.names.iter().map(|name| &name.reference);
    match names.find(|name| !name.starts_with('@')) {
        Some(name) => draft.annotations.insert(BASE_NAME.into(), name.clone()),
        None => draft.annotations.retain(|key, _| key != BASE_NAME),
    }
}

/// Where layers came from: a place a line.
fn origins(bases: &[&Base]) -> String {
    let mut all: Vec<String> = Vec::new();
    for origin in bases.iter().map(|base| base.origin()).filter(|origin| !origin.is_empty()) {
        if !all.contains(&origin) {
            all.push(origin);
        }
    }
    all.join("\n")
}
