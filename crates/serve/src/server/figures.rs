//! A listener of its own for figures and health: whoever may see them is not whoever may pull.

use super::Shared;
use crate::web::body::Body;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let reads = request.method() == Method::GET;
    let text = match request.uri().path() {
        "/metrics" if reads => figures(&shared),
        "/health" if reads => "ok\n".into(),
        _ => {
            let mut response = Response::new(Body::text("there is nothing of that name\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = Response::new(Body::text(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn figures(shared: &Shared) -> String {
    let registry = &shared.registry;
    let dropped = |queue: &Option<super::Log>| {
        queue.as_ref().map_or(0, |queue| queue.dropped.load(Ordering::Relaxed))
    };
    let mut text = quotas(shared);
    text.push_str(&registry.metrics.render(&[
        ("registry_uploads", "gauge", "Uploads that are not finished.", registry.uploads.count()),
        (
            "registry_log_dropped_total",
            "counter",
            "Lines of the access log that were not written.",
            dropped(&shared.log),
        ),
        (
            "registry_events_lost_total",
            "counter",
            "Events that nobody got.",
            registry.events.lost(),
        ),
    ]));
    text
}

/// Each limit with what is used of it. Prefixes are names of repositories: nothing of them ends a label.
fn quotas(shared: &Shared) -> String {
    let quotas = shared.registry.storage.quotas();
    let mut text = String::new();
    for (name, help) in [
        ("registry_quota_bytes", "How much there may be."),
        ("registry_used_bytes", "How much there is, with what is on its way."),
    ] {
        if quotas.is_empty() {
            break;
        }
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for (quota, used) in &quotas {
            let value = if name == "registry_used_bytes" { *used } else { quota.bytes };
            let prefix = quota.prefix.as_deref().unwrap_or_default();
            text.push_str(&format!("{name}{{prefix=\"{prefix}\"}} {value}\n"));
        }
    }
    text
}
