//! Patterns of repositories' names: `*` is any text without `/`, `**` any text.

use crate::names::Repository;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Component,
    Any,
}

/// Longest pattern: it is compared with backtracking.
const LIMIT_BYTES: usize = 512;

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let shown = || text.escape_debug().to_string();
        // With letters in their place it has to be a name, or it matches nothing that ever comes.
        let example = text.replace('*', "a");
        if text.len() > LIMIT_BYTES || Repository::parse(&example).is_none() {
            return Err(format!("`{}` is no pattern of a repository's name", shown()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let stars = rest.bytes().take_while(|&byte| byte == b'*').count();
            match stars {
                0 => {
                    let length = rest.find('*').unwrap_or(rest.len());
                    parts.push(Part::Text(rest[..length].to_owned()));
                    rest = &rest[length..];
                    continue;
                }
                1 => parts.push(Part::Component),
                2 => parts.push(Part::Any),
                _ => return Err(format!("`{}` has more than two `*` in a row", shown())),
            }
            rest = &rest[stars..];
        }
        Ok(Self(parts))
    }

    /// Whether a name is one of those that are meant.
    pub(crate) fn matches(&self, name: &str) -> bool {
        // Every place in the name that the parts so far can end at: no backtracking without end.
        let mut ends = vec![false; name.len() + 1];
        ends[0] = true;
        for part in &self.0 {
            let mut next = vec![false; name.len() + 1];
            for at in (0..=name.len()).filter(|&at| ends[at]) {
                match part {
                    Part::Text(text) if name[at..].starts_with(text.as_str()) => {
                        next[at + text.len()] = true;
                    }
                    Part::Text(_) => {}
                    Part::Component => {
                        let length = name[at..].find('/').unwrap_or(name.len() - at);
                        next[at..=at + length].fill(true);
                    }
                    Part::Any => next[at..].fill(true),
                }
            }
            ends = next;
        }
        ends[name.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_text() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let matches = Pattern::parse(pattern).unwrap().matches(name);
            assert_eq!(matches, expected, "{pattern} {name}");
        };
        check("a", "a", true);
        check("a", "ab", false);
        check("*", "a", true);
        check("*", "a/b", false);
        check("**", "a/b/c", true);
        check("a/*", "a/b", true);
        check("a/*", "a/b/c", false);
        check("a/**", "a/b/c", true);
        check("a/**", "a", false);
        check("a/**/z", "a/b/c/z", true);
        check("*/x", "a/x", true);
        check("a*b", "aXb", true);
        check("a*b", "a/b", false);
        check("ci-*", "ci-1", true);
        check("ci-*", "ci-1/x", false);
        let long = "a".repeat(250);
        check("a*a*a*a*a*a*a*a*a*a*b", &long, false);
        for bad in ["", "a//b", "/a", "A", "..", "a/../b", "***", "a b"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
