//! Pages for people: which repositories there are, their tags, and what a manifest says.
//!
//! They show what a client of the registry may see, by the same rules, and nothing can be changed there. There is
//! no script; browsers are told that there is none.

mod html;

use crate::api::{Asked, header};
use crate::auth::Action;
use crate::limits::{PAGE_ROWS, PAGE_TEXT};
use crate::names::{Repository, Selector, Tag};
use crate::refusal::{Code, Refusal};
use crate::registry::Registry;
use crate::storage::Storage;
use crate::web::body::Body;
use crate::web::query::escape;
use html::{Page, size};
use hyper::Response;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY,
};
use oci::Digest;
use oci::image::{Content, Descriptor, Document, Index, Manifest};

const CROSS_ORIGIN: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The repositories that the client may read.
pub(crate) async fn home(registry: &Registry, asked: &Asked) -> Result<Response<Body>, Refusal> {
    let last = asked.query.get("last").unwrap_or_default().to_owned();
    let (gate, who) = (registry.gate.clone(), asked.who.clone());
    let found = move |storage: &Storage| {
        let allowed = |name: &Repository| gate.permits(&who, name, Action::Pull);
        storage.repositories(&last, PAGE_ROWS, &allowed)
    };
    let found = registry.list(found).await?;
    let mut page = Page::new("Repositories");
    if found.entries.is_empty() {
        page.raw("<p class=\"dim\">There are none.</p>\n");
    }
    page.raw("<table>");
    for name in &found.entries {
        page.raw("<tr><td>").link(&format!("/browse/{name}"), name).raw("</td></tr>\n");
    }
    page.raw("</table>\n");
    more(&mut page, "/", found.next.as_deref());
    answer(page)
}

/// The tags of a repository.
pub(crate) async fn repository(
    registry: &Registry,
    name: Repository,
    asked: &Asked,
) -> Result<Response<Body>, Refusal> {
    let last = asked.query.get("last").unwrap_or_default().to_owned();
    let wanted = name.clone();
    let found = registry.list(move |storage| {
        if !storage.has_repository(&wanted)? {
            return Ok(None);
        }
        let tags = storage.tags(&wanted, &last, PAGE_ROWS)?;
        let lead = |tag: &String| {
            let tag = Tag::parse(tag).map(Selector::Tag);
            Ok(match tag {
                Some(tag) => storage.manifest_head(&wanted, &tag)?.map(|it| it.0),
                None => None,
            })
        };
        let digests: Result<Vec<Option<Digest>>, crate::storage::Error> =
            tags.entries.iter().map(lead).collect();
        Ok(Some((digests?, tags)))
    });
    let unknown = || Refusal::missing(Code::NameUnknown, "there is no such repository");
    let (digests, tags) = found.await?.ok_or_else(unknown)?;
    let mut page = Page::new(&name.to_string());
    page.raw("<p>").link("/", "Repositories").raw("</p>\n");
    if tags.entries.is_empty() {
        page.raw("<p class=\"dim\">No tag.</p>\n");
    }
    page.raw("<table>");
    for (tag, digest) in tags.entries.iter().zip(digests) {
        page.raw("<tr><td>").link(&format!("/browse/{name}:{tag}"), tag).raw("</td><td><code>");
        if let Some(digest) = digest {
            page.link(&format!("/browse/{name}@{digest}"), digest);
        }
        page.raw("</code></td></tr>\n");
    }
    page.raw("</table>\n");
    more(&mut page, &format!("/browse/{name}"), tags.next.as_deref());
    answer(page)
}

/// What a manifest says.
pub(crate) async fn manifest(
    registry: &Registry,
    name: Repository,
    selector: Selector,
) -> Result<Response<Body>, Refusal> {
    let title = match &selector {
        Selector::Tag(tag) => format!("{name}:{tag}"),
        Selector::Digest(digest) => format!("{name}@{digest}"),
    };
    let wanted = name.clone();
    let found = registry.list(move |storage| {
        let Some(found) = storage.manifest(&wanted, &selector)? else { return Ok(None) };
        let referrers = storage.referrers(&wanted, &found.digest, None, None)?;
        Ok(Some((found, referrers.entries)))
    });
    let unknown = || Refusal::missing(Code::ManifestUnknown, "the repository has no such manifest");
    let (found, referrers) = found.await?.ok_or_else(unknown)?;
    let mut page = Page::new(&title);
    page.raw("<p>").link("/", "Repositories").raw(" / ");
    page.link(&format!("/browse/{name}"), &name).raw("</p>\n<table>");
    page.row("Digest", found.digest).row("Media type", &found.media_type);
    page.row("Size", size(found.bytes.len() as u64));
    let read = Document::read(found.bytes, &found.media_type, found.digest);
    match read.as_ref().map(Document::content) {
        Ok(Content::Manifest(manifest)) => image(&mut page, &name, manifest),
        Ok(Content::Index(index)) => choices(&mut page, &name, index),
        _ => drop(page.raw("</table>\n")),
    }
    list(&mut page, "Referrers", &name, &referrers, true);
    answer(page)
}

fn image(page: &mut Page, name: &Repository, manifest: &Manifest) {
    if let Some(kind) = manifest.artifact_kind() {
        page.row("Artifact", cut(kind));
    }
    let sum = |sum: u64, layer: &Descriptor| sum.saturating_add(layer.size);
    page.row("Content", size(manifest.layers.iter().fold(manifest.config.size, sum)));
    subject(page, name, manifest.subject.as_ref());
    annotations(page, &manifest.annotations);
    page.raw("</table>\n");
    list(page, "Configuration", name, std::slice::from_ref(&manifest.config), false);
    list(page, "Layers", name, &manifest.layers, false);
}

fn choices(page: &mut Page, name: &Repository, index: &Index) {
    subject(page, name, index.subject.as_ref());
    annotations(page, &index.annotations);
    page.raw("</table>\n");
    list(page, "Manifests", name, &index.manifests, true);
}

fn subject(page: &mut Page, name: &Repository, subject: Option<&Descriptor>) {
    let Some(digest) = subject.and_then(|it| it.verifiable().ok()) else { return };
    page.raw("<tr><th>Refers to</th><td><code>");
    page.link(&format!("/browse/{name}@{digest}"), digest).raw("</code></td></tr>\n");
}

fn annotations(page: &mut Page, annotations: &oci::Map) {
    for (name, value) in annotations.iter().take(PAGE_ROWS) {
        page.row(cut(name), cut(value));
    }
}

/// A table of descriptors. `manifests` lead to pages.
fn list(
    page: &mut Page,
    title: &'static str,
    name: &Repository,
    all: &[Descriptor],
    manifests: bool,
) {
    if all.is_empty() {
        return;
    }
    page.raw("<h2>").raw(title).raw("</h2>\n<table>");
    for one in all.iter().take(PAGE_ROWS) {
        page.raw("<tr><td><code>");
        match one.verifiable() {
            Ok(digest) if manifests => page.link(&format!("/browse/{name}@{digest}"), digest),
            Ok(digest) => page.text(digest),
            Err(_) => page.text(cut(&one.digest.to_string())),
        };
        page.raw("</code></td><td>");
        if let Some(platform) = &one.platform {
            let parts = [&platform.os, &platform.architecture, &platform.variant];
            let parts: Vec<&str> =
                parts.into_iter().filter(|it| !it.is_empty()).map(|it| cut(it)).collect();
            page.text(parts.join("/")).raw("<br>");
        }
        let kind = if one.artifact_type.is_empty() { &one.media_type } else { &one.artifact_type };
        page.raw("<span class=\"dim\">").text(cut(kind)).raw("</span></td><td class=\"number\">");
        page.text(size(one.size)).raw("</td></tr>\n");
    }
    page.raw("</table>\n");
    if all.len() > PAGE_ROWS {
        page.raw("<p class=\"dim\">There are more.</p>\n");
    }
}

/// The begin of a text that may be long.
fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(PAGE_TEXT).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

fn more(page: &mut Page, path: &str, next: Option<&str>) {
    if let Some(last) = next {
        page.raw("<p>").link(&format!("{path}?last={}", escape(last)), "More").raw("</p>\n");
    }
}

fn answer(page: Page) -> Result<Response<Body>, Refusal> {
    let text = page.end();
    let length = text.len();
    let mut response = Response::new(Body::text(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, header(html::policy())?);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CROSS_ORIGIN, HeaderValue::from_static("same-origin"));
    // What somebody may see is not for whoever uses the same browser or proxy next.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
