//! Errors.

use std::fmt;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The template's text is not one.
    Syntax,
    /// It does not fit the value: a field that is not there, an argument of the wrong type.
    Execution,
    /// It costs more than a named limit allows.
    Limit,
}

/// An error in the words of Go's package, which scripts and people know:
/// `template: NAME:LINE:COLUMN: executing "NAME" at <.Field>: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

impl Error {
    /// What is wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
