//! `tare manifest`: indexes, under which one name stands for the images of several platforms.

mod add;
mod annotate;
mod artifact;
mod create;
mod inspect;
mod push;
mod remove;
mod rm;

use crate::failure::{Failure, Result};
use crate::image::now;
use crate::progress::Shown;
use crate::settings::{Access, Global, Settings, open_source};
use clap::{Args, Subcommand};
use images::{Found, Gate, Instances, List, PullOptions, Said, Stored, anonymous_name};
use store::{NameRecord, Store};
use transport::Source;
use transport::place::Place;

/// Put images for several platforms under one name
///
/// The index is kept in the store. Of images that are in registries nothing is fetched: the index says what they are,
/// and a push finds them where they are.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare manifest create app:1 registry.example.com/app:1-amd64 \
                  registry.example.com/app:1-arm64\n  tare manifest push app:1 registry.example.com/app:1")]
#[command(arg_required_else_help = true)]
pub(crate) struct Manifest {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Add(Box<add::Add>),
    Annotate(annotate::Annotate),
    Create(create::Create),
    Exists(Exists),
    Inspect(inspect::Inspect),
    Push(Box<push::Push>),
    Remove(remove::Remove),
    Rm(rm::Rm),
}

/// Say by the exit code whether an index is in the store: 0 if so, 1 if not
#[derive(Debug, Args)]
struct Exists {
    /// The index
    #[arg(value_name = "LIST")]
    list: String,
}

pub(crate) fn run(global: &Global, arguments: &Manifest) -> Result<u8> {
    match &arguments.what {
        What::Add(arguments) => add::run(global, arguments)?,
        What::Annotate(arguments) => annotate::run(global, arguments)?,
        What::Create(arguments) => create::run(global, arguments)?,
        What::Exists(arguments) => return exists(global, arguments),
        What::Inspect(arguments) => inspect::run(global, arguments)?,
        What::Push(arguments) => push::run(global, arguments)?,
        What::Remove(arguments) => remove::run(global, arguments)?,
        What::Rm(arguments) => rm::run(global, arguments)?,
    }
    Ok(0)
}

fn exists(global: &Global, arguments: &Exists) -> Result<u8> {
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    match images::find(&store, &arguments.list) {
        Ok(found) => {
            let document = images::open_document(&store, &found)?;
            Ok(u8::from(document.index().is_none()))
        }
        Err(error) if error.kind() == images::Kind::NotFound => Ok(1),
        Err(error) => Err(error.into()),
    }
}

/// The record of an index, which has to have a name: changing it gives the name to another one.
fn find_list(store: &Store, name: &str) -> Result<NameRecord> {
    let found = images::find(store, name)?;
    match found.names.into_iter().next() {
        Some(record) => Ok(record),
        None => Err(Failure::new(format!("{name}: it has no name"))),
    }
}

/// Changes an index: once more from what it is then, when somebody else has changed it meanwhile.
fn change<T>(mut once: impl FnMut() -> Result<T>) -> Result<T> {
    /// Others that come in between, one after the other: each of them has succeeded.
    const TRIES: usize = 100;
    for _ in 1..TRIES {
        match once() {
            Err(failure) if failure.is_in_use() => {}
            result => return result,
        }
    }
    once()
}

/// What is said of an image in an index.
#[derive(Debug, Default, Args)]
struct SaidArgs {
    /// Set an annotation of the image's entry
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Set the architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Set what the processor has to have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    features: Vec<String>,
    /// Set the operating system
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// Set what the operating system has to have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Set the version of the operating system
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// Set the variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
}

impl SaidArgs {
    fn said(&self) -> Result<Said> {
        Ok(Said {
            os: self.os.clone(),
            architecture: self.arch.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            features: self.features.clone(),
            annotations: annotations(&self.annotation)?,
        })
    }
}

fn annotations(pairs: &[String]) -> Result<oci::Map> {
    pairs.iter().map(|pair| crate::mutate::name_and_value(pair)).collect()
}

/// Images that are looked for in the store, and then elsewhere.
struct Images<'s> {
    settings: &'s Settings<'s>,
    store: &'s Store,
    access: &'s Access,
    gate: Box<dyn Gate>,
}

/// An image that was found.
struct Opened<'s> {
    source: Box<dyn Source + 's>,
    /// Where it is, or where its layers came from.
    origins: Vec<String>,
    /// A name that nobody else has given it, and that goes when the index names it.
    temporary: Option<String>,
}

impl<'s> Images<'s> {
    fn new(settings: &'s Settings<'s>, store: &'s Store, access: &'s Access) -> Result<Self> {
        Ok(Self { settings, store, access, gate: settings.gate()? })
    }

    /// Adds an image, or with `all` every one of an index, to an index.
    fn add(
        &self,
        list: &mut List<'_>,
        name: &str,
        all: bool,
        said: &Said,
    ) -> Result<Option<String>> {
        let instances = self.instances(all, said);
        let opened = self.open(name, &instances)?;
        list.add(&*opened.source, &instances, said, &opened.origins, &*self.gate)?;
        Ok(opened.temporary)
    }

    /// Adds what is in the store.
    fn add_stored(&self, list: &mut List<'_>, name: &str, said: &Said) -> Result<()> {
        let opened = self.stored(name, images::find(self.store, name)?)?;
        list.add(&*opened.source, &Instances::All, said, &[], &*self.gate)?;
        Ok(())
    }

    fn instances(&self, all: bool, said: &Said) -> Instances {
        if all {
            return Instances::All;
        }
        let mut wanted = self.settings.wanted();
        if let Some(architecture) = &said.architecture {
            wanted.architecture.clone_from(architecture);
            wanted.variant = said.variant.clone().unwrap_or_default();
        }
        if let Some(os) = &said.os {
            wanted.os.clone_from(os);
        }
        Instances::One(wanted)
    }

    fn open(&self, text: &str, instances: &Instances) -> Result<Opened<'s>> {
        match Place::parse_unless_name(text)? {
            Some(Place::Store(name)) => self.stored(&name, images::find(self.store, &name)?),
            Some(Place::Registry(image)) => self.registry(&image.name.or_latest()),
            Some(place) => self.elsewhere(&place, instances),
            None => match images::find(self.store, text) {
                Ok(found) => self.stored(text, found),
                Err(error) if error.kind() == images::Kind::NotFound => self.first(text),
                Err(error) => Err(error.into()),
            },
        }
    }

    fn stored(&self, name: &str, found: Found) -> Result<Opened<'s>> {
        let rights = self.settings.caller.rights();
        let source = Stored::open(self.store, name, &found.digest, &found.media_type, rights)?;
        let origins = found.names.iter().flat_map(|name| name.source.lines());
        let origins = origins.map(str::to_owned).collect();
        Ok(Opened { source: Box::new(source), origins, temporary: None })
    }

    /// The first of the names in full that a registry knows.
    fn first(&self, text: &str) -> Result<Opened<'s>> {
        let mut failed = None;
        for candidate in self.settings.candidates(text)? {
            match self.registry(&candidate) {
                Ok(opened) => return Ok(opened),
                Err(failure) => failed = Some(failure),
            }
        }
        let none = || Failure::new(format!("{text}: no such image"));
        Err(failed.unwrap_or_else(none).during(format_args!("{text} is not in the store")))
    }

    fn registry(&self, name: &oci::Reference) -> Result<Opened<'s>> {
        let place = Place::parse(&format!("docker://{name}"))?;
        let source = open_source(self.settings, &place, self.access)?;
        // The tag may stand for something else when the index is pushed.
        let digest = *source.manifest(None)?.digest();
        let origins = vec![format!("docker://{}", name.with_digest(digest))];
        Ok(Opened { source, origins, temporary: None })
    }

    /// What is neither here nor in a registry comes into the store first: nobody knows how long it is there.
    fn elsewhere(&self, place: &Place, instances: &Instances) -> Result<Opened<'s>> {
        let source = open_source(self.settings, place, self.access)?;
        let name = anonymous_name(source.manifest(None)?.digest());
        let is_known = self.store.resolve(&name).is_ok();
        let shown = Shown::new(false);
        let options = PullOptions {
            rights: self.settings.caller.rights(),
            ..PullOptions::new(instances.clone(), &*self.gate, &shown)
        };
        let names = std::slice::from_ref(&name);
        images::pull(self.store, &*source, names, "", now(), &options)?;
        let opened = self.stored(&name, images::find(self.store, &name)?)?;
        Ok(Opened { temporary: (!is_known).then_some(name), ..opened })
    }

    /// Takes away names that were given for a moment.
    fn forget(&self, temporary: Vec<String>) -> Result<()> {
        temporary.iter().try_for_each(|name| Ok(self.store.untag(name, None).map(drop)?))
    }

    /// What a text of the user stands for in an index: a digest, or the image of a name.
    fn digest(&self, list: &List<'_>, text: &str) -> Result<oci::Digest> {
        if let Ok(digest) = oci::Digest::parse(text) {
            return Ok(digest);
        }
        let opened = self.open(text, &Instances::One(self.settings.wanted()))?;
        let root = opened.source.manifest(None)?;
        let is_in_it =
            |digest: &oci::Digest| list.manifests().iter().any(|it| it.verifiable() == Ok(digest));
        let children = root.index().map(|index| index.manifests.clone()).unwrap_or_default();
        let children = children.iter().filter_map(|child| child.verifiable().ok().copied());
        let those: Vec<_> = children.chain([*root.digest()]).filter(is_in_it).collect();
        match those[..] {
            [one] => Ok(one),
            [] => Err(Failure::new(format!("{text} is not in the index"))
                .hint("`tare manifest inspect` shows what is")),
            _ => Err(Failure::new(format!("{text}: several of its images are in the index"))
                .hint("name one by its digest")),
        }
    }
}
