//! `tare container inspect`.

use super::view;
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::Args;
use engine::Engine;
use template::Value;

/// Show what is known of containers
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare container inspect --format '{{.State.Status}}' web")]
pub(crate) struct Inspect {
    /// json, or a Go template for each container
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Count what each has written
    #[arg(short, long)]
    size: bool,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Inspect) -> Result<u8> {
    let latest = arguments.latest.then(|| super::latest(global)).transpose()?;
    let names: Vec<&str> = arguments.containers.iter().chain(&latest).map(String::as_str).collect();
    show(global, &names, arguments.format.as_deref(), arguments.size)
}

/// Shows containers; the exit code.
pub(crate) fn show(
    global: &Global,
    names: &[&str],
    format: Option<&str>,
    with_size: bool,
) -> Result<u8> {
    let engine = super::open(global, true)?;
    let mut values = Vec::new();
    let mut code = 0;
    for name in names {
        match value(&engine, name, with_size) {
            Ok(Some(value)) => values.push(value),
            Ok(None) => {
                Failure::new(format!("No such container: {name}")).tell();
                code = crate::own_code();
            }
            Err(failure) => {
                failure.tell();
                code = crate::own_code();
            }
        }
    }
    output::inspected(format, &values)?;
    Ok(code)
}

/// What is known of a container; nothing where there is none.
pub(crate) fn value(engine: &Engine, name: &str, with_size: bool) -> Result<Option<Value>> {
    let container = match engine.find(name) {
        Err(error) if error.kind() == engine::Kind::NotFound => return Ok(None),
        result => result?,
    };
    let sizes = with_size.then(|| {
        let own = engine.writable_bytes(&container.config.id);
        (own, own + super::image_bytes(engine, &container))
    });
    Ok(Some(view::document(engine, &container, sizes)))
}
