//! `tare pull`.

use super::signing::DecryptionArgs;
use super::{now, print};
use crate::container::options::ContainerArgs;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::progress::Shown;
use crate::settings::{Global, PlatformArgs, RegistryArgs, Settings, ask_registry, open_source};
use clap::{Args, ValueEnum};
use images::{Instances, PullOptions, Pulled, anonymous_name};
use store::Store;
use transport::Source;
use transport::place::{ArchiveSelect, Place};

/// Bring images into the store
///
/// NAME is that of an image in a registry, with a tag or digest, or a place of another kind: oci:, dir:,
/// oci-archive:, docker-archive:, docker-daemon:, containers-storage:, tar:, rootfs:, host:.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare pull debian:13\n  tare pull --platform linux/arm64 alpine\n  \
                        tare pull oci:/srv/images:app"
)]
pub(crate) struct Pull {
    /// Pull every tag of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Pull the images of all platforms
    #[arg(long)]
    all_platforms: bool,
    /// Print the IDs only
    #[arg(short, long)]
    quiet: bool,
    /// When to ask the registry
    #[arg(long = "policy", alias = "pull", value_enum, default_value_t = Policy::Always, id = "when")]
    when: Policy,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Accepted for docker's sake: signatures are the policy's business
    #[arg(long, num_args = 0..=1, default_missing_value = "true", hide = true)]
    disable_content_trust: Option<bool>,
    #[command(flatten)]
    decryption: DecryptionArgs,
    /// Accepted: the store keeps no signatures
    #[arg(long, hide = true)]
    remove_signatures: bool,
    /// Prints nothing.
    #[arg(skip)]
    is_silent: bool,
    /// Images
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Pull {
    /// What `run` has to have.
    pub(crate) fn for_run(run: &ContainerArgs, name: &str) -> Self {
        Self {
            all_tags: false,
            all_platforms: false,
            quiet: run.quiet,
            when: run.pull.unwrap_or(Policy::Missing),
            platform: run.platform.clone(),
            registry: run.registry.clone(),
            disable_content_trust: None,
            decryption: DecryptionArgs::default(),
            remove_signatures: false,
            is_silent: true,
            names: vec![name.to_owned()],
        }
    }
}

/// When the registry is asked for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Always
    Always,
    /// When the store has none of that name
    Missing,
    /// Never
    Never,
    /// Always, but what is there serves if nobody can be asked
    Newer,
}

pub(crate) fn run(global: &Global, arguments: &Pull) -> Result<()> {
    arguments
        .decryption
        .refuse("decrypt the image on its way to a registry by skopeo, and pull it from there")?;
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let instances = match arguments.all_platforms {
        true => Instances::All,
        false => Instances::One(arguments.platform.wanted(settings.wanted())?),
    };
    let temporary = || settings.open_temporary();
    let options = PullOptions {
        rights: settings.caller.rights(),
        temporary: Some(&temporary),
        stop: interrupt::watch(),
        ..PullOptions::new(instances, &*gate, &shown)
    };
    let pulling = Pulling { settings: &settings, store: &store, arguments, options: &options };
    for name in &arguments.names {
        let what = format!("pulling {name}");
        pulling.one(name).map_err(|failure| interrupt::told(failure.during(&what), &what))?;
    }
    Ok(())
}

struct Pulling<'p> {
    settings: &'p Settings<'p>,
    store: &'p Store,
    arguments: &'p Pull,
    options: &'p PullOptions<'p>,
}

impl Pulling<'_> {
    fn one(&self, text: &str) -> Result<()> {
        match Place::parse_unless_name(text)? {
            Some(Place::Registry(image)) => self.registry(&[image.name.or_latest()], text),
            Some(place) => self.place(&place),
            None => self.registry(&self.settings.candidates(text)?, text),
        }
    }

    /// Pulls the first of some names that is there.
    fn registry(&self, candidates: &[oci::Reference], text: &str) -> Result<()> {
        if self.arguments.all_tags {
            return self.all_tags(candidates);
        }
        if let Some(found) = self.present(text)? {
            return self.tell(&found);
        }
        let mut failed: Vec<Failure> = Vec::new();
        for candidate in candidates {
            match self.pull_named(candidate) {
                Ok(pulled) => return self.tell_pulled(&pulled),
                Err(failure) => failed.push(failure),
            }
        }
        if self.arguments.when == Policy::Newer
            && let Ok(found) = images::find(self.store, text)
        {
            return self.tell(&found);
        }
        Err(failed.pop().unwrap_or_else(|| Failure::new("it stands for nothing")))
    }

    /// What is in the store already, where that is enough.
    fn present(&self, text: &str) -> Result<Option<images::Found>> {
        match self.arguments.when {
            Policy::Always | Policy::Newer => Ok(None),
            Policy::Missing => match images::find(self.store, text) {
                Ok(found) => Ok(Some(found)),
                Err(error) if error.kind() == images::Kind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
            Policy::Never => Ok(Some(images::find(self.store, text)?)),
        }
    }

    fn pull_named(&self, name: &oci::Reference) -> Result<Pulled> {
        let access = self.arguments.registry.access()?;
        let place = Place::parse(&format!("docker://{name}"))?;
        let source = open_source(self.settings, &place, &access)?;
        self.pull(&*source, &[name.to_string()], &place)
    }

    fn pull(&self, source: &dyn Source, names: &[String], place: &Place) -> Result<Pulled> {
        let origin = origin(place);
        let pulled = images::pull(self.store, source, names, &origin, now(), self.options)?;
        let name = names.first().map_or("", String::as_str);
        self.settings.tell_image("pull", &pulled.root.digest().to_string(), name);
        Ok(pulled)
    }

    fn all_tags(&self, candidates: &[oci::Reference]) -> Result<()> {
        let [name] = candidates else {
            return Err(Failure::new("--all-tags: the name could be in several registries")
                .hint("write it with its registry"));
        };
        let access = self.arguments.registry.access()?;
        let repository = name.repository();
        let tags = ask_registry(self.settings, &repository, &access, &|registry| registry.tags())?;
        for tag in tags {
            let pulled = self.pull_named(&repository.with_tag(&tag)?)?;
            self.tell_pulled(&pulled)?;
        }
        Ok(())
    }

    /// Pulls from anything that is no registry.
    fn place(&self, place: &Place) -> Result<()> {
        let access = self.arguments.registry.access()?;
        let source = open_source(self.settings, place, &access)?;
        let names = names_of(place);
        let names = match names.is_empty() {
            false => names,
            true => vec![anonymous_name(source.manifest(None)?.digest())],
        };
        let pulled = self.pull(&*source, &names, place)?;
        self.tell_pulled(&pulled)
    }

    fn tell_pulled(&self, pulled: &Pulled) -> Result<()> {
        if self.arguments.is_silent {
            return Ok(());
        }
        // Of an index the one image that was chosen; the index itself where there is no single one.
        match &pulled.images[..] {
            [(_, Some(id))] => print(&id.hex()),
            [(document, None)] => print(&document.digest().hex()),
            _ => print(&pulled.root.digest().hex()),
        }
    }

    fn tell(&self, found: &images::Found) -> Result<()> {
        match self.arguments.is_silent {
            true => Ok(()),
            false => print(&found.digest.hex()),
        }
    }
}

/// Where an image comes from, for a later push from anywhere.
pub(crate) fn origin(place: &Place) -> String {
    let mut place = place.clone();
    let path = match &mut place {
        Place::Layout(place) | Place::LayoutArchive(place) => Some(&mut place.directory),
        Place::DockerArchive(archive) => Some(&mut archive.path),
        Place::Directory(path) | Place::Rootfs(path) | Place::Tar(path) => Some(path),
        _ => None,
    };
    if let Some(path) = path
        && let Ok(absolute) = std::path::absolute(&*path)
    {
        *path = absolute;
    }
    place.to_string()
}

/// The names that an image gets which comes from a place.
fn names_of(place: &Place) -> Vec<String> {
    let local = |name: &str| match oci::Reference::parse(name) {
        Ok(_) if transport::registries::is_short(name) => {
            oci::Reference::parse(&format!("localhost/{name}")).ok()
        }
        Ok(reference) => Some(reference),
        Err(_) => None,
    };
    let name = match place {
        Place::Layout(place) | Place::LayoutArchive(place) => match &place.select {
            transport::layout::Select::Name(name) => local(name),
            _ => None,
        },
        Place::DockerArchive(archive) => match &archive.select {
            ArchiveSelect::Name(name) => Some(name.clone()),
            _ => None,
        },
        Place::Directory(path) | Place::Rootfs(path) | Place::Tar(path) => {
            let name = path.file_stem().map(|name| name.to_string_lossy().to_lowercase());
            name.as_deref().and_then(local)
        }
        Place::Storage(image) => image.name.clone(),
        Place::Daemon(transport::place::DaemonImage::Name(name)) => Some(name.clone()),
        _ => None,
    };
    name.map(|name| name.or_latest().to_string()).into_iter().collect()
}
