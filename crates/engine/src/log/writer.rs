//! Writing a log: whole lines, with the time at which they were read, in as few writes as they come in.

use super::journal::Journal;
use super::{Driver, PART_LIMIT_BYTES, Settings, escape, settings};
use crate::error::{During, Result};
use crate::place::LOG;
use crate::record::Config;
use std::path::Path;
use sys::fs::{self, O_CREAT, O_NOFOLLOW, O_WRONLY};
use sys::{CWD, Errno, Fd};

const O_APPEND: u32 = 0o2000;

/// The log of a container.
#[derive(Debug)]
pub(crate) struct Writer {
    settings: Settings,
    /// Where it is, and its name there.
    dir: Fd,
    name: String,
    file: Option<Fd>,
    journal: Option<Journal>,
    /// Of every entry, as docker writes them: with a comma in front.
    attributes: String,
    size: u64,
    /// Lines that have not ended yet: of output, and of messages.
    parts: [Vec<u8>; 2],
    buffer: Vec<u8>,
    /// Entries that could not be written.
    pub(crate) lost: u64,
}

impl Writer {
    pub(crate) fn open(dir: &Fd, config: &Config) -> Result<Self> {
        let settings = settings(&config.log)?;
        let (dir, name) = match &settings.path {
            Some(path) => outside(Path::new(path))?,
            None => (fs::duplicate(dir, 3).during(|| "opening the log")?, LOG.to_owned()),
        };
        let journal = match settings.driver {
            Driver::Journald => Some(Journal::open(config, &settings.tag)?),
            _ => None,
        };
        let mut writer = Self {
            settings,
            dir,
            name,
            file: None,
            journal,
            attributes: attributes_of(config),
            size: 0,
            parts: Default::default(),
            buffer: Vec::new(),
            lost: 0,
        };
        if matches!(writer.settings.driver, Driver::JsonFile | Driver::K8sFile) {
            writer.open_file()?;
        }
        Ok(writer)
    }

    fn open_file(&mut self) -> Result<()> {
        let flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_APPEND;
        let file = fs::open_at(&self.dir, &self.name, flags, 0o640)
            .during(|| format!("opening the log {}", self.name))?;
        self.size = fs::stat_fd(&file).during(|| "looking at the log")?.st_size as u64;
        self.file = Some(file);
        Ok(())
    }

    /// Takes what was read of a stream.
    pub(crate) fn write(&mut self, is_error: bool, bytes: &[u8]) {
        if self.settings.driver == Driver::None {
            return;
        }
        // One look at the clock for all that was there at once.
        let time = crate::place::now();
        let mut part = std::mem::take(&mut self.parts[usize::from(is_error)]);
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = rest.split_at(at + 1);
            if part.is_empty() {
                self.line(is_error, line, &time);
            } else {
                part.extend_from_slice(line);
                self.line(is_error, &part, &time);
                part.clear();
            }
            rest = behind;
        }
        part.extend_from_slice(rest);
        if part.len() >= PART_LIMIT_BYTES {
            self.line(is_error, &part, &time);
            part.clear();
        }
        self.parts[usize::from(is_error)] = part;
        self.flush();
    }

    /// Writes what has not ended with a line: the container has.
    pub(crate) fn finish(&mut self) {
        let time = crate::place::now();
        for is_error in [false, true] {
            let part = std::mem::take(&mut self.parts[usize::from(is_error)]);
            if !part.is_empty() {
                self.line(is_error, &part, &time);
            }
        }
        self.flush();
    }

    /// A line, perhaps a long one, as entries.
    fn line(&mut self, is_error: bool, line: &[u8], time: &str) {
        for part in line.chunks(PART_LIMIT_BYTES) {
            self.entry(is_error, part, time);
        }
    }

    fn entry(&mut self, is_error: bool, part: &[u8], time: &str) {
        let stream: &[u8] = if is_error { b"stderr" } else { b"stdout" };
        let ends = part.last() == Some(&b'\n');
        match self.settings.driver {
            Driver::JsonFile => {
                self.buffer.extend_from_slice(b"{\"log\":\"");
                escape::push(&mut self.buffer, part);
                self.buffer.extend_from_slice(b"\",\"stream\":\"");
                self.buffer.extend_from_slice(stream);
                self.buffer.push(b'"');
                self.buffer.extend_from_slice(self.attributes.as_bytes());
                self.buffer.extend_from_slice(b",\"time\":\"");
                self.buffer.extend_from_slice(time.as_bytes());
                self.buffer.extend_from_slice(b"\"}\n");
            }
            Driver::K8sFile => {
                for piece in [time.as_bytes(), b" ", stream, if ends { b" F " } else { b" P " }] {
                    self.buffer.extend_from_slice(piece);
                }
                self.buffer.extend_from_slice(part);
                if !ends {
                    self.buffer.push(b'\n');
                }
            }
            Driver::Journald => {
                let text = part.strip_suffix(b"\n").unwrap_or(part);
                let taken =
                    self.journal.as_ref().is_some_and(|it| it.write(is_error, text, !ends, time));
                self.lost += u64::from(!taken);
            }
            Driver::None => {}
        }
        if self.settings.max_bytes > 0
            && self.file.is_some()
            && self.size + self.buffer.len() as u64 >= self.settings.max_bytes
        {
            self.flush();
            self.rotate();
        }
    }

    /// A full disk costs entries, never the container's time.
    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        // One that could not be made anew, for want of an inode, is tried again.
        if self.file.is_none() && matches!(self.settings.driver, Driver::JsonFile | Driver::K8sFile)
        {
            let _ = self.open_file();
        }
        let kept = self.file.as_ref().map_or(0, |file| append(file, &self.buffer));
        self.size += kept as u64;
        let lost = self.buffer[kept..].iter().filter(|byte| **byte == b'\n').count();
        self.lost += lost as u64;
        self.buffer.clear();
        // What one burst needed is not kept for all time.
        self.buffer.shrink_to(4 * PART_LIMIT_BYTES);
    }

    fn rotate(&mut self) {
        let name = |number: u32| match number {
            0 => self.name.clone(),
            number => format!("{}.{number}", self.name),
        };
        if self.settings.max_files == 1 {
            let _ = fs::unlink(&self.dir, &self.name, 0);
        }
        for number in (0..self.settings.max_files - 1).rev() {
            let _ = fs::rename(&self.dir, name(number), &self.dir, name(number + 1), 0);
        }
        (self.file, self.size) = (None, 0);
        let _ = self.open_file();
    }
}

/// Writes whole entries, as many as there is room for; returns their bytes. A part of one would spoil the next one, too.
fn append(file: &Fd, entries: &[u8]) -> usize {
    let mut written = 0;
    while written < entries.len() {
        match fs::write(file, &entries[written..]) {
            Ok(count) if count > 0 => written += count,
            Err(Errno::EINTR) => {}
            _ => break,
        }
    }
    if written == entries.len() {
        return written;
    }
    let kept = entries[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if let Ok(stat) = fs::stat_fd(file) {
        let _ = fs::truncate(file, (stat.st_size as u64).saturating_sub((written - kept) as u64));
    }
    kept
}

fn attributes_of(config: &Config) -> String {
    let mut named = super::attributes::named(config);
    if let Some(tag) = config.log.options.get("tag").filter(|tag| !tag.is_empty()) {
        named.insert("tag".into(), super::attributes::tag(tag, config).into());
    }
    match named.is_empty() {
        true => String::new(),
        false => format!(",\"attrs\":{}", serde_json::Value::Object(named)),
    }
}

/// The directory and the name of a file that an option names.
fn outside(path: &Path) -> Result<(Fd, String)> {
    use std::os::unix::ffi::OsStrExt;
    let shown = path.display();
    let bad = || crate::error::Error::invalid(format!("--log-opt path={shown}: it names no file"));
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(bad()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = fs::O_RDONLY | fs::O_DIRECTORY;
    let dir = fs::open_at(CWD, parent.as_os_str().as_bytes(), flags, 0)
        .during(|| format!("opening {}", parent.display()))?;
    Ok((dir, name.to_str().ok_or_else(bad)?.to_owned()))
}
