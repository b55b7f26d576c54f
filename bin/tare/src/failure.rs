//! Why a command failed, and what its user can do.

use crate::called::{self, Called};
use std::fmt;
use std::io::IsTerminal;

/// A failure, as it is told: `tare: MESSAGE`, and a line with the hint.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `None`: whatever the verb says with its own mistakes.
    code: Option<u8>,
    message: String,
    hint: Option<String>,
    cause: Cause,
    /// What podman says before it, where that is not `Error`.
    podmans: &'static str,
}

/// What some verbs do not mind, or have a code of their own for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cause {
    #[default]
    Other,
    Missing,
    InUse,
}

/// What podman's failures begin with.
const ERROR: &str = "Error";

/// What a verb returns.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        let (message, cause) = (message.into(), Cause::Other);
        Self { code: None, message, hint: None, cause, podmans: ERROR }
    }

    pub(crate) fn from_parts(code: u8, message: String, hint: Option<&str>) -> Self {
        let (hint, cause) = (hint.map(str::to_owned), Cause::Other);
        Self { code: Some(code), message, hint, cause, podmans: ERROR }
    }

    /// The same failure, before which podman says something else.
    pub(crate) fn podmans_own(self, podmans: &'static str) -> Self {
        Self { podmans, ..self }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A hint for those that have none.
    pub(crate) fn hint_unless(self, hint: &str) -> Self {
        match self.hint {
            Some(_) => self,
            None => self.hint(hint),
        }
    }

    /// The same failure, of what was attempted.
    pub(crate) fn during(self, what: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// What is told, without the hint.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The same failure: somebody uses what it is about.
    pub(crate) fn in_use(self) -> Self {
        Self { cause: Cause::InUse, ..self }
    }

    /// Whether somebody uses what it is about.
    pub(crate) fn is_in_use(&self) -> bool {
        self.cause == Cause::InUse
    }

    /// Whether what it is about is not there.
    pub(crate) fn is_missing(&self) -> bool {
        self.cause == Cause::Missing
    }

    /// A failure that another process has told of already.
    pub(crate) fn told(code: u8) -> Self {
        Self::from_parts(code, String::new(), None)
    }

    /// Tells it, where the verb goes on.
    pub(crate) fn tell(&self) {
        use std::io::Write;
        if self.message.is_empty() {
            return;
        }
        // With standard error closed there is nobody to tell.
        let _ = std::io::stderr().write_all(self.to_string().as_bytes());
    }

    /// The exit code, of a verb whose own mistakes have `own`.
    pub(crate) fn exit_code(&self, own: u8) -> u8 {
        self.code.unwrap_or(own)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = without_numbers(&self.message);
        if Called::is_podman() {
            // Scripts compare what it says, where there are no hints; people at a terminal read them.
            writeln!(formatter, "{}: {}", self.podmans, called::podmans_words(&message))?;
            if !std::io::stderr().is_terminal() {
                return Ok(());
            }
        } else {
            writeln!(formatter, "tare: {message}")?;
        }
        match &self.hint {
            Some(hint) => writeln!(formatter, "hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Without the numbers that the standard library gives after the kernel's words, which say it all.
fn without_numbers(message: &str) -> String {
    const NUMBER: &str = " (os error ";
    let mut text = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once(NUMBER)
        && let Some((_, behind)) = after.split_once(')')
    {
        text.push_str(before);
        rest = behind;
    }
    text + rest
}

#[test]
fn numbers_of_errors_are_left_out() {
    for (message, expected) in [
        ("open a: No such file or directory (os error 2)", "open a: No such file or directory"),
        ("a (os error 2): b (os error 13), c", "a: b, c"),
        ("a (os error 2", "a (os error 2"),
        ("", ""),
    ] {
        assert_eq!(without_numbers(message), expected);
    }
}

macro_rules! from {
    ($($error:ty => $cause:expr;)*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let message = error.to_string();
                let hint = error.hint().map(str::to_owned);
                let cause = $cause(&error);
                Self { code: None, message, hint, cause, podmans: ERROR }
            }
        }
    )*};
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        // docker's codes for programs that could not be run.
        let code = match error.kind() {
            engine::Kind::ProgramNotFound => Some(127),
            engine::Kind::ProgramNotExecutable => Some(126),
            _ if Called::is_podman() && called::is_port_taken(&error.to_string()) => Some(126),
            _ => None,
        };
        let cause = match error.kind() {
            engine::Kind::NotFound => Cause::Missing,
            engine::Kind::State => Cause::InUse,
            _ => Cause::Other,
        };
        let hint = error.hint().map(str::to_owned);
        Self { code, message: error.to_string(), hint, cause, podmans: ERROR }
    }
}

from! {
    images::Error => |error: &images::Error| match error.kind() {
        images::Kind::NotFound => Cause::Missing,
        images::Kind::InUse => Cause::InUse,
        _ => Cause::Other,
    };
    net::Error => |error: &net::Error| match error.kind() {
        net::Kind::NotFound => Cause::Missing,
        net::Kind::InUse => Cause::InUse,
        _ => Cause::Other,
    };
    serve::Error => |_: &serve::Error| Cause::Other;
    store::Error => |error: &store::Error| match error.kind() {
        store::Kind::NotFound => Cause::Missing,
        store::Kind::InUse => Cause::InUse,
        _ => Cause::Other,
    };
    transport::Error => |error: &transport::Error| match error.kind() {
        transport::ErrorKind::NotFound => Cause::Missing,
        _ => Cause::Other,
    };
}

impl From<oci::Error> for Failure {
    fn from(error: oci::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// Writing to standard output: nobody reads on, or a disk is full.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<template::Error> for Failure {
    fn from(error: template::Error) -> Self {
        Self::new(format!("template parsing error: {error}"))
    }
}
