//! `html`, `js` and `urlquery`.

use crate::literal;
use std::fmt::Write;

pub(crate) fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        let escaped: &[u8] = match byte {
            0 => "\u{fffd}".as_bytes(),
            b'"' => b"&#34;",
            b'\'' => b"&#39;",
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(escaped);
    }
    out
}

pub(crate) fn javascript(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let code = u32::from(character);
            let result = match character {
                '\\' => write!(out, "\\\\"),
                '\'' => write!(out, "\\'"),
                '"' => write!(out, "\\\""),
                '<' | '>' | '&' | '=' | '\0'..='\x1f' => write!(out, "\\u{code:04X}"),
                _ if character.is_ascii() || literal::is_printable(character) => {
                    out.push(character);
                    Ok(())
                }
                _ => write!(out, "\\u{code:04X}"),
            };
            // A text can always be written to.
            debug_assert!(result.is_ok());
        }
        // What is no character is one that prints.
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    out.into_bytes()
}

pub(crate) fn url_query(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte),
            _ if byte.is_ascii_alphanumeric() => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}
