//! What containers say: written by their supervisors, read by anybody.

mod attributes;
mod escape;
mod journal;
mod journal_reader;
mod reader;
mod writer;

pub use reader::{Entry, LogReader, Wanted};
pub(crate) use writer::Writer;

use crate::error::{Error, Result};
use crate::record::LogConfig;
use oci::Map;

/// Longer lines are parts of several entries, as docker's and the kubelet's.
const PART_LIMIT_BYTES: usize = 16 * 1024;
/// More files are nobody's logs.
const FILES_LIMIT: u32 = 1000;

/// How a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    JsonFile,
    K8sFile,
    Journald,
    None,
}

/// A driver with its options, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) driver: Driver,
    /// 0: of any size.
    pub(crate) max_bytes: u64,
    pub(crate) max_files: u32,
    pub(crate) path: Option<String>,
    pub(crate) tag: String,
}

/// Checks a driver and its options.
pub fn check(config: &LogConfig) -> Result<()> {
    settings(config).map(drop)
}

/// How large its file may become; 0 for any size.
pub fn limit_bytes(config: &LogConfig) -> u64 {
    settings(config).map_or(0, |settings| settings.max_bytes)
}

pub(crate) fn settings(config: &LogConfig) -> Result<Settings> {
    let driver = match config.driver.as_str() {
        "" | "json-file" | "local" => Driver::JsonFile,
        "k8s-file" => Driver::K8sFile,
        "journald" => Driver::Journald,
        "none" | "passthrough" => Driver::None,
        other => {
            return Err(Error::invalid(format!(
                "logger: no log driver named '{other}' is registered"
            ))
            .with_hint("json-file, k8s-file, journald and none are"));
        }
    };
    let mut settings =
        Settings { driver, max_bytes: 0, max_files: 1, path: None, tag: String::new() };
    read_options(&config.options, &mut settings)?;
    let is_file = matches!(driver, Driver::JsonFile | Driver::K8sFile);
    for name in ["max-size", "max-file", "path", "compress"] {
        if !is_file && config.options.get(name).is_some() {
            return Err(Error::invalid(format!(
                "--log-opt {name}: the driver {} writes no file",
                config.driver
            ))
            .with_hint("it is for json-file and k8s-file"));
        }
    }
    Ok(settings)
}

fn read_options(options: &Map, settings: &mut Settings) -> Result<()> {
    for (name, value) in options.iter() {
        let bad = |why: &str| Error::invalid(format!("--log-opt {name}={value}: {why}"));
        match name.as_str() {
            "max-size" => {
                settings.max_bytes = size(value).ok_or_else(|| bad("it is no size"))?;
            }
            "max-file" => {
                let count = value.parse().ok().filter(|count| (1..=FILES_LIMIT).contains(count));
                settings.max_files = count.ok_or_else(|| bad("it is no number of files"))?;
            }
            "path" => settings.path = Some(value.clone()),
            "tag" => {
                attributes::check_tag(value)?;
                settings.tag.clone_from(value);
            }
            "compress" if value == "false" => {}
            "compress" => {
                return Err(bad("files that are put aside are not packed")
                    .with_hint("max-size and max-file bound what they take"));
            }
            "labels" | "env" => {}
            "labels-regex" | "env-regex" => {
                return Err(bad("names are not looked for by patterns")
                    .with_hint("labels=NAME,... and env=NAME,... take names"));
            }
            // A log that cannot be written costs entries, and never the container's time.
            "mode" if matches!(value.as_str(), "blocking" | "non-blocking") => {}
            "mode" => return Err(bad("it is neither blocking nor non-blocking")),
            "max-buffer-size" => {
                size(value).ok_or_else(|| bad("it is no size"))?;
            }
            _ => return Err(bad("unknown log opt")),
        }
    }
    Ok(())
}

/// `10m`; -1 is any.
fn size(text: &str) -> Option<u64> {
    if text == "-1" {
        return Some(0);
    }
    let lower = text.to_ascii_lowercase();
    let plain = lower.strip_suffix('b').unwrap_or(&lower);
    // As docker and podman: of this option powers of 1000.
    let units = [('k', 1e3), ('m', 1e6), ('g', 1e9)];
    let found = units.iter().find_map(|(unit, scale)| Some((plain.strip_suffix(*unit)?, *scale)));
    let (number, scale) = found.unwrap_or((plain, 1.0));
    // As docker: 1.5m, too.
    let bytes = number.parse::<f64>().ok()? * scale;
    (1.0..9e18).contains(&bytes).then_some(bytes as u64)
}

#[test]
fn options_are_checked() {
    let of = |driver: &str, options: &[(&str, &str)]| {
        let mut map = Map::default();
        options.iter().for_each(|(name, value)| map.insert((*name).into(), (*value).into()));
        settings(&LogConfig { driver: driver.into(), options: map })
    };
    let good = of("", &[("max-size", "10m"), ("max-file", "3")]).unwrap();
    assert_eq!((good.driver, good.max_bytes, good.max_files), (Driver::JsonFile, 10_000_000, 3));
    assert!(of("x", &[]).is_err());
    assert_eq!(of("", &[("max-size", "1.5k")]).unwrap().max_bytes, 1500);
    for bad in [
        ("max-size", "nan"),
        ("max-size", "x"),
        ("max-size", "0"),
        ("max-file", "0"),
        ("nosuch", "1"),
    ] {
        assert!(of("json-file", &[bad]).is_err(), "{bad:?}");
    }
}
