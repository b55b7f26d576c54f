//! What a class has and uses, in the shape that `runc events` prints.

use super::{monitoring_group, mount_of, read};
use crate::error::{Attempt, Result};
use crate::state::Record;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::{CWD, fs};

oci::report! {
    /// Everything.
    RdtStats(snake) {
        l3_cache_info: Option<CacheInfo>,
        l3_cache_schema_root: String,
        l3_cache_schema: String,
        mem_bw_info: Option<BandwidthInfo>,
        mem_bw_schema_root: String,
        mem_bw_schema: String,
        schemata: Vec<String>,
        mbm_stats: Option<Vec<BandwidthUse>>,
        cmt_stats: Option<Vec<CacheUse>>,
    }

    /// How the L3 cache can be divided.
    CacheInfo(snake) {
        cbm_mask: String,
        min_cbm_bits: u64,
        num_closids: u64,
    }

    /// How memory bandwidth can be divided.
    BandwidthInfo(snake) {
        bandwidth_gran: u64,
        delay_linear: u64,
        min_bandwidth: u64,
        num_closids: u64,
    }

    /// Bytes that went through one memory controller; null: the counter is not available.
    BandwidthUse(snake) {
        mbm_total_bytes: Option<u64> => always,
        mbm_local_bytes: Option<u64> => always,
    }

    /// Bytes of one cache that are in use; null: the counter is not available.
    CacheUse(snake) {
        llc_occupancy: Option<u64> => always,
    }
}

/// Reads what the container's class has, and what it or the container's own group uses.
pub(crate) fn stats(record: &Record) -> Result<RdtStats> {
    let class = record.rdt_class.as_str();
    if class.is_empty() {
        return Ok(RdtStats::default());
    }
    let root = mount_of(class);
    let lines = |dir: &str| -> Result<Vec<String>> {
        let text = read(dir, "schemata").attempt(|| format!("reading {dir}/schemata"))?;
        Ok(text.lines().map(|line| line.trim().into()).collect())
    };
    let (of_root, of_class) = (lines(root)?, lines(class)?);
    let line = |lines: &[String], name: &str| {
        lines.iter().rfind(|line| line.starts_with(name)).cloned().unwrap_or_default()
    };
    let mut stats = RdtStats::default();
    if fs::exists(CWD, format!("{root}/info/L3")) {
        let number = |file: &str| number(root, &format!("info/L3/{file}")).unwrap_or(0);
        stats.l3_cache_info = Some(CacheInfo {
            cbm_mask: read(root, "info/L3/cbm_mask").unwrap_or_default().trim().into(),
            min_cbm_bits: number("min_cbm_bits"),
            num_closids: number("num_closids"),
        });
        stats.l3_cache_schema_root = line(&of_root, "L3");
        stats.l3_cache_schema = line(&of_class, "L3");
    }
    if fs::exists(CWD, format!("{root}/info/MB")) {
        let number = |file: &str| number(root, &format!("info/MB/{file}")).unwrap_or(0);
        stats.mem_bw_info = Some(BandwidthInfo {
            bandwidth_gran: number("bandwidth_gran"),
            delay_linear: number("delay_linear"),
            min_bandwidth: number("min_bandwidth"),
            num_closids: number("num_closids"),
        });
        stats.mem_bw_schema_root = line(&of_root, "MB");
        stats.mem_bw_schema = line(&of_class, "MB");
    }
    stats.schemata = of_class;
    read_counters(root, monitoring_group(record).unwrap_or(class), &mut stats)?;
    Ok(stats)
}

fn read_counters(root: &str, group: &str, stats: &mut RdtStats) -> Result<()> {
    let features = read(root, "info/L3_MON/mon_features").unwrap_or_default();
    let counts = |name: &str| features.lines().any(|line| line == name);
    let (total, local) = (counts("mbm_total_bytes"), counts("mbm_local_bytes"));
    let occupancy = counts("llc_occupancy");
    if !(total || local || occupancy) {
        return Ok(());
    }
    let attempt = || format!("reading {group}/mon_data");
    let dir = fs::open_at(CWD, format!("{group}/mon_data"), fs::O_RDONLY | fs::O_DIRECTORY, 0)
        .attempt(attempt)?;
    let mut caches: Vec<String> = fs::read_dir(dir.borrow())
        .attempt(attempt)?
        .into_iter()
        .filter(|entry| entry.is_dir())
        .filter_map(|entry| String::from_utf8(entry.name).ok())
        .collect();
    oci::sort_by(&mut caches, Ord::cmp);
    let value = |cache: &String, name: &str, counted: bool| match counted {
        true => number(group, &format!("mon_data/{cache}/{name}")),
        false => Some(0),
    };
    if total || local {
        let used = |cache| BandwidthUse {
            mbm_total_bytes: value(cache, "mbm_total_bytes", total),
            mbm_local_bytes: value(cache, "mbm_local_bytes", local),
        };
        stats.mbm_stats = Some(caches.iter().map(used).collect());
    }
    if occupancy {
        let used = |cache| CacheUse { llc_occupancy: value(cache, "llc_occupancy", true) };
        stats.cmt_stats = Some(caches.iter().map(used).collect());
    }
    Ok(())
}

/// A number; `None` where the kernel says "Unavailable" or "Error", or nothing at all.
fn number(dir: &str, file: &str) -> Option<u64> {
    read(dir, file).ok()?.trim().parse().ok()
}
