//! Literals as Go writes and reads them: quoted texts, characters, numbers.

use crate::tree::Number;
use std::fmt::Write;

/// Whether Go shows a character as it is: letters, marks, numbers, punctuation, symbols, the space.
pub(crate) fn is_printable(character: char) -> bool {
    // The standard library knows the same set, and shows it here. A mark at the start of a text is
    // escaped for another reason, so that it must not be there.
    let mut text = String::from("a");
    text.push(character);
    matches!(character, '"' | '\'' | '\\') || text.escape_debug().nth(1) == Some(character)
}

/// A text in double quotes.
pub(crate) fn quoted(text: &[u8]) -> String {
    quote_with(text, '"', false)
}

/// A text in quotes; `ascii` escapes everything else.
pub(crate) fn quote_with(text: &[u8], quote: char, ascii: bool) -> String {
    let mut out = String::from(quote);
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape(&mut out, character, quote, ascii);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push(quote);
    out
}

fn escape(out: &mut String, character: char, quote: char, ascii: bool) {
    let code = u32::from(character);
    let named = match character {
        '\x07' => Some('a'),
        '\x08' => Some('b'),
        '\x0c' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\x0b' => Some('v'),
        '\\' => Some('\\'),
        _ => (character == quote).then_some(quote),
    };
    let result = match named {
        Some(name) => write!(out, "\\{name}"),
        None if is_printable(character) && (character.is_ascii() || !ascii) => {
            out.push(character);
            Ok(())
        }
        None if code < 0x20 || code == 0x7f => write!(out, "\\x{code:02x}"),
        None if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
        None => write!(out, "\\U{code:08x}"),
    };
    // A text can always be written to.
    debug_assert!(result.is_ok());
}

/// Whether a text can be written between back quotes, in one line.
pub(crate) fn can_backquote(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars().all(|c| c != '\u{feff}' && c != '`' && c != '\x7f' && (c >= ' ' || c == '\t'))
    })
}

/// What a text in quotes, double or back, means.
pub(crate) fn unquote(text: &str) -> Option<Vec<u8>> {
    if let Some(raw) = text.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', "").into_bytes());
    }
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        match unquote_one(&mut rest, '"')? {
            Unit::Char(character) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Unit::Byte(byte) => out.push(byte),
        }
    }
    Some(out)
}

enum Unit {
    Char(char),
    Byte(u8),
}

/// Takes one character or escape from the front.
fn unquote_one(rest: &mut &str, quote: char) -> Option<Unit> {
    let mut characters = rest.chars();
    let first = characters.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        *rest = characters.as_str();
        return Some(Unit::Char(first));
    }
    let kind = characters.next()?;
    let after = characters.as_str();
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        '0'..='7' => 3,
        _ => 0,
    };
    if digits == 0 {
        *rest = after;
        return match kind {
            'a' => Some(Unit::Char('\x07')),
            'b' => Some(Unit::Char('\x08')),
            'f' => Some(Unit::Char('\x0c')),
            'n' => Some(Unit::Char('\n')),
            'r' => Some(Unit::Char('\r')),
            't' => Some(Unit::Char('\t')),
            'v' => Some(Unit::Char('\x0b')),
            '\\' => Some(Unit::Char('\\')),
            _ => (kind == quote).then_some(Unit::Char(kind)),
        };
    }
    let octal = kind.is_ascii_digit();
    let digits_from = if octal { rest.get(1..)? } else { after };
    let number = digits_from.get(..digits)?;
    *rest = digits_from.get(digits..)?;
    if !number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = u32::from_str_radix(number, if octal { 8 } else { 16 }).ok()?;
    match kind {
        'u' | 'U' => char::from_u32(value).map(Unit::Char),
        _ => u8::try_from(value).ok().map(Unit::Byte),
    }
}

/// A character constant such as `'a'` or `'\n'`.
pub(crate) fn character(text: &str) -> Result<Number, String> {
    let syntax = || "invalid syntax".to_string();
    let mut rest = text.get(1..).ok_or_else(syntax)?;
    let value = match unquote_one(&mut rest, '\'').ok_or_else(syntax)? {
        Unit::Char(character) => i64::from(u32::from(character)),
        Unit::Byte(byte) => i64::from(byte),
    };
    match rest {
        "'" => Ok(Number { text: text.into(), int: Some(value), float: Some(value as f64) }),
        _ => Err(format!("malformed character constant: {text}")),
    }
}

/// A number. Complex ones are not read: nothing that templates look into has any.
pub(crate) fn number(text: &str) -> Result<Number, String> {
    let shown = || quoted(text.as_bytes());
    if text.ends_with('i') {
        return Err(format!("complex numbers are not supported: {}", shown()));
    }
    let mut number = Number { text: text.into(), int: None, float: None };
    if let Some(value) = integer(text) {
        number.int = i64::try_from(value).ok();
        number.float = Some(value as f64);
        return Ok(number);
    }
    let value = float(text).ok_or_else(|| format!("illegal number syntax: {}", shown()))?;
    // What looks like an integer and is none is too large for one.
    if !text.contains(['.', 'e', 'E', 'p', 'P']) {
        return Err(format!("integer overflow: {}", shown()));
    }
    number.float = Some(value);
    // Go's conversion saturates no number that is equal afterwards.
    let whole = value as i64;
    number.int = (whole as f64 == value && whole != i64::MAX).then_some(whole);
    Ok(number)
}

/// An integer from `i64::MIN` to `u64::MAX`, with the prefixes of Go.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if !underscores_separate_digits(digits) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(start) if start.starts_with('0') => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(&digits, base).ok()?);
    let value = if negative { -value } else { value };
    // A sign makes it a signed one.
    let most =
        if text.starts_with(['+', '-']) { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (i128::from(i64::MIN)..=most).contains(&value).then_some(value)
}

/// `_` stands between digits, or between a prefix and a digit.
fn underscores_separate_digits(digits: &str) -> bool {
    let prefixed =
        ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|prefix| digits.starts_with(prefix));
    let hex = digits.starts_with("0x") || digits.starts_with("0X");
    let mut previous = if prefixed { '0' } else { '^' };
    for next in digits.chars().skip(if prefixed { 2 } else { 0 }) {
        let kind = match next {
            '0'..='9' => '0',
            'a'..='f' | 'A'..='F' if hex => '0',
            '_' if previous != '0' => return false,
            '_' => '_',
            _ if previous == '_' => return false,
            _ => '!',
        };
        previous = kind;
    }
    previous != '_'
}

/// A floating-point number, decimal or hexadecimal.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let lower = unsigned.to_ascii_lowercase();
    if !underscores_separate_digits(unsigned) {
        return None;
    }
    let lower = lower.replace('_', "");
    let value = match lower.strip_prefix("0x") {
        Some(hex) => hex_float(hex)?,
        None => {
            let plain = lower.bytes().all(|byte| byte.is_ascii_digit() || b".e+-".contains(&byte));
            let value: f64 = plain.then(|| lower.parse().ok()).flatten()?;
            value.is_finite().then_some(value)?
        }
    };
    Some(sign * value)
}

/// `1.8p3`: the exponent is required. Digits beyond the sixteenth only round.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let mut exponent = exponent.parse::<i32>().ok()?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let kept = significant.len().min(16);
    let dropped = significant.len() - kept;
    let value = match kept {
        0 => 0,
        _ => u64::from_str_radix(&significant[..kept], 16).ok()?,
    };
    // What is dropped counts only as "a little more".
    let sticky = significant[kept..].bytes().any(|byte| byte != b'0');
    let value = value | u64::from(sticky);
    exponent = exponent
        .checked_add(4 * (i32::try_from(dropped).ok()? - i32::try_from(fraction.len()).ok()?))?;
    let scaled = (value as f64) * 2f64.powi(exponent.clamp(-2000, 2000) / 2);
    let scaled = scaled * 2f64.powi(exponent.clamp(-2000, 2000) - exponent.clamp(-2000, 2000) / 2);
    scaled.is_finite().then_some(scaled)
}
