//! `tare manifest annotate`.

use super::{Images, SaidArgs, change, find_list};
use crate::failure::{Failure, Result};
use crate::image::{now, print};
use crate::settings::{Global, RegistryArgs, Settings};
use clap::Args;
use images::{Instances, List};

/// Change what an index says of an image, or of itself
#[derive(Debug, Args)]
pub(crate) struct Annotate {
    /// The annotations are of the index itself
    #[arg(long)]
    index: bool,
    /// Set what the index is about: an image
    #[arg(long, value_name = "IMAGE")]
    subject: Option<String>,
    #[command(flatten)]
    said: SaidArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The index
    #[arg(value_name = "LIST")]
    list: String,
    /// The image: its digest in the index, or a name
    #[arg(value_name = "IMAGE")]
    image: Option<String>,
}

pub(super) fn run(global: &Global, arguments: &Annotate) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("changing {}", arguments.list));
    change(|| annotate(global, arguments)).map_err(during)
}

fn annotate(global: &Global, arguments: &Annotate) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let access = arguments.registry.access()?;
    let record = find_list(&store, &arguments.list)?;
    let mut list = List::open(&store, &record)?;
    let images = Images::new(&settings, &store, &access)?;
    let said = arguments.said.said()?;
    match (&arguments.image, arguments.index) {
        (Some(_), true) => {
            return Err(Failure::new("--index: then there is no image to name"));
        }
        (Some(image), false) => {
            let digest = images.digest(&list, image)?;
            list.annotate(&digest, &said)?;
        }
        (None, true) => {
            for (name, value) in &said.annotations {
                list.annotations().insert(name.clone(), value.clone());
            }
        }
        (None, false) if arguments.subject.is_none() => {
            return Err(Failure::new("nothing says what is changed")
                .hint("name an image of the index, or --index for the index itself"));
        }
        (None, false) => {}
    }
    if let Some(subject) = &arguments.subject {
        let opened = images.open(subject, &Instances::All)?;
        list.set_subject(Some(opened.source.manifest(None)?.descriptor()));
        images.forget(opened.temporary.into_iter().collect())?;
    }
    let made = list.finish(&record.reference, now())?;
    print(&made.digest().hex())
}
