//! Whether a container that has ended is started again, and when.

use crate::error::{Error, Result};
use crate::record::Restart;

const FIRST_DELAY_MS: u64 = 100;
const DELAY_LIMIT_MS: u64 = 60_000;
/// Whoever ran for so long starts anew.
const GOOD_RUN_MS: u64 = 10_000;

/// How long the next start waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BackOff {
    delay_ms: u64,
}

impl BackOff {
    /// After a run that took `run_ms`.
    pub(super) fn next(&mut self, run_ms: u64) -> u64 {
        self.delay_ms = match self.delay_ms {
            _ if run_ms >= GOOD_RUN_MS => FIRST_DELAY_MS,
            0 => FIRST_DELAY_MS,
            delay => (delay * 2).min(DELAY_LIMIT_MS),
        };
        self.delay_ms
    }
}

/// Whether it is started again after this exit.
pub(super) fn is_due(policy: &Restart, exit_code: i32, restarts: u32, stopped: bool) -> bool {
    match policy.policy.as_str() {
        _ if stopped => false,
        "always" | "unless-stopped" => true,
        "on-failure" => {
            exit_code != 0 && (policy.max_retries == 0 || restarts < policy.max_retries)
        }
        _ => false,
    }
}

/// Reads docker's form: `on-failure[:N]` and so on.
pub fn parse(text: &str) -> Result<Restart> {
    let bad = |why: &str| {
        Error::invalid(format!("--restart {text:?}: {why}"))
            .with_hint("no, on-failure[:MAX-RETRIES], always and unless-stopped are")
    };
    let (policy, count) = match text.split_once(':') {
        Some((policy, count)) => (policy, Some(count)),
        None => (text, None),
    };
    let max_retries = match count {
        None => 0,
        Some(_) if policy != "on-failure" => {
            return Err(bad("maximum retry count can only be used with 'on-failure'"));
        }
        Some(count) => count.parse().map_err(|_| bad("maximum retry count must be an integer"))?,
    };
    match policy {
        "" | "no" => Ok(Restart::default()),
        "on-failure" | "always" | "unless-stopped" => {
            Ok(Restart { policy: policy.into(), max_retries })
        }
        _ => Err(bad("it is no policy")),
    }
}

#[test]
fn policies_are_kept() {
    let of = |text: &str| parse(text).unwrap();
    assert!(!is_due(&of("no"), 1, 0, false));
    assert!(is_due(&of("always"), 0, 1000, false));
    assert!(!is_due(&of("always"), 0, 0, true));
    assert!(!is_due(&of("on-failure"), 0, 0, false));
    assert!(is_due(&of("on-failure"), 1, 99, false));
    assert!(is_due(&of("on-failure:2"), 1, 1, false));
    assert!(!is_due(&of("on-failure:2"), 1, 2, false));
    for bad in ["x", "always:2", "on-failure:x", "on-failure:-1"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn failures_in_a_row_wait_longer() {
    let mut back_off = BackOff::default();
    let delays: Vec<u64> = [0, 0, 0, 20_000, 0].iter().map(|run| back_off.next(*run)).collect();
    assert_eq!(delays, [100, 200, 400, 100, 200]);
    assert_eq!((0..20).map(|_| back_off.next(0)).last(), Some(60_000));
}
