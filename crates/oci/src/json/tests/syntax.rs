//! RFC 8259, case by case.

use super::Tree;
use crate::json::{DEPTH_LIMIT, PARTS_LIMIT, Raw, read, write};
use serde_json::{Value, json};

fn good(text: &str, expected: Value) {
    assert_eq!(read::<Tree>(text.as_bytes()), Ok(Tree(expected)), "{text}");
    // What is only skipped is checked in the same way.
    assert_eq!(read::<Raw>(text.as_bytes()).unwrap().as_str(), text.trim());
}

fn bad(text: &[u8], expected: &str) {
    let shown = String::from_utf8_lossy(text);
    assert_eq!(read::<Raw>(text).unwrap_err(), expected, "{shown}");
    assert!(read::<Tree>(text).is_err(), "{shown}");
}

#[test]
fn json_is_read() {
    good(" \t\r\n0 \n", json!(0));
    good("-0", json!(-0.0));
    good("-12.5e-1", json!(-1.25));
    good("1E+2", json!(100.0));
    good("0.0", json!(0.0));
    good("null", json!(null));
    good("[true,false , null]", json!([true, false, null]));
    good("{}", json!({}));
    good("[ ]", json!([]));
    good(
        "{\n        \n\t \"a\"\n:\n                [\n                 {}\n]\n}",
        json!({"a": [{}]}),
    );
    good(r#"{"a":{"b":{"c":[[],[1]]}},"":0}"#, json!({"a": {"b": {"c": [[], [1]]}}, "": 0}));
    good(r#""\"\\\/\b\f\n\r\t""#, json!("\"\\/\u{8}\u{c}\n\r\t"));
    good(r#""\u0041\u00e4\u20AC\ud83d\uDE00\u0000""#, json!("Aä€😀\0"));
    good("\"ä€😀\u{7f}\u{2028}\"", json!("ä€😀\u{7f}\u{2028}"));
    good(r#"{"a\u0062":1,"c":2}"#, json!({"ab": 1, "c": 2}));
    good(r#"{"a":1,"a":2}"#, json!({"a": 2}));
}

#[test]
fn strings_end_at_every_offset() {
    // The search for the end goes eight bytes at a time.
    for length in 0..40 {
        for (end, character) in [("", ""), ("\\n", "\n"), ("é", "é")] {
            let plain = "x".repeat(length);
            good(&format!("\"{plain}{end}y\""), json!(format!("{plain}{character}y")));
            assert!(read::<Raw>(format!("\"{plain}{end}y").as_bytes()).is_err());
            assert!(read::<Raw>(format!("\"{plain}\u{1f}y{end}\"").as_bytes()).is_err());
        }
    }
}

#[test]
fn everything_else_is_refused() {
    let early = "the text ends too early: ";
    bad(b"", &format!("{early}expected a value (line 1 column 1)"));
    bad(b" \n ", &format!("{early}expected a value (line 2 column 2)"));
    bad(b"\"a", &format!("{early}expected the end of a string (line 1 column 3)"));
    bad(b"[1", &format!("{early}expected `,` or `]` (line 1 column 3)"));
    bad(b"{", &format!("{early}expected a member's name in quotes (line 1 column 2)"));
    bad(b"{\"a\"", &format!("{early}expected `:` behind a member's name (line 1 column 5)"));
    bad(b"-", &format!("{early}expected a digit (line 1 column 2)"));
    bad(b"nul", "expected `null` (line 1 column 1)");
    bad(b"True", "expected a value (line 1 column 1)");
    bad(b"\0", "expected a value (line 1 column 1)");
    bad(b"0\0", "trailing characters behind the document (line 1 column 2)");
    bad(b"1 2", "trailing characters behind the document (line 1 column 3)");
    bad(b"{}}", "trailing characters behind the document (line 1 column 3)");
    bad(b"truer", "trailing characters behind the document (line 1 column 5)");
    bad(b"01", "trailing characters behind the document (line 1 column 2)");
    bad(b"\xef\xbb\xbf{}", "expected a value (line 1 column 1)");
    bad(b"\"\xff\"", "the text is not UTF-8 (line 1 column 2)");
    bad(b"\"\xed\xa0\x80\"", "the text is not UTF-8 (line 1 column 2)");
    bad(b"[,1]", "expected a value (line 1 column 2)");
    bad(b"[1,]", "a comma stands before the closing bracket (line 1 column 4)");
    bad(b"[1,,2]", "expected a value (line 1 column 4)");
    bad(b"[1 2]", "expected `,` or `]` (line 1 column 4)");
    bad(b"[1}", "expected `,` or `]` (line 1 column 3)");
    bad(b"{\"a\":1,}", "a comma stands before the closing bracket (line 1 column 8)");
    bad(b"{,}", "expected a member's name in quotes (line 1 column 2)");
    bad(b"{a:1}", "expected a member's name in quotes (line 1 column 2)");
    bad(b"{1:1}", "expected a member's name in quotes (line 1 column 2)");
    bad(b"{\"a\" 1}", "expected `:` behind a member's name (line 1 column 6)");
    bad(b"{\"a\":}", "expected a value (line 1 column 6)");
    bad(b"{\"a\":1]", "expected `,` or `}` (line 1 column 7)");
    bad(b"// c\n1", "expected a value (line 1 column 1)");
    bad(b"'a'", "expected a value (line 1 column 1)");
    for number in ["+1", ".5", "NaN", "Infinity"] {
        bad(number.as_bytes(), "expected a value (line 1 column 1)");
    }
    for number in ["-a", "[-]", "1.x", "1e+x", "1e-]", "1.e1"] {
        assert!(read::<Raw>(number.as_bytes()).unwrap_err().starts_with("expected a digit"));
        assert!(read::<Tree>(number.as_bytes()).is_err());
    }
    bad(b"\"\n\"", "a control character in a string must be escaped (line 1 column 2)");
    bad(b"\"a\\x\"", "invalid escape in a string (line 1 column 4)");
    bad(b"\"\\u12g4\"", "expected four hexadecimal digits behind `\\u` (line 1 column 6)");
    let half = "half of a surrogate pair in a string (line 1 column 3)";
    for text in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\u0041""#, r#""\ud83dx""#, r#""\ud83d\n""#]
    {
        bad(text.as_bytes(), half);
    }
}

#[test]
fn the_number_of_parts_is_bounded() {
    let limit = PARTS_LIMIT as usize;
    for (part, each) in [("0,", 1), ("[],", 2), ("{},", 2)] {
        // The last element and the closing bracket are two more.
        let list = |count: usize| format!("[{}0]", part.repeat(count));
        assert!(read::<Raw>(list((limit - 2) / each).as_bytes()).is_ok(), "{part}");
        let error = read::<Raw>(list((limit - 2) / each + 1).as_bytes()).unwrap_err();
        assert!(error.contains("more members and elements than any"), "{error}");
    }
    let text = format!("[\"{}\"]", ",".repeat(2 * limit));
    assert!(read::<Raw>(text.as_bytes()).is_ok());
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    for text in [nested(DEPTH_LIMIT), objects(DEPTH_LIMIT)] {
        assert!(read::<Raw>(text.as_bytes()).is_ok());
        assert!(read::<Tree>(text.as_bytes()).is_ok());
    }
    for text in [nested(DEPTH_LIMIT + 1), objects(DEPTH_LIMIT + 1), "[".repeat(1 << 20)] {
        let error = read::<Raw>(text.as_bytes()).unwrap_err();
        assert!(error.starts_with("too many objects and arrays inside each other"), "{error}");
        assert!(read::<Tree>(text.as_bytes()).is_err());
    }
    // What was closed does not count.
    let wide = format!("[{}[]]", "[[]],".repeat(1000));
    assert!(read::<Raw>(wide.as_bytes()).is_ok());
}

#[test]
fn integers_have_limits() {
    assert_eq!(read::<u64>(b"18446744073709551615"), Ok(u64::MAX));
    assert_eq!(read::<i64>(b"-9223372036854775808"), Ok(i64::MIN));
    assert_eq!(read::<i64>(b"9223372036854775807"), Ok(i64::MAX));
    assert_eq!(read::<i32>(b"-2147483648"), Ok(i32::MIN));
    assert_eq!(read::<u32>(b"4294967295"), Ok(u32::MAX));
    assert_eq!(read::<u16>(b"65535"), Ok(u16::MAX));
    // As Go: there is a signed -0 only.
    assert_eq!(read::<i64>(b"-0"), Ok(0));
    let refused = |error: Result<(), String>, number: &str, kind: &str| {
        let expected = format!(
            "invalid value: integer `{number}` is not in the range of {kind} (line 1 column 1)"
        );
        assert_eq!(error, Err(expected));
    };
    refused(read::<u64>(b"-0").map(drop), "-0", "u64");
    refused(read::<u64>(b"-1").map(drop), "-1", "u64");
    refused(read::<u64>(b"18446744073709551616").map(drop), "18446744073709551616", "u64");
    refused(read::<i64>(b"9223372036854775808").map(drop), "9223372036854775808", "i64");
    refused(read::<i64>(b"-9223372036854775809").map(drop), "-9223372036854775809", "i64");
    refused(read::<i32>(b"2147483648").map(drop), "2147483648", "i32");
    refused(read::<u32>(b"4294967296").map(drop), "4294967296", "u32");
    refused(read::<u16>(b"65536").map(drop), "65536", "u16");
    refused(read::<u64>("9".repeat(99).as_bytes()).map(drop), &"9".repeat(64), "u64");
    for number in ["1.0", "1e3", "1E3", "0.5"] {
        let expected = format!("invalid type: number `{number}`, expected u32 (line 1 column 1)");
        assert_eq!(read::<u32>(number.as_bytes()), Err(expected));
    }
    for number in [u64::MAX, 0, 9, 10, 12_345] {
        assert_eq!(write(&number), number.to_string());
    }
    for number in [i64::MIN, -1, 0, i64::MAX] {
        assert_eq!(write(&number), number.to_string());
    }
}

#[test]
fn strings_are_written_as_they_can_be_read() {
    assert_eq!(
        write(&"a\"b\\c/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}ä😀"),
        "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}ä😀\""
    );
    for code in 0..0x11_0000 {
        let Some(character) = char::from_u32(code) else { continue };
        let text = format!("1234567{character}");
        assert_eq!(read::<String>(write(&text).as_bytes()), Ok(text));
    }
}
