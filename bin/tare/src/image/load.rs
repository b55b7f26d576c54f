//! `tare load`.

use super::now;
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::progress::Shown;
use crate::settings::{Global, PlatformArgs, Settings, warn};
use clap::Args;
use images::{Gate, Instances, PullOptions, Pulled, anonymous_name};
use oci::image::{Descriptor, Index};
use oci::{Map, Reference};
use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use store::Store;
use transport::Source;
use transport::directory::DirectorySource;
use transport::docker_archive::Archive;
use transport::layout::{LayoutArchive, LayoutSource, Place, Select};
use transport::place::ArchiveSelect;

/// What a name in a layout is; containerd and buildkit note the whole one.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const WHOLE_NAME: &str = "io.containerd.image.name";

/// Bring the images of an archive into the store
///
/// It may be docker's, or one of an OCI layout, packed or not; or a directory with a layout or an image of skopeo's.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare load -i images.tar\n  ssh host docker save app | tare load"
)]
pub(crate) struct Load {
    /// Read a file or directory, or what is at an address with http:// or https://, instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Tell nothing but the images
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    platform: PlatformArgs,
}

pub(crate) fn run(global: &Global, arguments: &Load) -> Result<()> {
    let path = arguments.input.as_deref().filter(|path| *path != Path::new("-"));
    if path.is_none() && std::io::stdin().is_terminal() {
        return Err(Failure::new(crate::terminal::NO_INPUT)
            .hint("use --input FILE, or redirect standard input"));
    }
    let shown = path.map_or_else(|| "standard input".into(), |path| path.display().to_string());
    load(global, arguments, path).map_err(|failure| failure.during(format_args!("loading {shown}")))
}

fn load(global: &Global, arguments: &Load, path: Option<&Path>) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let temporary = settings.temporary_dir()?;
    let wanted = arguments.platform.wanted(settings.wanted())?;
    let gate = settings.gate()?;
    let shown = Shown::new(arguments.quiet);
    let loading = Loading {
        settings: &settings,
        store: &store,
        instances: Instances::One(wanted),
        gate: &*gate,
        shown: &shown,
    };
    // Two kinds of archives are told apart by a look into them, for which a stream has to wait in a file.
    let spooled = match path {
        None => Some(spool(&temporary, &mut std::io::stdin().lock())?),
        Some(path) => match path.to_str().filter(|it| is_address(it)) {
            Some(address) => Some(spool(&temporary, &mut settings.download(address)?)?),
            None => None,
        },
    };
    let descriptor = spooled.as_ref().map(|file| format!("/proc/self/fd/{}", file.as_raw_fd()));
    let place = descriptor.as_deref().map(Path::new).or(path).unwrap_or(Path::new(""));
    let images = match place.is_dir() {
        true => of_directory(place)?,
        false => of_archive(place, spooled.as_ref(), &temporary).map_err(podmans)?,
    };
    if images.is_empty() {
        return Err(Failure::new("there is no image in it"));
    }
    images.into_iter().try_for_each(|image| loading.one(&*image.source, &image.names))
}

/// podman's words for what is no archive of images, to its users.
fn podmans(failure: Failure) -> Failure {
    const WORDS: &str = "payload does not match any of the supported image formats";
    if Called::is_podman() { failure.during(WORDS) } else { failure }
}

fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Writes a stream into a file without a name.
fn spool(temporary: &Path, input: &mut dyn Read) -> Result<File> {
    let path = temporary.join(format!("load-{}", std::process::id()));
    let during = |error| Failure::new(format!("{}: {error}", path.display()));
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).open(&path).map_err(during)?;
    std::fs::remove_file(&path).map_err(during)?;
    std::io::copy(input, &mut &file).map_err(during)?;
    Ok(file)
}

/// An image that is loaded.
struct Image {
    source: Box<dyn Source>,
    names: Vec<Reference>,
}

fn of_archive(path: &Path, spooled: Option<&File>, temporary: &Path) -> Result<Vec<Image>> {
    let first = match Archive::open(path, temporary) {
        Ok(archive) => return of_dockers(&archive),
        Err(error) => error,
    };
    let layout = match spooled {
        Some(mut file) => {
            file.seek(SeekFrom::Start(0))?;
            // A file without a name cannot be opened by one for ever.
            LayoutArchive::read(&mut file, Path::new("standard input"), temporary)
        }
        None => LayoutArchive::open(path, temporary),
    };
    match layout {
        Ok(archive) => {
            let open = |position| -> Result<Box<dyn Source>> {
                Ok(Box::new(archive.source(&Select::Position(position))?))
            };
            of_index(archive.index(), &open)
        }
        Err(second) if second.to_string().contains("no index.json") => {
            match first.to_string().contains("no manifest.json") {
                true => Err(Failure::new(
                    "it is no archive of images: neither manifest.json nor \
                                          index.json is in it",
                )
                .hint("`tare import` makes an image of a root file system")),
                false => Err(first.into()),
            }
        }
        Err(second) => Err(second.into()),
    }
}

fn of_dockers(archive: &Archive) -> Result<Vec<Image>> {
    let open = |image: transport::docker_archive::ArchiveImage| -> Result<Image> {
        for tag in image.unusable() {
            warn(&format!("{tag:?} cannot be a name: the image is loaded without it"));
        }
        let source = archive.source(&ArchiveSelect::Position(image.position))?;
        Ok(Image { source: Box::new(source), names: image.names })
    };
    archive.images().into_iter().map(open).collect()
}

fn of_directory(path: &Path) -> Result<Vec<Image>> {
    if !path.join("index.json").exists() {
        let source = DirectorySource::open(path)?;
        return Ok(vec![Image { source: Box::new(source), names: Vec::new() }]);
    }
    let bytes = std::fs::read(path.join("index.json"))?;
    let index = Index::read_layout(&bytes)?;
    let open = |position| -> Result<Box<dyn Source>> {
        let place = Place { directory: path.to_owned(), select: Select::Position(position) };
        Ok(Box::new(LayoutSource::open(&place, None)?))
    };
    of_index(&index, &open)
}

/// The images of a layout. The same one may be there several times, with a name each.
fn of_index(index: &Index, open: &dyn Fn(usize) -> Result<Box<dyn Source>>) -> Result<Vec<Image>> {
    let mut images: Vec<(&Descriptor, Image)> = Vec::new();
    for (position, descriptor) in index.manifests.iter().enumerate() {
        let name = name_of(&descriptor.annotations);
        match images.iter_mut().find(|(known, _)| known.digest == descriptor.digest) {
            Some((_, image)) => image.names.extend(name),
            None => {
                let names = name.into_iter().collect();
                images.push((descriptor, Image { source: open(position)?, names }));
            }
        }
    }
    Ok(images.into_iter().map(|(_, image)| image).collect())
}

fn name_of(annotations: &Map) -> Option<Reference> {
    let whole = annotations.get(WHOLE_NAME).and_then(|name| Reference::parse(name).ok());
    let local = || {
        let name = annotations.get(REF_NAME)?;
        match transport::registries::is_short(name) {
            true => Reference::parse(&format!("localhost/{name}")).ok(),
            false => Reference::parse(name).ok(),
        }
    };
    whole.or_else(local).map(Reference::or_latest)
}

struct Loading<'l> {
    settings: &'l Settings<'l>,
    store: &'l Store,
    instances: Instances,
    gate: &'l dyn Gate,
    shown: &'l Shown,
}

impl Loading<'_> {
    fn one(&self, source: &dyn Source, names: &[Reference]) -> Result<()> {
        let options = PullOptions {
            rights: self.settings.caller.rights(),
            ..PullOptions::new(self.instances.clone(), self.gate, self.shown)
        };
        let given: Vec<String> = match names {
            [] => vec![anonymous_name(source.manifest(None)?.digest())],
            names => names.iter().map(Reference::to_string).collect(),
        };
        // An archive is soon somewhere else, or gone: nobody looks there for layers.
        let pulled = images::pull(self.store, source, &given, "", now(), &options)?;
        self.settings.tell_image("load", &id_of(&pulled), &given[0]);
        match names {
            [] => print(&format!("Loaded image ID: {}", id_of(&pulled))),
            names => names.iter().try_for_each(|name| print(&format!("Loaded image: {name}"))),
        }
    }
}

fn id_of(pulled: &Pulled) -> String {
    match &pulled.images[..] {
        [(_, Some(id))] => id.to_string(),
        _ => pulled.root.digest().to_string(),
    }
}
