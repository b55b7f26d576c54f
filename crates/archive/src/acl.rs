//! Access control lists: from the text of star and GNU tar to the kernel's attribute.

use crate::error::{Error, Result};

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;
/// `ACL_UNDEFINED_ID`: the owner's, group's, mask's and others' entries have no id.
const NO_ID: u32 = u32::MAX;
/// Most entries of a list: what fits in an attribute of 64 KiB.
const ENTRIES: usize = 8191;

const USER: (u16, u16) = (0x01, 0x02);
const GROUP: (u16, u16) = (0x04, 0x08);
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Reads `user::rwx,user:1000:r--,group::r-x,mask::r-x,other::r--`. A named entry needs its number,
/// as the name or as a fourth field: names of the machine that packed mean nothing here.
pub(crate) fn from_text(text: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(text).map_err(|_| bad(""))?;
    let mut entries = Vec::new();
    let lines = text.split([',', '\n']).map(|line| line.split('#').next().unwrap_or("").trim());
    for line in lines.filter(|line| !line.is_empty()) {
        entries.push(entry(line)?);
        if entries.len() > ENTRIES {
            return Err(Error::limit("an access control list is too long", ENTRIES));
        }
    }
    // The kernel wants them in this order.
    entries.sort_unstable_by_key(|&(tag, _, id)| (tag, id));
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Ok(value)
}

fn entry(line: &str) -> Result<(u16, u16, u32)> {
    let mut parts = line.split(':');
    let mut next = || parts.next().map(str::trim).unwrap_or("");
    let (kind, who, permissions, number) = (next(), next(), next(), next());
    let id = match (who, number) {
        ("", "") => NO_ID,
        (who, number) => {
            [number, who].iter().find_map(|text| text.parse().ok()).ok_or_else(|| {
                Error::unsupported(format!(
                    "the access control list names {who:?} without a number"
                ))
            })?
        }
    };
    let tag = match (kind, id == NO_ID) {
        ("user" | "u", true) => USER.0,
        ("user" | "u", false) => USER.1,
        ("group" | "g", true) => GROUP.0,
        ("group" | "g", false) => GROUP.1,
        ("mask" | "m", true) => MASK,
        ("other" | "o", true) => OTHER,
        _ => return Err(bad(line)),
    };
    let mut bits = 0;
    for letter in permissions.chars() {
        bits |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return Err(bad(line)),
        };
    }
    match permissions.is_empty() {
        true => Err(bad(line)),
        false => Ok((tag, bits, id)),
    }
}

fn bad(line: &str) -> Error {
    Error::corrupt(format!("{line:?} is not an entry of an access control list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_the_kernels_form() {
        let value =
            from_text(b"user::rw-,group::r--,user:lisa:rwx:502,mask::rwx,other::---").unwrap();
        let mut expected = vec![2, 0, 0, 0];
        for (tag, bits, id) in
            [(1u16, 6u16, NO_ID), (2, 7, 502), (4, 4, NO_ID), (16, 7, NO_ID), (32, 0, NO_ID)]
        {
            expected.extend_from_slice(&tag.to_le_bytes());
            expected.extend_from_slice(&bits.to_le_bytes());
            expected.extend_from_slice(&id.to_le_bytes());
        }
        assert_eq!(value, expected);
        assert_eq!(from_text(b"u::rw-\ng:7:r\n#x\n").unwrap().len(), 4 + 16);
    }

    #[test]
    fn names_without_numbers_and_nonsense_are_refused() {
        for text in
            [&b"user:lisa:rwx"[..], b"user::", b"user::rwz", b"king::rwx", b"mask:7:rwx", b"\xff"]
        {
            assert!(from_text(text).is_err(), "{text:?}");
        }
    }
}
