//! One image after the other: looked at first, copied if it is not there.

use super::Sync;
use super::plan::{From, Group, Item};
use crate::failure::{Failure, Result};
use crate::image::{note, print};
use crate::settings::{Access, Settings, ask_registry, connect, open_sink, open_source};
use images::{CopyOptions, Instances};
use oci::image::{Descriptor, Format, MediaType};
use oci::{Digest, Reference};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use transport::directory::DirectorySource;
use transport::place::Place;
use transport::registry::{Registry, RegistrySink, RegistrySource};
use transport::{Sink, Source};

/// Images that are looked at at once: what takes time is the way to the registries.
const LOOKS: usize = 8;

/// What is known of an image before it is copied.
pub(super) enum State {
    /// It is there, with this digest.
    Present(Digest),
    /// It is not, or is another one.
    Missing,
}

/// What has become of an image.
pub(super) struct Carried {
    /// Where it is now.
    pub(super) to: Place,
    pub(super) digest: Option<Digest>,
    /// Whether it was copied now.
    pub(super) is_new: bool,
}

pub(super) struct Carrier<'c> {
    settings: &'c Settings<'c>,
    arguments: &'c Sync,
    access: &'c Access,
    options: &'c CopyOptions<'c>,
    /// Repositories that were reached, by their names: the sources' with whose credentials they were.
    sources: Mutex<BTreeMap<String, Registry>>,
    destinations: Mutex<BTreeMap<String, Registry>>,
}

impl<'c> Carrier<'c> {
    pub(super) fn new(
        settings: &'c Settings<'c>,
        arguments: &'c Sync,
        access: &'c Access,
        options: &'c CopyOptions<'c>,
    ) -> Self {
        let (sources, destinations) = Default::default();
        Self { settings, arguments, access, options, sources, destinations }
    }

    /// Looks which images of a group are there.
    pub(super) fn look(&self, group: &Group) -> Vec<Result<State>> {
        let next = AtomicUsize::new(0);
        let states: Mutex<Vec<Option<Result<State>>>> =
            Mutex::new(group.items.iter().map(|_| None).collect());
        let work = || {
            // As many rounds as there are images.
            loop {
                let position = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = group.items.get(position) else { return };
                let state = self.look_at(group, item);
                if let Ok(mut states) = states.lock() {
                    states[position] = Some(state);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..LOOKS.min(group.items.len()) {
                scope.spawn(work);
            }
            work();
        });
        let lost = || Err(Failure::new("a thread that looks at images has stopped"));
        let states = states.into_inner().unwrap_or_default();
        states.into_iter().map(|state| state.unwrap_or_else(lost)).collect()
    }

    /// Without a request that registries count: HEAD on both sides, and the index where one image of it is
    /// wanted.
    fn look_at(&self, group: &Group, item: &Item) -> Result<State> {
        let there = self.there(&item.to)?;
        let (Some(there), From::Registry(name)) = (there, &item.from) else {
            return self.look_at_directory(item);
        };
        let registry = self.source_registry(name, &group.access)?;
        // Mirrors may lack it: copying asks the others.
        let Some(found) = registry.resolve(&name.selector())? else { return Ok(State::Missing) };
        if self.is_same(&found, &there)? {
            return Ok(State::Present(there));
        }
        let (Instances::One(wanted), MediaType::Index(_)) = (&self.options.instances, found.kind())
        else {
            return Ok(State::Missing);
        };
        let index = registry.manifest(&found.digest.to_string(), Some(found.verifiable()?))?;
        let chosen = index.index().and_then(|index| index.choose(wanted));
        match chosen {
            Some(chosen) if self.is_same(chosen, &there)? => Ok(State::Present(there)),
            _ => Ok(State::Missing),
        }
    }

    fn look_at_directory(&self, item: &Item) -> Result<State> {
        let From::Directory(path) = &item.from else { return Ok(State::Missing) };
        let found = DirectorySource::open(path)?.manifest(None)?.descriptor();
        match self.there(&item.to)? {
            Some(there) if self.is_same(&found, &there)? => Ok(State::Present(there)),
            _ => Ok(State::Missing),
        }
    }

    /// Whether what is there is what a copy would make of something.
    fn is_same(&self, found: &Descriptor, there: &Digest) -> Result<bool> {
        let own = match found.kind() {
            MediaType::Manifest(format) | MediaType::Index(format) => Some(format),
            _ => None,
        };
        let wanted: Option<Format> = self.options.format;
        Ok(found.digest == (*there).into() && (wanted.is_none() || own == wanted))
    }

    /// The digest of what is at a place, if something is.
    fn there(&self, place: &Place) -> Result<Option<Digest>> {
        match place {
            Place::Registry(image) => {
                let name = image.name.clone().or_latest();
                let registry = self.destination_registry(&name)?;
                let found = registry.resolve(&name.selector())?;
                Ok(found.map(|found| found.verifiable().copied()).transpose()?)
            }
            Place::Directory(path) if path.join("manifest.json").exists() => {
                // One that cannot be read is copied again.
                let source = DirectorySource::open(path)?.manifest(None).ok();
                Ok(source.map(|manifest| *manifest.digest()))
            }
            _ => Ok(None),
        }
    }

    fn source_registry(&self, name: &Reference, access: &Access) -> Result<Registry> {
        let open =
            || {
                ask_registry(self.settings, &name.repository(), access, &|registry| {
                    Ok(registry.clone())
                })
            };
        remembered(&self.sources, name, &open)
    }

    fn destination_registry(&self, name: &Reference) -> Result<Registry> {
        remembered(&self.destinations, name, &|| connect(self.settings, name, self.access))
    }

    /// Copies an image if it is not there, and what is beside it in any case.
    pub(super) fn carry(
        &self,
        group: &Group,
        item: &Item,
        state: Result<State>,
    ) -> Result<Carried> {
        let state = state?;
        let arrow = format!("{} -> {}", item.from, item.to);
        if self.arguments.dry_run {
            let (word, digest, is_new) = match state {
                State::Present(digest) => ("present", Some(digest), false),
                State::Missing => ("copy", None, true),
            };
            print(&format!("{word} {arrow}"))?;
            return Ok(Carried { to: item.to.clone(), digest, is_new });
        }
        if !self.arguments.quiet {
            let word = if matches!(state, State::Missing) { "Copying" } else { "There is" };
            note(&format!("{word} {arrow}"));
        }
        let (digest, is_new) = match state {
            State::Present(digest) => {
                self.carry_beside(group, item, &digest)?;
                (digest, false)
            }
            State::Missing => {
                let source = self.open(group, item)?;
                let sink = self.sink(&item.to)?;
                let mount_from = match &item.from {
                    From::Registry(name) => vec![name.repository()],
                    From::Directory(_) => Vec::new(),
                };
                let options = CopyOptions { mount_from, ..self.options.clone() };
                (*images::copy(&*source, &*sink, &options)?.root.digest(), true)
            }
        };
        Ok(Carried { to: item.to.clone(), digest: Some(digest), is_new })
    }

    /// Signatures and referrers may have come since. A directory would have to be written anew for them.
    fn carry_beside(&self, group: &Group, item: &Item, digest: &Digest) -> Result<()> {
        let From::Registry(name) = &item.from else { return Ok(()) };
        let wanted = self.options.signatures || self.options.referrers;
        if !wanted || !matches!(item.to, Place::Registry(_)) {
            return Ok(());
        }
        let registry = self.source_registry(name, &group.access)?;
        let beside = self.settings.beside(name, &group.access)?;
        if beside.is_none() && !self.options.referrers {
            return Ok(());
        }
        let source = RegistrySource::unread(registry, name.clone(), *digest).with_beside(beside);
        let sink = self.sink(&item.to)?;
        Ok(images::copy_beside(&source, &*sink, digest, self.options)?)
    }

    fn open(&self, group: &Group, item: &Item) -> Result<Box<dyn Source>> {
        let name = match &item.from {
            From::Registry(name) => name,
            From::Directory(path) => return Ok(Box::new(DirectorySource::open(path)?)),
        };
        let registry = self.source_registry(name, &group.access)?;
        match registry.manifest(&name.selector(), name.digest()) {
            Ok(manifest) => {
                let beside = self.settings.beside(name, &group.access)?;
                let source = RegistrySource::new(registry, name.clone(), manifest);
                Ok(Box::new(source.with_beside(beside)))
            }
            // Another mirror, or the registry itself, may have it.
            Err(_) => {
                let place = Place::parse(&format!("docker://{name}"))?;
                open_source(self.settings, &place, &group.access)
            }
        }
    }

    fn sink(&self, place: &Place) -> Result<Box<dyn Sink>> {
        let Place::Registry(image) = place else {
            return open_sink(self.settings, place, self.access);
        };
        let name = image.name.clone().or_latest();
        let beside = self.settings.beside(&name, self.access)?;
        let sink = RegistrySink::new(self.destination_registry(&name)?, &name);
        Ok(Box::new(sink.with_beside(beside)))
    }
}

/// A repository that was reached before, or is now.
fn remembered(
    known: &Mutex<BTreeMap<String, Registry>>,
    name: &Reference,
    open: &dyn Fn() -> Result<Registry>,
) -> Result<Registry> {
    // Held while it is reached: eight threads would reach it eight times.
    let known = known.lock();
    let mut known = known.map_err(|_| Failure::new("a thread that looks at images has stopped"))?;
    if let Some(registry) = known.get(name.name()) {
        return Ok(registry.clone());
    }
    let registry = open()?;
    known.insert(name.name().to_owned(), registry.clone());
    Ok(registry)
}
