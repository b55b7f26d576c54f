//! Reading a log, of a container that runs or does not.

use super::journal_reader::JournalReader;
use super::{Driver, settings};
use crate::error::{During, Error, Kind, Result};
use crate::place::{Container, LOG};
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Longer lines are no entries.
const LINE_LIMIT_BYTES: u64 = 1 << 20;

/// What is wanted of a log.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The last entries only.
    pub tail: Option<usize>,
    /// Nothing older: RFC 3339 in UTC.
    pub since: Option<String>,
    /// Nothing newer.
    pub until: Option<String>,
}

/// Entries of one line that are kept at most: 16 MiB.
const PARTS_LIMIT: usize = 1024;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// RFC 3339 with nanoseconds, in UTC.
    pub time: String,
    /// It was written to standard error.
    pub is_error: bool,
    /// What was written, with the newline if there was one.
    pub text: String,
}

/// The last lines: of a long one there are several entries.
#[derive(Default)]
struct Last {
    entries: VecDeque<Entry>,
    lines: usize,
}

impl Last {
    fn add(&mut self, entry: Entry, count: usize) {
        if count == 0 {
            return;
        }
        if self.entries.back().is_none_or(|last| last.text.ends_with('\n')) {
            self.lines += 1;
        }
        self.entries.push_back(entry);
        while self.lines > count || self.entries.len() > count.saturating_mul(PARTS_LIMIT) {
            match self.entries.pop_front() {
                Some(first) if first.text.ends_with('\n') => self.lines -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }
}

#[test]
fn the_last_lines_are_whole() {
    let of = |texts: &[&str], count: usize| {
        let mut last = Last::default();
        for text in texts {
            let entry = Entry { time: String::new(), is_error: false, text: (*text).into() };
            last.add(entry, count);
        }
        last.entries.iter().map(|entry| entry.text.as_str()).collect::<String>()
    };
    let texts = ["a\n", "b", "b\n", "c\n", "d"];
    for (count, expected) in [(0, ""), (1, "d"), (2, "c\nd"), (3, "bb\nc\nd"), (9, "a\nbb\nc\nd")] {
        assert_eq!(of(&texts, count), expected, "{count}");
    }
}

/// Reads entries in the order in which they were written.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    is_json: bool,
    wanted: Wanted,
    file: Option<(BufReader<File>, u64)>,
    /// The beginning of a line that is being written.
    line: Vec<u8>,
    /// In the place of files.
    journal: Option<JournalReader>,
}

impl LogReader {
    /// Opens the log of a container; `dir` is where its files are.
    pub fn open(container: &Container, dir: &std::path::Path, wanted: Wanted) -> Result<Self> {
        let config = &container.config;
        let settings = settings(&config.log)?;
        let is_json = match settings.driver {
            Driver::JsonFile => true,
            Driver::K8sFile => false,
            Driver::None => {
                let text = "configured logging driver does not support reading";
                return Err(Error::new(Kind::Unsupported, text)
                    .with_hint("make the container with --log-driver json-file"));
            }
            Driver::Journald => false,
        };
        let journal = (settings.driver == Driver::Journald).then(|| JournalReader::new(&config.id));
        let path = settings.path.map_or_else(|| dir.join(LOG), PathBuf::from);
        Ok(Self { path, is_json, wanted, file: None, line: Vec::new(), journal })
    }

    /// The entries that are there now, handed over one by one; nothing more of them is kept than `tail` says.
    pub fn read(&mut self, each: &mut dyn FnMut(Entry) -> std::io::Result<()>) -> Result<()> {
        let tail = self.wanted.tail;
        let mut last = Last::default();
        let mut failed = Ok(());
        self.read_files(&mut |entry| {
            match tail {
                Some(count) => last.add(entry, count),
                None => failed = each(entry),
            }
            failed.is_ok()
        })?;
        failed
            .and_then(|()| last.entries.into_iter().try_for_each(each))
            .during(|| "writing the log")
    }

    fn read_files(&mut self, each: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        if self.journal.is_some() {
            return self.read_journal(each);
        }
        let mut older: Vec<PathBuf> = Vec::new();
        for number in 1..super::FILES_LIMIT {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            if !PathBuf::from(&name).exists() {
                break;
            }
            older.push(name.into());
        }
        for path in older.iter().rev() {
            let Ok(file) = File::open(path) else { continue };
            let mut reader = BufReader::with_capacity(1 << 16, file);
            let mut line = Vec::new();
            while take_line(&mut reader, &mut line).during(|| "reading the log")? {
                if let Some(entry) = self.entry(&line)
                    && !each(entry)
                {
                    return Ok(());
                }
                line.clear();
            }
        }
        self.follow(each)
    }

    fn read_journal(&mut self, each: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        let Self { journal: Some(journal), wanted, .. } = self else { return Ok(()) };
        journal.read(&mut |entry| !is_wanted(wanted, &entry) || each(entry))
    }

    /// The entries that have come since.
    pub fn follow(&mut self, each: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        match &self.journal {
            Some(journal) if !journal.is_due() => return Ok(()),
            Some(_) => return self.read_journal(each),
            None => {}
        }
        loop {
            if let Some((reader, _)) = &mut self.file {
                let mut line = std::mem::take(&mut self.line);
                while take_line(reader, &mut line).during(|| "reading the log")? {
                    let entry = parse(self.is_json, &line).filter(|it| is_wanted(&self.wanted, it));
                    line.clear();
                    if let Some(entry) = entry
                        && !each(entry)
                    {
                        return Ok(());
                    }
                }
                self.line = line;
            }
            // The file that has the name now may be another one: the old one was read to its end.
            let inode = match std::fs::metadata(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                result => result.during(|| format!("opening {}", self.path.display()))?.ino(),
            };
            if self.file.as_ref().is_some_and(|(_, known)| *known == inode) {
                return Ok(());
            }
            let file = match File::open(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                result => result.during(|| format!("opening {}", self.path.display()))?,
            };
            let inode = file.metadata().during(|| "looking at the log")?.ino();
            self.file = Some((BufReader::with_capacity(1 << 16, file), inode));
            self.line.clear();
        }
    }

    /// The same at the end, when nothing more comes.
    pub fn finish(&mut self, each: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        match self.journal.is_some() {
            true => self.read_journal(each),
            false => self.follow(each),
        }
    }

    fn entry(&self, line: &[u8]) -> Option<Entry> {
        parse(self.is_json, line).filter(|entry| is_wanted(&self.wanted, entry))
    }
}

/// Times of one form are in the order of their texts.
fn is_wanted(wanted: &Wanted, entry: &Entry) -> bool {
    wanted.since.as_ref().is_none_or(|since| entry.time >= *since)
        && wanted.until.as_ref().is_none_or(|until| entry.time <= *until)
}

/// Reads to the end of a line; what is there of one that has not ended stays in `line`.
fn take_line(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> std::io::Result<bool> {
    use std::io::Read;
    reader.by_ref().take(LINE_LIMIT_BYTES).read_until(b'\n', line)?;
    if line.len() as u64 >= LINE_LIMIT_BYTES {
        line.clear();
    }
    Ok(line.last() == Some(&b'\n'))
}

fn parse(is_json: bool, line: &[u8]) -> Option<Entry> {
    if is_json {
        let value: Value = serde_json::from_slice(line).ok()?;
        return Some(Entry {
            time: value["time"].as_str()?.to_owned(),
            is_error: value["stream"] == "stderr",
            text: value["log"].as_str()?.to_owned(),
        });
    }
    let text = String::from_utf8_lossy(line);
    let mut parts = text.splitn(4, ' ');
    let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
    let text = parts.next()?;
    let text = if tag == "P" { text.strip_suffix('\n').unwrap_or(text) } else { text };
    Some(Entry { time: time.to_owned(), is_error: stream == "stderr", text: text.to_owned() })
}

#[test]
fn entries_of_both_forms_are_read() {
    let entry = |is_error, text: &str| Entry { time: "T".into(), is_error, text: text.into() };
    let json = br#"{"log":"a\n","stream":"stdout","time":"T"}"#;
    assert_eq!(parse(true, json), Some(entry(false, "a\n")));
    assert_eq!(parse(false, b"T stderr F a b\n"), Some(entry(true, "a b\n")));
    assert_eq!(parse(false, b"T stdout P a\n"), Some(entry(false, "a")));
    assert_eq!(parse(true, b"{"), None);
    assert_eq!(parse(false, b"T stdout"), None);
}
