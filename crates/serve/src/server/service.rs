//! One request: from its path to its answer.

use crate::api::{self, Asked};
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::web::body::Body;
use crate::web::route::Route;
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

pub(super) async fn answer(
    registry: Arc<Registry>,
    _peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let is_head = request.method() == Method::HEAD;
    let route = Route::parse(request.uri().path());
    let mut asked = Asked::new(request);
    let answered = match route {
        Ok(route) => api::answer(&registry, route, &mut asked).await,
        Err(refusal) => Err(refusal),
    };
    asked.discard();
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
    Ok(response)
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
