//! Verbs about images.

pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod filter;
mod from_store;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod inspect_place;
pub(crate) mod list;
pub(crate) mod list_tags;
pub(crate) mod load;
pub(crate) mod manifest_digest;
pub(crate) mod mount;
pub(crate) mod packing;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod remove;
pub(crate) mod rows;
pub(crate) mod save;
pub(crate) mod signing;
pub(crate) mod sync;
pub(crate) mod tag;
pub(crate) mod tree;
pub(crate) mod users;

use crate::failure::{Failure, Result};
use crate::output::write as write_out;
use crate::remote;
use crate::settings::{Global, PlatformArgs, Settings};
use clap::{Args, Subcommand};
use images::{Listed, View};
use oci::image::{CONFIG_LIMIT_BYTES, ImageConfig};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Manage images
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Image {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(hide = true)]
    Build(signing::NotYet),
    Diff(diff::Diff),
    Exists(tag::Exists),
    History(history::History),
    Import(Box<import::Import>),
    Inspect(inspect::Inspect),
    Load(load::Load),
    #[command(visible_alias = "list")]
    Ls(list::List),
    Mount(mount::Mount),
    Prune(prune::Prune),
    Pull(Box<pull::Pull>),
    Push(Box<push::Push>),
    #[command(visible_alias = "remove")]
    Rm(remove::Remove),
    #[command(hide = true)]
    Scp(signing::NotYet),
    Search(Box<remote::search::Search>),
    #[command(hide = true)]
    Sign(signing::NotYet),
    Save(save::Save),
    Tag(tag::Tag),
    Tree(tree::Tree),
    #[command(hide = true)]
    Trust(signing::NotYet),
    #[command(visible_alias = "umount")]
    Unmount(mount::Unmount),
    Untag(tag::Untag),
}

pub(crate) fn run(global: &Global, arguments: &Image) -> Result<u8> {
    match &arguments.verb {
        Verb::Build(_) => return not_yet("build"),
        Verb::Diff(arguments) => diff::run(global, arguments)?,
        Verb::Exists(arguments) => return tag::exists(global, arguments),
        Verb::History(arguments) => history::run(global, arguments)?,
        Verb::Import(arguments) => import::run(global, arguments)?,
        Verb::Load(arguments) => load::run(global, arguments)?,
        Verb::Save(arguments) => save::run(global, arguments)?,
        Verb::Inspect(arguments) => return inspect::run(global, arguments),
        Verb::Ls(arguments) => list::run(global, arguments)?,
        Verb::Mount(arguments) => mount::mount(global, arguments)?,
        Verb::Prune(arguments) => prune::run(global, arguments)?,
        Verb::Pull(arguments) => pull::run(global, arguments)?,
        Verb::Push(arguments) => push::run(global, arguments)?,
        Verb::Rm(arguments) => return remove::run(global, arguments),
        Verb::Scp(_) => return not_yet("scp"),
        Verb::Search(arguments) => remote::search::run(global, arguments)?,
        Verb::Sign(_) => return not_yet("sign"),
        Verb::Tag(arguments) => tag::tag(global, arguments)?,
        Verb::Tree(arguments) => tree::run(global, arguments)?,
        Verb::Trust(_) => return not_yet("trust"),
        Verb::Unmount(arguments) => mount::unmount(global, arguments)?,
        Verb::Untag(arguments) => tag::untag(global, arguments)?,
    }
    Ok(0)
}

fn not_yet<T>(verb: &str) -> Result<T> {
    let hint = match verb {
        "scp" => "`tare copy` to an archive, and from it on the other machine",
        "build" => "`tare mutate` makes images of others",
        _ => "see the policy, and `tare copy`",
    };
    Err(Failure::new(format!("image {verb}: not there yet")).hint(hint))
}

/// The image of the store that a name means, with the names that it was found by, and what is known
/// of it. Nothing else of the store is read.
fn look_at(
    settings: &Settings<'_>,
    store: &store::Store,
    name: &str,
    platform: &PlatformArgs,
) -> Result<(Listed, View)> {
    let found = images::find(store, name)?;
    let wanted = platform.wanted(settings.wanted())?;
    let rights = settings.caller.rights();
    let view = View::open(store, &found.digest, &found.media_type, Some(&wanted), rights)?;
    let facts = view.facts();
    let (root, media_type, names) = (found.digest, found.media_type, found.names);
    Ok((Listed { root, media_type, names, facts }, view))
}

/// The same image with all its names: all names of the store have to be read for that.
fn with_all_names(store: &store::Store, image: Listed) -> Result<Listed> {
    let (mut names, _) = store.names()?;
    names.retain(|record| record.target().is_ok_and(|digest| *digest == image.root));
    Ok(Listed { names, ..image })
}

/// The configuration of an image; what cannot be read has none.
fn config_of(store: &store::Store, image: &Listed) -> Option<ImageConfig> {
    let id = image.facts.id.verifiable().ok()?;
    let bytes = store.read_blob(id, CONFIG_LIMIT_BYTES).ok()?;
    ImageConfig::read(&bytes).ok()
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}

/// Writes a line of what was asked for.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.write_all(b"\n")?)
}

/// The name in full that something made here gets: one without a registry is of this machine.
pub(crate) fn full_name(text: &str) -> Result<String> {
    let reference = match transport::registries::is_short(text) {
        true => oci::Reference::parse(&format!("localhost/{text}"))?,
        false => oci::Reference::parse(text)?,
    };
    match reference.digest() {
        Some(_) => Err(Failure::new(format!("{text}: a digest cannot be given"))
            .hint("name it by a tag: NAME:TAG")),
        None => Ok(reference.or_latest().to_string()),
    }
}

/// Writes a value as JSON for people and scripts, as skopeo does: four blanks a level, and nothing that a
/// web page could take for a tag. Those characters are in texts only.
pub(crate) fn print_json(value: &template::Value) -> Result<()> {
    const INDENT: usize = 4;
    let mut text = Vec::new();
    for byte in value.json_indented(INDENT) {
        match byte {
            b'<' => text.extend_from_slice(b"\\u003c"),
            b'>' => text.extend_from_slice(b"\\u003e"),
            b'&' => text.extend_from_slice(b"\\u0026"),
            other => text.push(other),
        }
    }
    text.push(b'\n');
    write_out(&text)
}

/// Tells something on standard error.
fn note(text: &str) {
    // With standard error closed there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Writes a digest into a file, for scripts.
pub(crate) fn write_digest(path: &Path, digest: &oci::Digest) -> Result<()> {
    let failed = |error| Failure::new(format!("writing {}: {error}", path.display()));
    std::fs::write(path, digest.to_string()).map_err(failed)
}
