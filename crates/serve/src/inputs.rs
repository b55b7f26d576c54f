//! What this crate reads and others wrote, by name: what fuzzers feed.

use crate::auth;
use crate::web::query::Query;
use crate::web::range;
use crate::web::route::Route;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file of passwords.
    Htpasswd,
    /// A file of rules.
    Rules,
    /// Keys that verify tokens.
    Keys,
    /// A path and its query a line, as requests have them.
    Request,
}

/// Longest refusal: a sentence with the value that it is about.
const REFUSAL_LIMIT_BYTES: usize = 4096;
/// Where a range is asked for.
const SIZE_BYTES: u64 = 1000;

impl Input {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Htpasswd, Self::Rules, Self::Keys, Self::Request];

    /// The name of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Htpasswd => "htpasswd",
            Self::Rules => "rules",
            Self::Keys => "keys",
            Self::Request => "request",
        }
    }

    /// Feeds bytes; whether they were taken. `Err` says what does not hold that must.
    pub fn feed(self, bytes: &[u8]) -> Result<bool, String> {
        match self {
            Self::Htpasswd => check(auth::feed_passwords(bytes), bytes),
            Self::Rules => check(auth::feed_rules(bytes), bytes),
            Self::Keys => check(auth::feed_keys(bytes), bytes),
            Self::Request => feed_requests(&String::from_utf8_lossy(bytes)),
        }
    }
}

fn check(result: Result<(), String>, bytes: &[u8]) -> Result<bool, String> {
    match result {
        Ok(()) => Ok(true),
        // A message may name a whole word of the file.
        Err(why) if why.len() > REFUSAL_LIMIT_BYTES + 4 * bytes.len() => {
            Err("a refusal is longer than a sentence".into())
        }
        Err(_) => Ok(false),
    }
}

/// What a path is taken for names no other directory, and a range lies in what is there.
fn feed_requests(text: &str) -> Result<bool, String> {
    let mut taken = false;
    for line in text.lines() {
        let (path, query) = line.split_once('?').unwrap_or((line, ""));
        let _ = Query::parse(Some(query)).get("n").map(str::len);
        let _ = range::chunk(query);
        let parts = match range::wanted(Some(query), SIZE_BYTES) {
            range::Wanted::Part { begin, length } => vec![(begin, length)],
            range::Wanted::Parts(parts) => parts,
            range::Wanted::Whole | range::Wanted::Nothing => Vec::new(),
        };
        let mut last = 0;
        for (begin, length) in parts {
            let end = begin.saturating_add(length);
            if length == 0 || begin < last || end > SIZE_BYTES {
                return Err(format!("{line:?} is the range of {length} from {begin}"));
            }
            last = end;
        }
        let Ok(route) = Route::parse(path) else { continue };
        taken = true;
        let name = route.repository().map(ToString::to_string).unwrap_or_default();
        let is_odd = |part: &str| part.is_empty() || part.starts_with('.') || part.contains('\\');
        if !name.is_empty() && name.split('/').any(is_odd) {
            return Err(format!("{line:?} is the repository {name:?}"));
        }
    }
    Ok(taken)
}
