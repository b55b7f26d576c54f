//! Figures for Prometheus, in its text format.

use crate::storage::Collected;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Limits of the classes of times, in milliseconds.
const CLASSES_MS: [u64; 8] = [1, 5, 25, 100, 500, 2500, 10_000, 60_000];

/// What a request was about, for figures: few words, whatever clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    pub(crate) method: &'static str,
    pub(crate) route: &'static str,
    pub(crate) status: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<Label, u64>>,
    times: Mutex<BTreeMap<&'static str, Times>>,
    pub(crate) connections: AtomicI64,
    pub(crate) in_flight: AtomicI64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) limited: AtomicU64,
    pub(crate) unauthorized: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
    pub(crate) cache_stale: AtomicU64,
    pub(crate) fetched_bytes: AtomicU64,
    collected_blobs: AtomicU64,
    collected_bytes: AtomicU64,
    collections: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    classes: [u64; CLASSES_MS.len()],
    count: u64,
    sum: Duration,
}

impl Metrics {
    /// Counts a request that has ended.
    pub(crate) fn request(&self, label: Label, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(label).or_default() += 1;
        drop(requests);
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let times = times.entry(label.route).or_default();
        times.count += 1;
        times.sum += took;
        for (class, limit) in times.classes.iter_mut().zip(CLASSES_MS) {
            *class += u64::from(took <= Duration::from_millis(limit));
        }
    }

    pub(crate) fn collected(&self, collected: &Collected) {
        self.collections.fetch_add(1, Ordering::Relaxed);
        self.collected_blobs.fetch_add(collected.blobs, Ordering::Relaxed);
        self.collected_bytes.fetch_add(collected.bytes, Ordering::Relaxed);
    }

    /// All figures as text; `more` are others' own: name, kind, help and value.
    pub(crate) fn render(&self, more: &[(&str, &str, &str, u64)]) -> String {
        let mut text = String::new();
        head(&mut text, "registry_requests_total", "counter", "Requests that were answered.");
        for (label, count) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let Label { method, route, status } = label;
            let _ = writeln!(
                text,
                "registry_requests_total{{method=\"{method}\",route=\"{route}\",code=\"{status}\"}} {count}"
            );
        }
        self.render_times(&mut text);
        let counters = [
            ("registry_sent_bytes_total", "Bytes of answers' bodies.", &self.sent_bytes),
            ("registry_received_bytes_total", "Bytes of uploads.", &self.received_bytes),
            ("registry_limited_total", "Requests that came too often.", &self.limited),
            (
                "registry_unauthorized_total",
                "Requests without the right credentials.",
                &self.unauthorized,
            ),
            ("registry_faults_total", "Faults of the registry's own.", &self.faults),
            ("registry_cache_hits_total", "Content that was in the cache.", &self.cache_hits),
            (
                "registry_cache_misses_total",
                "Content that was fetched into the cache.",
                &self.cache_misses,
            ),
            (
                "registry_cache_stale_total",
                "Tags that could not be looked for elsewhere.",
                &self.cache_stale,
            ),
            ("registry_fetched_bytes_total", "Bytes from other registries.", &self.fetched_bytes),
            ("registry_collections_total", "Looks for what nothing refers to.", &self.collections),
            ("registry_collected_blobs_total", "Content that was removed.", &self.collected_blobs),
            ("registry_collected_bytes_total", "Its size.", &self.collected_bytes),
        ];
        for (name, help, value) in counters {
            head(&mut text, name, "counter", help);
            let _ = writeln!(text, "{name} {}", value.load(Ordering::Relaxed));
        }
        let gauges = [
            ("registry_connections", "Open connections.", &self.connections),
            ("registry_requests_in_flight", "Requests that are being answered.", &self.in_flight),
        ];
        for (name, help, value) in gauges {
            head(&mut text, name, "gauge", help);
            let _ = writeln!(text, "{name} {}", value.load(Ordering::Relaxed));
        }
        for (name, kind, help, value) in more {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }

    fn render_times(&self, text: &mut String) {
        const NAME: &str = "registry_request_seconds";
        head(text, NAME, "histogram", "Time until a request was answered to its end.");
        for (route, times) in &*self.times.lock().unwrap_or_else(PoisonError::into_inner) {
            for (limit, count) in CLASSES_MS.iter().zip(times.classes) {
                let limit = *limit as f64 / 1000.0;
                let _ = writeln!(text, "{NAME}_bucket{{route=\"{route}\",le=\"{limit}\"}} {count}");
            }
            let Times { count, sum, .. } = times;
            let _ = writeln!(text, "{NAME}_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{NAME}_sum{{route=\"{route}\"}} {}", sum.as_secs_f64());
            let _ = writeln!(text, "{NAME}_count{{route=\"{route}\"}} {count}");
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_prometheus_text_format() {
        let metrics = Metrics::default();
        let label = Label { method: "GET", route: "blob", status: 200 };
        metrics.request(label, Duration::from_millis(3));
        metrics.request(label, Duration::from_secs(100));
        metrics.collected(&Collected { blobs: 2, bytes: 10, ..Collected::default() });
        let text = metrics.render(&[("registry_x", "gauge", "X.", 7)]);
        for line in [
            "registry_requests_total{method=\"GET\",route=\"blob\",code=\"200\"} 2",
            "registry_request_seconds_bucket{route=\"blob\",le=\"0.001\"} 0",
            "registry_request_seconds_bucket{route=\"blob\",le=\"0.005\"} 1",
            "registry_request_seconds_bucket{route=\"blob\",le=\"60\"} 1",
            "registry_request_seconds_bucket{route=\"blob\",le=\"+Inf\"} 2",
            "registry_request_seconds_count{route=\"blob\"} 2",
            "registry_collected_bytes_total 10",
            "# TYPE registry_connections gauge",
            "registry_x 7",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
