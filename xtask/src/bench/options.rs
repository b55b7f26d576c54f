//! What is said behind `cargo xtask bench WHAT`.

use std::path::PathBuf;

/// On an idle machine a start waits for more than on a busy one.
const IDLE_MS: u64 = 60;

/// What a benchmark is run with. Each takes some of it only.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) rounds: usize,
    /// The pause before each start of the rounds that have one.
    pub(super) idle_ms: u64,
    /// Of the peers only these.
    pub(super) only: Vec<String>,
    /// Where the programs are; `None`: they are built.
    programs: Option<PathBuf>,
    /// `tare`; `None`: it is built.
    pub(super) program: Option<PathBuf>,
}

impl Options {
    /// Reads those of a benchmark that has so many rounds unless something else is said, and takes the options `known`.
    pub(super) fn parse(
        arguments: &[String],
        rounds: usize,
        known: &[&str],
    ) -> Result<Self, String> {
        let mut options = Self { rounds, idle_ms: IDLE_MS, ..Self::default() };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            if !known.contains(&name.as_str()) {
                return Err(format!("unknown option {name}"));
            }
            let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number =
                || value.parse::<u64>().map_err(|_| format!("{name}: {value:?} is not a number"));
            match name.as_str() {
                "--rounds" => options.rounds = number()?.max(1) as usize,
                "--idle-ms" => options.idle_ms = number()?,
                "--only" => options.only = value.split(',').map(String::from).collect(),
                "--programs" => options.programs = Some(PathBuf::from(value)),
                _ => options.program = Some(PathBuf::from(value)),
            }
        }
        Ok(options)
    }

    /// Where the programs are, which are built if nobody has said it.
    pub(super) fn programs(&self, packages: &[&[&str]]) -> Result<PathBuf, String> {
        self.programs.clone().map_or_else(|| crate::build::dist(packages), Ok)
    }

    /// Whether a peer is measured.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_benchmark() {
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let read = |text: &str| Options::parse(&words(text), 7, &["--rounds", "--only"]);
        let options = read("--rounds 0 --only a,b").unwrap();
        assert_eq!((options.rounds, options.only.len()), (1, 2));
        assert_eq!(read("--only a").map(|options| options.rounds), Ok(7));
        assert!(options.wants("b") && !options.wants("c"));
        for (text, why) in [
            ("--rounds x", "--rounds: \"x\" is not a number"),
            ("--rounds", "--rounds needs a value"),
            ("--idle-ms 1", "unknown option --idle-ms"),
        ] {
            assert_eq!(read(text), Err(why.to_owned()), "{text}");
        }
    }
}
