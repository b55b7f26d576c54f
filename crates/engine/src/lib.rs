//! Containers without a daemon: what is kept of them, who looks after them while they run, and how one talks to them.
//!
//! Everything that is known of a container is in files that any process may read ([`place`]). A container that runs
//! has one supervisor, a fork of the command that started it; whatever becomes of that, the next command finds the
//! truth. This crate never prints, exits (the supervisors that it forks do) or reads the environment.

pub mod cdi;
mod changes;
mod client;
mod control;
mod error;
pub mod events;
mod exec;
mod files;
mod ground;
mod inside;
mod launch;
mod locks;
pub mod log;
mod mounted;
pub mod names;
mod networks;
mod place;
pub mod record;
pub mod secrets;
mod supervisor;
mod sweep;
mod usage;
mod volume_files;
pub mod volumes;
mod wire;

pub use changes::Changed;
pub use client::{Options as RelayOptions, Outcome, connect, parse_keys};
pub use error::{Error, Kind, Result};
pub use exec::{Exec, exec};
pub use inside::{Inside, Scope, between, inside, user_of};
pub use launch::{
    NO_CONTROL_GROUPS_HINT, check_capability, check_options, check_ports, check_seccomp,
    check_users, controllers_of_user, enter_namespaces, has_pasta,
};
pub use locks::Changing;
pub use place::{Container, Engine, Made, Place};
pub use supervisor::{Attach, Session, parse_restart, run_health_check, start};
pub use usage::Usage;
pub use volume_files::{Access, in_volume};
