//! End-to-end tests. One binary: each further one would cost a link.

mod agent;
mod bad_input;
mod conformance;
mod criu;
mod crun;
mod devices;
mod events;
mod flags;
mod host;
mod images;
mod images_store;
mod life;
mod login;
mod mounting;
mod mounts;
mod names;
mod nested;
mod notify;
mod options;
mod pidfd;
mod rdt;
mod refusals;
mod robust;
mod rootless;
mod security;
mod update;
