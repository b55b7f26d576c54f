//! The crate from outside: real archives, hostile ones, and what other programs read in them.

mod apply;
mod craft;
mod differential;
mod hostile;
mod packed;
mod place;
mod roundtrip;
mod tables;
