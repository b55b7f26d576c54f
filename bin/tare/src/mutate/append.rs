//! `tare mutate append`.

use super::{Base, ResultArgs};
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::settings::{Global, Settings};
use clap::Args;
use images::Draft;
use oci::image::{History, Platform};
use std::fs::File;

/// Add layers to an image, or make an image of layers
#[derive(Debug, Args)]
pub(crate) struct Append {
    /// The image that the layers come upon; without one they are all
    #[arg(short, long, value_name = "IMAGE")]
    base: Option<String>,
    /// A layer: a tar archive, packed or not; - is standard input (repeated, the lowest first)
    #[arg(
        short = 'f',
        long,
        alias = "new_layer",
        value_name = "FILE",
        required = true,
        value_delimiter = ','
    )]
    new_layer: Vec<String>,
    /// Note the base in annotations of the new image
    #[arg(long)]
    set_base_image_annotations: bool,
    /// Say in the history what the layers are
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    result: ResultArgs,
}

pub(super) fn run(global: &Global, arguments: &Append) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let rights = settings.caller.rights();
    let base = match &arguments.base {
        Some(name) => Some(Base::find(&settings, &store, name, &arguments.result.platform)?),
        None => None,
    };
    let mut draft = match &base {
        Some(base) => Draft::of_image(&store, &base.document, rights)?,
        None => {
            let wanted = arguments.result.platform.wanted(settings.wanted())?;
            let platform = Platform {
                architecture: wanted.architecture,
                os: wanted.os,
                variant: wanted.variant,
                ..Platform::default()
            };
            Draft::new(&store, &platform, rights)?
        }
    };
    let mut step = arguments.result.step("tare mutate append")?;
    step.comment = arguments.message.clone().unwrap_or_default();
    for file in &arguments.new_layer {
        add(&mut draft, file, &step)?;
    }
    if let Some(base) = base.as_ref().filter(|_| arguments.set_base_image_annotations) {
        super::rebase::note_base(&mut draft, base);
    }
    let origin = base.as_ref().map(Base::origin).unwrap_or_default();
    let made = arguments.result.finish(draft, &origin)?;
    print(&made.id.hex())
}

/// Adds a layer from a file or from standard input.
pub(super) fn add(draft: &mut Draft<'_>, file: &str, step: &History) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("adding {file}"));
    let added = match file {
        "-" => draft.add_archive(std::io::stdin(), step),
        path => match File::open(path) {
            Ok(archive) => draft.add_archive(archive, step),
            Err(error) => return Err(during(error.into())),
        },
    };
    added.map(drop).map_err(|error| during(error.into()))
}
