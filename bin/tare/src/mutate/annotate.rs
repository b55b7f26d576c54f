//! `tare mutate annotate`.

use super::{ResultArgs, name_and_value};
use crate::failure::{Failure, Result};
use crate::image::{now, print};
use crate::settings::{Global, Settings};
use clap::Args;
use images::Naming;

/// Change the annotations of a manifest or index
///
/// Of an index it is the index that is changed, or with --platform one of its images.
#[derive(Debug, Args)]
pub(crate) struct Annotate {
    /// Set an annotation
    #[arg(short, long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Take an annotation away
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    #[command(flatten)]
    result: ResultArgs,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(super) fn run(global: &Global, arguments: &Annotate) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("annotating {}", arguments.image));
    annotate(global, arguments).map_err(during)
}

fn annotate(global: &Global, arguments: &Annotate) -> Result<()> {
    let result = &arguments.result;
    if result.created.is_some() {
        return Err(Failure::new("--created: annotations do not change an image's time"));
    }
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let base = match result.platform.is_given() {
        true => super::Base::find(&settings, &store, &arguments.image, &result.platform)?,
        false => super::Base::whole(&store, &arguments.image)?,
    };
    let pairs: Vec<_> =
        arguments.annotation.iter().map(|pair| name_and_value(pair)).collect::<Result<_>>()?;
    let change = |annotations: &mut oci::Map| {
        annotations.retain(|key, _| !arguments.remove.contains(key));
        for (name, value) in &pairs {
            annotations.insert(name.clone(), value.clone());
        }
    };
    let (names, origin) = (result.names()?, base.origin());
    let naming = Naming { names: &names, origin: &origin, time_s: now() };
    let made = images::annotate(&store, &base.document, &change, &naming)?;
    print(&made.digest().to_string())
}
