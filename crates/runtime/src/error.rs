//! What can go wrong, as a value that a caller can act on and a sentence that a user can read.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt::{self, Write};
use sys::Errno;

/// Result of this crate's functions.
pub type Result<T> = core::result::Result<T, Error>;

/// What a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The container, file or process is not there.
    NotFound,
    /// The id is taken.
    Exists,
    /// Something is in a state that does not allow this.
    InUse,
    /// The configuration or an argument is wrong.
    Invalid,
    /// This machine or this program cannot do it.
    Unsupported,
    /// Not permitted.
    Denied,
    /// Stored data is damaged.
    Corrupt,
    /// Try again later.
    Busy,
    /// The kernel refused for another reason.
    Os,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::NotFound,
        Self::Exists,
        Self::InUse,
        Self::Invalid,
        Self::Unsupported,
        Self::Denied,
        Self::Corrupt,
        Self::Busy,
        Self::Os,
    ];
}

/// An error: the message is a lower-case fragment that says what was attempted on which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

/// On the heap, so that a result is not much larger than its value: hundreds of functions pass
/// results on, and moving 64 bytes in each of them was an eighth of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: Kind,
    errno: Option<Errno>,
    message: String,
    hint: Option<String>,
    from_container: bool,
}

/// Longest message that is kept. Messages quote the configuration, which may hold strings of any
/// length; of a longer one the start and the end are shown.
const MESSAGE_LIMIT_BYTES: usize = 2048;
const TAIL_BYTES: usize = 512;

/// A message for a terminal and a log: one line of bounded length, without the control characters
/// that a configuration or a hook may have put into it. The cut is in the middle, where the quoted
/// value is.
fn bounded(mut message: String) -> String {
    if message.contains(char::is_control) {
        let mut escaped = String::with_capacity(message.len());
        for c in message.chars() {
            match c.is_control() {
                true => escaped.extend(c.escape_default()),
                false => escaped.push(c),
            }
        }
        message = escaped;
    }
    if message.len() > MESSAGE_LIMIT_BYTES {
        let mut start = MESSAGE_LIMIT_BYTES - TAIL_BYTES;
        while !message.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = message.len() - TAIL_BYTES;
        while !message.is_char_boundary(end) {
            end += 1;
        }
        message.replace_range(start..end, " [...] ");
    }
    message
}

/// How the message begins when a program could not be executed.
const PROGRAM: &str = "exec ";

impl Error {
    /// An error without a kernel error number.
    #[inline(never)]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self::boxed(kind, None, message.into())
    }

    #[cold]
    #[inline(never)]
    fn boxed(kind: Kind, errno: Option<Errno>, message: String) -> Self {
        Self(Box::new(Inner {
            kind,
            errno,
            message: bounded(message),
            hint: None,
            from_container: false,
        }))
    }

    /// The configuration or an argument is wrong.
    #[inline(never)]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// The kernel refused: `attempt` says what ("mounting proc on /proc").
    #[inline(never)]
    pub fn os(attempt: impl Into<String>, errno: Errno) -> Self {
        Self::refused(attempt.into(), errno)
    }

    #[cold]
    #[inline(never)]
    fn refused(mut message: String, errno: Errno) -> Self {
        let kind = match errno {
            Errno::ENOENT | Errno::ESRCH => Kind::NotFound,
            Errno::EEXIST => Kind::Exists,
            Errno::EPERM | Errno::EACCES | Errno::EROFS => Kind::Denied,
            Errno::ENOSYS => Kind::Unsupported,
            Errno::EBUSY | Errno::EAGAIN => Kind::Busy,
            _ => Kind::Os,
        };
        // Writing to a string cannot fail.
        let _ = write!(message, ": {errno}");
        Self::boxed(kind, Some(errno), message)
    }

    /// The program could not be executed although it is there.
    pub(crate) fn program(name: &str, errno: Errno) -> Self {
        let mut attempt = String::from(PROGRAM);
        attempt.push_str(name);
        Self::os(attempt, errno)
    }

    /// Whether it is the program that could not be executed: all before it went well.
    pub fn is_program(&self) -> bool {
        self.0.message.starts_with(PROGRAM)
    }

    /// Adds what the user can do about it.
    #[inline(never)]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Puts what was being attempted in front.
    #[inline(never)]
    pub fn context(mut self, attempt: impl Into<String>) -> Self {
        let mut message = attempt.into();
        message.push_str(": ");
        message.push_str(&self.0.message);
        self.0.message = bounded(message);
        self
    }

    /// Whether a process in the container met it.
    pub fn is_from_container(&self) -> bool {
        self.0.from_container
    }

    /// What a caller may act on.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The kernel's error number, where one was the cause.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The error as bytes for another process.
    pub(crate) fn encode(&self) -> alloc::vec::Vec<u8> {
        let kind = Kind::ALL.iter().position(|&kind| kind == self.0.kind).unwrap_or(0) as u8;
        let errno = self.0.errno.map_or(0, |errno| errno.0 as u8);
        let mut bytes = alloc::vec![kind, errno];
        bytes.extend_from_slice(self.0.message.as_bytes());
        if let Some(hint) = &self.0.hint {
            bytes.push(0);
            bytes.extend_from_slice(hint.as_bytes());
        }
        bytes
    }

    /// Reads what [`Error::encode`] wrote. Bytes that it did not write make an error that says so.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let [kind, errno, text @ ..] = bytes else {
            return Self::new(Kind::Corrupt, "the container's init sent an unreadable error");
        };
        let text = String::from_utf8_lossy(text);
        let (message, hint) = match text.split_once('\0') {
            Some((message, hint)) => (message, Some(hint.to_string())),
            None => (&*text, None),
        };
        Self(Box::new(Inner {
            kind: Kind::ALL.get(usize::from(*kind)).copied().unwrap_or(Kind::Os),
            errno: (*errno != 0).then_some(Errno(i32::from(*errno))),
            message: message.to_string(),
            hint,
            from_container: true,
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl core::error::Error for Error {}

/// Adds what was being attempted to the kernel's answer.
pub trait Attempt<T> {
    /// `attempt` is only evaluated for an error.
    fn attempt<D: Into<String>>(self, attempt: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Attempt<T> for sys::Result<T> {
    fn attempt<D: Into<String>>(self, attempt: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|errno| Error::os(attempt(), errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_in_the_middle() {
        let short = "ä".repeat(MESSAGE_LIMIT_BYTES / 2);
        assert_eq!(Error::invalid(short.clone()).to_string(), short);
        for width in 0..4 {
            let long = format!("{}process.cwd: {:?}", "x".repeat(width), "€".repeat(1 << 20));
            let error = Error::invalid(format!("{long} is not absolute")).context("config.json");
            let text = error.to_string();
            assert!(text.len() <= MESSAGE_LIMIT_BYTES + 16, "{}", text.len());
            assert!(text.starts_with("config.json: "), "{text}");
            assert!(text.contains("process.cwd: ") && text.ends_with("is not absolute"), "{text}");
        }
    }

    #[test]
    fn messages_are_one_line() {
        let error = Error::invalid("a\n\u{1b}[2J\u{85}").context("b\0");
        assert_eq!(error.to_string(), "b\\u{0}: a\\n\\u{1b}[2J\\u{85}");
    }

    #[test]
    fn errors_cross_processes_unchanged() {
        let plain = Error::invalid("process.cwd: not absolute");
        let os = Error::os("mounting proc on /proc", Errno::EPERM).with_hint("run as root");
        for error in [plain, os] {
            let mut decoded = Error::decode(&error.encode());
            assert!(decoded.is_from_container() && !error.is_from_container());
            decoded.0.from_container = false;
            assert_eq!(decoded, error);
        }
        assert_eq!(Error::decode(b"").kind(), Kind::Corrupt);
        assert_eq!(Error::decode(&[200, 0, b'x']).kind(), Kind::Os);
    }
}
