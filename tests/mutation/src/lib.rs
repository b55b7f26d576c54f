//! Damaged inputs by the million.
//!
//! Real documents and files (`fuzz/corpus`) are changed at random, with their structure in view:
//! members are dropped, doubled, renamed, moved and given other types; numbers go to the borders
//! of their types and beyond; strings get odd characters; lists and depths become huge; bytes are
//! lost. Each result is fed to its reader and to everything that follows from it before
//! the first effect ([`Subject::feed`]). A case is made from the seed and its number alone, so that
//! a failure can be had again.

mod change;
mod random;
mod subject;
mod tree;

pub use change::{change, change_bytes};
pub use random::Random;
pub use subject::Subject;
pub use tree::Node;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time for one case. Reading the largest that is made takes some 10 ms; what grows with
/// the square of its size would take minutes.
pub const CASE_LIMIT: Duration = Duration::from_secs(10);

/// What cases are made from.
pub struct Corpus {
    input: Subject,
    documents: Vec<Node>,
    files: Vec<Vec<u8>>,
    known: Vec<(String, Node)>,
}

/// What a run found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Inputs that were taken.
    pub taken: u64,
    /// Inputs that were refused with a sentence.
    pub refused: u64,
    /// The longest time that a case took, and its number.
    pub slowest: (Duration, u64),
}

impl Tally {
    /// Both together.
    pub fn with(self, other: Self) -> Self {
        Self {
            taken: self.taken + other.taken,
            refused: self.refused + other.refused,
            slowest: self.slowest.max(other.slowest),
        }
    }
}

/// The directory of the corpus.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

impl Corpus {
    /// Reads the corpus of one kind of input.
    pub fn load(input: Subject) -> Result<Self, String> {
        let folder = directory().join(input.name());
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        // The order of a directory is anything; cases have to be the same everywhere.
        paths.sort();
        let mut corpus =
            Self { input, documents: Vec::new(), files: Vec::new(), known: Vec::new() };
        for path in paths {
            let bytes = std::fs::read(&path).map_err(failed)?;
            if let Ok(value) = serde_json::from_slice(&bytes) {
                let document = Node::new(&value);
                document.members(&mut corpus.known);
                corpus.documents.push(document);
            }
            corpus.files.push(bytes);
        }
        match corpus.files.is_empty() {
            true => Err(format!("{}: is empty", folder.display())),
            false => Ok(corpus),
        }
    }

    /// The files as they are.
    pub fn files(&self) -> &[Vec<u8>] {
        &self.files
    }

    /// Case `number` of the run `seed`.
    pub fn case(&self, seed: u64, number: u64) -> Vec<u8> {
        let mut random = Random::new(seed, number);
        let mut bytes = if self.documents.is_empty() {
            random.pick(&self.files).clone()
        } else {
            let mut document = random.pick(&self.documents).clone();
            for _ in 0..1 + random.below(3) {
                change(&mut document, &self.known, &mut random);
            }
            document.text().into_bytes()
        };
        let damaged = self.documents.is_empty() || random.one_in(6);
        for _ in 0..if damaged { 1 + random.below(4) } else { 0 } {
            change_bytes(&mut bytes, &mut random);
        }
        self.input.mend(&mut bytes);
        bytes
    }

    /// Feeds one case. `Err` says what does not hold that must.
    pub fn feed(&self, seed: u64, number: u64) -> Result<Tally, String> {
        let case = self.case(seed, number);
        let start = Instant::now();
        let taken = self.input.feed(&case)?;
        let time = start.elapsed();
        if time > CASE_LIMIT {
            return Err(format!("took {time:?}"));
        }
        let mut tally = Tally { slowest: (time, number), ..Tally::default() };
        match taken {
            true => tally.taken = 1,
            false => tally.refused = 1,
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::inputs::Input;

    /// As many as take a few seconds without optimisation; `cargo xtask fuzz` runs a million.
    const CASES: u64 = 10_000;
    /// For what is slow then: YAML, TOML.
    const FEWER_CASES: u64 = 1000;

    fn check(input: impl Into<Subject>) {
        check_some(input, CASES);
    }

    fn check_some(input: impl Into<Subject>, cases: u64) {
        let input = input.into();
        let corpus = Corpus::load(input).unwrap();
        for file in corpus.files() {
            let text = String::from_utf8_lossy(file);
            assert!(input.feed(file).unwrap(), "{}: {text}", input.name());
        }
        let mut tally = Tally::default();
        for number in 0..cases {
            let fed = corpus.feed(1, number);
            tally =
                tally.with(fed.unwrap_or_else(|why| panic!("{} {number}: {why}", input.name())));
        }
        // Cases that are all refused at the door would test nothing behind it.
        assert!(tally.taken * 60 > cases, "{}: {tally:?}", input.name());
    }

    #[test]
    fn damaged_configurations_are_taken_or_refused() {
        check(Input::Config);
    }

    #[test]
    fn damaged_process_documents_are_taken_or_refused() {
        check(Input::Process);
    }

    #[test]
    fn damaged_resources_are_taken_or_refused() {
        check(Input::Resources);
    }

    #[test]
    fn damaged_records_are_taken_or_refused() {
        check(Input::Record);
    }

    #[test]
    fn damaged_filters_user_lists_and_mount_lists_are_read() {
        check(Input::Filter);
        check(Input::Passwd);
        check(Input::Mountinfo);
    }

    #[test]
    fn damaged_archives_are_taken_or_refused() {
        check(Subject::Tar);
    }

    #[test]
    fn damaged_images_are_taken_or_refused() {
        check(Subject::Image);
    }

    #[test]
    fn damaged_places_are_read_as_they_are_written() {
        check(Subject::Place);
    }

    #[test]
    fn damaged_templates_are_taken_or_refused() {
        check(Subject::Template);
    }

    #[test]
    fn damaged_words_of_registries_are_taken_or_refused() {
        use transport::inputs::Input;
        for input in Input::ALL {
            check_some(Subject::Transport(input), FEWER_CASES);
        }
    }

    #[test]
    fn damaged_files_and_requests_of_a_registry_are_taken_or_refused() {
        for input in serve::inputs::Input::ALL {
            check_some(Subject::Serve(input), FEWER_CASES);
        }
    }

    #[test]
    fn damaged_questions_and_records_of_networks_are_taken_or_refused() {
        for input in net::inputs::Input::ALL {
            check_some(Subject::Net(input), FEWER_CASES);
        }
    }

    #[test]
    fn a_case_is_always_the_same() {
        let corpus = Corpus::load(Input::Config.into()).unwrap();
        for number in 0..200 {
            assert_eq!(corpus.case(7, number), corpus.case(7, number));
        }
        assert_ne!(corpus.case(7, 1), corpus.case(8, 1));
    }

    #[test]
    fn names_twice_and_odd_numbers_are_written() {
        let member = |name: &str, token: &str| (name.to_string(), Node::Token(token.to_string()));
        let node = Node::Object(vec![
            member("a", "1e999"),
            member("a", "0x1"),
            ("b".to_string(), Node::Array(vec![Node::Array(vec![]), Node::Object(vec![])])),
        ]);
        assert_eq!(node.text(), r#"{"a":1e999,"a":0x1,"b":[[],{}]}"#);
        assert_eq!(node.size(), 6);
    }
}
