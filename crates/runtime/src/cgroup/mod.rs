//! Control groups: limits, membership, freezing, killing and accounting.
//!
//! [`Layout`] is what the machine has. [`Plan`] is what a container gets: it is made without any
//! effect and recorded in the container's state *before* [`Plan::create`] makes a directory, so
//! that whatever process comes later, after whatever `kill -9`, can clean up with
//! [`Plan::kill_all`] and [`Plan::remove`]. A directory of a plan may exist or not: every verb
//! takes both.
//!
//! Invariants:
//! - *A plan never names the root of a hierarchy.* Removing and killing cannot reach the host.
//! - *Only used directories are touched.* On v1 a plan knows a place in every hierarchy, but only
//!   uses those whose controllers were asked for, `devices` and `pids`. The rest costs nothing
//!   until [`Plan::enlist`] (pause without freezer, an update that asks for a new controller)
//!   puts it into use; the caller records the plan again before the effect.
//! - *No write to `cgroup.procs` on the way to a start.* It waits 5-20 ms for RCU. The child
//!   writes `0` to [`Created::tasks`] while it has one thread (v1), or is cloned into
//!   [`Created::unified`] (v2). [`Plan::attach`] is the fallback.
//! - Every wait has a deadline and its constant says why it is that long.
//!
//! The systemd driver ([`systemd`]) has its own D-Bus client.

mod batch;
mod check;
mod convert;
mod cpuset;
mod create;
mod delegation;
mod device_filter;
mod devices;
mod freeze;
mod join;
mod kill;
mod layout;
mod oom;
mod plan;
mod procs;
mod remove;
mod stats;
mod stats_v1;
mod stats_v2;
pub mod systemd;
#[cfg(test)]
mod tests;
mod tree;
mod update;
mod v1;
mod v2;

pub(crate) use batch::{begin_with, go_on_with};
pub use check::check_resources;
pub(crate) use check::rehearse;
pub use create::{Created, Part};
pub use devices::{default_device_rules, default_device_rules_without};
pub use freeze::FREEZE_DEADLINE_MS;
pub use join::{Fallback, Join, SubCgroups};
pub use kill::KILL_DEADLINE_MS;
pub(crate) use layout::unescape;
pub use layout::{Layout, Version};
pub use oom::{OomEvent, OomWatch};
pub use plan::{Directory, Driver, Plan, Request};
pub use remove::REMOVE_DEADLINE_MS;
pub use stats::*;
