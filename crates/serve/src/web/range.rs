//! `Range` of a download and `Content-Range` of an upload.

use crate::limits::RANGES;

/// What of a file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// `length` bytes from `begin`; it is one at least.
    Part { begin: u64, length: u64 },
    /// Several such parts, first bytes and lengths, in the order in which they are in the file.
    Parts(Vec<(u64, u64)>),
    /// Nothing that it has.
    Nothing,
}

/// Understands `Range: bytes=BEGIN-END`, perhaps several. Other units and what is not understood count for
/// nothing, as RFC 9110 allows, and so do too many ranges and those that go back; a range that is never any byte
/// is refused as the conformance suite expects it.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(set) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    if !set.contains(',') {
        return one(set, size);
    }
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for (number, range) in set.split(',').enumerate() {
        let (begin, length) = match one(range, size) {
            _ if number == RANGES => return Wanted::Whole,
            Wanted::Part { begin, length } => (begin, length),
            Wanted::Nothing => continue,
            Wanted::Whole | Wanted::Parts(_) => return Wanted::Whole,
        };
        if parts.last().is_some_and(|(before, length)| begin < before + length) {
            return Wanted::Whole;
        }
        parts.push((begin, length));
    }
    match parts[..] {
        [] => Wanted::Nothing,
        [(begin, length)] => Wanted::Part { begin, length },
        _ => Wanted::Parts(parts),
    }
}

fn one(range: &str, size: u64) -> Wanted {
    let Some((begin, end)) = range.split_once('-') else { return Wanted::Whole };
    let number = |text: &str| digits(text.trim());
    match (begin.trim(), end.trim()) {
        ("", end) => match number(end) {
            Some(0) => Wanted::Nothing,
            Some(_) if size == 0 => Wanted::Nothing,
            Some(length) => {
                Wanted::Part { begin: size.saturating_sub(length), length: length.min(size) }
            }
            None => Wanted::Whole,
        },
        (begin, "") => match number(begin) {
            Some(begin) if begin < size => Wanted::Part { begin, length: size - begin },
            Some(_) => Wanted::Nothing,
            None => Wanted::Whole,
        },
        (begin, end) => match (number(begin), number(end)) {
            (Some(begin), Some(end)) if begin <= end && begin < size => {
                Wanted::Part { begin, length: end.min(size - 1) - begin + 1 }
            }
            (Some(_), Some(_)) => Wanted::Nothing,
            _ => Wanted::Whole,
        },
    }
}

/// Understands `Content-Range: BEGIN-END` of a chunk: its first byte, and how many there are.
pub(crate) fn chunk(text: &str) -> Option<(u64, u64)> {
    let (begin, end) = text.split_once('-')?;
    let (begin, end) = (digits(begin)?, digits(end)?);
    let length = end.checked_sub(begin)?.checked_add(1)?;
    Some((begin, length))
}

/// Digits and nothing else; more than fit in are as many as can be.
fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        let part = |begin, length| Wanted::Part { begin, length };
        let check = |header: &str, expected| {
            assert_eq!(wanted(Some(header), 2048), expected, "{header}");
        };
        assert_eq!(wanted(None, 5), Wanted::Whole);
        check("bytes=500-1499", part(500, 1000));
        check("bytes=500-", part(500, 1548));
        check("bytes=-500", part(1548, 500));
        check("bytes=-5000", part(0, 2048));
        check("bytes=2000-5000", part(2000, 48));
        check("bytes=2047-2047", part(2047, 1));
        check("bytes=0-18446744073709551616", part(0, 2048));
        for nothing in ["bytes=500-0", "bytes=2048-", "bytes=5000-10000", "bytes=-0"] {
            check(nothing, Wanted::Nothing);
        }
        for whole in ["bytes=a-b", "lines=0-1", "bytes=", "bytes=-", "bytes=+1-2"] {
            check(whole, Wanted::Whole);
        }
        let parts = |list: &[(u64, u64)]| Wanted::Parts(list.to_vec());
        check("bytes=0-1,3-4", parts(&[(0, 2), (3, 2)]));
        check("bytes=0-1, 1000-, -8", Wanted::Whole);
        check("bytes=0-1, 2000-2010,-8", parts(&[(0, 2), (2000, 11), (2040, 8)]));
        check("bytes=0-1,5000-6000", part(0, 2));
        check("bytes=5000-,6000-", Wanted::Nothing);
        for whole in ["bytes=3-4,0-1", "bytes=0-1,1-2", "bytes=0-1,x", "bytes=,"] {
            check(whole, Wanted::Whole);
        }
        let many = |count: usize| {
            let ranges: Vec<_> = (0..count).map(|at| format!("{}-{}", 2 * at, 2 * at)).collect();
            format!("bytes={}", ranges.join(","))
        };
        assert!(matches!(wanted(Some(&many(RANGES)), 2048), Wanted::Parts(_)));
        check(&many(RANGES + 1), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-0"), 0), Wanted::Nothing);
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Nothing);
    }

    #[test]
    fn chunks_have_both_ends() {
        assert_eq!(chunk("0-0"), Some((0, 1)));
        assert_eq!(chunk("10-19"), Some((10, 10)));
        for bad in
            ["", "-", "1-0", "a-b", "bytes 0-1/2", "0-", "-1", " 0-1", "0-18446744073709551616"]
        {
            assert_eq!(chunk(bad), None, "{bad:?}");
        }
    }
}
