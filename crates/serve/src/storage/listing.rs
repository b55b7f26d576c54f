//! Lists, page by page.

use super::Storage;
use super::error::{Error, Result};
use super::key::Key;
use crate::limits::{REFERRER_BYTES, REFERRERS_PAGE_BYTES, REFERRERS_PAGE_ENTRIES};
use crate::names::{Repository, Tag, file_digest};
use oci::Digest;
use oci::image::Descriptor;

/// A part of a list.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<T>,
    /// Behind what the next page begins, if there is one.
    pub(crate) next: Option<String>,
}

impl Page<String> {
    /// A page of tags from elsewhere, whatever their order was.
    pub(crate) fn of_tags(mut tags: Vec<String>, last: &str, count: usize) -> Self {
        tags.retain(|tag| Tag::parse(tag).is_some());
        tags.sort_unstable();
        tags.dedup();
        page(tags, last, count)
    }
}

impl Page<Descriptor> {
    /// A page of referrers from elsewhere.
    pub(crate) fn of_referrers(
        all: Vec<Descriptor>,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Self {
        let digest = |it: Descriptor| Some((*it.verifiable().ok()?, it));
        let mut all: Vec<(Digest, Descriptor)> = all
            .into_iter()
            .filter(|it| artifact_type.is_none_or(|wanted| it.artifact_type == wanted))
            .filter_map(digest)
            .filter(|(digest, _)| last.is_none_or(|last| digest > last))
            .collect();
        all.sort_by_key(|(digest, _)| *digest);
        all.dedup_by_key(|(digest, _)| *digest);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut previous = None;
        for (digest, descriptor) in all {
            if entries.len() >= REFERRERS_PAGE_ENTRIES || bytes >= REFERRERS_PAGE_BYTES {
                return Self { entries, next: previous };
            }
            previous = Some(digest.to_string());
            bytes += oci::json::write(&descriptor).len();
            entries.push(descriptor);
        }
        Self { entries, next: None }
    }
}

impl Storage {
    /// Whether anything was ever put into a repository.
    pub(crate) fn has_repository(&self, name: &Repository) -> Result<bool> {
        self.directory.has_directory(&Key::repository(name))
    }

    /// Repositories behind a name, in their order, of those that `allowed` lets through.
    pub(crate) fn repositories(
        &self,
        last: &str,
        count: usize,
        allowed: &dyn Fn(&Repository) -> bool,
    ) -> Result<Page<String>> {
        let names = self.directory.list(&Key::repositories())?;
        let names = names.iter().filter_map(|name| Repository::from_directory(name));
        let names = names.filter(|name| allowed(name));
        let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
        // The order of directories is another one: `+` stands for `/` in them.
        names.sort_unstable();
        Ok(page(names, last, count))
    }

    /// Tags of a repository behind a tag, in the order of their bytes.
    pub(crate) fn tags(&self, name: &Repository, last: &str, count: usize) -> Result<Page<String>> {
        let mut names = self.directory.list(&Key::tags(name))?;
        names.retain(|name| Tag::parse(name).is_some());
        Ok(page(names, last, count))
    }

    /// What refers to a manifest, of one kind only if one is given.
    pub(crate) fn referrers(
        &self,
        name: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<Page<Descriptor>> {
        let mut digests: Vec<Digest> = self
            .directory
            .list(&Key::referrers(name, subject))?
            .iter()
            .filter_map(|name| file_digest(name))
            .collect();
        digests.retain(|digest| last.is_none_or(|last| digest > last));
        digests.sort_unstable();
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut previous = None;
        for digest in digests {
            if entries.len() >= REFERRERS_PAGE_ENTRIES || bytes >= REFERRERS_PAGE_BYTES {
                return Ok(Page { entries, next: previous });
            }
            previous = Some(digest.to_string());
            let key = Key::referrer(name, subject, &digest);
            let Some(text) = self.directory.read(&key, REFERRER_BYTES)? else { continue };
            // Without its manifest the entry is what a killed process left.
            if self.directory.stat(&Key::manifest(name, &digest))?.is_none() {
                continue;
            }
            let descriptor: Descriptor =
                oci::json::read(&text).map_err(|text| Error::new(format!("{key}: {text}")))?;
            if artifact_type.is_none_or(|wanted| descriptor.artifact_type == wanted) {
                bytes += text.len();
                entries.push(descriptor);
            }
        }
        Ok(Page { entries, next: None })
    }
}

/// The part of a sorted list that begins behind `last`.
fn page(mut names: Vec<String>, last: &str, count: usize) -> Page<String> {
    let begin = names.partition_point(|name| name.as_str() <= last);
    names.drain(..begin);
    let more = names.len() > count;
    names.truncate(count);
    let next = names.last().filter(|_| more).cloned();
    Page { entries: names, next }
}
