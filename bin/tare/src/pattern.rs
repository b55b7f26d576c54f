//! Patterns of `--filter name=...`: docker's are regular expressions that match anywhere in the text.

use crate::failure::{Failure, Result};
use regex_lite::{Regex, RegexBuilder};

/// A pattern's program is not larger.
const LIMIT_BYTES: usize = 1 << 20;

/// Reads one; the failure names the filter.
pub(crate) fn read(filter: &str, text: &str) -> Result<Regex> {
    let read = RegexBuilder::new(text).size_limit(LIMIT_BYTES).build();
    read.map_err(|error| {
        Failure::new(format!("--filter {filter}={text}: {error}"))
            .hint("a name, a part of one, or a regular expression")
    })
}
