//! Numbers as Go's `fmt` and `strconv` write them.

use super::{Flags, Printer};
use crate::literal;
use crate::value::Value;

/// A `f64` has no more digits than this after the point, or before it.
const DIGITS_LIMIT: usize = 1100;

impl Printer {
    /// An integer: its size, and whether it is negative where its type has a sign.
    pub(super) fn integer(&mut self, value: &Value, size: u64, sign: Option<bool>, verb: char) {
        let negative = sign == Some(true);
        match verb {
            'v' if self.flags.sharp_v && sign.is_none() => {
                let flags = self.flags;
                self.flags.sharp = true;
                self.digits(format!("{size:x}"), size, negative, 'x');
                self.flags = flags;
            }
            'v' | 'd' => self.digits(size.to_string(), size, negative, 'd'),
            'b' => self.digits(format!("{size:b}"), size, negative, 'b'),
            'o' | 'O' => self.digits(format!("{size:o}"), size, negative, verb),
            'x' => self.digits(format!("{size:x}"), size, negative, 'x'),
            'X' => self.digits(format!("{size:X}"), size, negative, 'X'),
            'c' => self.padded(character(size, negative).to_string().as_bytes()),
            'q' => {
                let text = character(size, negative).to_string();
                let text = literal::quote_with(text.as_bytes(), '\'', self.flags.plus);
                self.padded(text.as_bytes());
            }
            'U' => self.unicode(if negative { size.wrapping_neg() } else { size }),
            _ => self.bad_verb(value, verb),
        }
    }

    fn digits(&mut self, digits: String, size: u64, negative: bool, verb: char) {
        let Flags { precision, width, zero, minus, plus, space, sharp, .. } = self.flags;
        let zeros = match precision {
            Some(0) if size == 0 => {
                let missing = self.missing(0);
                return self.repeat(b' ', missing);
            }
            Some(precision) => precision,
            None if zero && !minus => {
                width.unwrap_or(0).saturating_sub(usize::from(negative || plus || space))
            }
            None => 0,
        };
        let mut text = String::new();
        text.push_str(match (negative, plus, space) {
            (true, _, _) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        });
        let zeros = zeros.saturating_sub(digits.len()).min(self.room());
        text.push_str(match verb {
            'O' if sharp && zeros == 0 && !digits.starts_with('0') => "0o0",
            'O' => "0o",
            'b' if sharp => "0b",
            'x' if sharp => "0x",
            'X' if sharp => "0X",
            'o' if sharp && zeros == 0 && !digits.starts_with('0') => "0",
            _ => "",
        });
        text.extend(std::iter::repeat_n('0', zeros));
        text.push_str(&digits);
        // The zeros are there already.
        self.flags.zero = false;
        self.padded(text.as_bytes());
        self.flags.zero = zero;
    }

    fn unicode(&mut self, size: u64) {
        let digits = self.flags.precision.unwrap_or(0).max(4).min(self.room());
        let mut text = format!("U+{size:0digits$X}");
        let character = u32::try_from(size).ok().and_then(char::from_u32);
        if let Some(character) = character.filter(|&c| self.flags.sharp && literal::is_printable(c))
        {
            text.push_str(&format!(" '{character}'"));
        }
        let zero = std::mem::take(&mut self.flags.zero);
        self.padded(text.as_bytes());
        self.flags.zero = zero;
    }

    pub(super) fn float(&mut self, value: &Value, number: f64, verb: char) {
        let (form, default) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'F' => ('f', Some(6)),
            'e' | 'E' => (verb, Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        let precision = self.flags.precision.or(default);
        let mut text = float(number, form, precision);
        let flags = self.flags;
        let signed = text.starts_with('-');
        if flags.sharp && form != 'b' && number.is_finite() {
            text = keep_zeros(&text, form, precision);
        }
        if !signed {
            let sign = match (flags.plus, flags.space) {
                (true, _) => "+",
                (_, true) => " ",
                _ => "",
            };
            text.insert_str(0, sign);
        }
        if !number.is_finite() {
            self.flags.zero = false;
            // Infinity always has its sign inside; what is no number has none.
            self.padded(text.as_bytes());
            self.flags = flags;
            return;
        }
        let sign = text.starts_with(['-', '+', ' ']);
        if sign && flags.zero && !flags.minus && self.missing(text.len()) > 0 {
            let missing = self.missing(text.len());
            self.push(&text.as_bytes()[..1]);
            self.fill(missing);
            return self.push(&text.as_bytes()[1..]);
        }
        self.padded(text.as_bytes());
    }
}

/// The character with this number.
fn character(size: u64, negative: bool) -> char {
    let code = u32::try_from(size).ok().filter(|_| !negative);
    code.and_then(char::from_u32).unwrap_or('\u{fffd}')
}

/// A number by `strconv`'s rules, with `-` in front when it is negative.
pub(crate) fn float(number: f64, form: char, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-Inf".into() } else { "+Inf".into() };
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let size = number.abs();
    let text = match form {
        'e' | 'E' => exponential(size, precision, form),
        'f' => fixed(size, precision),
        'b' => binary(size),
        'x' | 'X' => hexadecimal(size, precision, form),
        _ => general(size, precision, form),
    };
    [sign, &text].concat()
}

fn fixed(size: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else { return format!("{size}") };
    let kept = precision.min(DIGITS_LIMIT);
    let mut text = format!("{size:.kept$}");
    text.extend(std::iter::repeat_n('0', precision - kept));
    text
}

fn exponential(size: f64, precision: Option<usize>, form: char) -> String {
    let text = match precision {
        None => format!("{size:e}"),
        Some(precision) => format!("{size:.*e}", precision.min(DIGITS_LIMIT)),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let missing = precision.map_or(0, |precision| precision.saturating_sub(DIGITS_LIMIT));
    let zeros = "0".repeat(missing);
    let sign = if exponent.starts_with('-') { '-' } else { '+' };
    let exponent = exponent.trim_start_matches('-');
    format!("{digits}{zeros}{form}{sign}{exponent:0>2}")
}

/// `%g`: an exponent when the number is very small, or has more digits than are shown.
fn general(size: f64, precision: Option<usize>, form: char) -> String {
    let shown = precision.map(|precision| precision.clamp(1, DIGITS_LIMIT));
    let text = match shown {
        None => format!("{size:e}"),
        Some(shown) => format!("{size:.*e}", shown - 1),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let all: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = all.trim_end_matches('0');
    let count = digits.len();
    let point = if count == 0 { 0 } else { exponent + 1 };
    let mut threshold = shown.map_or(6, |shown| shown as i64);
    if shown.is_some() && threshold > count as i64 && count as i64 >= point {
        threshold = count as i64;
    }
    if point - 1 < -4 || point > threshold {
        return exponential(
            size,
            Some(count.saturating_sub(1)),
            if form == 'G' { 'E' } else { 'e' },
        );
    }
    let after = usize::try_from(count as i64 - point).unwrap_or(0);
    match shown {
        None => fixed(size, Some(after)),
        Some(_) if count == 0 => "0".into(),
        Some(_) => place_point(digits, point, after),
    }
}

/// Digits with a point after `point` of them; they are rounded already.
fn place_point(digits: &str, point: i64, after: usize) -> String {
    let before = usize::try_from(point).unwrap_or(0);
    let whole: String = match before {
        0 => "0".into(),
        _ => format!("{:0<before$}", &digits[..before.min(digits.len())]),
    };
    if after == 0 {
        return whole;
    }
    let leading = usize::try_from(-point).unwrap_or(0);
    format!("{whole}.{}{}", "0".repeat(leading), &digits[before.min(digits.len())..])
}

/// `%b`: the mantissa, and the exponent of two.
fn binary(size: f64) -> String {
    let (mantissa, exponent) = parts(size);
    format!("{mantissa}p{exponent:+}")
}

/// The mantissa as an integer, and its exponent.
fn parts(size: f64) -> (u64, i64) {
    let bits = size.to_bits();
    let (raw, mantissa) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    match raw {
        0 => (mantissa, -1074),
        _ => (mantissa | 1 << 52, raw.cast_signed() - 1075),
    }
}

/// `%x`: a hexadecimal mantissa with one digit before the point, and the exponent of two.
fn hexadecimal(size: f64, precision: Option<usize>, form: char) -> String {
    let (mut mantissa, mut exponent) = parts(size);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // The leading bit goes to place 60: then there are 15 digits behind the point.
        let shift = i64::from(mantissa.leading_zeros()) - 3;
        mantissa <<= shift;
        exponent += 60 - shift;
    }
    if let Some(precision) = precision.filter(|&precision| precision < 15) {
        let shift = u32::try_from(60 - precision * 4).unwrap_or(0);
        let (extra, half) = (mantissa & ((1 << shift) - 1), 1u64 << (shift - 1));
        mantissa >>= shift;
        if extra > half || (extra == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= shift;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let digits = match precision {
        None => digits.trim_end_matches('0').to_string(),
        Some(precision) if precision <= 15 => digits[..precision].to_string(),
        Some(precision) => format!("{digits:0<precision$}"),
    };
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    let text = format!("0x{}{point}{digits}p{sign}{:02}", mantissa >> 60, exponent.abs());
    if form == 'X' { text.to_uppercase() } else { text }
}

/// `#`: the point and the zeros at the end stay.
fn keep_zeros(text: &str, form: char, precision: Option<usize>) -> String {
    let hex = matches!(form, 'x' | 'X');
    let tail = text.find(|c| matches!(c, 'p' | 'P') || (!hex && matches!(c, 'e' | 'E')));
    let (head, tail) = text.split_at(tail.unwrap_or(text.len()));
    let wanted = match form {
        'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let unsigned = head.trim_start_matches('-');
    let significant = unsigned.trim_start_matches(['0', '.']);
    let mut count = significant.chars().filter(|c| *c != '.').count();
    let mut out = head.to_string();
    if !head.contains('.') {
        count += usize::from(unsigned == "0");
        out.push('.');
    }
    out.extend(std::iter::repeat_n('0', wanted.saturating_sub(count)));
    out.push_str(tail);
    out
}
