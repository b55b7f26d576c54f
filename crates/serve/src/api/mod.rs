//! The distribution specification 1.1: what each request does.

mod blobs;
mod lists;
pub(crate) mod manifests;
mod uploads;

use crate::auth::{Action, Who};
use crate::cache::{Cache, Copied};
use crate::names::Repository;
use crate::page;
use crate::refusal::{Code, Refusal};
use crate::registry::Registry;
use crate::web::body::Body;
use crate::web::query::Query;
use crate::web::route::Route;
use crate::web::stream::Arrival;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, USER_AGENT,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use oci::Digest;
use std::time::Duration;

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A request whose path was understood.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    /// Whose request it is.
    pub(crate) who: Who,
    /// Until somebody takes it.
    body: Option<Incoming>,
    silence: Duration,
}

impl Asked {
    pub(crate) fn new(request: Request<Incoming>, silence: Duration) -> Self {
        let (Parts { method, uri, headers, .. }, body) = request.into_parts();
        Self {
            method,
            query: Query::parse(uri.query()),
            headers,
            who: Who::default(),
            body: Some(body),
            silence,
        }
    }

    /// How long the body is, if the client has said so.
    fn announced(&self) -> Option<u64> {
        self.body.as_ref().and_then(|body| body.size_hint().exact())
    }

    /// The body, which is read to its end.
    fn arrival(&mut self) -> Result<Arrival, Refusal> {
        let body = self.body.take();
        let silence = self.silence;
        body.map(|body| Arrival::new(body, silence))
            .ok_or_else(|| Refusal::internal("the body was taken twice"))
    }

    /// Lets a body arrive that nobody wants: a client that still sends it would not read the answer when the
    /// connection was closed under it. Says whose request it was.
    pub(crate) fn discard(self) -> String {
        if let Some(body) = self.body.filter(|body| !body.is_end_stream()) {
            tokio::spawn(Arrival::new(body, self.silence).discard());
        }
        self.who.user.unwrap_or_default()
    }

    /// Whose request it is, as text.
    fn user(&self) -> String {
        self.who.user.clone().unwrap_or_default()
    }

    /// A header that is there once and is text.
    fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What a repository is a copy of, if it is one.
fn copied<'a>(
    registry: &'a Registry,
    name: &Repository,
    asked: &Asked,
) -> Result<Option<(&'a Cache, Copied)>, Refusal> {
    let Some(cache) = &registry.cache else { return Ok(None) };
    let Some(copied) = cache.find(name) else { return Ok(None) };
    match asked.header(USER_AGENT).is_some_and(|agent| cache.is_own(agent)) {
        true => {
            let text = "this registry is a copy of itself";
            Err(Refusal::new(StatusCode::LOOP_DETECTED, Code::Unsupported, text))
        }
        false => Ok(Some((cache, copied))),
    }
}

/// Refuses to put something where it would be mixed with what another registry has.
fn check_own(registry: &Registry, name: &Repository) -> Result<(), Refusal> {
    match registry.cache.as_ref().and_then(|cache| cache.find(name)) {
        None => Ok(()),
        Some(_) => {
            let text = "the repository is a copy of another registry's: push there";
            Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, text))
        }
    }
}

/// Answers a request that is allowed.
pub(crate) async fn answer(
    registry: &Registry,
    route: Route,
    asked: &mut Asked,
) -> Result<Response<Body>, Refusal> {
    let method = asked.method.clone();
    let reads = method == Method::GET || method == Method::HEAD;
    if let Some(name) = route.repository().filter(|_| Action::of(&method, &route) == Action::Push) {
        check_own(registry, name)?;
    }
    match (route, &method) {
        (Route::Health, _) if reads => Ok(plain(StatusCode::OK, Body::text("ok\n"))),
        (Route::Base, _) if reads => {
            let mut response = plain(StatusCode::OK, Body::text("{}"));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            Ok(response)
        }
        (Route::Home | Route::Browse(_) | Route::BrowseManifest(..), _) if !registry.pages => {
            let text = "there is nothing of that name";
            Err(Refusal::new(StatusCode::NOT_FOUND, Code::Unsupported, text))
        }
        (Route::Home, _) if reads => page::home(registry, asked).await,
        (Route::Browse(name), _) if reads => page::repository(registry, name, asked).await,
        (Route::BrowseManifest(name, selector), _) if reads => {
            page::manifest(registry, name, selector).await
        }
        (Route::Catalog, _) if reads => lists::catalog(registry, asked).await,
        (Route::Tags(name), _) if reads => lists::tags(registry, name, asked).await,
        (Route::Referrers(name, subject), _) if reads => {
            lists::referrers(registry, name, subject, asked).await
        }
        (Route::Manifest(name, selector), _) if reads => {
            manifests::get(registry, name, selector, asked).await
        }
        (Route::Manifest(name, selector), &Method::PUT) => {
            manifests::put(registry, name, selector, asked).await
        }
        (Route::Manifest(name, selector), &Method::DELETE) => {
            manifests::delete(registry, name, selector, asked).await
        }
        (Route::Blob(name, digest), _) if reads => blobs::get(registry, name, digest, asked).await,
        (Route::Blob(name, digest), &Method::DELETE) => blobs::delete(registry, name, digest).await,
        (Route::Uploads(name), &Method::POST) => uploads::begin(registry, name, asked).await,
        (Route::Upload(name, id), &Method::GET) => uploads::status(registry, name, id).await,
        (Route::Upload(name, id), &Method::PATCH) => {
            uploads::append(registry, name, id, asked).await
        }
        (Route::Upload(name, id), &Method::PUT) => uploads::finish(registry, name, id, asked).await,
        (Route::Upload(name, id), &Method::DELETE) => uploads::cancel(registry, name, id).await,
        (route, _) => Err(not_allowed(&route)),
    }
}

fn not_allowed(route: &Route) -> Refusal {
    let allowed = match route {
        Route::Health | Route::Base | Route::Home => "GET, HEAD",
        Route::Browse(_) | Route::BrowseManifest(..) => "GET, HEAD",
        Route::Catalog | Route::Tags(_) | Route::Referrers(..) => "GET, HEAD",
        Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
        Route::Blob(..) => "GET, HEAD, DELETE",
        Route::Uploads(_) => "POST",
        Route::Upload(..) => "GET, PATCH, PUT, DELETE",
    };
    let text = "this cannot be done here";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, text)
        .with_header(ALLOW, HeaderValue::from_static(allowed))
}

/// An answer with the length of its body. That of a HEAD has the same and no body.
fn plain(status: StatusCode, body: Body) -> Response<Body> {
    let length = body.length();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// What was parsed or escaped before makes a header.
pub(crate) fn header(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| Refusal::internal(format!("no header: {text:?}")))
}

fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// How the conditions of a read end, for content whose tag is its digest (RFC 9110, section 13).
fn precondition(asked: &Asked, digest: &Digest) -> Option<StatusCode> {
    let tag = etag(digest);
    let lists = |header: HeaderName| {
        let values = asked.headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
        let mut tags = values.flat_map(|value| value.split(','));
        tags.any(|one| matches!(one.trim(), "*") || one.trim().trim_start_matches("W/") == tag)
    };
    if asked.headers.contains_key(IF_MATCH) && !lists(IF_MATCH) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    (asked.headers.contains_key(IF_NONE_MATCH) && lists(IF_NONE_MATCH))
        .then_some(StatusCode::NOT_MODIFIED)
}

/// An answer without content to a conditional read.
fn conditional(status: StatusCode, digest: &Digest) -> Result<Response<Body>, Refusal> {
    if status == StatusCode::PRECONDITION_FAILED {
        return Err(Refusal::new(status, Code::Unsupported, "it is another one"));
    }
    let mut response = plain(status, Body::Empty);
    response.headers_mut().insert(hyper::header::ETAG, header(&etag(digest))?);
    Ok(response)
}
