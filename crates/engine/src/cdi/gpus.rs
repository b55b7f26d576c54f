//! `--gpus`, as docker and podman have it: which devices it means.

use super::Catalogue;
use crate::error::{Error, Result};

/// What a container is to use of its GPUs, by the names of NVIDIA's tools.
const CAPABILITIES: [&str; 9] =
    ["gpu", "nvidia", "compute", "compat32", "graphics", "utility", "video", "display", "ngx"];
const HINT: &str = "write all, a number, or device=ID[,ID]...; `tare info` lists the devices";

/// What `--gpus` comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gpus {
    /// Full names of devices.
    pub devices: Vec<String>,
    /// `NVIDIA_DRIVER_CAPABILITIES`, if some were named.
    pub capabilities: Vec<String>,
}

enum Wanted {
    Count(usize),
    All,
    Devices(Vec<String>),
}

/// Reads `all`, a number, or `count=2,driver=nvidia,capabilities=utility,"device=0,1"`.
pub fn choose(text: &str, all: &Catalogue) -> Result<Gpus> {
    let bad = |why: &str| Error::invalid(format!("--gpus {text:?}: {why}")).with_hint(HINT);
    let count = |text: &str| match text {
        "all" | "-1" => Some(Wanted::All),
        number => number.parse().ok().map(Wanted::Count),
    };
    let (mut wanted, mut kind) = (None, "nvidia.com/gpu");
    let (mut capabilities, mut last) = (Vec::new(), String::new());
    for field in fields(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.trim().to_owned(), value.trim().to_owned()),
            None if count(&field).is_some() && last.is_empty() => ("count".into(), field),
            // `device=0,1` without the quotes that a shell has taken.
            None if !last.is_empty() => (last.clone(), field),
            None => return Err(bad("it is neither a number nor KEY=VALUE")),
        };
        match key.as_str() {
            "count" => wanted = Some(count(&value).ok_or_else(|| bad("count is no number"))?),
            "device" => {
                let more =
                    value.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned);
                match &mut wanted {
                    Some(Wanted::Devices(devices)) => devices.extend(more),
                    None => wanted = Some(Wanted::Devices(more.collect())),
                    Some(_) => return Err(bad("a number and devices are said both")),
                }
            }
            "driver" => {
                kind = match value.as_str() {
                    "" | "nvidia" | "cdi" => kind,
                    "amd" => "amd.com/gpu",
                    _ => return Err(bad("this driver is none of nvidia, amd and cdi")),
                };
            }
            "capabilities" => {
                for name in value.split(',').map(str::trim).filter(|it| !it.is_empty()) {
                    if !CAPABILITIES.contains(&name) && name != "all" {
                        return Err(bad(&format!("no driver has the capability {name:?}")));
                    }
                    capabilities.push(name.to_owned());
                }
            }
            "options" => return Err(bad("options are the drivers' own, of which there are none")),
            _ => return Err(bad(&format!("unexpected key {key:?}"))),
        }
        last = key;
    }
    let devices = match wanted.unwrap_or(Wanted::All) {
        Wanted::Devices(ids) if ids.is_empty() => return Err(bad("it names no device")),
        Wanted::Devices(ids) => ids.iter().map(|id| full(kind, id)).collect(),
        Wanted::Count(0) => Vec::new(),
        wanted => counted(kind, &wanted, all)?,
    };
    all.check(&devices)?;
    capabilities.retain(|it| !matches!(it.as_str(), "gpu" | "nvidia"));
    Ok(Gpus { devices, capabilities })
}

/// The fields of a list, where quotes hold commas (as CSV).
fn fields(text: &str) -> Vec<String> {
    let (mut fields, mut is_quoted) = (vec![String::new()], false);
    for it in text.chars() {
        match it {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            it => fields.last_mut().into_iter().for_each(|field| field.push(it)),
        }
    }
    fields.into_iter().map(|field| field.trim().to_owned()).collect()
}

fn full(kind: &str, id: &str) -> String {
    if super::is_name(id) { id.to_owned() } else { format!("{kind}={id}") }
}

/// All devices of a kind, or the first ones. A vendor may give one several names: those with numbers count, if there
/// are some.
fn counted(kind: &str, wanted: &Wanted, all: &Catalogue) -> Result<Vec<String>> {
    let whole = format!("{kind}=all");
    if matches!(wanted, Wanted::All) && all.names().any(|name| name == whole) {
        return Ok(vec![whole]);
    }
    let of_kind =
        |name: &&str| name.split_once('=').is_some_and(|(it, id)| it == kind && id != "all");
    let named: Vec<&str> = all.names().filter(of_kind).collect();
    let number = |name: &&str| name.rsplit('=').next().and_then(|id| id.parse::<u32>().ok());
    let mut numbered: Vec<&str> =
        named.iter().copied().filter(|name| number(name).is_some()).collect();
    numbered.sort_by_key(number);
    let mut devices = if numbered.is_empty() { named } else { numbered };
    if let Wanted::Count(count) = wanted {
        if devices.len() < *count && !devices.is_empty() {
            let text = format!("--gpus {count}: there are {} of {kind}", devices.len());
            return Err(Error::invalid(text).with_hint("`tare info` lists them"));
        }
        devices.truncate(*count);
    }
    match devices.is_empty() {
        // Says where they are looked for.
        true => all.check(&[whole]).map(|()| Vec::new()),
        false => Ok(devices.into_iter().map(str::to_owned).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(test: &str, names: &[&str]) -> Catalogue {
        let dir = std::env::temp_dir().join(format!("tare-gpus-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let devices: String =
            names.iter().map(|it| format!("- name: \"{it}\"\n  containerEdits: {{}}\n")).collect();
        let text = format!("cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ndevices:\n{devices}");
        std::fs::write(dir.join("gpus.yaml"), text).unwrap();
        let all = Catalogue::read(std::slice::from_ref(&dir));
        std::fs::remove_dir_all(dir).unwrap();
        all
    }

    #[test]
    fn numbers_and_devices_are_chosen() {
        let all = machine("chosen", &["0", "1", "10", "2", "GPU-a", "all"]);
        for (text, names) in [
            ("all", &["all"][..]),
            ("-1", &["all"]),
            ("0", &[]),
            ("3", &["0", "1", "2"]),
            ("count=4", &["0", "1", "2", "10"]),
            ("device=GPU-a", &["GPU-a"]),
            ("\"device=0,1\"", &["0", "1"]),
            ("device=0,1", &["0", "1"]),
            ("device=0,device=2", &["0", "2"]),
            ("driver=nvidia,count=1", &["0"]),
            ("device=nvidia.com/gpu=1,driver=cdi", &["1"]),
        ] {
            let devices: Vec<String> =
                names.iter().map(|it| format!("nvidia.com/gpu={it}")).collect();
            assert_eq!(choose(text, &all).unwrap().devices, devices, "{text}");
        }
        let said = choose("all,\"capabilities=gpu,compute,utility\"", &all).unwrap();
        assert_eq!(said.capabilities, ["compute", "utility"]);
        for bad in [
            "",
            "x",
            "5",
            "device=",
            "device=9",
            "count=x",
            "driver=x",
            "options=a",
            "a=b",
            "1,device=0",
        ] {
            assert!(choose(bad, &all).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_machine_without_gpus_says_how_to_describe_them() {
        for text in ["all", "1", "device=0"] {
            let error = choose(text, &Catalogue::read(&["/nowhere".into()])).unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.contains("nvidia-ctk")), "{error:?}");
        }
    }
}
