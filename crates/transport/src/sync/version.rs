//! Semantic versions and constraints of them, as `images-by-semver` of skopeo has them: the language of the
//! Go package Masterminds/semver, version 3.
//!
//! ```text
//! constraint  AND || AND ...
//! AND         comparison[, ]comparison ...
//! comparison  [OPERATOR]VERSION, VERSION - VERSION
//! OPERATOR    = != > < >= => <= =< ~ ~> ^
//! VERSION     [v]MAJOR[.MINOR[.PATCH]][-PRERELEASE][+ANYTHING], with x, X or * for any number
//! ```
//!
//! A version with a prerelease is found only by a group that has one itself.

use crate::error::{Error, ErrorKind, Result};
use std::cmp::Ordering;

/// Longest constraint, and most groups of one: what the Go package allows.
const LENGTH_LIMIT_BYTES: usize = 512;
const GROUPS_LIMIT: usize = 32;
/// Longest version.
const VERSION_LIMIT_BYTES: usize = 256;

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    numbers: [u64; 3],
    prerelease: String,
}

/// One of several groups, of which all comparisons must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Constraint(Vec<Vec<Comparison>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    bound: Version,
    /// How many numbers of the bound are written.
    precision: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Not,
    Above,
    Below,
    AtLeast,
    AtMost,
    /// The last number that is written may grow, if it is not the only one.
    Tilde,
    /// What is behind the first number that is not zero may grow.
    Caret,
}

/// The longer ones first.
const OPERATORS: [(&str, Operator); 11] = [
    (">=", Operator::AtLeast),
    ("=>", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("=<", Operator::AtMost),
    ("!=", Operator::Not),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl Version {
    /// Reads a tag that is a version: `v1.2`, `3.12.0-alpine`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let read = read_version(text).filter(|_| text.len() <= VERSION_LIMIT_BYTES)?;
        (!read.is_open).then_some(read.version)
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| compare_prereleases(&self.prerelease, &other.prerelease))
    }
}

/// A version without one is later than those with one; its parts are compared as numbers, or as texts, which
/// come after numbers.
fn compare_prereleases(one: &str, other: &str) -> Ordering {
    match (one.is_empty(), other.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let order = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => match (one.parse::<u64>(), other.parse::<u64>()) {
                (Ok(one), Ok(other)) => one.cmp(&other),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => one.cmp(other),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// A version as it is written.
struct Written {
    version: Version,
    /// How many numbers there are before the end or an `x`.
    precision: usize,
    /// Whether there is an `x`.
    is_open: bool,
}

fn read_version(text: &str) -> Option<Written> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, metadata) = match text.split_once('+') {
        Some((text, metadata)) => (text, Some(metadata)),
        None => (text, None),
    };
    let (numbers, prerelease) = match text.split_once('-') {
        Some((numbers, prerelease)) => (numbers, Some(prerelease)),
        None => (text, None),
    };
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    if !metadata.is_none_or(|it| it.split('.').all(is_word)) {
        return None;
    }
    let is_part = |word: &str| {
        let is_number = word.bytes().all(|it| it.is_ascii_digit());
        is_word(word) && !(is_number && word.len() > 1 && word.starts_with('0'))
    };
    if !prerelease.is_none_or(|it| it.split('.').all(is_part)) {
        return None;
    }
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > 3 {
        return None;
    }
    let mut version =
        Version { numbers: [0; 3], prerelease: prerelease.unwrap_or_default().to_owned() };
    let mut precision = 0;
    let mut is_open = false;
    for (place, part) in version.numbers.iter_mut().zip(parts) {
        match part {
            "x" | "X" | "*" => is_open = true,
            part if part.bytes().all(|it| it.is_ascii_digit()) => {
                let number = part.parse().ok()?;
                // What is behind an x counts for nothing.
                if !is_open {
                    (*place, precision) = (number, precision + 1);
                }
            }
            _ => return None,
        }
    }
    Some(Written { version, precision, is_open })
}

impl Constraint {
    /// Reads a constraint.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let text = format!("`{text}`: {why}");
            Error::new(ErrorKind::Invalid, text)
                .with_hint("a constraint is for example `>= 3.12.0`, `1.2.x || ^2.1`, `1.0 - 2.0`")
        };
        if text.len() > LENGTH_LIMIT_BYTES {
            return Err(refuse("longer than 512 bytes"));
        }
        let groups: Vec<&str> = text.split("||").collect();
        if groups.len() > GROUPS_LIMIT {
            return Err(refuse("more than 32 groups"));
        }
        let read = |group: &&str| read_group(group).ok_or_else(|| refuse("is no constraint"));
        groups.iter().map(read).collect::<Result<_>>().map(Self)
    }

    /// Whether a version is meant.
    pub(super) fn holds(&self, version: &Version) -> bool {
        self.0.iter().any(|group| {
            let has_prerelease = group.iter().any(|it| !it.bound.prerelease.is_empty());
            (version.prerelease.is_empty() || has_prerelease)
                && group.iter().all(|comparison| comparison.holds(version))
        })
    }
}

/// Reads comparisons with blanks or commas between.
fn read_group(text: &str) -> Option<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let (operator, behind) = match OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            Some((sign, operator)) => (Some(*operator), rest[sign.len()..].trim_start()),
            None => (None, rest),
        };
        let (bound, precision, behind) = take_version(behind)?;
        let range = behind.trim_start().strip_prefix("- ").filter(|_| behind.starts_with(' '));
        let first = match range {
            Some(_) => operator.is_none().then_some(Operator::AtLeast)?,
            None => operator.unwrap_or(Operator::Equal),
        };
        comparisons.push(Comparison { operator: first, bound, precision });
        rest = behind;
        if let Some(end) = range {
            let (bound, precision, behind) = take_version(end.trim_start())?;
            comparisons.push(Comparison { operator: Operator::AtMost, bound, precision });
            rest = behind;
        }
        let next = rest.trim_start();
        if next.is_empty() {
            return Some(comparisons);
        }
        rest = match next.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if next.len() < rest.len() => next,
            None => return None,
        };
    }
}

/// Reads a version at the beginning of a text.
fn take_version(text: &str) -> Option<(Version, usize, &str)> {
    let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let Written { version, precision, .. } = read_version(word)?;
    Some((version, precision, rest))
}

impl Comparison {
    fn holds(&self, version: &Version) -> bool {
        let (written, bound) = (self.precision, &self.bound);
        // Of what is written of the bound.
        let beginning = || version.numbers[..written].cmp(&bound.numbers[..written]);
        let whole = || version.compare(bound);
        let grows_from =
            |same: usize| whole().is_ge() && version.numbers[..same] == bound.numbers[..same];
        match self.operator {
            // `*` is anything.
            _ if written == 0 => true,
            Operator::Equal if written == 3 => whole().is_eq(),
            Operator::Not if written == 3 => whole().is_ne(),
            Operator::Not => beginning().is_ne(),
            Operator::Above if written == 3 => whole().is_gt(),
            Operator::Above => beginning().is_gt(),
            Operator::Below => whole().is_lt(),
            Operator::AtLeast => whole().is_ge(),
            Operator::AtMost if written == 3 => whole().is_le(),
            Operator::AtMost => beginning().is_le(),
            // The Go package's exception.
            Operator::Tilde if written == 3 && bound.numbers == [0; 3] => whole().is_ge(),
            Operator::Equal | Operator::Tilde => grows_from(written.min(2)),
            Operator::Caret => {
                let first = bound.numbers[..written].iter().position(|number| *number > 0);
                grows_from(first.map_or(written, |at| at + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the Go package itself, version 3.5.0: constraint, version, and whether it holds, or is none.
    const CASES: &str = include_str!("../../tests/data/semver.tsv");

    #[test]
    fn constraints_mean_what_the_go_package_says() {
        let mut count = 0;
        for line in CASES.lines().filter(|line| !line.starts_with('#')) {
            let [constraint, version, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let found = match (Constraint::parse(constraint), Version::parse(version)) {
                (Err(_), _) => "no constraint",
                (Ok(_), None) => "no version",
                (Ok(constraint), Some(version)) if constraint.holds(&version) => "true",
                _ => "false",
            };
            assert_eq!(found, expected, "{constraint} {version}");
            count += 1;
        }
        assert!(count > 1000, "{count} cases");
    }

    #[test]
    fn a_constraint_has_limits() {
        assert!(Constraint::parse(&">= 1 ".repeat(200)).is_err());
        assert!(Constraint::parse(&["1"; 33].join("||")).is_err());
        assert!(Version::parse(&format!("1.{}", "1".repeat(300))).is_none());
        let named = Constraint::parse(">= 1-0").unwrap();
        assert!(named.holds(&Version::parse("1-x86").unwrap()));
        assert!(Constraint::parse("*").unwrap().holds(&Version::parse("7").unwrap()));
    }
}
