//! Which tags of a repository are meant.

use super::version::{Constraint, Version};
use crate::error::{Error, ErrorKind, Result};
use regex_lite::{Regex, RegexBuilder};

/// Largest expression, as it is compiled. A megabyte is a thousand times what such patterns take.
const SIZE_LIMIT_BYTES: usize = 1 << 20;
/// Deepest nesting of an expression.
const DEPTH_LIMIT: u32 = 50;

/// Which tags of a repository are meant.
#[derive(Clone, Debug)]
pub struct Filter(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Pattern(Regex),
    Versions(Constraint),
}

impl Filter {
    /// Tags in which a regular expression is found. `^` and `$` make it the whole tag.
    pub fn pattern(text: &str) -> Result<Self> {
        let built =
            RegexBuilder::new(text).size_limit(SIZE_LIMIT_BYTES).nest_limit(DEPTH_LIMIT).build();
        built.map(|regex| Self(Kind::Pattern(regex))).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("`{text}` is no regular expression: {error}"))
        })
    }

    /// Tags that are versions within a constraint: `>= 3.12.0`.
    pub fn versions(constraint: &str) -> Result<Self> {
        Ok(Self(Kind::Versions(Constraint::parse(constraint)?)))
    }

    /// Whether a tag is meant.
    pub fn takes(&self, tag: &str) -> bool {
        match &self.0 {
            Kind::Pattern(regex) => regex.is_match(tag),
            Kind::Versions(constraint) => {
                Version::parse(tag).is_some_and(|version| constraint.holds(&version))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_chosen() {
        let check = |filter: Result<Filter>, expected: &[&str]| {
            let tags = ["1.13.1-alpine-perl", "1.13.2-alpine-perl", "1.13.3", "v2", "latest"];
            let filter = filter.unwrap();
            let found: Vec<&str> = tags.into_iter().filter(|tag| filter.takes(tag)).collect();
            assert_eq!(found, expected, "{filter:?}");
        };
        let alpine = ["1.13.1-alpine-perl", "1.13.2-alpine-perl"];
        check(Filter::pattern(r"^1\.13\.[12]-alpine-perl$"), &alpine);
        check(Filter::pattern("alpine"), &alpine);
        check(Filter::pattern("(?i)^LATEST$"), &["latest"]);
        check(Filter::versions(">= 1.13"), &["1.13.3", "v2"]);
        check(Filter::versions("^1.13.0-0"), &[alpine[0], alpine[1], "1.13.3"]);
        for broken in ["(", "[z-a]", "(?P<x", "x{5,2}", "((((((((((x{99}){99}){99}){99}){99}"] {
            assert_eq!(Filter::pattern(broken).unwrap_err().kind(), ErrorKind::Invalid, "{broken}");
        }
        assert!(Filter::pattern(&"(".repeat(100)).is_err());
    }
}
