//! Lists: repositories, tags, referrers.

use super::{Asked, copied, header, plain};
use crate::auth::Action;
use crate::limits::PAGE_ENTRIES;
use crate::names::{Repository, parse_digest};
use crate::refusal::{Code, Refusal};
use crate::registry::Registry;
use crate::storage::{Page, Storage};
use crate::web::body::Body;
use crate::web::query::escape;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use hyper::{Response, StatusCode};
use oci::Digest;
use oci::image::Index;
use oci::image::media_type::OCI_INDEX;

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

oci::report! {
    Catalog {
        repositories: Vec<String> => always,
    }

    TagList {
        name: String => always,
        tags: Vec<String> => always,
    }
}

/// `/v2/_catalog`
pub(super) async fn catalog(registry: &Registry, asked: &Asked) -> Result<Response<Body>, Refusal> {
    let (last, count) = wanted(asked)?;
    // Nobody is told of a repository that he may not read.
    let (gate, who) = (registry.gate.clone(), asked.who.clone());
    let found = move |storage: &Storage| {
        storage.repositories(&last, count, &|name| gate.permits(&who, name, Action::Pull))
    };
    let page = registry.list(found).await?;
    let next = next("/v2/_catalog", &page, count);
    list(&Catalog { repositories: page.entries }, next, super::JSON)
}

/// `/v2/NAME/tags/list`
pub(super) async fn tags(
    registry: &Registry,
    name: Repository,
    asked: &Asked,
) -> Result<Response<Body>, Refusal> {
    let (last, count) = wanted(asked)?;
    if let Some((cache, copied)) = copied(registry, &name, asked)?
        && let Some(tags) = cache.tags(&copied).await?
    {
        let page = Page::of_tags(tags, &last, count);
        let next = next(&format!("/v2/{name}/tags/list"), &page, count);
        return list(&TagList { name: name.to_string(), tags: page.entries }, next, super::JSON);
    }
    let wanted = name.clone();
    let page = registry.list(move |storage| {
        let there = storage.has_repository(&wanted)?;
        Ok(there.then_some(storage.tags(&wanted, &last, count)?))
    });
    let page = page
        .await?
        .ok_or_else(|| Refusal::missing(Code::NameUnknown, "there is no such repository"))?;
    let next = next(&format!("/v2/{name}/tags/list"), &page, count);
    list(&TagList { name: name.to_string(), tags: page.entries }, next, super::JSON)
}

/// `/v2/NAME/referrers/DIGEST`
pub(super) async fn referrers(
    registry: &Registry,
    name: Repository,
    subject: Digest,
    asked: &Asked,
) -> Result<Response<Body>, Refusal> {
    let kind = asked.query.get("artifactType").filter(|kind| !kind.is_empty()).map(str::to_owned);
    let last = asked.query.get("last").map(parse_digest).transpose()?;
    let (wanted, filter) = (name.clone(), kind.clone());
    let elsewhere = match copied(registry, &name, asked)? {
        Some((cache, copied)) => cache.referrers(&copied, subject).await?,
        None => None,
    };
    let page = match elsewhere {
        Some(all) => Page::of_referrers(all, filter.as_deref(), last.as_ref()),
        None => {
            let page = registry.list(move |storage| {
                storage.referrers(&wanted, &subject, filter.as_deref(), last.as_ref())
            });
            page.await?
        }
    };
    let next = page.next.map(|last| {
        let kind = kind
            .as_deref()
            .map_or_else(String::new, |kind| format!("artifactType={}&", escape(kind)));
        format!("</v2/{name}/referrers/{subject}?{kind}last={}>; rel=\"next\"", escape(&last))
    });
    let index = Index {
        schema_version: 2,
        media_type: OCI_INDEX.into(),
        manifests: page.entries,
        ..Index::default()
    };
    let mut response = list(&index, next, HeaderValue::from_static(OCI_INDEX))?;
    if kind.is_some() {
        let applied = HeaderValue::from_static("artifactType");
        response.headers_mut().insert(OCI_FILTERS_APPLIED, applied);
    }
    Ok(response)
}

/// Behind what a page begins, and how much there is on it.
fn wanted(asked: &Asked) -> Result<(String, usize), Refusal> {
    let last = asked.query.get("last").unwrap_or_default().to_owned();
    let count = match asked.query.get("n") {
        None | Some("") => PAGE_ENTRIES,
        Some(text) => text.parse::<u32>().map_or_else(
            |_| Err(Refusal::bad(Code::Unsupported, "`n` is not a number of entries")),
            |count| Ok((count as usize).min(PAGE_ENTRIES)),
        )?,
    };
    Ok((last, count))
}

fn next(path: &str, page: &Page<String>, count: usize) -> Option<String> {
    let last = page.next.as_deref().filter(|_| count > 0)?;
    Some(format!("<{path}?n={count}&last={}>; rel=\"next\"", escape(last)))
}

fn list(
    document: &dyn oci::json::ToJson,
    next: Option<String>,
    media_type: HeaderValue,
) -> Result<Response<Body>, Refusal> {
    let mut response = plain(StatusCode::OK, Body::text(oci::json::write(document)));
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    if let Some(next) = next {
        response.headers_mut().insert(LINK, header(&next)?);
    }
    Ok(response)
}
