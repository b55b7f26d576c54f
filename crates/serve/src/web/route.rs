//! From the path of a request to what it is about.
//!
//! A path is taken to pieces once; authorization and storage see what it was parsed into, so there are
//! no two readings of it.

use crate::names::{Repository, Selector, UploadId, parse_digest};
use crate::refusal::{Code, Refusal};
use hyper::StatusCode;
use oci::Digest;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    Tags(Repository),
    Referrers(Repository, Digest),
    Manifest(Repository, Selector),
    Blob(Repository, Digest),
    /// Where uploads begin.
    Uploads(Repository),
    Upload(Repository, UploadId),
    /// `/health`
    Health,
    /// `/`: the repositories, for people.
    Home,
    /// `/browse/NAME`: its tags.
    Browse(Repository),
    /// `/browse/NAME:TAG` and `/browse/NAME@DIGEST`.
    BrowseManifest(Repository, Selector),
}

impl Route {
    /// Understands a path.
    pub(crate) fn parse(path: &str) -> Result<Self, Refusal> {
        if path == "/health" {
            return Ok(Self::Health);
        }
        if path == "/" {
            return Ok(Self::Home);
        }
        if let Some(rest) = path.strip_prefix("/browse/") {
            return browse(&unescape(rest)?);
        }
        let Some(rest) = path.strip_prefix("/v2") else { return Err(nowhere()) };
        let rest = match rest {
            "" | "/" => return Ok(Self::Base),
            "/_catalog" => return Ok(Self::Catalog),
            rest => rest.strip_prefix('/').ok_or_else(nowhere)?,
        };
        let rest = unescape(rest)?;
        // A repository may be called `a/blobs/uploads`: the end of the path says what is asked for.
        let mut parts = rest.rsplitn(4, '/');
        let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let third = parts.next().unwrap_or_default();
        let cut = |length: usize| rest.get(..rest.len().saturating_sub(length)).unwrap_or_default();
        let name = |tail: &str| repository(cut(tail.len()));
        match (third, before, last) {
            ("blobs", "uploads", "") => Ok(Self::Uploads(name("/blobs/uploads/")?)),
            ("blobs", "uploads", id) => {
                let name = repository(cut("/blobs/uploads/".len() + id.len()))?;
                let unknown = || Refusal::missing(Code::BlobUploadUnknown, "no such upload");
                Ok(Self::Upload(name, UploadId::parse(id).ok_or_else(unknown)?))
            }
            (_, "blobs", "uploads") => Ok(Self::Uploads(name("/blobs/uploads")?)),
            (_, "tags", "list") => Ok(Self::Tags(name("/tags/list")?)),
            (_, "blobs", digest) => {
                let name = repository(cut("/blobs/".len() + digest.len()))?;
                Ok(Self::Blob(name, parse_digest(digest)?))
            }
            (_, "referrers", digest) => {
                let name = repository(cut("/referrers/".len() + digest.len()))?;
                Ok(Self::Referrers(name, parse_digest(digest)?))
            }
            (_, "manifests", selector) => {
                let name = repository(cut("/manifests/".len() + selector.len()))?;
                Ok(Self::Manifest(name, Selector::parse(selector)?))
            }
            _ => Err(nowhere()),
        }
    }
}

impl Route {
    /// The repository that it is about.
    pub(crate) fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Base | Self::Catalog | Self::Health | Self::Home => None,
            Self::Tags(name)
            | Self::Browse(name)
            | Self::BrowseManifest(name, _)
            | Self::Referrers(name, _)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _) => Some(name),
        }
    }

    /// What it is called in figures.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Tags(_) => "tags",
            Self::Referrers(..) => "referrers",
            Self::Manifest(..) => "manifest",
            Self::Blob(..) => "blob",
            Self::Uploads(_) | Self::Upload(..) => "upload",
            Self::Health => "health",
            Self::Home | Self::Browse(_) | Self::BrowseManifest(..) => "page",
        }
    }
}

/// Neither `:` nor `@` is in a repository's name.
fn browse(text: &str) -> Result<Route, Refusal> {
    let Some(at) = text.find([':', '@']) else { return repository(text).map(Route::Browse) };
    let (name, selector) = (repository(&text[..at])?, Selector::parse(&text[at + 1..])?);
    match (&selector, text.as_bytes()[at]) {
        (Selector::Tag(_), b':') | (Selector::Digest(_), b'@') => {
            Ok(Route::BrowseManifest(name, selector))
        }
        _ => Err(nowhere()),
    }
}

fn repository(text: &str) -> Result<Repository, Refusal> {
    let invalid = || Refusal::bad(Code::NameInvalid, "not the name of a repository");
    Repository::parse(text).ok_or_else(invalid)
}

fn nowhere() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, Code::Unsupported, "there is nothing of that name")
}

/// Of all escapes only that of the colon makes sense in a path: nothing else needs one, and `%2f` would
/// be read in two ways.
fn unescape(path: &str) -> Result<String, Refusal> {
    let plain = path.replace("%3A", ":").replace("%3a", ":");
    match plain.contains('%') {
        true => Err(Refusal::bad(Code::NameInvalid, "the path has escapes that it does not need")),
        false => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Repository {
        Repository::parse(text).unwrap()
    }

    #[test]
    fn paths_are_read_from_their_end() {
        let hex = "a".repeat(64);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        let check = |path: &str, route: Route| assert_eq!(Route::parse(path).unwrap(), route);
        check("/v2/", Route::Base);
        check("/v2", Route::Base);
        check("/v2/_catalog", Route::Catalog);
        check("/v2/a/tags/list", Route::Tags(name("a")));
        check("/v2/a/b/tags/list/tags/list", Route::Tags(name("a/b/tags/list")));
        check("/v2/a/blobs/uploads/", Route::Uploads(name("a")));
        check("/v2/a/blobs/uploads", Route::Uploads(name("a")));
        check("/v2/blobs/uploads/blobs/uploads/", Route::Uploads(name("blobs/uploads")));
        check(&format!("/v2/a/blobs/sha256:{hex}"), Route::Blob(name("a"), digest));
        check(&format!("/v2/a/blobs/sha256%3a{hex}"), Route::Blob(name("a"), digest));
        check(&format!("/v2/a/referrers/sha256:{hex}"), Route::Referrers(name("a"), digest));
        let selector = Selector::Digest(digest);
        check(&format!("/v2/a/b/manifests/sha256:{hex}"), Route::Manifest(name("a/b"), selector));
        check("/", Route::Home);
        check("/browse/a/b", Route::Browse(name("a/b")));
        let tag = Selector::Tag(crate::names::Tag::parse("v1").unwrap());
        check("/browse/a/b:v1", Route::BrowseManifest(name("a/b"), tag));
        let selector = Selector::Digest(digest);
        check(&format!("/browse/a@sha256:{hex}"), Route::BrowseManifest(name("a"), selector));
        let id = UploadId::random().unwrap();
        check(&format!("/v2/a/blobs/uploads/{id}"), Route::Upload(name("a"), id));
    }

    #[test]
    fn paths_lead_nowhere_else() {
        let check = |path: &str, status: u16| {
            let refusal = Route::parse(path).unwrap_err();
            assert_eq!(refusal.status().as_u16(), status, "{path}");
        };
        for path in ["", "/v1/", "/v2/a", "/v2/tags", "/v2//", "/v2x/", "/v3/a/tags/list"] {
            check(path, 404);
        }
        for path in [
            "/v2/../tags/list",
            "/v2/a/../b/tags/list",
            "/v2//tags/list",
            "/v2/tags/list",
            "/v2/a//b/tags/list",
            "/v2/a%2fb/tags/list",
            "/v2/a%00/tags/list",
            "/v2/A/tags/list",
            "/v2/a/manifests/",
            "/v2/a/manifests/..",
            "/v2/a/blobs/sha256:..",
            "/v2/a/blobs/sha256:aaaa",
            "/v2/a/referrers/x",
            "/browse/",
            "/browse/a/",
            "/browse/../a",
            "/browse/a%2fb",
            "/browse/a:b:c",
            "/browse/a@../x",
        ] {
            check(path, 400);
        }
        check("/browse/a@tag", 404);
        check(&format!("/browse/a:sha256:{}", "a".repeat(64)), 404);
        check("/v2/a/blobs/uploads/../../../etc", 404);
        check("/v2/a/blobs/uploads/etc", 404);
    }
}
