//! `tare image tree`: the layers of an image, and who else has them.

use super::rows::{SHORT_ID, shown_id, shown_size};
use super::{look_at, with_all_names};
use crate::failure::Result;
use crate::output;
use crate::settings::{Global, PlatformArgs, Settings};
use clap::Args;
use images::{Listed, View};
use oci::Digest;
use store::Store;

/// Show the layers of an image
#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// Show the images that are built upon it instead
    #[arg(long)]
    whatrequires: bool,
    #[command(flatten)]
    platform: PlatformArgs,
    /// Image: name, ID or digest
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(crate) fn run(global: &Global, arguments: &Tree) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    let (image, view) = look_at(&settings, &store, &arguments.image, &arguments.platform)?;
    let image = with_all_names(&store, image)?;
    let (wanted, rights) = (settings.wanted(), settings.caller.rights());
    let (listed, _) = images::list(&store, &wanted, rights)?;
    let others: Vec<Other> = listed.iter().filter_map(|other| Other::of(&store, other)).collect();
    let mut text = format!("Image ID: {}\n", shown_id(&image.facts.id, false));
    text.push_str(&format!("Tags:     [{}]\n", names(&image).join(" ")));
    text.push_str(&format!("Size:     {}\n", shown_size(view.size())));
    let own = diff_ids(&view);
    let lines = match arguments.whatrequires {
        true => built_upon(&own, &others),
        false => layers(&view, &own, &others),
    };
    text.push_str(match arguments.whatrequires {
        true => "Images built upon it\n",
        false => "Image Layers\n",
    });
    for (count, line) in lines.iter().enumerate() {
        let branch = if count + 1 == lines.len() { "└──" } else { "├──" };
        text.push_str(&format!("{branch} {line}\n"));
    }
    output::write(text.as_bytes())
}

/// Another image and its layers.
struct Other<'l> {
    image: &'l Listed,
    diff_ids: Vec<Digest>,
}

impl<'l> Other<'l> {
    fn of(store: &Store, image: &'l Listed) -> Option<Self> {
        let config = super::config_of(store, image)?;
        let ids = config.rootfs.diff_ids.iter();
        let diff_ids = ids.filter_map(|id| id.verifiable().ok().copied()).collect();
        Some(Self { image, diff_ids })
    }
}

fn diff_ids(view: &View) -> Vec<Digest> {
    let config = view.config.as_ref();
    let ids = config.into_iter().flat_map(|config| &config.rootfs.diff_ids);
    ids.filter_map(|id| id.verifiable().ok().copied()).collect()
}

fn names(image: &Listed) -> Vec<&str> {
    image.given_names().map(|name| name.reference.as_str()).collect()
}

/// The lowest first, with the images whose topmost layer it is.
fn layers(view: &View, own: &[Digest], others: &[Other]) -> Vec<String> {
    let line = |(at, (id, size)): (usize, (&Digest, &u64))| {
        let short: String = id.hex().chars().take(SHORT_ID).collect();
        let ends = others.iter().filter(|other| other.diff_ids == own[..=at]);
        let tops: Vec<&str> = ends.flat_map(|other| names(other.image)).collect();
        let top = match tops.is_empty() {
            true => String::new(),
            false => format!(" Top Layer of: [{}]", tops.join(" ")),
        };
        format!("ID: {short} Size: {:>7}{top}", shown_size(*size))
    };
    own.iter().zip(&view.sizes).enumerate().map(line).collect()
}

fn built_upon(own: &[Digest], others: &[Other]) -> Vec<String> {
    let above = others
        .iter()
        .filter(|other| other.diff_ids.len() > own.len() && other.diff_ids.starts_with(own));
    above
        .map(|other| {
            let id = shown_id(&other.image.facts.id, false);
            format!("ID: {id} [{}]", names(other.image).join(" "))
        })
        .collect()
}
