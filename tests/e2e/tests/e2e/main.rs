//! End-to-end tests. One binary: each further one would cost a link.

mod agent;
mod conformance;
mod events;
mod host;
mod life;
mod pidfd;
mod refusals;
mod security;
