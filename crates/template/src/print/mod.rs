//! Values as text, as Go's `fmt` writes them.

mod format;
mod number;

pub(crate) use number::float;

use crate::literal;
use crate::value::{Struct, Value};

/// How one value is written.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`: names of fields.
    plus_v: bool,
    /// `%#v`: Go's syntax.
    sharp_v: bool,
}

/// A text that is being written, up to a limit.
pub(crate) struct Printer {
    out: Vec<u8>,
    limit: usize,
    flags: Flags,
}

impl Printer {
    pub(crate) fn new(limit: usize) -> Self {
        Self { out: Vec::new(), limit, flags: Flags::default() }
    }

    /// Whether something did not fit.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() > self.limit
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// One byte more than fits tells that something did not.
    fn room(&self) -> usize {
        (self.limit + 1).saturating_sub(self.out.len())
    }

    fn push(&mut self, text: &[u8]) {
        let length = text.len().min(self.room());
        self.out.extend_from_slice(&text[..length]);
    }

    fn push_text(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    fn repeat(&mut self, byte: u8, count: usize) {
        let count = count.min(self.room());
        self.out.resize(self.out.len() + count, byte);
    }

    /// What an action prints: of a pointer what it points to, and of nothing that.
    pub(crate) fn print_found(&mut self, value: &Value) {
        match value {
            Value::Null => self.push_text("<no value>"),
            _ => self.value(value, 'v', 1),
        }
    }

    /// A value in a message of Go's.
    pub(crate) fn print_inner(&mut self, value: &Value) {
        self.value(value, 'v', 0);
    }

    /// `print`: spaces between values that are no texts.
    pub(crate) fn print_all<'v>(&mut self, values: impl Iterator<Item = &'v Value>) {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        self.all(values, is_text, |printer, value| printer.argument(value, 'v'));
    }

    /// The same of what was found.
    pub(crate) fn print_all_found<'v>(&mut self, values: impl Iterator<Item = &'v Value>) {
        // Nothing is found as a text that says so.
        let is_text = |value: &Value| matches!(value, Value::Text(_) | Value::Null);
        self.all(values, is_text, Self::print_found);
    }

    fn all<'v>(
        &mut self,
        values: impl Iterator<Item = &'v Value>,
        is_text: impl Fn(&Value) -> bool,
        print: impl Fn(&mut Self, &'v Value),
    ) {
        let mut previous_is_text = true;
        for value in values {
            let is_text = is_text(value);
            if !is_text && !previous_is_text {
                self.push(b" ");
            }
            print(self, value);
            previous_is_text = is_text;
        }
    }

    /// `println`: spaces between all, and the end of the line.
    pub(crate) fn print_line<'v>(&mut self, values: impl Iterator<Item = &'v Value>) {
        for (count, value) in values.enumerate() {
            if count > 0 {
                self.push(b" ");
            }
            self.argument(value, 'v');
        }
        self.push(b"\n");
    }

    /// A value that was handed over.
    fn argument(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (Value::Null, 'T' | 'v') => self.padded(b"<nil>"),
            (Value::Null, _) => self.push_text(&format!("%!{verb}(<nil>)")),
            (_, 'T') => {
                let name = value.type_name();
                self.text(name.as_bytes());
            }
            // Go prints an address, which would tell nobody anything.
            (Value::List(_) | Value::Map(_), 'p') => self.bad_verb(value, verb),
            _ => self.value(value, verb, 0),
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        match value {
            // It can only stand in a list, map or struct.
            Value::Null if self.flags.sharp_v => self.push_text("interface {}(nil)"),
            Value::Null => self.push_text("<nil>"),
            Value::Nil(name) => self.nil(name, verb),
            Value::Bool(value) if matches!(verb, 't' | 'v') => {
                self.padded(if *value { b"true" } else { b"false" });
            }
            Value::Int(number) => {
                self.integer(value, number.unsigned_abs(), Some(*number < 0), verb)
            }
            Value::Uint(number) => self.integer(value, *number, None, verb),
            Value::Byte(number) => self.integer(value, u64::from(*number), None, verb),
            Value::Float(number) => self.float(value, *number, verb),
            Value::Text(text) => self.string(value, text, verb),
            Value::Time(time) if "vsxXq".contains(verb) => {
                let text = time.to_string();
                self.string(value, text.as_bytes(), verb);
            }
            Value::List(list) => {
                let name = value.type_name();
                self.open(&name, "[");
                for (count, item) in list.items.iter().enumerate() {
                    self.separate(count);
                    self.value(item, verb, depth + 1);
                }
                self.close("]");
            }
            Value::Map(map) => {
                let name = value.type_name();
                self.open(&name, "map[");
                for (count, (name, item)) in map.entries.iter().enumerate() {
                    self.separate(count);
                    self.string(&Value::from(name), name.as_bytes(), verb);
                    self.push(b":");
                    self.value(item, verb, depth + 1);
                }
                self.close("]");
            }
            Value::Struct(whole) => self.fields(whole, verb, depth),
            Value::Bool(_) | Value::Time(_) | Value::Lookup(_) => self.bad_verb(value, verb),
        }
    }

    fn open(&mut self, name: &str, bracket: &str) {
        match self.flags.sharp_v {
            true => self.push_text(&format!("{name}{{")),
            false => self.push_text(bracket),
        }
    }

    fn separate(&mut self, count: usize) {
        match (count, self.flags.sharp_v) {
            (0, _) => {}
            (_, true) => self.push_text(", "),
            (_, false) => self.push(b" "),
        }
    }

    fn close(&mut self, bracket: &str) {
        self.push_text(if self.flags.sharp_v { "}" } else { bracket });
    }

    fn fields(&mut self, whole: &Struct, verb: char, depth: usize) {
        let name = whole.type_name.trim_start_matches('*');
        if depth == 0 && name.len() < whole.type_name.len() {
            self.push(b"&");
        }
        self.open(name, "{");
        // What has no name in JSON stands for a method.
        let fields = whole.fields.iter().filter(|field| field.json.is_some());
        for (count, field) in fields.enumerate() {
            self.separate(count);
            if self.flags.plus_v || self.flags.sharp_v {
                self.push_text(&format!("{}:", field.name));
            }
            self.value(&field.value, verb, depth + 1);
        }
        self.close("}");
    }

    fn nil(&mut self, name: &'static str, verb: char) {
        let is_list = name.starts_with("[]");
        match verb {
            _ if self.flags.sharp_v && (is_list || name.starts_with("map[")) => {
                self.push_text(&format!("{name}(nil)"));
            }
            _ if is_list => self.push_text("[]"),
            _ if name.starts_with("map[") => self.push_text("map[]"),
            'v' if self.flags.sharp_v => self.push_text(&format!("({name})(nil)")),
            'v' => self.padded(b"<nil>"),
            _ => self.push_text(&format!("%!{verb}({name}=<nil>)")),
        }
    }

    fn bad_verb(&mut self, value: &Value, verb: char) {
        self.push_text(&format!("%!{verb}({}=", value.type_name()));
        self.value(value, 'v', 0);
        self.push(b")");
    }

    /// Writes with spaces (or zeros) up to the width, which counts characters.
    fn padded(&mut self, text: &[u8]) {
        let missing = self.missing(characters(text));
        if !self.flags.minus {
            self.fill(missing);
        }
        self.push(text);
        if self.flags.minus {
            self.fill(missing);
        }
    }

    fn missing(&self, width: usize) -> usize {
        self.flags.width.unwrap_or(0).saturating_sub(width)
    }

    /// Zeros are for the left side only.
    fn fill(&mut self, count: usize) {
        let zeros = self.flags.zero && !self.flags.minus;
        self.repeat(if zeros { b'0' } else { b' ' }, count);
    }

    fn text(&mut self, text: &[u8]) {
        let text = self.truncated(text);
        self.padded(text);
    }

    /// A text up to the precision, which counts characters.
    fn truncated<'v>(&self, text: &'v [u8]) -> &'v [u8] {
        let Some(precision) = self.flags.precision else { return text };
        let mut length = 0;
        let mut count = 0;
        for chunk in text.utf8_chunks() {
            let valid = chunk.valid().chars().map(char::len_utf8);
            for size in valid.chain(chunk.invalid().iter().map(|_| 1)) {
                if count == precision {
                    return &text[..length];
                }
                count += 1;
                length += size;
            }
        }
        text
    }

    fn string(&mut self, value: &Value, text: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.text(text),
            'x' => self.hex(text, b"0123456789abcdefx"),
            'X' => self.hex(text, b"0123456789ABCDEFX"),
            'q' => self.quoted(text),
            _ => self.bad_verb(value, verb),
        }
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.truncated(text);
        if self.flags.sharp && literal::can_backquote(text) {
            let text = [b"`", text, b"`"].concat();
            return self.padded(&text);
        }
        let text = literal::quote_with(text, '"', self.flags.plus);
        self.padded(text.as_bytes());
    }

    fn hex(&mut self, text: &[u8], digits: &[u8; 17]) {
        let Flags { sharp, space, minus, .. } = self.flags;
        let text = &text[..self.flags.precision.unwrap_or(text.len()).min(text.len())];
        if text.is_empty() {
            let missing = self.missing(0);
            return self.fill(missing);
        }
        let mut width = 2 * text.len();
        width += match (space, sharp) {
            (true, true) => 2 * text.len() + text.len() - 1,
            (true, false) => text.len() - 1,
            (false, true) => 2,
            (false, false) => 0,
        };
        let missing = self.missing(width);
        if !minus {
            self.fill(missing);
        }
        for (count, byte) in text.iter().enumerate() {
            if space && count > 0 {
                self.push(b" ");
            }
            if sharp && (space || count == 0) {
                self.push(&[b'0', digits[16]]);
            }
            self.push(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
        if minus {
            self.fill(missing);
        }
    }
}

/// Characters of a text; a byte that belongs to none counts as one.
fn characters(text: &[u8]) -> usize {
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}
