//! How often a client may ask: a bucket of tokens for each address.

use crate::limits::RATE_CLIENTS;
use crate::refusal::{Code, Refusal};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A limit for each client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests a second, in the long run.
    pub per_second: f64,
    /// Requests at once.
    pub burst: f64,
}

/// Counts the requests of clients.
pub(super) struct Meter {
    rate: Rate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    since: Instant,
}

impl Meter {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes `cost` tokens of a client, or says when to come again.
    pub(super) fn take(&self, client: IpAddr, cost: f64) -> Result<(), Refusal> {
        self.take_at(client, cost, Instant::now()).map_err(|seconds| {
            let text = "too many requests";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, text)
                .with_header(RETRY_AFTER, HeaderValue::from(seconds))
        })
    }

    /// Whether a client has a token.
    pub(super) fn has(&self, client: IpAddr) -> Result<(), Refusal> {
        self.take(client, 1.0)?;
        self.give_back(client);
        Ok(())
    }

    fn give_back(&self, client: IpAddr) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&network(client)) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.rate.burst);
        }
    }

    fn take_at(&self, client: IpAddr, cost: f64, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { tokens: self.rate.burst, since: now };
        let refill = |bucket: &Bucket| {
            let gained = (now - bucket.since).as_secs_f64() * self.rate.per_second;
            (bucket.tokens + gained).min(self.rate.burst)
        };
        if buckets.len() >= RATE_CLIENTS {
            // Whoever has a full bucket is like somebody new.
            buckets.retain(|_, bucket| refill(bucket) < self.rate.burst);
            if buckets.len() >= RATE_CLIENTS {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(network(client)).or_insert(full);
        let tokens = refill(bucket);
        *bucket = Bucket { tokens, since: now };
        if tokens >= cost {
            bucket.tokens -= cost;
            return Ok(());
        }
        Err(((cost - tokens) / self.rate.per_second).ceil().max(1.0) as u64)
    }
}

/// One client has a whole network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_client_waits_until_its_bucket_has_enough() {
        let meter = Meter::new(Rate { per_second: 2.0, burst: 3.0 });
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let begin = Instant::now();
        let take =
            |client: IpAddr, ms: u64| meter.take_at(client, 1.0, begin + Duration::from_millis(ms));
        assert_eq!([take(client, 0), take(client, 0), take(client, 0)], [Ok(()); 3]);
        assert_eq!(take(client, 0), Err(1));
        assert_eq!(take(client, 499), Err(1));
        assert_eq!(take(client, 500), Ok(()));
        assert_eq!(take(client, 500), Err(1));
        // Others are not concerned; the same address in another form is not another one.
        assert_eq!(take("192.0.2.2".parse().unwrap(), 500), Ok(()));
        assert_eq!(take("::ffff:192.0.2.1".parse().unwrap(), 500), Err(1));
        for end in ["::1", "::2", "::3"] {
            assert_eq!(take(format!("2001:db8:0:1{end}").parse().unwrap(), 0), Ok(()));
        }
        assert_eq!(take("2001:db8:0:1::4".parse().unwrap(), 0), Err(1));
        assert_eq!(take("2001:db8:0:2::4".parse().unwrap(), 0), Ok(()));
        // A long pause gives no more than the bucket holds.
        assert_eq!([take(client, 90_000), take(client, 90_000), take(client, 90_000)], [Ok(()); 3]);
        assert_eq!(take(client, 90_000), Err(1));
        let answer = meter.take(client, 1000.0).unwrap_err();
        assert_eq!(answer.status().as_u16(), 429);
    }

    #[test]
    fn the_memory_for_clients_is_limited() {
        let meter = Meter::new(Rate { per_second: 0.001, burst: 1.0 });
        let now = Instant::now();
        for number in 0..(RATE_CLIENTS + 10) as u32 {
            let _ = meter.take_at(IpAddr::V4(number.into()), 1.0, now);
        }
        assert!(meter.buckets.lock().unwrap().len() <= RATE_CLIENTS);
    }
}
