//! `tare gc`.

use crate::failure::Result;
use crate::output;
use crate::settings::{Global, Settings};
use clap::Args;
use template::{Field, Struct, Value, units};

/// Free the space of what no image, container or mount needs
///
/// Removing an image does this, too. What killed commands have left goes with it.
#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    /// Remove only what was taken away before
    #[arg(long, hide = true)]
    trash_only: bool,
}

pub(crate) fn run(global: &Global, arguments: &Collect) -> Result<()> {
    let settings = Settings::load(global)?;
    // Opening it to write sweeps what others have left.
    let store = settings.store(false)?;
    if arguments.trash_only {
        return Ok(());
    }
    let collected = store.collect()?;
    if arguments.quiet {
        return Ok(());
    }
    if let Some(format) = &arguments.format {
        let value = Struct::value(
            "collected",
            vec![
                Field::new(
                    "Layers",
                    Value::texts(collected.layers.iter().map(ToString::to_string)),
                ),
                Field::new("Blobs", Value::texts(collected.blobs.iter().map(ToString::to_string))),
                Field::new("SpaceReclaimed", collected.bytes),
            ],
        );
        return match format.as_str() {
            "json" => output::write(&output::pretty(&value)),
            _ => output::inspected(Some(format), &[value]),
        };
    }
    let text = format!(
        "Deleted: {}, {}\nTotal reclaimed space: {}\n",
        output::several(collected.layers.len(), "layer"),
        output::several(collected.blobs.len(), "blob"),
        units::decimal_size(collected.bytes, 4)
    );
    output::write(text.as_bytes())
}
