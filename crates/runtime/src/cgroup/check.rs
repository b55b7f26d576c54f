//! What is wrong with limits whatever the machine: found before a directory is made.

use super::devices::Rules;
use super::layout::Version;
use super::v1::set;
use super::{convert, device_filter, v2};
use crate::error::{Error, Result};
use alloc::format;
use oci::runtime::{Cpu, Memory, Resources};

/// Longest value of a limit that is text: control files take a page.
const VALUE_LIMIT_BYTES: usize = 4095;

/// Checks what needs no look at the machine. Every refusal names the field or quotes the value.
pub fn check_resources(resources: &Resources, version: Version) -> Result<()> {
    Rules::parse(&resources.devices)?;
    if let Some(memory) = &resources.memory {
        check_memory(memory, version)?;
    }
    if let Some(cpu) = &resources.cpu {
        check_cpu(cpu, version)?;
    }
    for limit in &resources.hugepage_limits {
        check_page_size(&limit.page_size)?;
    }
    for device in resources.rdma.keys() {
        check_text("linux.resources.rdma", device)?;
    }
    for interface in resources.network.iter().flat_map(|network| &network.priorities) {
        check_text("linux.resources.network.priorities", &interface.name)?;
    }
    if version == Version::V2 {
        for (key, value) in &resources.unified {
            v2::check_unified_key(key)?;
            check_text(&format!("linux.resources.unified[{key:?}]"), value)?;
        }
    }
    Ok(())
}

fn check_memory(memory: &Memory, version: Version) -> Result<()> {
    for (field, size) in
        [("limit", memory.limit), ("reservation", memory.reservation), ("swap", memory.swap)]
    {
        if let Some(size) = size.filter(|&size| size < -1) {
            let what = format!("linux.resources.memory.{field}: {size} is neither a size nor -1");
            return Err(Error::invalid(what));
        }
    }
    if version == Version::V2 {
        // A sum that is given alone is about the limit in force, which an update has to read.
        return match set(memory.limit) {
            Some(limit) => convert::swap_alone(memory.swap.unwrap_or(0), limit).map(drop),
            None => Ok(()),
        };
    }
    match memory.swappiness {
        // -1, in an unsigned field.
        None | Some(u64::MAX | 0..=100) => Ok(()),
        Some(value) => {
            Err(Error::invalid(format!("invalid memory.swappiness {value}: the range is 0-100")))
        }
    }
}

fn check_cpu(cpu: &Cpu, version: Version) -> Result<()> {
    if let Some(shares) = set(cpu.shares).filter(|_| version != Version::V2) {
        convert::check_shares(shares)?;
    }
    for (field, list) in [("cpus", &cpu.cpus), ("mems", &cpu.mems)] {
        crate::process::parse_list(list)
            .map_err(|why| Error::invalid(format!("linux.resources.cpu.{field}: {why}")))?;
    }
    Ok(())
}

/// A page size is part of a file's name.
pub(super) fn check_page_size(page_size: &str) -> Result<()> {
    if page_size.is_empty() || page_size.contains(['/', '\0']) {
        let shown = page_size.escape_debug();
        let what = format!("linux.resources.hugepageLimits: \"{shown}\" is not a page size");
        return Err(Error::invalid(what));
    }
    Ok(())
}

fn check_text(field: &str, text: &str) -> Result<()> {
    if text.len() > VALUE_LIMIT_BYTES || text.contains('\0') {
        let what = "has a NUL character or more bytes than a control file takes";
        return Err(Error::invalid(format!("{field}: {what}")));
    }
    Ok(())
}

/// Works out all that would be written for limits, or sent to systemd, and does neither.
pub(crate) fn rehearse(resources: &Resources, version: Version) -> Result<()> {
    let rules = Rules::parse(&resources.devices)?;
    device_filter::program(&rules);
    rules.writes_from(None);
    rules.writes_from(Some(&Rules::default()));
    super::create::warnings(resources, version);
    super::systemd::rehearse(resources, version)
}
