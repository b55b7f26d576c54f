//! Changing the limits of a running container.

use super::create::warnings;
use super::delegation::{enable_controllers, explain};
use super::layout::Version;
use super::plan::{Plan, asked_controllers};
use super::tree::Dir;
use super::{v1, v2};
use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Resources;

/// How long moving a container into a hierarchy that a new limit needs may take.
const MOVE_DEADLINE_MS: u64 = 5000;

impl Plan {
    /// Sets what `resources` name and leaves everything else as it is. Device rules are left
    /// alone, as by runc: others (GPU plugins) may have added theirs. Returns warnings.
    ///
    /// [`Plan::enlist_for`] comes first, and recording the plan if it has changed: a limit of a
    /// controller that the container was started without makes a new v1 cgroup here and moves the
    /// container into it.
    pub fn update(&self, resources: &Resources) -> Result<Vec<String>> {
        super::check_resources(resources, self.version)?;
        let mut warnings = warnings(resources, self.version);
        if self.version != Version::V2 && !resources.unified.is_empty() {
            let message = "invalid configuration: linux.resources.unified needs cgroup v2";
            return Err(Error::invalid(message));
        }
        let mut resources = resources.clone();
        if let Some(unit) = &self.unit {
            warnings.extend(unit.update(self, &mut resources)?);
        }
        if self.version == Version::V2 {
            let directory = self.unified().filter(|directory| directory.used);
            let found = directory.map(Dir::find).transpose()?.flatten();
            let Some((directory, dir)) = directory.zip(found) else {
                return Err(no_cgroup("the unified hierarchy"));
            };
            // A controller that nobody has needed so far; whether it came is seen by the limit.
            let _ = enable_controllers(directory, &dir, &resources);
            v2::apply(&dir, &resources, false)
                .map_err(|error| explain(&dir, &resources, self.rootless, error))?;
            return Ok(warnings);
        }
        let asked = asked_controllers(&resources);
        let end = sys::time::monotonic_ms() + MOVE_DEADLINE_MS;
        for (controller, _) in &asked {
            let directory = self.directory(controller).filter(|directory| directory.used);
            let Some(directory) = directory else { return Err(no_cgroup(controller)) };
            match Dir::find(directory)? {
                Some(dir) => v1::apply(&dir, directory, &resources)?,
                None => drop(self.populate(directory, &resources, end)?),
            }
        }
        Ok(warnings)
    }
}

fn no_cgroup(controller: &str) -> Error {
    let message = format!("cannot set limits: the container has no cgroup in {controller}");
    Error::new(Kind::Unsupported, message)
}
