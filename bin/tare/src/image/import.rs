//! `tare import`.

use super::{full_name, now, print};
use crate::failure::{Failure, Result};
use crate::settings::{Global, PlatformArgs, Settings};
use clap::Args;
use images::{Change, Draft, Naming};
use oci::image::{History, Platform};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;

/// Make an image of a root file system in an archive
///
/// The archive is a tar, packed (gzip, zstd, bzip2, xz) or not. The image has one layer, and nothing that says what to
/// start in it unless --change does. With $SOURCE_DATE_EPOCH the same archive is the same image.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare import rootfs.tar app:1\n  \
                        debootstrap ... && tar -C root -c . | tare import -c 'CMD [\"bash\"]' - debian:own")]
pub(crate) struct Import {
    /// Change the image as a line of a Dockerfile does, such as 'CMD ["sh"]'
    #[arg(short, long, value_name = "LINE")]
    change: Vec<String>,
    /// Say in the history where it comes from
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Print nothing but the ID
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    platform: PlatformArgs,
    /// The archive: a file, an address with http:// or https://, or - for standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Name of the image
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &Import) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("importing {}", arguments.file));
    import(global, arguments).map_err(during)
}

fn import(global: &Global, arguments: &Import) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let wanted = arguments.platform.wanted(settings.wanted())?;
    let platform = Platform {
        architecture: wanted.architecture,
        os: wanted.os,
        variant: wanted.variant,
        ..Platform::default()
    };
    let mut draft = Draft::new(&store, &platform, settings.caller.rights())?;
    let changes = Change::parse_all(&arguments.change, &draft.configuration)?;
    let created = images::rfc3339(created()?);
    let comment = match &arguments.message {
        Some(message) => message.clone(),
        None => format!("Imported from {}", arguments.file),
    };
    let step = History { created: created.clone(), comment, ..History::default() };
    draft.add_archive(open(&settings, &arguments.file)?, &step)?;
    images::apply_changes(&mut draft.configuration, &[Change::Created(created)])?;
    images::apply_changes(&mut draft.configuration, &changes)?;
    let names: Vec<String> =
        arguments.name.as_deref().map(full_name).transpose()?.into_iter().collect();
    let made = draft.finish(&Naming { names: &names, origin: "", time_s: now() })?;
    let id = made.id.to_string();
    settings.tell_image("import", &id, names.first().map_or("", String::as_str));
    print(&id)
}

/// Now, or the time that everything of a build is to have.
fn created() -> Result<i64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => text.parse().map_err(|_| {
            Failure::new(format!("SOURCE_DATE_EPOCH: `{text}` is no number of seconds"))
        }),
        _ => Ok(now()),
    }
}

fn open(settings: &Settings<'_>, file: &str) -> Result<Box<dyn Read + Send>> {
    if file.starts_with("http://") || file.starts_with("https://") {
        return settings.download(file);
    }
    if file == "-" {
        return match std::io::stdin().is_terminal() {
            true => Err(Failure::new("a terminal is nothing to read an archive from")),
            false => Ok(Box::new(std::io::stdin())),
        };
    }
    if Path::new(file).is_dir() {
        return Err(Failure::new("it is a directory").hint(format!("`tare pull rootfs:{file}`")));
    }
    Ok(Box::new(File::open(file)?))
}
