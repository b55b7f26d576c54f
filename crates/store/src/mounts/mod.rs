//! Mounted images: each has a record below the run root, so that every process knows of it.

mod record;

pub(crate) use record::{live, sweep};
