//! `tare manifest create`.

use super::{Images, annotations, change};
use crate::failure::{Failure, Result};
use crate::image::{full_name, now, print};
use crate::settings::{Global, RegistryArgs, Settings};
use clap::Args;
use images::{List, Said};

/// Make an index, with images or without
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Add every image of those that are indexes
    #[arg(long)]
    all: bool,
    /// Add to the index if there is one of the name
    #[arg(short, long)]
    amend: bool,
    /// Set an annotation of the index
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// docker's word for --tls-verify=false
    #[arg(long, conflicts_with = "tls_verify")]
    insecure: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Name of the index
    #[arg(value_name = "LIST")]
    list: String,
    /// Images: of the store, or of a registry, or a place of another kind
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Create) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("making {}", arguments.list));
    change(|| create(global, arguments)).map_err(during)
}

fn create(global: &Global, arguments: &Create) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let mut access = arguments.registry.access()?;
    if arguments.insecure {
        access.tls_verify = Some(false);
    }
    let name = full_name(&arguments.list)?;
    let mut list = match store.resolve(&name) {
        Ok(record) if arguments.amend => List::open(&store, &record)?,
        Ok(_) => {
            return Err(Failure::new(format!("there is an image of the name {name}"))
                .hint("`--amend` adds to an index"));
        }
        Err(error) if error.kind() == store::Kind::NotFound => List::new(&store)?,
        Err(error) => return Err(error.into()),
    };
    let images = Images::new(&settings, &store, &access)?;
    let mut temporary = Vec::new();
    for image in &arguments.images {
        temporary.extend(images.add(&mut list, image, arguments.all, &Said::default())?);
    }
    for (name, value) in &annotations(&arguments.annotation)? {
        list.annotations().insert(name.clone(), value.clone());
    }
    let made = list.finish(&name, now());
    images.forget(temporary)?;
    print(&made?.digest().hex())
}
