//! Devices by the Container Device Interface (CDI, up to 1.1): files in which vendors say what a container needs to use
//! a device of theirs. A device is named `VENDOR/CLASS=NAME`.
//!
//! Of files that name the same device the one of the later directory counts; two of one directory contradict each other,
//! and the device cannot be used. A file that cannot be read takes nothing away from the others. What is found is
//! applied when a container starts: a new driver means new paths.

pub mod gpus;
mod spec;

pub(crate) use spec::{Edits, Hook, Mount, Node};

use crate::error::{Error, Kind, Result};
use spec::Spec;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files of one directory.
const FILES_LIMIT: usize = 1024;
/// Names that a message lists.
const SHOWN_LIMIT: usize = 12;

/// What the directories have.
#[derive(Debug, Default)]
pub struct Catalogue {
    dirs: Vec<PathBuf>,
    specs: Vec<(PathBuf, Spec)>,
    /// By full names: the number of the specification, and that of the device there.
    devices: BTreeMap<String, Place>,
    /// Files that were not read, and why.
    refused: Vec<(PathBuf, String)>,
}

#[derive(Debug)]
struct Place {
    dir: usize,
    spec: usize,
    device: usize,
    /// Another file of the same directory.
    rival: Option<usize>,
}

/// Whether a text is the name of a device, and no path: `VENDOR/CLASS=NAME`.
pub fn is_name(text: &str) -> bool {
    let parts = || {
        let (kind, name) = text.split_once('=')?;
        let (vendor, class) = kind.split_once('/')?;
        Some(spec::is_name(vendor) && spec::is_name(class) && spec::is_device_name(name))
    };
    parts().unwrap_or(false)
}

impl Catalogue {
    /// Reads all files of the directories, the last of which counts most.
    pub fn read(dirs: &[PathBuf]) -> Self {
        let mut all = Self { dirs: dirs.to_vec(), ..Self::default() };
        for (number, dir) in dirs.iter().enumerate() {
            for path in files(dir) {
                match spec::read(&path) {
                    Ok(spec) => all.add(number, path, spec),
                    Err(why) => all.refused.push((path, why)),
                }
            }
        }
        all
    }

    fn add(&mut self, dir: usize, path: PathBuf, spec: Spec) {
        let number = self.specs.len();
        for (device, it) in spec.devices.iter().enumerate() {
            let name = format!("{}={}", spec.kind, it.name);
            match self.devices.get_mut(&name) {
                Some(known) if known.dir == dir => known.rival = Some(number),
                _ => {
                    let place = Place { dir, spec: number, device, rival: None };
                    self.devices.insert(name, place);
                }
            }
        }
        self.specs.push((path, spec));
    }

    /// The devices that can be used, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.devices
            .iter()
            .filter(|(_, place)| place.rival.is_none())
            .map(|(name, _)| name.as_str())
    }

    /// Files that were not read, and why.
    pub fn refused(&self) -> &[(PathBuf, String)] {
        &self.refused
    }

    /// Where was looked.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Whether all these devices are there.
    pub fn check(&self, names: &[String]) -> Result<()> {
        self.edits(names).map(drop)
    }

    /// What devices come to, in their order: what a specification says of all its devices comes once, before them.
    pub(crate) fn edits(&self, names: &[String]) -> Result<Vec<&Edits>> {
        let mut edits = Vec::new();
        let mut common = Vec::new();
        for name in names {
            let place = self.devices.get(name).ok_or_else(|| self.missing(name))?;
            if let Some(rival) = place.rival {
                let (first, second) = (&self.specs[place.spec].0, &self.specs[rival].0);
                let text = format!(
                    "device {name}: {} and {} both define it",
                    first.display(),
                    second.display()
                );
                return Err(Error::invalid(text).with_hint("remove it from one of them"));
            }
            let spec = &self.specs[place.spec].1;
            if !common.contains(&place.spec) {
                common.push(place.spec);
                edits.push(&spec.container_edits);
            }
            edits.push(&spec.devices[place.device].container_edits);
        }
        Ok(edits)
    }

    fn missing(&self, name: &str) -> Error {
        let kind = name.split('=').next().unwrap_or_default();
        let of_kind = |it: &&str| it.split('=').next() == Some(kind);
        let same: Vec<&str> = self.names().filter(of_kind).collect();
        let shown = if same.is_empty() { self.names().collect() } else { same };
        let mut text = format!("device {name}: no CDI specification defines it");
        if !shown.is_empty() {
            let rest = shown.len().saturating_sub(SHOWN_LIMIT);
            let list = shown[..shown.len() - rest].join(", ");
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            text.push_str(&format!("; there are {list}{more}"));
        }
        if let Some((path, why)) = self.refused.first() {
            text.push_str(&format!("; {} is refused: {why}", path.display()));
        }
        let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
        let dirs = dirs.join(" or ");
        Error::new(Kind::NotFound, text).with_hint(match kind {
            "nvidia.com/gpu" => format!(
                "`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml` writes one; they are looked for in {dirs}"
            ),
            "amd.com/gpu" => format!(
                "`amd-ctk cdi generate --output=/etc/cdi/amd.json` writes one; they are looked for in {dirs}"
            ),
            _ => format!("the vendor's tool writes one, to {dirs}; `tare info` lists what is found"),
        })
    }
}

/// The specifications of a directory, by name. One that is not there has none.
fn files(dir: &Path) -> Vec<PathBuf> {
    let is_spec = |path: &PathBuf| {
        let extension = path.extension().and_then(|it| it.to_str());
        matches!(extension, Some("json" | "yaml" | "yml"))
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(is_spec).take(FILES_LIMIT).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dirs(PathBuf);

    impl Dirs {
        fn new(test: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("tare-cdi-{}-{test}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(dir.join("one")).unwrap();
            std::fs::create_dir_all(dir.join("two")).unwrap();
            Self(dir)
        }

        fn put(&self, name: &str, devices: &[&str], variable: &str) {
            let devices: String = devices
                .iter()
                .map(|it| {
                    format!("- name: \"{it}\"\n  containerEdits: {{env: [D={variable}{it}]}}\n")
                })
                .collect();
            let text = format!(
                "cdiVersion: 0.6.0\nkind: v.com/c\ncontainerEdits: {{env: [C={variable}]}}\ndevices:\n{devices}"
            );
            std::fs::write(self.0.join(name), text).unwrap();
        }

        fn read(&self) -> Catalogue {
            Catalogue::read(&[self.0.join("one"), self.0.join("two"), self.0.join("none")])
        }
    }

    impl Drop for Dirs {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn env(all: &Catalogue, names: &[&str]) -> Result<Vec<String>> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Ok(all.edits(&names)?.iter().flat_map(|edits| edits.env.clone()).collect())
    }

    #[test]
    fn the_later_directory_counts_and_rivals_count_nothing() {
        let dirs = Dirs::new("rivals");
        dirs.put("one/a.yaml", &["0", "1"], "low");
        dirs.put("two/b.yaml", &["1", "2"], "high");
        dirs.put("two/c.yaml", &["2"], "rival");
        let all = dirs.read();
        assert_eq!(all.names().collect::<Vec<_>>(), ["v.com/c=0", "v.com/c=1"]);
        let said = env(&all, &["v.com/c=0", "v.com/c=1", "v.com/c=0"]).unwrap();
        assert_eq!(said, ["C=low", "D=low0", "C=high", "D=high1", "D=low0"]);
        let error = env(&all, &["v.com/c=2"]).unwrap_err().to_string();
        assert!(error.contains("b.yaml") && error.contains("c.yaml both define it"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_named_and_leaves_the_rest() {
        let dirs = Dirs::new("refused");
        dirs.put("one/good.yaml", &["0"], "x");
        dirs.put("target", &["1"], "x");
        std::os::unix::fs::symlink(dirs.0.join("target"), dirs.0.join("one/link.yaml")).unwrap();
        std::fs::write(dirs.0.join("one/large.json"), vec![b' '; 5 << 20]).unwrap();
        std::fs::create_dir(dirs.0.join("one/dir.json")).unwrap();
        dirs.put("two/open.yaml", &["3"], "x");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(dirs.0.join("two/open.yaml"), open).unwrap();
        let all = dirs.read();
        assert_eq!(all.names().collect::<Vec<_>>(), ["v.com/c=0"]);
        let why: Vec<&str> = all.refused().iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(
            why,
            [
                "it is no regular file",
                "it is larger than 4 MiB",
                "it is a link",
                "everybody may write to it"
            ]
        );
        let error = env(&all, &["v.com/c=1"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("there are v.com/c=0; ") && text.contains("is refused: "), "{text}");
        assert!(error.hint().unwrap().contains("/one or "), "{error:?}");
    }

    #[test]
    fn names_of_devices_are_no_paths() {
        for (text, is) in [
            ("v.com/c=0", true),
            ("nvidia.com/gpu=all", true),
            ("/dev/x=1", false),
            ("v.com=0", false),
            ("v.com/c", false),
            ("v.com/c=", false),
        ] {
            assert_eq!(is_name(text), is, "{text}");
        }
    }
}
