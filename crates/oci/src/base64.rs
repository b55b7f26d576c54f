//! Base 64 ([RFC 4648]): descriptors' embedded data, signatures, credentials.
//!
//! [RFC 4648]: https://www.rfc-editor.org/rfc/rfc4648

use alloc::string::String;
use alloc::vec::Vec;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes text with padding, strictly: no blanks, no bits that are left over.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.bytes().rev().take(2).take_while(|&byte| byte == b'=').count();
    decode_digits(&text.as_bytes()[..text.len() - padding], b'+', b'/')
}

/// Decodes text of the alphabet that is safe in names of files, without padding.
pub fn decode_url(text: &str) -> Option<Vec<u8>> {
    decode_digits(text.as_bytes(), b'-', b'_')
}

fn decode_digits(text: &[u8], plus: u8, slash: u8) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for &byte in group {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                _ if byte == plus => 62,
                _ if byte == slash => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(digit);
        }
        let count = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bits <<= 6 * (4 - group.len());
        let octets = bits.to_be_bytes();
        if octets[1 + count..].iter().any(|&left| left != 0) {
            return None;
        }
        bytes.extend_from_slice(&octets[1..1 + count]);
    }
    Some(bytes)
}

/// Encodes bytes, with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let octet = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for index in 0..4 {
            let digit = STANDARD[(bits >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_there_and_back() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(decode_url(text.trim_end_matches('=')).as_deref(), Some(bytes.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all.clone()));
        let safe = encode(&all).replace('+', "-").replace('/', "_");
        assert_eq!(decode_url(safe.trim_end_matches('=')), Some(all));
    }

    #[test]
    fn other_text_is_refused() {
        for text in
            ["Zg", "Zg=", "Z", "Zg==\n", "Zm9v Zg==", "Zh==", "====", "Z===", "Zg==Zg==", "Zm-v"]
        {
            assert_eq!(decode(text), None, "{text}");
        }
        for text in ["Zg==", "Z", "Zm+v", "Zh"] {
            assert_eq!(decode_url(text), None, "{text}");
        }
    }
}
