//! netlink(7): messages in batches, one socket, answers that are there as soon as the batch is sent.
//!
//! The kernel works on what is sent before `send` returns, so that everything it has to say is queued then: the
//! socket never waits, and reading ends when the queue is empty. A dump goes on while it is read.

mod batch;
pub(crate) mod route;
mod socket;

pub(crate) use batch::{Batch, attributes, big_word, text, word};
pub(crate) use socket::{Answers, Socket};

/// The request is answered by an acknowledgement.
pub(crate) const ACK: u16 = 4;
/// Everything there is.
pub(crate) const DUMP: u16 = 0x300;
/// What is made must not be there.
pub(crate) const EXCL: u16 = 0x200;
/// What is not there is made.
pub(crate) const CREATE: u16 = 0x400;
/// Behind what is there already.
pub(crate) const APPEND: u16 = 0x800;
const REQUEST: u16 = 1;
/// `struct nlmsghdr`: length, type (2), flags (2), sequence, sender.
const HEADER_BYTES: usize = 16;
/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;
/// `NLA_TYPE_MASK`
const KIND_MASK: u16 = 0x3fff;
