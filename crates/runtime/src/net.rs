//! The little that a runtime does with networks: the loopback device of a new namespace.

use crate::error::{Error, Result};
use alloc::vec::Vec;
use sys::{Errno, fs, socket};

const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
const IFF_UP: u32 = 1;
/// The loopback device is the first of every network namespace.
const LOOPBACK_INDEX: i32 = 1;

/// Brings the loopback device up.
pub(crate) fn loopback_up() -> Result<()> {
    let failed = |errno| Error::os("bringing up the loopback device", errno);
    let rtnetlink = socket::netlink(0).map_err(failed)?;
    fs::write_all(&rtnetlink, &set_up_message(LOOPBACK_INDEX)).map_err(failed)?;
    let mut answer = [0u8; 1024];
    let length = fs::read(&rtnetlink, &mut answer).map_err(failed)?;
    match acknowledged(&answer[..length]) {
        0 => Ok(()),
        code => Err(failed(Errno(code))),
    }
}

/// `struct nlmsghdr` and `struct ifinfomsg`: set IFF_UP.
fn set_up_message(index: i32) -> Vec<u8> {
    let mut message = Vec::with_capacity(32);
    message.extend_from_slice(&32u32.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&index.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    message
}

/// The (positive) error number of an acknowledgement, 0 for success.
fn acknowledged(answer: &[u8]) -> i32 {
    const NLMSG_ERROR: [u8; 2] = 2u16.to_ne_bytes();
    match (answer.get(4..6), answer.get(16..20)) {
        (Some(kind), Some(code)) if kind == NLMSG_ERROR => {
            -i32::from_ne_bytes([code[0], code[1], code[2], code[3]])
        }
        _ => Errno::EPROTO.0,
    }
}
