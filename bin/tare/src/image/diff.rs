//! `tare diff`.

use crate::failure::{Failure, Result};
use crate::settings::{Global, PlatformArgs, Settings};
use clap::{Args, ValueEnum};
use images::{ChangeKind, Differing, Times};
use oci::json::Object;
use std::io::Write;

/// Show what a container has changed, or an image changes of another one
///
/// A name alone is that of a container, if there is one, and otherwise of an image. With one image, what its topmost layer changes of those below it. A line is a letter and a path: A is added, C is
/// changed (or something in the directory is), D is deleted. Nothing is mounted, and no file is read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare diff app:2 app:1\n  tare diff --format json app:2")]
pub(crate) struct Diff {
    /// As lines, or as JSON
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Leave out files of which only the time is another one
    #[arg(long)]
    ignore_times: bool,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    #[command(flatten)]
    platform: PlatformArgs,
    /// The container or image
    #[arg(value_name = "CONTAINER|IMAGE", required_unless_present = "latest")]
    image: Option<String>,
    /// The image that it is compared with
    #[arg(value_name = "BASE")]
    base: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
}

/// Of a container, if the one name means one.
pub(crate) fn of_either(global: &Global, arguments: &Diff) -> Result<()> {
    let latest = arguments.latest.then(|| crate::container::latest(global)).transpose()?;
    if let (Some(name), None) = (latest.as_ref().or(arguments.image.as_ref()), &arguments.base)
        && let Some((engine, container)) = crate::container::diff::look(global, name)?
    {
        return crate::container::diff::of(&engine, &container, arguments.format);
    }
    run(global, arguments)
}

pub(crate) fn run(global: &Global, arguments: &Diff) -> Result<()> {
    let Some(image) = arguments.image.as_ref().filter(|_| !arguments.latest) else {
        return Err(Failure::new("--latest: it is about containers").hint("name an image"));
    };
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    let wanted = arguments.platform.wanted(settings.wanted())?;
    let open = |name: &String| -> Result<_> {
        let found = images::find(&store, name)?;
        Ok(images::open_image(&store, &found, &wanted)?)
    };
    let base = arguments.base.as_ref().map(open).transpose()?;
    let times = if arguments.ignore_times { Times::Ignored } else { Times::Count };
    let rights = settings.caller.rights();
    let all = images::diff(&store, &open(image)?, base.as_ref(), times, rights)?;
    show(&all, arguments.format)
}

/// Shows differences.
pub(crate) fn show(all: &[Differing], format: Option<Format>) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match format {
        Some(Format::Json) => writeln!(out, "{}", json(all))?,
        None => {
            for Differing { kind, path } in all {
                let letter = match kind {
                    ChangeKind::Changed => b"C ",
                    ChangeKind::Added => b"A ",
                    ChangeKind::Deleted => b"D ",
                };
                out.write_all(letter)?;
                out.write_all(&on_one_line(path))?;
                out.write_all(b"\n")?;
            }
        }
    }
    Ok(out.flush()?)
}

/// A name may hold line ends and what terminals take for commands.
fn on_one_line(path: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte.is_ascii_control() {
        true => byte.escape_ascii().collect(),
        false => vec![*byte],
    };
    path.iter().flat_map(escape).collect()
}

/// podman's object: a list for each kind that there is.
fn json(all: &[Differing]) -> String {
    let of = |wanted: ChangeKind| -> Vec<String> {
        let those = all.iter().filter(|it| it.kind == wanted);
        those.map(|it| String::from_utf8_lossy(&it.path).into_owned()).collect()
    };
    oci::json::write_pretty(&Object(&[
        ("changed", &of(ChangeKind::Changed)),
        ("added", &of(ChangeKind::Added)),
        ("deleted", &of(ChangeKind::Deleted)),
    ]))
}
