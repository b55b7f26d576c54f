//! Where an entry lies in its tree.

use crate::error::{Error, Result};
use crate::limits::{NAME_BYTES, PATH_BYTES};

/// A path below the root of a tree that cannot lead out of it by itself: no empty component, no
/// `.`, no `..`, no NUL, nothing longer than the kernel takes. The root is the empty path.
///
/// A symbolic link on the way is the extractor's business.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// Reads a name as archives have them: `./a//b/` is `a/b`, and `/a` is `a`.
    pub fn parse(name: &[u8], depth_limit: usize) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::corrupt("has an empty name"));
        }
        if name.len() > PATH_BYTES {
            return Err(Error::limit("its name is too long", PATH_BYTES));
        }
        if name.contains(&0) {
            return Err(Error::ambiguous("its name contains a NUL"));
        }
        let mut path = Vec::with_capacity(name.len());
        let mut depth = 0;
        for part in name.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(Error::denied("its name contains \"..\"")),
                _ if part.len() > NAME_BYTES => {
                    return Err(Error::limit("a component of its name is too long", NAME_BYTES));
                }
                _ => {}
            }
            depth += 1;
            if depth > depth_limit {
                return Err(Error::limit("it lies too deep", depth_limit));
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
        Ok(Self(path))
    }

    /// The bytes, without a slash at either end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Parent and last component; the root has neither.
    pub fn split(&self) -> Option<(&[u8], &[u8])> {
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(at) => Some((&self.0[..at], &self.0[at + 1..])),
            None if self.0.is_empty() => None,
            None => Some((b"", &self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::limits::DEPTH;

    #[test]
    fn names_become_paths() {
        let check = |name: &[u8], path: &[u8]| {
            assert_eq!(TreePath::parse(name, DEPTH).unwrap().as_bytes(), path);
        };
        check(b"a", b"a");
        check(b"./a//b/./c/", b"a/b/c");
        check(b"/etc/passwd", b"etc/passwd");
        check(b"./", b"");
        check(b"/", b"");
        check(b"..a/b..", b"..a/b..");
        check(&[b'a'; NAME_BYTES], &[b'a'; NAME_BYTES]);
    }

    #[test]
    fn names_that_lead_out_or_fit_nowhere_are_refused() {
        let check = |name: &[u8], kind: Kind| {
            assert_eq!(TreePath::parse(name, DEPTH).unwrap_err().kind(), kind, "{name:?}");
        };
        check(b"", Kind::Corrupt);
        check(b"..", Kind::Denied);
        check(b"a/../b", Kind::Denied);
        check(b"a\0b", Kind::Ambiguous);
        check(&[b'a'; NAME_BYTES + 1], Kind::Limit);
        check(&b"a/".repeat(DEPTH + 1), Kind::Limit);
        check(&b"a".repeat(PATH_BYTES + 1), Kind::Limit);
    }

    #[test]
    fn paths_split_at_the_last_slash() {
        let path = |name: &[u8]| TreePath::parse(name, DEPTH).unwrap();
        assert_eq!(path(b"a/b/c").split(), Some((&b"a/b"[..], &b"c"[..])));
        assert_eq!(path(b"a").split(), Some((&b""[..], &b"a"[..])));
        assert_eq!(path(b"/").split(), None);
    }
}
