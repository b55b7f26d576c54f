//! v1 values as v2 has them. The specification's fields have v1's units and ranges.

use crate::error::{Error, Result};
use alloc::format;

/// Range of `cpu.shares` in the kernel (`MIN_SHARES`, `MAX_SHARES` in kernel/sched/sched.h).
const SHARES: core::ops::RangeInclusive<u64> = 2..=1 << 18;

/// `cpu.weight` (1-10000, default 100) of `cpu.shares` (2-262144, default 1024).
///
/// The formula of runc since 1.3.2 and of crun since 1.24: with l = log2(shares) it is
/// 10^((l^2 + 125 l) / 612 - 7/34), which meets both ends and the default. (The older linear one
/// gave the default 39.)
pub(super) fn weight_of_shares(shares: u64) -> u64 {
    if shares <= *SHARES.start() {
        return 1;
    }
    if shares >= *SHARES.end() {
        return 10_000;
    }
    let l = log2(shares as f64);
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    let weight = exp(exponent * core::f64::consts::LN_10);
    // Up to the next whole number; what is one but for rounding (2^10 gives 100) is that one.
    let whole = weight as u64;
    if weight - whole as f64 > 1e-9 { whole + 1 } else { whole }
}

/// log2 for x >= 1: the exponent, and the series of atanh for the fraction.
fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let fraction = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    let z = (fraction - 1.0) / (fraction + 1.0);
    let (mut power, mut sum) = (z, 0.0);
    // z <= 1/3, so the 20th term is below 1e-19.
    for n in 0..20 {
        sum += power / f64::from(2 * n + 1);
        power *= z * z;
    }
    exponent as f64 + 2.0 * sum * core::f64::consts::LOG2_E
}

/// e^x for 0 <= x <= 10: the series of x/16, squared four times.
fn exp(x: f64) -> f64 {
    let x = x / 16.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..20 {
        term *= x / f64::from(n);
        sum += term;
    }
    (0..4).fold(sum, |value, _| value * value)
}

/// Checks `cpu.shares`, which the kernel would silently pull into its range.
pub(super) fn check_shares(shares: u64) -> Result<()> {
    if SHARES.contains(&shares) {
        return Ok(());
    }
    let (which, bound) = match shares < *SHARES.start() {
        true => ("minimum", SHARES.start()),
        false => ("maximum", SHARES.end()),
    };
    Err(Error::invalid(format!("cpu.shares {shares}: the {which} allowed cpu-shares is {bound}")))
}

/// `io.weight` (1-10000) of `blkio.weight` (10-1000), linearly.
pub(super) fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight).saturating_sub(10) * 9999 / 990
}

/// `memory.swap.max` of the sum of memory and swap that v1 and the specification have.
/// `None`: not set. -1 is `max`.
pub(super) fn swap_alone(memory_swap: i64, memory: i64) -> Result<Option<i64>> {
    match (memory_swap, memory) {
        // Unlimited memory takes the swap limit away with it.
        (0, -1) => Ok(Some(-1)),
        (0, _) => Ok(None),
        (-1, _) | (_, -1) => Ok(Some(memory_swap)),
        (_, 0) => Err(Error::invalid("unable to set swap limit without memory limit")),
        (_, memory) if memory < 0 => {
            Err(Error::invalid(format!("memory.limit {memory} is not a size")))
        }
        (sum, memory) if sum < memory => Err(Error::invalid(format!(
            "memory.swap {sum}: memory+swap limit should be >= memory limit {memory}"
        ))),
        (sum, memory) => Ok(Some(sum - memory)),
    }
}

/// `pids.max`. 0 is written as 1 as runc does: systemd knows no `TasksMax=0`, and a container's
/// first process is moved in, not forked, so both forbid any fork.
pub(super) fn pids_max(limit: i64) -> Option<u64> {
    match limit {
        0 => Some(1),
        limit => u64::try_from(limit).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_runc_for_every_share() {
        for shares in 3..262_144u64 {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            let expected = 10f64.powf(exponent).ceil() as u64;
            assert_eq!(weight_of_shares(shares), expected, "{shares}");
        }
        let known = [(0, 1), (2, 1), (100, 17), (1024, 100), (3333, 256), (262_144, 10_000)];
        for (shares, weight) in known {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        assert_eq!(weight_of_shares(u64::MAX), 10_000);
    }

    #[test]
    fn shares_out_of_range_are_named() {
        assert!(check_shares(2).is_ok() && check_shares(262_144).is_ok());
        assert!(check_shares(1).unwrap_err().to_string().contains("minimum"));
        assert!(check_shares(262_145).unwrap_err().to_string().contains("maximum"));
    }

    #[test]
    fn io_weight_is_linear() {
        for (weight, expected) in [(0, 1), (10, 1), (500, 4950), (750, 7475), (1000, 10_000)] {
            assert_eq!(io_weight(weight), expected);
        }
    }

    #[test]
    fn swap_is_the_sum_less_memory() {
        for (sum, memory, expected) in [
            (0, 0, Some(None)),
            (0, 100, Some(None)),
            (0, -1, Some(Some(-1))),
            (-1, 0, Some(Some(-1))),
            (-1, 100, Some(Some(-1))),
            (300, -1, Some(Some(300))),
            (300, 100, Some(Some(200))),
            (100, 100, Some(Some(0))),
            (99, 100, None),
            (99, 0, None),
            (99, -2, None),
        ] {
            assert_eq!(swap_alone(sum, memory).ok(), expected, "{sum} {memory}");
        }
    }

    #[test]
    fn pids_limits_keep_their_meaning() {
        assert_eq!([-1, 0, 1, 20].map(pids_max), [None, Some(1), Some(1), Some(20)]);
    }
}
