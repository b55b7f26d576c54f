//! `tare mutate flatten`.

use super::{Base, ResultArgs};
use crate::failure::Result;
use crate::image::print;
use crate::settings::{Global, Settings};
use clap::Args;
use images::Draft;

/// Make one layer of all layers of an image
///
/// What a layer removes is not in the new one.
#[derive(Debug, Args)]
pub(crate) struct Flatten {
    #[command(flatten)]
    result: ResultArgs,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(super) fn run(global: &Global, arguments: &Flatten) -> Result<()> {
    let during = |failure: crate::failure::Failure| {
        failure.during(format_args!("flattening {}", arguments.image))
    };
    flatten(global, arguments).map_err(during)
}

fn flatten(global: &Global, arguments: &Flatten) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let base = Base::find(&settings, &store, &arguments.image, &arguments.result.platform)?;
    let mut draft = Draft::of_image(&store, &base.document, settings.caller.rights())?;
    let mut step = arguments.result.step("tare mutate flatten")?;
    step.comment = format!("flattened {}", base.document.digest());
    images::flatten_layers(&store, &mut draft, &step)?;
    // None of the old layers is in it.
    let made = arguments.result.finish(draft, "")?;
    print(&made.id.hex())
}
