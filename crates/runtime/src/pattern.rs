//! Patterns for container ids (`--regex`): the part of extended regular expressions that ids need.
//!
//! One pass over the text with the set of places where the pattern may be: the time is the product
//! of both lengths, whatever the pattern is.

use crate::error::Error;
use alloc::format;
use alloc::vec::Vec;

/// Longer than any id that it could name.
const LIMIT_BYTES: usize = 1024;

/// One character of the text, and how often.
#[derive(Debug, Default)]
struct Atom {
    /// Ranges of bytes; the atom stands for these, or for all others.
    ranges: Vec<(u8, u8)>,
    negated: bool,
    optional: bool,
    repeated: bool,
}

/// A pattern that was read.
#[derive(Debug, Default)]
pub struct Pattern {
    atoms: Vec<Atom>,
    from_start: bool,
    to_end: bool,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |what: &str| {
            Error::invalid(format!("--regex: {text:?}: {what}"))
                .with_hint("a pattern has characters, . [...] * + ? ^ $ and \\ only")
        };
        if text.len() > LIMIT_BYTES {
            return Err(Error::invalid(format!("--regex: has more than {LIMIT_BYTES} bytes")));
        }
        let mut pattern = Self::default();
        let mut bytes = text.as_bytes();
        if let [b'^', rest @ ..] = bytes {
            pattern.from_start = true;
            bytes = rest;
        }
        while let [first, rest @ ..] = bytes {
            bytes = rest;
            match first {
                b'*' | b'+' | b'?' => {
                    let last = pattern.atoms.last_mut();
                    let atom = last.ok_or_else(|| refuse("there is nothing to repeat"))?;
                    atom.optional |= *first != b'+';
                    atom.repeated |= *first != b'?';
                }
                b'$' if rest.is_empty() => pattern.to_end = true,
                b'(' | b')' | b'{' | b'}' | b'|' | b'^' | b'$' => {
                    return Err(refuse("groups, alternatives and counts are not understood"));
                }
                b'.' => pattern.atoms.push(Atom { negated: true, ..Atom::default() }),
                b'[' => {
                    // A ] that comes first is one of the set.
                    let end = rest.iter().skip(1).position(|&byte| byte == b']');
                    let end = 1 + end.ok_or_else(|| refuse("[ without ]"))?;
                    pattern.atoms.push(set(&rest[..end]));
                    bytes = &rest[end + 1..];
                }
                b'\\' => {
                    let (escaped, rest) = rest.split_first().ok_or_else(|| refuse("ends in \\"))?;
                    pattern.atoms.push(one(*escaped));
                    bytes = rest;
                }
                byte => pattern.atoms.push(one(*byte)),
            }
        }
        Ok(pattern)
    }

    /// Whether it matches anywhere in `text`.
    pub fn matches(&self, text: &str) -> bool {
        let end = self.atoms.len();
        let mut places = alloc::vec![false; end + 1];
        places[0] = true;
        self.skip_optional(&mut places);
        for byte in text.bytes() {
            if places[end] && !self.to_end {
                return true;
            }
            let mut next = alloc::vec![false; end + 1];
            next[0] = !self.from_start;
            for (at, atom) in self.atoms.iter().enumerate() {
                if places[at] && atom.holds(byte) {
                    next[at + 1] = true;
                    next[at] |= atom.repeated;
                }
            }
            self.skip_optional(&mut next);
            places = next;
        }
        places[end]
    }

    fn skip_optional(&self, places: &mut [bool]) {
        for (at, atom) in self.atoms.iter().enumerate() {
            places[at + 1] |= places[at] && atom.optional;
        }
    }
}

impl Atom {
    fn holds(&self, byte: u8) -> bool {
        self.ranges.iter().any(|&(low, high)| (low..=high).contains(&byte)) != self.negated
    }
}

fn one(byte: u8) -> Atom {
    Atom { ranges: [(byte, byte)].into(), ..Atom::default() }
}

/// What is between brackets: `a-z0-9`, `^x`.
fn set(text: &[u8]) -> Atom {
    let (negated, mut text) = match text {
        [b'^', rest @ ..] if !rest.is_empty() => (true, rest),
        text => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        text = match text {
            [low, b'-', high, rest @ ..] => {
                ranges.push((*low, *high));
                rest
            }
            [byte, rest @ ..] => {
                ranges.push((*byte, *byte));
                rest
            }
            [] => return Atom { ranges, negated, ..Atom::default() },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_extended_regular_expressions_do() {
        for (pattern, text, expected) in [
            ("", "a", true),
            ("test-*", "my-test", true),
            ("test-*", "tes", false),
            ("^b", "ab", false),
            ("b$", "ab", true),
            ("a$", "ab", false),
            ("^a.c$", "abc", true),
            ("^ab+c$", "abbbc", true),
            ("^ab+c$", "ac", false),
            ("^ab?c$", "abbc", false),
            ("^[a-c0-9]+$", "a9", true),
            ("^[^a-c]$", "d", true),
            ("^[^a-c]$", "b", false),
            ("[]x]", "]", true),
            (r"^a\.b$", "axb", false),
            (r"^a\.b$", "a.b", true),
            ("^$", "a", false),
        ] {
            let found = Pattern::parse(pattern).unwrap().matches(text);
            assert_eq!(found, expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in
            ["*a", "(a)", "a|b", "a{2}", "[a", "[", "[]", "a\\", "a^b", &"a".repeat(1025)]
        {
            assert!(Pattern::parse(pattern).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::parse(&"a*".repeat(512)).unwrap();
        assert!(pattern.matches(&"a".repeat(255)));
    }
}
