//! Servers. So far one: a registry of images (`tare registry serve`).
//!
//! [`Server`] speaks the [distribution specification] 1.1 over HTTP/1.1 and 2, with or without TLS, on a
//! directory whose format is the documentation of the module `storage`. Kill it at any time: what it has
//! acknowledged is there, and whatever it serves is whole.
//!
//! This is the project's only crate with asynchronous code: a registry has thousands of clients that
//! mostly wait. Whatever blocks (files, hashes, passwords) runs on threads of its own, as many as
//! [`limits`] says.
//!
//! [distribution specification]: https://github.com/opencontainers/distribution-spec

mod api;
mod auth;
mod bucket;
mod cache;
mod error;
mod fault;
mod housekeeping;
pub mod inputs;
pub mod limits;
mod names;
mod observe;
mod outside;
mod page;
mod pattern;
mod references;
mod refusal;
mod registry;
mod server;
mod storage;
mod uploads;
mod watched;
mod web;

#[cfg(test)]
mod tests;

pub use auth::{Access, Scheme, TokenService, hash_password};
pub use bucket::{Bucket, Credentials, Keys};
pub use cache::{Caching, Connect, Upstream};
pub use error::Error;
pub use housekeeping::{Keeping, check, collect};
pub use observe::{Hook, Observing};
pub use registry::Sink;
pub use server::{Config, Patience, Rate, Server, Tls};
pub use storage::{Checked, Collected, Durability, Problem, Quota};
