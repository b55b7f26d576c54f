//! `--mount type=glob`, podman's: whatever a pattern finds on this machine, each at its own path, or by its name in a
//! directory.

use crate::failure::{Failure, Result};
use engine::record::Mount;
use oci::reference::pattern_matches;
use std::path::PathBuf;

/// More is somebody's mistake.
const FOUND_LIMIT: usize = 1024;

/// The mounts of what is found.
pub(super) fn expand(mount: Mount) -> Result<Vec<Mount>> {
    let found = find(&mount.source)?;
    if found.is_empty() {
        return Err(Failure::new(format!("no file paths matching glob {:?}", mount.source))
            .hint("a pattern has * ? [...], and the path begins with /"));
    }
    let of = |path: PathBuf| -> Result<Mount> {
        let failed = || Failure::new(format!("{}: the path is not UTF-8", path.display()));
        let source = path.to_str().ok_or_else(failed)?.to_owned();
        let target = match mount.target.trim_end_matches('/') {
            "" => source.clone(),
            dir => format!("{dir}/{}", source.rsplit('/').next().unwrap_or_default()),
        };
        Ok(Mount { kind: "bind".into(), source, target, copy_up: false, ..mount.clone() })
    };
    found.into_iter().map(of).collect()
}

/// The paths that match, in the order of their names. What begins with a dot is meant only by a pattern that does.
fn find(pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for dir in found {
            if !part.contains(['*', '?', '[']) {
                let path = dir.join(part);
                next.extend(path.symlink_metadata().is_ok().then_some(path));
                continue;
            }
            let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
            let mut names: Vec<_> =
                entries.filter_map(|it| it.file_name().into_string().ok()).collect();
            names.retain(|name| {
                name.starts_with('.') == part.starts_with('.')
                    && pattern_matches(part, name) == Some(true)
            });
            names.sort_unstable();
            next.extend(names.into_iter().map(|name| dir.join(name)));
        }
        if next.len() > FOUND_LIMIT {
            return Err(Failure::new(format!(
                "glob {pattern:?} finds more than {FOUND_LIMIT} paths"
            )));
        }
        found = next;
    }
    Ok(found)
}
