//! Patterns for names, as in `--filter reference=PATTERN`.

/// Whether a whole text is what a pattern describes, by the rules of Go's `path.Match`: `*` and `?`
/// stop at `/`, `[a-z]` and `[^a-z]` are sets, `\` takes the next character as it is. `None` when the
/// pattern is malformed.
pub fn matches(pattern: &str, text: &str) -> Option<bool> {
    is_well_formed(pattern).then(|| matches_here(pattern, text))
}

/// One retreat for each `*`, to the last one only: the time is the product of both lengths at most.
fn matches_here(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut retreat: Option<(&str, &str)> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix('*') {
            retreat = Some((rest, text));
            pattern = rest;
            continue;
        }
        let step = match pattern.is_empty() {
            true if text.is_empty() => return true,
            true => None,
            false => one(pattern, text),
        };
        (pattern, text) = match step {
            Some(next) => next,
            None => {
                // The star takes one character more.
                let Some((behind, taken)) = retreat else { return false };
                let mut characters = taken.chars();
                match characters.next() {
                    None | Some('/') => return false,
                    Some(_) => {}
                }
                retreat = Some((behind, characters.as_str()));
                (behind, characters.as_str())
            }
        };
    }
}

/// Matches one character, and returns what is left of both.
fn one<'a>(pattern: &'a str, text: &'a str) -> Option<(&'a str, &'a str)> {
    let mut characters = text.chars();
    let character = characters.next()?;
    let mut wanted = pattern.chars();
    let fits = match wanted.next()? {
        '?' => character != '/',
        '[' => {
            let (set, rest) = read_set(wanted.as_str())?;
            wanted = rest.chars();
            set.contains(character)
        }
        '\\' => wanted.next()? == character,
        literal => literal == character,
    };
    fits.then_some((wanted.as_str(), characters.as_str()))
}

struct Set<'a> {
    negated: bool,
    ranges: &'a str,
}

impl Set<'_> {
    fn contains(&self, character: char) -> bool {
        let mut rest = self.ranges;
        let mut found = false;
        while let Some((low, high, behind)) = read_range(rest) {
            found |= (low..=high).contains(&character);
            rest = behind;
        }
        found != self.negated
    }
}

/// Reads a set behind its `[`.
fn read_set(text: &str) -> Option<(Set<'_>, &str)> {
    let negated = text.starts_with('^');
    let ranges = text.strip_prefix('^').unwrap_or(text);
    let mut rest = ranges;
    loop {
        (_, _, rest) = read_range(rest)?;
        if let Some(behind) = rest.strip_prefix(']') {
            let length = ranges.len() - rest.len();
            return Some((Set { negated, ranges: &ranges[..length] }, behind));
        }
    }
}

/// Reads `a` or `a-z`.
fn read_range(text: &str) -> Option<(char, char, &str)> {
    let (low, rest) = read_end(text)?;
    match rest.strip_prefix('-') {
        Some(rest) => read_end(rest).map(|(high, rest)| (low, high, rest)),
        None => Some((low, low, rest)),
    }
}

fn read_end(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    let character = match characters.next()? {
        '\\' => characters.next()?,
        '-' | ']' => return None,
        character => character,
    };
    Some((character, characters.as_str()))
}

fn is_well_formed(pattern: &str) -> bool {
    let mut rest = pattern;
    loop {
        let mut characters = rest.chars();
        rest = match characters.next() {
            None => return true,
            Some('[') => match read_set(characters.as_str()) {
                Some((_, behind)) => behind,
                None => return false,
            },
            Some('\\') => match characters.next() {
                Some(_) => characters.as_str(),
                None => return false,
            },
            Some(_) => characters.as_str(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_go() {
        let check = |pattern: &str, text: &str, expected: Option<bool>| {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        };
        check("abc", "abc", Some(true));
        check("*", "abc", Some(true));
        check("*", "", Some(true));
        check("*c", "abc", Some(true));
        check("a*", "ab/c", Some(false));
        check("a*/b", "abc/b", Some(true));
        check("a*/b", "a/c/b", Some(false));
        check("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true));
        check("a*b?c*x", "abxbbxdbxebxczzx", Some(true));
        check("a*b?c*x", "abxbbxdbxebxczzy", Some(false));
        check("ab[c]", "abc", Some(true));
        check("ab[b-d]", "abc", Some(true));
        check("ab[e-g]", "abc", Some(false));
        check("ab[^c]", "abc", Some(false));
        check("ab[^e-g]", "abc", Some(true));
        check("a\\*b", "a*b", Some(true));
        check("a\\*b", "ab", Some(false));
        check("a?b", "a\u{263a}b", Some(true));
        check("a?b", "a/b", Some(false));
        check("[\\]a]", "]", Some(true));
        check("[\\-x]", "-", Some(true));
        check("[x\\-]", "z", Some(false));
        for malformed in ["[", "[]a]", "[-]", "[x-]", "[-x]", "[^", "[^bc", "a[", "a\\", "[a-b-c]"]
        {
            check(malformed, "a", None);
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200) + "b";
        assert_eq!(matches(&pattern, &"a".repeat(5_000)), Some(false));
    }
}
