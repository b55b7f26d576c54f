//! Scripts: which program runs a file that starts with `#!`.
//!
//! The first line is read as the kernel's `binfmt_script` reads it. `/usr/bin/env` is the one
//! interpreter whose argument is known to name another program; that name is found in the argument
//! as `env(1)` of coreutils finds it, `-S` included.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Bytes of a file that the kernel looks at (`BINPRM_BUF_SIZE`).
pub(crate) const HEAD_BYTES: usize = 256;
/// Scripts run by scripts: measured on Linux 6.18, five start and the sixth is `ELOOP`
/// (`exec_binprm`: depth > 5).
pub(crate) const MAX_LEVELS: usize = 5;

/// The `#!` line of a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// As written; relative ones start where the process is.
    pub(crate) interpreter: PathBuf,
    /// All the rest of the line.
    pub(crate) argument: Option<Vec<u8>>,
}

impl Script {
    /// Reads the first [`HEAD_BYTES`] bytes of a file. Nothing if the kernel would not take it for
    /// a script.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let head = &head[..head.len().min(HEAD_BYTES)];
        let line = head.strip_prefix(b"#!")?;
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let (line, is_whole) = match line.iter().position(|&byte| byte == b'\n') {
            Some(end) => (&line[..end], true),
            None => (line, head.len() < HEAD_BYTES),
        };
        let start = line.iter().position(|byte| !blank(byte))?;
        let line = &line[start..];
        // What follows a NUL is not seen: these are C strings.
        let line = &line[..line.iter().position(|&byte| byte == 0).unwrap_or(line.len())];
        let end = line.iter().position(blank);
        if end.is_none() && !is_whole {
            // The name may go on beyond what the kernel reads: it does not run this.
            return None;
        }
        let (name, rest) = line.split_at(end.unwrap_or(line.len()));
        if name.is_empty() {
            return None;
        }
        let argument = trim(rest);
        Some(Self {
            interpreter: OsString::from_vec(name.to_vec()).into(),
            argument: (!argument.is_empty()).then(|| argument.to_vec()),
        })
    }

    /// The program that `env` will look for on `PATH`, if that is what the interpreter is.
    pub(crate) fn program_of_env(&self) -> Option<OsString> {
        if Path::new(&self.interpreter).file_name()?.as_bytes() != b"env" {
            return None;
        }
        let argument = self.argument.as_deref()?;
        let words = match split_string(argument) {
            Some(text) => split(text)?,
            // Without -S the kernel's one argument is one word.
            None => vec![argument.to_vec()],
        };
        command(&words).map(OsString::from_vec)
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|byte| !blank(byte)) else { return &[] };
    let end = bytes.iter().rposition(|byte| !blank(byte)).unwrap_or(start);
    &bytes[start..=end]
}

/// The text that `-S` is to split, also as `-vS`, `-iS` or `--split-string=`.
fn split_string(argument: &[u8]) -> Option<&[u8]> {
    if let Some(text) = argument.strip_prefix(b"--split-string=") {
        return Some(text);
    }
    let options = argument.strip_prefix(b"-")?;
    let at = options.iter().position(|&byte| byte == b'S')?;
    options[..at].iter().all(|byte| matches!(byte, b'i' | b'v' | b'0')).then(|| &options[at + 1..])
}

/// Splits as `env -S` does. Nothing for what cannot be known here: a `${VARIABLE}`, bad quotes.
fn split(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (b'\'' | b'"', Some(open)) if open == byte => quote = None,
            (b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r', None) => words.extend(word.take()),
            (b'#', None) if word.is_none() => break,
            (b'$', None | Some(b'"')) => return None,
            (b'\\', Some(b'\'')) => match bytes.next()? {
                escaped @ (b'\\' | b'\'') => word.get_or_insert_default().push(escaped),
                other => word.get_or_insert_default().extend([b'\\', other]),
            },
            (b'\\', _) => match bytes.next()? {
                b'c' if quote.is_none() => break,
                b'_' if quote.is_none() => words.extend(word.take()),
                escaped => word.get_or_insert_default().push(match escaped {
                    b'_' => b' ',
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'#' | b'$' | b'"' | b'\'' | b'\\' => escaped,
                    _ => return None,
                }),
            },
            (byte, _) => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// The first of `env`'s words that is neither an option nor an assignment.
fn command(words: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut words = words.iter();
    let mut options = true;
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"--" if options => options = false,
            b"-u" | b"-C" | b"--unset" | b"--chdir" if options => {
                words.next();
            }
            word if options && word.starts_with(b"-") => {}
            word if word.contains(&b'=') => options = false,
            b"" => return None,
            word => return Some(word.to_vec()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_are_read_as_the_kernel_reads_them() {
        let long = format!("#!/{}\n", "a".repeat(300));
        let cut_argument = format!("#!/bin/sh {}\n", "a".repeat(300));
        let kept = "a".repeat(HEAD_BYTES - "#!/bin/sh ".len());
        for (head, expected) in [
            ("#!/bin/sh\necho", Some(("/bin/sh", None))),
            ("#! \t /bin/sh \t -e  -u \t\nx", Some(("/bin/sh", Some("-e  -u")))),
            ("#!/bin/sh", Some(("/bin/sh", None))),
            ("#!sh\n", Some(("sh", None))),
            ("#!/usr/bin/env\tpython3\n", Some(("/usr/bin/env", Some("python3")))),
            ("#!/bin/sh\r\n", Some(("/bin/sh\r", None))),
            ("#!/bin/sh\0x\n", Some(("/bin/sh", None))),
            ("#!\n/bin/sh", None),
            ("#!", None),
            ("#!   ", None),
            ("# !/bin/sh\n", None),
            ("", None),
            (&long, None),
            (&cut_argument, Some(("/bin/sh", Some(kept.as_str())))),
        ] {
            let expected = expected.map(|(interpreter, argument): (&str, Option<&str>)| Script {
                interpreter: interpreter.into(),
                argument: argument.map(|argument| argument.as_bytes().to_vec()),
            });
            assert_eq!(Script::parse(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn env_names_its_program() {
        for (line, expected) in [
            ("/usr/bin/env python3", Some("python3")),
            ("/bin/env /opt/x", Some("/opt/x")),
            ("/usr/bin/env python3 -u", Some("python3 -u")),
            ("/usr/bin/env -S python3 -u", Some("python3")),
            ("/usr/bin/env -Spython3 -u", Some("python3")),
            ("/usr/bin/env -vS python3 -u", Some("python3")),
            ("/usr/bin/env --split-string=python3 -u", Some("python3")),
            ("/usr/bin/env -S -i PATH=/x -u HOME -- perl -w", Some("-u")),
            ("/usr/bin/env -S -i -u HOME PATH=/x perl -w", Some("perl")),
            ("/usr/bin/env -S -- A=1 perl", Some("perl")),
            ("/usr/bin/env -S 'a b' c", Some("a b")),
            (r#"/usr/bin/env -S "a\_b"x c"#, Some("a bx")),
            (r"/usr/bin/env -S a\_b", Some("a")),
            ("/usr/bin/env -S ${X} c", None),
            ("/usr/bin/env -S 'a", None),
            ("/usr/bin/env -S", None),
            ("/usr/bin/env -S # x", None),
            ("/usr/bin/env A=1", None),
            ("/usr/bin/env", None),
            ("/usr/bin/environment x", None),
            ("/bin/sh x", None),
        ] {
            let script = Script::parse(format!("#!{line}\n").as_bytes()).unwrap();
            assert_eq!(script.program_of_env(), expected.map(OsString::from), "{line}");
        }
    }
}
