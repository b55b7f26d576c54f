//! The cursor over a text: tokens, nesting, and what is said of a mistake.

use super::FromJson;
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Deepest nesting of objects and arrays. The specification's deepest path has 7 levels; the bound
/// keeps a hostile text from using up the stack.
pub const DEPTH_LIMIT: usize = 128;
/// Most members, elements and closing brackets. Five bytes of text can be two hundred in memory: without a limit, a
/// document of a few megabytes would take gigabytes. A configuration with 20,000 mounts has as
/// many; ordinary ones have 200, or 2,000 with a system call profile.
pub const PARTS_LIMIT: u32 = 1 << 18;
/// Most that an error repeats of the text.
const SHOWN_LIMIT_BYTES: usize = 64;

/// Says that reading failed; the reader knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(());

/// A position in a text that is UTF-8.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Members and elements so far.
    parts: u32,
    /// An object or array was just opened: no comma stands before its first part.
    fresh: bool,
    failure: Failure,
}

/// Filled while a mistake is passed upwards, so that reading without one costs nothing.
#[derive(Default)]
struct Failure {
    at: usize,
    what: String,
    /// From the inside outwards.
    path: Vec<Step>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl<'a> Reader<'a> {
    /// Reads the only value of a text.
    pub(super) fn whole(text: &'a [u8], value: &mut dyn FromJson) -> Result<(), String> {
        let text = core::str::from_utf8(text).map_err(|error| {
            let position = position(text, error.valid_up_to());
            ["the text is not UTF-8", &position].concat()
        })?;
        let mut reader =
            Reader { text, at: 0, depth: 0, parts: 0, fresh: false, failure: Failure::default() };
        let read = value.read(&mut reader).and_then(|()| match reader.peek() {
            0 if reader.at == text.len() => Ok(()),
            _ => Err(reader.fail("trailing characters behind the document")),
        });
        read.map_err(|_| reader.failure.describe(text.as_bytes()))
    }

    /// The first byte of the next token; 0, which begins none, at the end of the text.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        match self.byte() {
            byte if byte > b' ' => byte,
            _ => self.skip_blanks(),
        }
    }

    fn skip_blanks(&mut self) -> u8 {
        const BLANKS: u64 = u64::from_ne_bytes([b' '; 8]);
        let bytes = self.text.as_bytes();
        loop {
            // Indented documents are blanks for the most part: eight at a time.
            while let Some(chunk) = bytes[self.at..].first_chunk() {
                let others = u64::from_le_bytes(*chunk) ^ BLANKS;
                self.at += others.trailing_zeros() as usize / 8;
                if others != 0 {
                    break;
                }
            }
            match self.byte() {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return byte,
            }
        }
    }

    /// Enters an object (`{`) or array (`[`).
    pub fn open(&mut self, bracket: u8) -> Result<(), Failed> {
        if self.peek() != bracket {
            return Err(self.unexpected(if bracket == b'{' { "an object" } else { "an array" }));
        }
        if self.depth == DEPTH_LIMIT {
            return Err(self.fail("too many objects and arrays inside each other"));
        }
        self.depth += 1;
        self.at += 1;
        self.fresh = true;
        Ok(())
    }

    /// The key of an object's next member, whose value follows; `None` behind the last one.
    pub fn next_key(&mut self) -> Result<Option<Cow<'a, str>>, Failed> {
        if !self.next(b'}', "expected `,` or `}`")? {
            return Ok(None);
        }
        if self.peek() != b'"' {
            return Err(self.fail("expected a member's name in quotes"));
        }
        let key = self.string_token()?;
        if self.peek() != b':' {
            return Err(self.fail("expected `:` behind a member's name"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether a next element of an array follows.
    pub fn next_element(&mut self) -> Result<bool, Failed> {
        self.next(b']', "expected `,` or `]`")
    }

    /// Goes behind the comma or the closing bracket.
    fn next(&mut self, bracket: u8, expected: &str) -> Result<bool, Failed> {
        let first = core::mem::take(&mut self.fresh);
        self.parts += 1;
        if self.parts > PARTS_LIMIT {
            return Err(self.fail("more members and elements than any configuration needs"));
        }
        match self.peek() {
            byte if byte == bracket => {
                self.at += 1;
                self.depth -= 1;
                return Ok(false);
            }
            b',' if !first => self.at += 1,
            _ if first => return Ok(true),
            _ => return Err(self.fail(expected)),
        }
        if self.peek() == bracket {
            return Err(self.fail("a comma stands before the closing bracket"));
        }
        Ok(true)
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Failed> {
        match self.peek() {
            b'"' => self.string_token(),
            _ => Err(self.unexpected("a string")),
        }
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, Failed> {
        match self.peek() {
            b't' => self.word("true").map(|()| true),
            b'f' => self.word("false").map(|()| false),
            _ => Err(self.unexpected("true or false")),
        }
    }

    /// Goes behind `null`, if that is next.
    pub fn null(&mut self) -> Result<bool, Failed> {
        match self.peek() {
            b'n' => self.word("null").map(|()| true),
            _ => Ok(false),
        }
    }

    /// Reads an integer in a range. Go takes `-0` for a signed integer only.
    pub fn integer(&mut self, kind: &str, range: (i64, u64)) -> Result<(bool, u64), Failed> {
        if !matches!(self.peek(), b'-' | b'0'..=b'9') {
            return Err(self.unexpected(kind));
        }
        let start = self.at;
        let text = self.number()?;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let mut magnitude = Some(0_u64);
        for byte in digits.bytes() {
            if !byte.is_ascii_digit() {
                self.at = start;
                return Err(self.unexpected(kind));
            }
            let digit = u64::from(byte - b'0');
            magnitude = magnitude.and_then(|sum| sum.checked_mul(10)?.checked_add(digit));
        }
        let limit = if negative { range.0.unsigned_abs() } else { range.1 };
        let allowed = !negative || range.0 < 0;
        match magnitude.filter(|&magnitude| magnitude <= limit && allowed) {
            Some(magnitude) => Ok((negative, magnitude)),
            None => {
                let shown = shown(text);
                let parts = ["invalid value: integer `", shown, "` is not in the range of ", kind];
                Err(self.fail_at(start, &parts.concat()))
            }
        }
    }

    /// Reads one of some names and returns its number.
    pub fn name(&mut self, names: super::Names) -> Result<usize, Failed> {
        self.peek();
        let start = self.at;
        let name = self.string()?;
        names.find(&name).ok_or_else(|| {
            let mut what = ["unknown variant `", shown(&name), "`, expected one of "].concat();
            for (index, known) in names.iter().enumerate() {
                what.push_str(if index == 0 { "`" } else { ", `" });
                what.push_str(known);
                what.push('`');
            }
            self.fail_at(start, &what)
        })
    }

    /// Checks the next value, whatever it is, and returns its text.
    pub fn skip(&mut self) -> Result<&'a str, Failed> {
        self.peek();
        let start = self.at;
        let outside = self.depth;
        // One bit for each level: whether it is an object.
        let mut objects: u128 = 0;
        const _: () = assert!(DEPTH_LIMIT <= 128);
        loop {
            match self.peek() {
                bracket @ (b'{' | b'[') => {
                    self.open(bracket)?;
                    objects = objects << 1 | u128::from(bracket == b'{');
                }
                b'"' => drop(self.string_token()?),
                b'-' | b'0'..=b'9' => drop(self.number()?),
                b'n' => self.word("null")?,
                b't' | b'f' => drop(self.boolean()?),
                _ => return Err(self.fail("expected a value")),
            }
            // Goes to the next value: out of every object and array that ends here.
            loop {
                if self.depth == outside {
                    return Ok(self.text.get(start..self.at).unwrap_or_default());
                }
                let more = match objects & 1 {
                    1 => self.next_key()?.is_some(),
                    _ => self.next_element()?,
                };
                if more {
                    break;
                }
                objects >>= 1;
            }
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Failed> {
        match self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            true => {
                self.at += word.len();
                Ok(())
            }
            false => Err(self.fail(&["expected `", word, "`"].concat())),
        }
    }

    /// Goes behind a number and returns its text.
    pub fn number(&mut self) -> Result<&'a str, Failed> {
        let start = self.at;
        self.at += usize::from(self.byte() == b'-');
        match self.byte() {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), Failed> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(self.fail("expected a digit")) } else { Ok(()) }
    }

    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Reads the string whose quote is next. Without escapes it is a part of the text.
    #[inline]
    fn string_token(&mut self) -> Result<Cow<'a, str>, Failed> {
        let start = self.at + 1;
        self.at = start + plain_length(&self.text.as_bytes()[start..]);
        let plain = self.text.get(start..self.at).unwrap_or_default();
        if self.byte() == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.rest_of_string(plain).map(Cow::Owned)
    }

    /// Reads on where the first escape or mistake is.
    fn rest_of_string(&mut self, plain: &str) -> Result<String, Failed> {
        let mut text = String::from(plain);
        loop {
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ if self.at == self.text.len() => {
                    return Err(self.fail("expected the end of a string"));
                }
                _ => return Err(self.fail("a control character in a string must be escaped")),
            }
            let start = self.at;
            self.at += plain_length(&self.text.as_bytes()[start..]);
            text.push_str(self.text.get(start..self.at).unwrap_or_default());
        }
    }

    fn escape(&mut self) -> Result<char, Failed> {
        let plain = match self.byte() {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.fail("invalid escape in a string")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// `uXXXX`, or a pair of them that stands for one character beyond U+FFFF.
    fn unicode_escape(&mut self) -> Result<char, Failed> {
        let start = self.at;
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff if self.text.as_bytes()[self.at..].starts_with(b"\\u") => {
                self.at += 1;
                match self.hex()? {
                    second @ 0xdc00..=0xdfff => {
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    _ => first,
                }
            }
            code => code,
        };
        // What is left of the surrogates is no character.
        let what = "half of a surrogate pair in a string";
        char::from_u32(code).ok_or_else(|| self.fail_at(start, what))
    }

    /// `uXXXX` as a number.
    fn hex(&mut self) -> Result<u32, Failed> {
        let mut code = 0;
        for _ in 0..4 {
            self.at += 1;
            match char::from(self.byte()).to_digit(16) {
                Some(digit) => code = code << 4 | digit,
                None => return Err(self.fail("expected four hexadecimal digits behind `\\u`")),
            }
        }
        self.at += 1;
        Ok(code)
    }

    /// Fails because the next value has the wrong type.
    #[cold]
    pub fn unexpected(&mut self, expected: &str) -> Failed {
        let first = self.peek();
        let start = self.at;
        let (kind, before, after) = match first {
            b'{' => ("an object", "", ""),
            b'[' => ("an array", "", ""),
            b'"' => ("string ", "", ""),
            b'n' => ("", "", ""),
            b't' | b'f' => ("boolean ", "`", "`"),
            b'-' | b'0'..=b'9' => ("number ", "`", "`"),
            _ => return self.fail(&["expected ", expected].concat()),
        };
        let raw = match first {
            b'{' | b'[' => "",
            // A value that is no JSON is the greater mistake.
            _ => match self.skip() {
                Ok(raw) => raw,
                Err(failed) => return failed,
            },
        };
        let raw = shown(raw);
        let parts = ["invalid type: ", kind, before, raw, after, ", expected ", expected];
        self.fail_at(start, &parts.concat())
    }

    /// The position, for [`Reader::fail_at`].
    pub fn at(&self) -> usize {
        self.at
    }

    /// Fails at an earlier position: that of the value which is not what it has to be.
    #[cold]
    pub fn fail_at(&mut self, at: usize, what: &str) -> Failed {
        self.at = at;
        self.fail(what)
    }

    /// Fails at the present position.
    #[cold]
    pub fn fail(&mut self, what: &str) -> Failed {
        self.failure.at = self.at;
        self.failure.what = match self.at == self.text.len() {
            true => ["the text ends too early: ", what].concat(),
            false => what.to_string(),
        };
        Failed(())
    }

    /// Notes on the way upwards that the failure is in this member.
    #[cold]
    pub fn inside_key(&mut self, failed: Failed, key: &str) -> Failed {
        self.failure.path.push(Step::Key(shown(key).to_string()));
        failed
    }

    /// Notes on the way upwards that the failure is in this element.
    #[cold]
    pub fn inside_index(&mut self, failed: Failed, index: usize) -> Failed {
        self.failure.path.push(Step::Index(index));
        failed
    }
}

impl Failure {
    fn describe(&self, text: &[u8]) -> String {
        let mut line = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Key(key) => {
                    if !line.is_empty() {
                        line.push('.');
                    }
                    line.push_str(key);
                }
                Step::Index(index) => {
                    line.push_str(&["[", &index.to_string(), "]"].concat());
                }
            }
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&self.what);
        line.push_str(&position(text, self.at));
        line
    }
}

/// Where a byte stands, as editors count.
fn position(text: &[u8], at: usize) -> String {
    let before = &text[..at];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    [" (line ", &line.to_string(), " column ", &column.to_string(), ")"].concat()
}

/// The beginning of a text that is too long for a message.
fn shown(text: &str) -> &str {
    match text.len() > SHOWN_LIMIT_BYTES {
        true => &text[..text.floor_char_boundary(SHOWN_LIMIT_BYTES)],
        false => text,
    }
}

/// How many bytes come before the first quote, backslash or control character.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // Eight bytes at a time. A difference has the high bit set where a byte was smaller, or zero;
    // a borrow can only set more of them behind the first one.
    let special = |word: u64| {
        let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
        let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        let control = word.wrapping_sub(ONES * 0x20);
        (quote | backslash | control) & !word & HIGH
    };
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk() {
        let found = special(u64::from_le_bytes(*chunk));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = tail;
    }
    // The bytes that are left, with blanks behind them.
    let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let padding = (ONES << (rest.len() * 8)) * u64::from(b' ');
    let found = special(last | padding);
    let plain = if found == 0 { rest.len() } else { found.trailing_zeros() as usize / 8 };
    bytes.len() - rest.len() + plain
}
