//! The OCI runtime: from a bundle to a process in a container, and everything one does with it.
//!
//! `no_std`, synchronous and single-threaded: the same code runs in `tare-runtime`, which starts
//! without libc, and inside `tare`. It never prints, exits or reads the environment: what it has
//! to know comes in as values, what it has to say goes out as values and [`error::Error`]s.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod cgroup;
pub mod config;
pub mod error;
pub mod procfs;
pub mod rootdir;
pub mod seccomp;
pub mod state;
