//! Text as JSON has it.

/// Bytes that cannot stand in a string as they are.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Appends a text without quotes around it. What is no UTF-8 becomes U+FFFD.
pub(super) fn push(into: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        push_valid(into, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            into.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn push_valid(into: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| SPECIAL[usize::from(*byte)]) {
        into.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => into.extend_from_slice(b"\\\""),
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                into.extend_from_slice(b"\\u00");
                into.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
        }
        rest = &rest[at + 1..];
    }
    into.extend_from_slice(rest);
}

#[test]
fn what_was_escaped_is_read_again() {
    for text in ["", "plain", "a\"b\\c\n\r\t\u{1}\u{1f}é\u{10000}", "\\\\\"\""] {
        let mut json = vec![b'"'];
        push(&mut json, text.as_bytes());
        json.push(b'"');
        let read: String = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, text);
    }
    let mut json = Vec::new();
    push(&mut json, b"a\xff\xfeb");
    assert_eq!(String::from_utf8(json).unwrap(), "a\u{fffd}\u{fffd}b");
}
