//! `update`: from options to resources.

use crate::args::{Args, Flag};
use alloc::format;
use alloc::string::ToString;
use oci::runtime::{IntelRdt, Resources};
use runtime::error::Error;

const fn limit(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, value: Some("VALUE"), help }
}

/// Options of `update`.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "resources",
        short: Some('r'),
        value: Some("FILE"),
        help: "read resources as JSON from FILE, or - for standard input",
    },
    limit("blkio-weight", "weight of block I/O (10 to 1000)"),
    limit("cpu-period", "CPU period in microseconds"),
    limit("cpu-quota", "CPU time in a period in microseconds"),
    limit("cpu-burst", "CPU time that can be saved up in microseconds"),
    limit("cpu-share", "relative CPU weight"),
    limit("cpu-rt-period", "real-time CPU period in microseconds"),
    limit("cpu-rt-runtime", "real-time CPU time in a period in microseconds"),
    limit("cpuset-cpus", "CPUs to use (0-2,7)"),
    limit("cpuset-mems", "memory nodes to use"),
    limit("kernel-memory", "obsolete, ignored"),
    limit("kernel-memory-tcp", "kernel memory for TCP buffers"),
    limit("memory", "memory limit (bytes, or with k, m, g)"),
    limit("memory-reservation", "soft memory limit"),
    limit("memory-swap", "memory and swap limit; -1 for none"),
    limit("pids-limit", "number of processes; -1 for no limit"),
    limit("cpu-idle", "1: only use idle CPU time"),
    limit("l3-cache-schema", "Intel RDT L3 cache schema"),
    limit("mem-bw-schema", "Intel RDT memory bandwidth schema"),
    Flag { name: "help", short: Some('h'), value: None, help: "show help" },
];

/// The limits that the command line asks for.
pub fn resources(args: &Args) -> Result<Resources, Error> {
    if let Some(path) = args.get("resources") {
        return runtime::config::load_resources(path);
    }
    let mut resources = Resources::default();
    let mut cpu = oci::runtime::Cpu {
        shares: args.number("cpu-share")?,
        quota: args.number("cpu-quota")?,
        burst: args.number("cpu-burst")?,
        period: args.number("cpu-period")?,
        realtime_runtime: args.number("cpu-rt-runtime")?,
        realtime_period: args.number("cpu-rt-period")?,
        idle: args.number("cpu-idle")?,
        ..Default::default()
    };
    cpu.cpus = args.get("cpuset-cpus").unwrap_or("").to_string();
    cpu.mems = args.get("cpuset-mems").unwrap_or("").to_string();
    if cpu != oci::runtime::Cpu::default() {
        resources.cpu = Some(cpu);
    }
    let memory = oci::runtime::Memory {
        limit: size(args, "memory")?,
        reservation: size(args, "memory-reservation")?,
        swap: size(args, "memory-swap")?,
        kernel_tcp: size(args, "kernel-memory-tcp")?,
        ..Default::default()
    };
    if memory != oci::runtime::Memory::default() {
        resources.memory = Some(memory);
    }
    if let Some(limit) = args.number("pids-limit")? {
        resources.pids = Some(oci::runtime::Pids { limit: Some(limit) });
    }
    if let Some(weight) = args.number("blkio-weight")? {
        let io = oci::runtime::BlockIo { weight: Some(weight), ..Default::default() };
        resources.block_io = Some(io);
    }
    Ok(resources)
}

/// The schemata that the command line asks for.
pub fn schemata(args: &Args) -> IntelRdt {
    IntelRdt {
        l3_cache_schema: args.get("l3-cache-schema").unwrap_or("").to_string(),
        mem_bw_schema: args.get("mem-bw-schema").unwrap_or("").to_string(),
        ..Default::default()
    }
}

/// Bytes: a number with an optional k, m, g or t (powers of 1024) and b.
fn size(args: &Args, name: &str) -> Result<Option<i64>, Error> {
    let Some(text) = args.get(name) else { return Ok(None) };
    let bad = || Error::invalid(format!("invalid value {text:?} for --{name}: it is not a size"));
    let lower = text.to_ascii_lowercase();
    let plain = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, shift) = match plain.as_bytes().last() {
        Some(b'k') => (&plain[..plain.len() - 1], 10),
        Some(b'm') => (&plain[..plain.len() - 1], 20),
        Some(b'g') => (&plain[..plain.len() - 1], 30),
        Some(b't') => (&plain[..plain.len() - 1], 40),
        _ => (plain, 0),
    };
    let number: i64 = digits.parse().map_err(|_| bad())?;
    if number < -1 {
        return Err(bad());
    }
    number.checked_mul(1 << shift).filter(|_| number >= 0 || shift == 0).map(Some).ok_or_else(bad)
}
