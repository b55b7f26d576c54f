//! `printf`: the text with the verbs.

use super::{Flags, Printer};
use crate::value::Value;

/// Largest width, precision and number of an argument.
const NUMBER_LIMIT: usize = 1_000_000;

/// Where a format is read, and which argument comes next.
struct Cursor<'f> {
    rest: &'f [u8],
    argument: usize,
    /// Some verb named its argument: then left-over ones are nobody's mistake.
    reordered: bool,
    /// The current verb has named none that there is.
    is_good: bool,
    after_index: bool,
}

impl<'f> Cursor<'f> {
    fn accept(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// A number; a much too large one ends the format, as in Go.
    fn number(&mut self) -> Option<usize> {
        let (number, rest) = parse_number(self.rest);
        self.rest = rest;
        number
    }

    /// `[3]`: the number of an argument.
    fn index(&mut self, count: usize) {
        self.after_index = self.rest.first() == Some(&b'[');
        if !self.after_index {
            return;
        }
        self.reordered = true;
        let end = self.rest.iter().position(|&byte| byte == b']').filter(|_| self.rest.len() >= 3);
        let Some(end) = end else {
            self.rest = &self.rest[1..];
            (self.is_good, self.after_index) = (false, false);
            return;
        };
        let inner = &self.rest[1..end];
        self.rest = &self.rest[end + 1..];
        let (number, left) = parse_number(inner);
        let number = number.filter(|_| left.is_empty() && !inner.is_empty());
        match number.and_then(|number| number.checked_sub(1)).filter(|&at| at < count) {
            Some(at) => self.argument = at,
            None => {
                self.is_good = false;
                self.after_index = number.is_some();
            }
        }
    }

    /// `*`: a number that is an argument.
    fn star(&mut self, arguments: &[&Value]) -> Option<i64> {
        let value = arguments.get(self.argument)?;
        self.argument += 1;
        let number = match value {
            Value::Int(number) => *number,
            Value::Uint(number) => i64::try_from(*number).ok()?,
            Value::Byte(number) => i64::from(*number),
            _ => return None,
        };
        (number.unsigned_abs() <= NUMBER_LIMIT as u64).then_some(number)
    }
}

fn parse_number(text: &[u8]) -> (Option<usize>, &[u8]) {
    let mut number = None;
    let mut rest = text;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        if number.is_some_and(|number| number > NUMBER_LIMIT) {
            return (None, &[]);
        }
        number = Some(number.unwrap_or(0) * 10 + usize::from(digit - b'0'));
        rest = after;
    }
    (number, rest)
}

impl Printer {
    pub(crate) fn print_format(&mut self, format: &[u8], arguments: &[&Value]) {
        let mut cursor = Cursor {
            rest: format,
            argument: 0,
            reordered: false,
            is_good: true,
            after_index: false,
        };
        while let Some(length) = cursor.rest.iter().position(|&byte| byte == b'%') {
            self.push(&cursor.rest[..length]);
            cursor.rest = &cursor.rest[length + 1..];
            if !self.directive(&mut cursor, arguments) || self.is_full() {
                break;
            }
        }
        self.push(cursor.rest);
        let left = arguments.get(cursor.argument..).unwrap_or_default();
        self.flags = Flags::default();
        if cursor.reordered || left.is_empty() {
            return;
        }
        self.push_text("%!(EXTRA ");
        for (count, value) in left.iter().enumerate() {
            if count > 0 {
                self.push_text(", ");
            }
            match value {
                Value::Null => self.push_text("<nil>"),
                value => {
                    self.push_text(&format!("{}=", value.type_name()));
                    self.argument(value, 'v');
                }
            }
        }
        self.push(b")");
    }

    /// One verb with its flags; whether the format goes on.
    fn directive(&mut self, cursor: &mut Cursor, arguments: &[&Value]) -> bool {
        self.flags = Flags::default();
        cursor.is_good = true;
        cursor.after_index = false;
        while let Some(&byte) = cursor.rest.first() {
            match byte {
                b'#' => self.flags.sharp = true,
                b'0' => self.flags.zero = true,
                b'+' => self.flags.plus = true,
                b'-' => self.flags.minus = true,
                b' ' => self.flags.space = true,
                _ => break,
            }
            cursor.rest = &cursor.rest[1..];
        }
        self.width(cursor, arguments);
        self.precision(cursor, arguments);
        if !cursor.after_index {
            cursor.index(arguments.len());
        }
        let Some(verb) = take_character(&mut cursor.rest) else {
            self.push_text("%!(NOVERB)");
            return false;
        };
        match arguments.get(cursor.argument) {
            _ if verb == '%' => self.push(b"%"),
            _ if !cursor.is_good => self.push_text(&format!("%!{verb}(BADINDEX)")),
            None => self.push_text(&format!("%!{verb}(MISSING)")),
            Some(value) => {
                cursor.argument += 1;
                if verb == 'v' {
                    let flags = &mut self.flags;
                    (flags.sharp_v, flags.sharp) = (flags.sharp, false);
                    (flags.plus_v, flags.plus) = (flags.plus, false);
                }
                self.argument(value, verb);
            }
        }
        true
    }

    fn width(&mut self, cursor: &mut Cursor, arguments: &[&Value]) {
        cursor.index(arguments.len());
        if !cursor.accept(b'*') {
            self.flags.width = cursor.number();
            // `%[3]2d`: the index must stand before the verb or a star.
            if cursor.after_index && self.flags.width.is_some() {
                cursor.is_good = false;
            }
            return;
        }
        cursor.after_index = false;
        match cursor.star(arguments) {
            None => self.push_text("%!(BADWIDTH)"),
            Some(width) => {
                self.flags.width = usize::try_from(width.unsigned_abs()).ok();
                if width < 0 {
                    self.flags.minus = true;
                    self.flags.zero = false;
                }
            }
        }
    }

    fn precision(&mut self, cursor: &mut Cursor, arguments: &[&Value]) {
        // A point at the very end is the verb.
        if cursor.rest.len() < 2 || !cursor.accept(b'.') {
            return;
        }
        if cursor.after_index {
            cursor.is_good = false;
        }
        cursor.index(arguments.len());
        if !cursor.accept(b'*') {
            self.flags.precision = Some(cursor.number().unwrap_or(0));
            return;
        }
        cursor.after_index = false;
        let number = cursor.star(arguments).and_then(|number| usize::try_from(number).ok());
        match number {
            None => self.push_text("%!(BADPREC)"),
            some => self.flags.precision = some,
        }
    }
}

/// The next character; a byte that belongs to none is the replacement character.
fn take_character(rest: &mut &[u8]) -> Option<char> {
    let chunk = rest.utf8_chunks().next()?;
    let found = chunk.valid().chars().next();
    *rest = &rest[found.map_or(1, char::len_utf8)..];
    Some(found.unwrap_or('\u{fffd}'))
}
