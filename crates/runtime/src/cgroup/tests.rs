//! The module on trees of plain files, and on the kernel of this machine.

mod fake;
mod fake_v1;
mod fake_v2;
mod kernel;

use super::*;
use oci::runtime::{Map, Resources};
use std::string::{String, ToString};
use std::vec::Vec;

/// `linux.resources` from its JSON.
fn resources(json: &str) -> Resources {
    oci::json::read(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// A request for container `c1`.
#[derive(Default)]
struct Ask<'a> {
    path: &'a str,
    resources: Resources,
    rootless: bool,
    all: bool,
    user_namespace: bool,
}

impl Ask<'_> {
    fn plan(&self, layout: &Layout) -> crate::error::Result<Plan> {
        let annotations = Map::new();
        Plan::new(
            layout,
            &Request {
                id: "c1",
                cgroups_path: self.path,
                resources: &self.resources,
                annotations: &annotations,
                properties: &[],
                driver: Driver::Cgroupfs,
                rootless: self.rootless,
                user_namespace: self.user_namespace,
                shown: self.all,
                writable: false,
                owner: None,
                bus_address: None,
                uid: 0,
            },
        )
    }
}

/// Controllers and paths of the used directories.
fn used(plan: &Plan) -> Vec<String> {
    let used = plan.directories.iter().filter(|directory| directory.used);
    used.map(|d| format!("{} {}", d.controllers.join(","), d.path)).collect()
}

pub(super) use skips::skip;
