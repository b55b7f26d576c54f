//! bsdtar's extended attributes: the name in URL encoding, the value in base64.

use super::entry::Xattr;
use crate::error::{Error, Result};

pub(super) fn xattr(name: &[u8], value: &[u8]) -> Result<Xattr> {
    Ok(Xattr { name: percent(name)?, value: base64(value)? })
}

fn percent(text: &[u8]) -> Result<Vec<u8>> {
    let bad = || Error::corrupt("an extended attribute's name has a broken escape");
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(bad);
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            plain.push(*first);
            continue;
        }
        let [high, low, behind @ ..] = rest else { return Err(bad()) };
        match (digit(*high)? << 4 | digit(*low)?) as u8 {
            0 => return Err(bad()),
            byte => plain.push(byte),
        }
        rest = behind;
    }
    Ok(plain)
}

fn base64(text: &[u8]) -> Result<Vec<u8>> {
    let bad = || Error::corrupt("an extended attribute is not base64");
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut plain = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits: u32 = 0;
        for &byte in group {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(bad()),
            };
            bits = bits << 6 | u32::from(value);
        }
        let bytes = (bits << (6 * (4 - group.len()) + 8)).to_be_bytes();
        match group.len() {
            1 => return Err(bad()),
            length => plain.extend_from_slice(&bytes[..length - 1]),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_base64() {
        let check = |text: &[u8], plain: &[u8]| assert_eq!(base64(text).unwrap(), plain);
        check(b"", b"");
        check(b"Zg==", b"f");
        check(b"Zm8=", b"fo");
        check(b"Zm9v", b"foo");
        check(b"Zm9vYg", b"foob");
        check(b"+/+/", b"\xfb\xff\xbf");
        assert!(base64(b"Z").is_err());
        assert!(base64(b"Zm9v\n").is_err());
        assert!(base64(b"Zg==Zg==").is_err());
    }

    #[test]
    fn names_are_url_encoded() {
        assert_eq!(percent(b"user.a%3Db%25").unwrap(), b"user.a=b%");
        for bad in [&b"user.%"[..], b"user.%4", b"user.%zz", b"user.%00"] {
            assert!(percent(bad).is_err());
        }
    }
}
