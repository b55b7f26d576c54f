//! One request: from its path to its answer.

use super::Shared;
use super::answer::{Answer, End};
use crate::api::{self, Asked};
use crate::auth::{Action, Who};
use crate::observe::access;
use crate::observe::metrics::Label;
use crate::refusal::{Code, Refusal};
use crate::registry::Registry;
use crate::web::body::Body;
use crate::web::route::Route;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The name in a certificate that TLS has verified.
    pub(super) certificate: Option<String>,
}

pub(super) async fn answer(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let began = Instant::now();
    let registry = &shared.registry;
    registry.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
    let line = shared.log.is_some().then(|| describe(&peer, &request));
    let is_head = request.method() == Method::HEAD;
    let route = Route::parse(request.uri().path());
    let mut label = Label {
        method: method_name(request.method()),
        route: route.as_ref().map_or("none", Route::label),
        status: 0,
    };
    let mut asked = Asked::new(request, registry.silence);
    let answered = match route {
        Ok(route) => handle(&shared, &peer, route, &mut asked).await,
        Err(refusal) => Err(refusal),
    };
    let user = asked.discard();
    if let Some(cause) = answered.as_ref().err().and_then(Refusal::cause) {
        registry.tell(cause);
    }
    let mut response = answered.unwrap_or_else(|refusal| refused(&refusal));
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    // What somebody has pushed is no page, whatever it looks like.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_head {
        *response.body_mut() = Body::Empty;
    }
    label.status = response.status().as_u16();
    let end = End { shared: shared.clone(), label, line, user, began, sent: 0 };
    Ok(response.map(|body| Answer::new(body, end)))
}

async fn handle(
    shared: &Shared,
    peer: &Peer,
    route: Route,
    asked: &mut Asked,
) -> Result<Response<Body>, Refusal> {
    let registry = &shared.registry;
    let client = peer.address.ip();
    if let Some(meter) = &shared.meter {
        meter.take(client, 1.0).inspect_err(|_| {
            registry.metrics.limited.fetch_add(1, Ordering::Relaxed);
        })?;
    }
    if asked.headers.contains_key(AUTHORIZATION) {
        // Whoever was wrong too often is not asked whether he is right now.
        shared.failures.has(client)?;
    }
    let who = registry.gate.identify(&asked.headers, peer.certificate.as_deref()).await;
    asked.who = who.inspect_err(|_| {
        registry.metrics.unauthorized.fetch_add(1, Ordering::Relaxed);
        let _ = shared.failures.take(client, 1.0);
    })?;
    authorize(registry, &asked.who, &route, &asked.method).inspect_err(|_| {
        registry.metrics.unauthorized.fetch_add(1, Ordering::Relaxed);
    })?;
    let reads = asked.method == Method::GET || asked.method == Method::HEAD;
    if registry.read_only && !reads {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refusal::new(status, Code::Unsupported, "the registry is read-only"));
    }
    api::answer(registry, route, asked).await
}

fn authorize(
    registry: &Registry,
    who: &Who,
    route: &Route,
    method: &Method,
) -> Result<(), Refusal> {
    match (route, route.repository()) {
        (Route::Health, _) => Ok(()),
        (Route::Catalog | Route::Home, _) => registry.gate.check_catalog(who),
        (_, Some(name)) => registry.gate.check(who, name, Action::of(method, route)),
        (_, None) => registry.gate.check_base(who),
    }
}

fn describe(peer: &Peer, request: &Request<Incoming>) -> access::Request {
    let agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    access::Request {
        began: SystemTime::now(),
        client: peer.address,
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        protocol: format!("{:?}", request.version()),
        user_agent: String::from_utf8_lossy(agent).into_owned(),
        received: request.body().size_hint().exact().unwrap_or(0),
    }
}

fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let body = Body::text(refusal.body());
    let length = body.length();
    let mut response = Response::new(body);
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in refusal.headers() {
        headers.insert(name, value.clone());
    }
    response
}
