//! Questions to whoever sits at the terminal.

use crate::failure::{Failure, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use sys::tty;

/// What is told where an archive would be read from a terminal.
pub(crate) const NO_INPUT: &str = "a terminal is nothing to read an archive from";

/// Longest answer.
const ANSWER_LIMIT_BYTES: u64 = 4096;

/// Asks for a line; `hint` says what to do where there is no terminal.
pub(crate) fn ask(question: &str, hint: &str) -> Result<String> {
    let mut terminal = open(question, hint)?;
    write!(terminal, "{question}: ")?;
    read_line(&mut terminal)
}

/// Asks for a line that is not shown.
pub(crate) fn ask_secret(question: &str, hint: &str) -> Result<String> {
    let mut terminal = open(question, hint)?;
    let failed = |error: sys::Errno| Failure::new(format!("asking for the {question}: {error}"));
    let fd = sys::BorrowedFd::from_raw(terminal.as_raw_fd());
    let before = tty::settings(fd).map_err(failed)?;
    // Before the question: somebody may be quick.
    tty::set_settings(fd, &before.without_echo()).map_err(failed)?;
    let answer = write!(terminal, "{question}: ").map_err(Failure::from);
    let answer = answer.and_then(|()| read_line(&mut terminal));
    tty::set_settings(fd, &before).map_err(failed)?;
    writeln!(terminal)?;
    answer
}

/// The terminal, also when standard input and output are others.
fn open(question: &str, hint: &str) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/tty");
    opened.map_err(|_| {
        let text = format!("there is no terminal to ask for the {} at", question.to_lowercase());
        Failure::new(text).hint(hint)
    })
}

fn read_line(terminal: &mut File) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while (line.len() as u64) < ANSWER_LIMIT_BYTES && terminal.read(&mut byte)? > 0 {
        if byte[0] == b'\n' {
            break;
        }
        line.push(byte[0]);
    }
    String::from_utf8(line).map_err(|_| Failure::new("what was typed is not UTF-8"))
}
