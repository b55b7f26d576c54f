//! The OCI runtime: from a bundle to a process in a container, and everything one does with it.
//!
//! `no_std`, synchronous and single-threaded: the same code runs in `tare-runtime`, which starts
//! without libc, and inside `tare`. It never prints, exits or reads the environment: what it has
//! to know comes in as values, what it has to say goes out as values and [`error::Error`]s. (The
//! processes that it forks do exit.)
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod cgroup;
mod channel;
pub mod config;
mod create;
pub mod criu;
pub mod error;
mod exec;
mod hooks;
mod init;
pub mod inputs;
pub mod lsm;
mod net;
mod notify;
pub mod pattern;
mod process;
pub mod procfs;
pub mod rdt;
pub mod relay;
mod rootdir;
pub mod seal;
pub mod seccomp;
pub mod state;
mod trace;
pub mod verbs;

pub use create::idmap::user_namespace;
pub use create::{create, run};
pub use exec::{ExecOptions, Executed, exec};
pub use process::parse_list;
pub use trace::Trace;

use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Spec;
use sys::Fd;

/// What the runtime has to know of its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The state directory: absolute, or relative to the current directory.
    pub root: String,
    /// cgroups are made by systemd.
    pub systemd_cgroup: bool,
    /// Properties of its scopes that a container's annotations may set besides the harmless ones:
    /// the administrator's word, never the configuration's.
    pub systemd_properties: Vec<String>,
    /// No cgroup is made, and no limit set.
    pub no_cgroup: bool,
    /// The caller lacks the rights of the host's root.
    pub rootless: bool,
    /// D-Bus address of systemd, where it is not the usual one.
    pub bus_address: Option<String>,
    /// Whom to tell that a program in a container is ready (`NOTIFY_SOCKET`).
    pub notify_socket: Option<String>,
    /// Where the stages of a container's making are told.
    pub trace: Trace,
}

/// Where the terminal of a container goes.
#[derive(Debug, Default)]
pub enum Console {
    /// Nowhere: the container has none, or the caller relays it ([`run`]).
    #[default]
    Inherit,
    /// Its outer end is sent to whoever listens at this path.
    Socket(String),
    /// It is this terminal of the host's.
    Device(String),
    /// Its outer end is sent over this connected socket; the caller copies it to a terminal that
    /// translates newlines itself.
    Connected(Fd),
    /// The same, to somebody who leaves it as a terminal is.
    Passed(Fd),
}

/// How a container is made.
#[derive(Debug, Default)]
pub struct Options {
    /// The bundle's directory.
    pub bundle: String,
    /// The configuration; `None`: it is read from the bundle.
    pub spec: Option<Spec>,
    /// Its file, from the bundle's directory on; `None`: `config.json`.
    pub config: Option<String>,
    /// Where a terminal goes.
    pub console: Console,
    /// File to write the init's id to.
    pub pid_file: Option<String>,
    /// Socket to send the init's pidfd to.
    pub pidfd_socket: Option<String>,
    /// Descriptors behind the standard three that the program gets.
    pub preserve_fds: u32,
    /// Descriptors of socket activation, which come first.
    pub listen_fds: u32,
    /// Moves the root instead of pivoting it.
    pub no_pivot: bool,
    /// Keeps the caller's session keyring.
    pub no_new_keyring: bool,
    /// Runs the program under an own first process that collects orphans.
    pub init: bool,
    /// `start` makes the program's process, with its own descriptors, beside such a first process
    /// (railcar's `--no-trigger`).
    pub started_late: bool,
    /// The container's cgroup is its own to make others in. On v1 that is so where nothing is limited.
    pub delegate: bool,
    /// `run` returns when the program runs.
    pub detach: bool,
    /// `run` does not remove the container at its end.
    pub keep: bool,
}
