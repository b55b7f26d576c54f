//! What is copied where.

use super::{DestinationKind, Failures, SourceKind, Sync};
use crate::failure::{Failure, Result};
use crate::settings::{Access, Settings, ask_registry, warn};
use oci::Reference;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use transport::place::{Place, RegistryImage};
use transport::signature::Companion;
use transport::sync::{Filter, Read, Repository, Wanted};

/// Deepest directories that are looked into: `registry/namespace/.../repository:tag`.
const DEPTH_LIMIT: usize = 32;
/// Most directories.
const DIRECTORIES_LIMIT: usize = 1_000_000;

/// Everything that is copied.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) groups: Vec<Group>,
}

/// Images of one repository, or of a directory.
pub(super) struct Group {
    pub(super) items: Vec<Item>,
    /// How the source is reached.
    pub(super) access: Access,
    /// Which tags of the repository were meant: the others at the destination are none of ours.
    pub(super) meant: Meant,
    /// Where the images of the repository go: a name without tags.
    pub(super) destination: Option<Place>,
}

/// Which tags of a repository were meant.
pub(super) enum Meant {
    All,
    Matching(Vec<Filter>),
    /// Some that were named.
    Named,
}

impl Meant {
    pub(super) fn takes(&self, tag: &str) -> bool {
        match self {
            Self::All => true,
            Self::Matching(filters) => filters.iter().any(|filter| filter.takes(tag)),
            Self::Named => false,
        }
    }
}

/// One image.
pub(super) struct Item {
    pub(super) from: From,
    pub(super) to: Place,
}

/// Where an image is.
pub(super) enum From {
    Registry(Reference),
    Directory(PathBuf),
}

impl fmt::Display for From {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(name) => write!(formatter, "docker://{name}"),
            Self::Directory(path) => write!(formatter, "dir:{}", path.display()),
        }
    }
}

pub(super) struct Planner<'p> {
    pub(super) settings: &'p Settings<'p>,
    pub(super) arguments: &'p Sync,
    pub(super) access: &'p Access,
    pub(super) filters: &'p [Filter],
}

impl Planner<'_> {
    /// Finds out what is to be copied.
    pub(super) fn plan(&self, failures: &mut Failures) -> Result<Plan> {
        let source = &self.arguments.source;
        let mut plan = Plan::default();
        match self.arguments.src {
            SourceKind::Docker => {
                let name = Reference::parse(source)?;
                let wanted = match name.tag().is_some() || name.digest().is_some() {
                    true => Wanted::These(vec![name.clone()]),
                    false => Wanted::All,
                };
                let repository = Repository { name: name.repository(), wanted };
                plan.groups.push(self.repository(&repository, self.access)?);
            }
            SourceKind::Dir => plan.groups.push(self.directory(Path::new(source))?),
            SourceKind::Yaml => {
                let file = Read::load(Path::new(source))?;
                for warning in &file.warnings {
                    warn(&format!("{source}: {warning}"));
                }
                for registry in &file.registries {
                    let access = self.access_of(registry);
                    for repository in &registry.repositories {
                        match self.repository(repository, &access) {
                            Ok(group) => plan.groups.push(group),
                            Err(failure) => failures.add(failure.during(&repository.name))?,
                        }
                    }
                }
            }
        }
        if plan.groups.iter().all(|group| group.items.is_empty()) && failures.count == 0 {
            return Err(Failure::new("there are no images to copy"));
        }
        refuse_two_at_one_place(&plan)?;
        Ok(plan)
    }

    /// What a file says of a registry comes before what options say.
    fn access_of(&self, registry: &transport::sync::Registry) -> Access {
        let own = self.access.clone();
        Access {
            credentials: registry.credentials.clone().or(own.credentials),
            cert_dir: registry.cert_dir.clone().or(own.cert_dir),
            tls_verify: registry.tls_verify.or(own.tls_verify),
            ..own
        }
    }

    fn repository(&self, repository: &Repository, access: &Access) -> Result<Group> {
        let name = &repository.name;
        let mut meant = match &repository.wanted {
            Wanted::All => Meant::All,
            Wanted::Matching(filter) => Meant::Matching(vec![filter.clone()]),
            Wanted::These(_) => Meant::Named,
        };
        if let (Meant::All, false) = (&meant, self.filters.is_empty()) {
            meant = Meant::Matching(self.filters.to_vec());
        }
        let images = match &repository.wanted {
            Wanted::These(images) => images.clone(),
            Wanted::All | Wanted::Matching(_) => self.tagged(name, access, &meant)?,
        };
        let item = |image: &Reference| -> Result<Item> {
            let to = self.destination(&image.to_string(), &self.arguments.append_suffix)?;
            Ok(Item { from: From::Registry(image.clone()), to })
        };
        let items = images.iter().map(item).collect::<Result<_>>()?;
        let destination = self.destination(name.name(), "").ok();
        Ok(Group { items, access: access.clone(), meant, destination })
    }

    /// The images of a repository with tags that are meant.
    fn tagged(&self, name: &Reference, access: &Access, meant: &Meant) -> Result<Vec<Reference>> {
        let tags = ask_registry(self.settings, name, access, &|registry| registry.tags())?;
        let mut images = Vec::new();
        for tag in tags {
            // Those travel along with what they belong to.
            let is_beside = self.arguments.with_referrers() && Companion::is_tag(&tag);
            let is_filtered =
                !self.filters.is_empty() && !self.filters.iter().any(|it| it.takes(&tag));
            if meant.takes(&tag) && !is_beside && !is_filtered {
                images.push(name.with_tag(&tag)?);
            }
        }
        Ok(images)
    }

    fn directory(&self, base: &Path) -> Result<Group> {
        let mut found = Vec::new();
        find(base, 0, &mut found)?;
        found.sort();
        let mut items = Vec::new();
        for path in found {
            let below = path.strip_prefix(base).unwrap_or(&path);
            let name = match below.as_os_str().is_empty() {
                true => base.file_name().map(PathBuf::from).unwrap_or_default(),
                false => below.to_owned(),
            };
            let tag = name.to_string_lossy().rsplit_once(':').map(|(_, tag)| tag.to_owned());
            let is_meant = |tag: &str| self.filters.iter().any(|filter| filter.takes(tag));
            if self.filters.is_empty() || tag.as_deref().is_some_and(is_meant) {
                let to =
                    self.destination(&name.to_string_lossy(), &self.arguments.append_suffix)?;
                items.push(Item { from: From::Directory(path), to });
            }
        }
        let access = self.access.clone();
        Ok(Group { items, access, meant: Meant::Named, destination: None })
    }

    /// Where something with a name goes.
    fn destination(&self, name: &str, suffix: &str) -> Result<Place> {
        let name = match self.arguments.scoped {
            true => name,
            false => name.rsplit('/').next().unwrap_or(name),
        };
        let base = self.arguments.destination.trim_end_matches('/');
        let whole = format!("{base}/{name}{suffix}");
        Ok(match self.arguments.dest {
            DestinationKind::Docker => Place::Registry(RegistryImage::parse(&whole)?),
            DestinationKind::Dir => Place::Directory(whole.into()),
        })
    }
}

/// Directories that hold an image, at or below one.
fn find(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed =
        |error: std::io::Error| Failure::new(format!("reading {}: {error}", directory.display()));
    if directory.join("manifest.json").try_exists().map_err(failed)? {
        found.push(directory.to_owned());
        return Ok(());
    }
    if depth > DEPTH_LIMIT || found.len() > DIRECTORIES_LIMIT {
        return Err(Failure::new(format!("{}: too many directories", directory.display())));
    }
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Not where links lead: they may lead in a circle.
        if entry.file_type().map_err(failed)?.is_dir() {
            find(&entry.path(), depth + 1, found)?;
        }
    }
    Ok(())
}

/// Of two images at one place only the second would be there in the end.
fn refuse_two_at_one_place(plan: &Plan) -> Result<()> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for item in plan.groups.iter().flat_map(|group| &group.items) {
        let from = item.from.to_string();
        if let Some(other) = taken.insert(item.to.to_string(), from.clone())
            && other != from
        {
            let text = format!("{other} and {from} would both go to {}", item.to);
            return Err(Failure::new(text).hint("--scoped keeps the names of their registries"));
        }
    }
    Ok(())
}
