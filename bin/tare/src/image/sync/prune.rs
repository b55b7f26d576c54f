//! Removing from the destination what the source has no longer.
//!
//! Only what a rule would have brought there is looked at: all tags of a repository, or those that a pattern
//! takes. Images that were named one by one say nothing about others.

use super::plan::{Group, Plan};
use super::{Failures, Sync};
use crate::failure::{Failure, Result};
use crate::image::{note, print};
use crate::settings::{Access, Settings, connect};
use oci::Reference;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use transport::ErrorKind;
use transport::place::Place;
use transport::signature::Companion;

/// Removes, and says how many.
pub(super) fn prune(
    settings: &Settings<'_>,
    arguments: &Sync,
    access: &Access,
    plan: &Plan,
    failures: &mut Failures,
) -> Result<usize> {
    let kept: BTreeSet<String> =
        plan.groups.iter().flat_map(|group| &group.items).map(|item| item.to.to_string()).collect();
    let mut repositories: BTreeMap<String, Vec<&Group>> = BTreeMap::new();
    for group in &plan.groups {
        if let Some(destination) = &group.destination {
            repositories.entry(destination.to_string()).or_default().push(group);
        }
    }
    let pruning = Pruning { settings, arguments, access, kept: &kept };
    let mut count = 0;
    for groups in repositories.values() {
        let Some(first) = groups.first() else { continue };
        let pruned = match &first.destination {
            Some(Place::Registry(image)) => pruning.repository(&image.name, groups, failures)?,
            Some(Place::Directory(path)) => pruning.directory(path, groups, failures)?,
            _ => 0,
        };
        count += pruned;
    }
    Ok(count)
}

struct Pruning<'p> {
    settings: &'p Settings<'p>,
    arguments: &'p Sync,
    access: &'p Access,
    kept: &'p BTreeSet<String>,
}

impl Pruning<'_> {
    /// Whether a tag at the destination is one that a rule would have brought.
    fn is_ours(&self, tag: &str, groups: &[&Group]) -> bool {
        let Some(own) = tag.strip_suffix(&self.arguments.append_suffix) else { return false };
        let is_beside = self.arguments.with_referrers() && Companion::is_tag(own);
        !is_beside && groups.iter().any(|group| group.meant.takes(own))
    }

    fn repository(
        &self,
        name: &Reference,
        groups: &[&Group],
        failures: &mut Failures,
    ) -> Result<usize> {
        let name = name.repository();
        let registry = connect(self.settings, &name, self.access)?;
        let tags = match registry.tags() {
            Ok(tags) => tags,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut count = 0;
        for tag in tags.iter().filter(|tag| self.is_ours(tag, groups)) {
            let place = Place::parse(&format!("docker://{}", name.with_tag(tag)?))?;
            if self.kept.contains(&place.to_string()) {
                continue;
            }
            if self.tell(&place)? {
                let removed = registry.untag(tag).map_err(Failure::from);
                if let Err(failure) = removed {
                    failures.add(failure.during(format_args!("removing {place}")))?;
                    continue;
                }
            }
            count += 1;
        }
        Ok(count)
    }

    fn directory(&self, path: &Path, groups: &[&Group], failures: &mut Failures) -> Result<usize> {
        let failed = |path: &Path, error: std::io::Error| {
            Failure::new(format!("removing {}: {error}", path.display()))
        };
        let (Some(parent), Some(repository)) = (path.parent(), path.file_name()) else {
            return Ok(0);
        };
        let prefix = format!("{}:", repository.to_string_lossy());
        let mut found: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(parent).map_err(|error| failed(parent, error))? {
            let entry = entry.map_err(|error| failed(parent, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_image = entry.path().join("manifest.json").is_file()
                && entry.path().join("version").is_file();
            if is_image
                && let Some(tag) = name.strip_prefix(&prefix)
                && self.is_ours(tag, groups)
            {
                found.push(entry.path());
            }
        }
        found.sort();
        let mut count = 0;
        for path in found {
            let place = Place::Directory(path.clone());
            if self.kept.contains(&place.to_string()) {
                continue;
            }
            if self.tell(&place)?
                && let Err(error) = std::fs::remove_dir_all(&path)
            {
                failures.add(failed(&path, error))?;
                continue;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Tells of what goes, and says whether it really does.
    fn tell(&self, place: &Place) -> Result<bool> {
        match self.arguments.dry_run {
            true => print(&format!("remove {place}"))?,
            false if self.arguments.quiet => {}
            false => note(&format!("Removing {place}")),
        }
        Ok(!self.arguments.dry_run)
    }
}
