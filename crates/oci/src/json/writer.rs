//! Text from values.

use super::reader::plain_length;
use alloc::string::String;

/// Room that is taken at once: a state document has about this size.
const FIRST_BYTES: usize = 512;

/// A text that grows value by value.
pub struct Writer {
    text: String,
    pretty: bool,
    level: usize,
    /// An object or array was just opened: no comma stands before its first part.
    fresh: bool,
}

impl Writer {
    /// Writes everything on one line, without blanks.
    pub fn compact() -> Self {
        Self { text: String::with_capacity(FIRST_BYTES), pretty: false, level: 0, fresh: false }
    }

    /// Writes a line for each part.
    pub fn pretty() -> Self {
        Self { pretty: true, ..Self::compact() }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    /// Begins an object (`{`) or array (`[`).
    pub fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.level += 1;
        self.fresh = true;
    }

    /// Ends the object (`}`) or array (`]`).
    pub fn close(&mut self, bracket: char) {
        self.level -= 1;
        if !core::mem::take(&mut self.fresh) {
            self.new_line();
        }
        self.text.push(bracket);
    }

    /// Begins the next element of an array.
    pub fn element(&mut self) {
        if !core::mem::take(&mut self.fresh) {
            self.text.push(',');
        }
        self.new_line();
    }

    /// Begins the next member of an object.
    pub fn key(&mut self, key: &str) {
        self.element();
        self.string(key);
        self.text.push_str(if self.pretty { ": " } else { ":" });
    }

    /// As [`Writer::key`], for a name that needs no escapes.
    pub(super) fn name(&mut self, name: &str) {
        self.element();
        self.text.reserve(name.len() + "\"\": ".len());
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str(if self.pretty { "\": " } else { "\":" });
    }

    /// Writes a string.
    pub fn string(&mut self, text: &str) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.text.reserve(text.len() + "\"\"".len());
        self.text.push('"');
        let mut rest = text;
        loop {
            let (plain, special) = rest.split_at(plain_length(rest.as_bytes()));
            self.text.push_str(plain);
            let mut characters = special.chars();
            let Some(character) = characters.next() else { break };
            rest = characters.as_str();
            let short = match character {
                '"' | '\\' => character,
                '\n' => 'n',
                '\r' => 'r',
                '\t' => 't',
                '\u{8}' => 'b',
                '\u{c}' => 'f',
                control => {
                    self.text.push_str("\\u00");
                    let code = control as usize;
                    self.text.push(char::from(DIGITS[code >> 4 & 15]));
                    self.text.push(char::from(DIGITS[code & 15]));
                    continue;
                }
            };
            self.text.push('\\');
            self.text.push(short);
        }
        self.text.push('"');
    }

    /// Writes an integer.
    pub fn integer(&mut self, negative: bool, magnitude: u64) {
        if negative {
            self.text.push('-');
        }
        // The largest one has 20 digits.
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = magnitude;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.text.extend(digits[at..].iter().map(|&digit| char::from(digit)));
    }

    /// Writes text that is JSON already: a word, a number or a value that was read as it stood.
    pub fn raw(&mut self, json: &str) {
        self.text.push_str(json);
    }

    fn new_line(&mut self) {
        if self.pretty {
            self.text.push('\n');
            for _ in 0..self.level {
                self.text.push_str("  ");
            }
        }
    }
}
