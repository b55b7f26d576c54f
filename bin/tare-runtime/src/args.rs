//! Command line arguments: options as runc takes them (`--name value`, `--name=value`, `-n value`,
//! one dash or two), before or after the operands.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use runtime::error::Error;

/// An option of a verb.
pub struct Flag {
    /// Name without dashes.
    pub name: &'static str,
    /// One-letter name.
    pub short: Option<char>,
    /// Name of the value in the help; `None`: the option takes none.
    pub value: Option<&'static str>,
    /// One line of help.
    pub help: &'static str,
}

/// What a verb takes.
pub struct Syntax {
    /// Its options.
    pub flags: &'static [Flag],
    /// Everything behind this many operands belongs to the program (`exec ID PROGRAM ARG...`);
    /// `None`: options may stand anywhere.
    pub operands_until_rest: Option<usize>,
}

/// Arguments that were taken apart.
#[derive(Debug, Default)]
pub struct Args {
    options: Vec<(&'static str, String)>,
    /// What is not an option.
    pub operands: Vec<String>,
}

impl Args {
    /// Takes `arguments` apart; the first, the program's or verb's name, is skipped.
    pub fn parse(arguments: &[String], syntax: &Syntax) -> Result<Self, Error> {
        let mut args = Self::default();
        let mut rest: VecDeque<&String> = arguments.iter().skip(1).collect();
        while let Some(argument) = rest.pop_front() {
            let done = syntax.operands_until_rest.is_some_and(|n| args.operands.len() >= n);
            if done {
                // `exec ID -- PROGRAM` is what some callers write.
                if argument != "--" || args.operands.len() > 1 {
                    args.operands.push(argument.clone());
                }
                continue;
            }
            if argument == "--" {
                args.operands.extend(rest.drain(..).cloned());
                break;
            }
            if !argument.starts_with('-') || argument == "-" {
                args.operands.push(argument.clone());
                continue;
            }
            args.take_option(argument, &mut rest, syntax)?;
        }
        Ok(args)
    }

    fn take_option(
        &mut self,
        argument: &str,
        rest: &mut VecDeque<&String>,
        syntax: &Syntax,
    ) -> Result<(), Error> {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (argument, None),
        };
        let bare = match name.trim_start_matches('-') {
            // crun's short form.
            "usage" => "help",
            bare => bare,
        };
        let short =
            |flag: &&Flag| flag.short.is_some_and(|c| bare.len() == 1 && bare.starts_with(c));
        let Some(flag) = syntax.flags.iter().find(|flag| flag.name == bare || short(flag)) else {
            return Err(unknown(name, bare, syntax));
        };
        let value = match (flag.value, inline) {
            (None, None) => "true".to_string(),
            (None, Some(value)) if value == "true" || value == "false" => value,
            (None, Some(value)) => {
                let what = format!("invalid value {value:?} for --{}: it is a switch", flag.name);
                return Err(Error::invalid(what));
            }
            (Some(_), Some(value)) => value,
            (Some(_), None) => match rest.pop_front() {
                Some(value) => value.clone(),
                None => {
                    return Err(Error::invalid(format!("flag needs an argument: --{}", flag.name)));
                }
            },
        };
        self.options.push((flag.name, value));
        Ok(())
    }

    /// Whether a switch is on.
    pub fn has(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// The value of an option; the last one wins.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.options.iter().rev().filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Every value of an option, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(known, _)| *known == name).map(|(_, v)| v.as_str())
    }

    /// A number.
    pub fn number<T: core::str::FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            Error::invalid(format!("invalid value {text:?} for --{name}: it is not a number"))
        })
    }
}

fn unknown(name: &str, bare: &str, syntax: &Syntax) -> Error {
    let error = Error::invalid(format!("flag provided but not defined: {name}"));
    let near = syntax.flags.iter().find(|flag| distance(flag.name, bare) <= 2);
    match near {
        Some(flag) => error.with_hint(format!("did you mean --{}?", flag.name)),
        None => error,
    }
}

/// Edit distance, for "did you mean".
pub fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// What the program was started with beside its arguments.
pub struct Environment<'a> {
    variables: &'a [&'static [u8]],
    /// The name that it was called by: installed as `runc` it is runc to its callers.
    pub name: &'static str,
}

/// The last part of the path that the program was called by.
fn called(arguments: &rt::Arguments) -> &'static str {
    let path = arguments.args.first().copied().unwrap_or_default();
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    core::str::from_utf8(name).ok().filter(|name| !name.is_empty()).unwrap_or("tare-runtime")
}

impl<'a> Environment<'a> {
    /// Looks at the program's own.
    pub fn new(arguments: &'a rt::Arguments) -> Self {
        Self { variables: &arguments.env, name: called(arguments) }
    }

    /// The value of a variable, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&'static str> {
        self.variables.iter().find_map(|variable| {
            let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            core::str::from_utf8(value).ok().filter(|value| !value.is_empty())
        })
    }
}
