//! Archives between both ends.

use super::ends::{Source, Target};
use archive::apply::{Devices, Extractor, Form, Options, Owners};
use archive::compression::Bounded;
use archive::tar::{Bytes, Entry, Reader, What, Writer};
use archive::{Limits, pack};
use engine::{Error, Inside, Kind, Result};
use std::io::{BufRead, BufReader, BufWriter, PipeReader, PipeWriter, Read, Write};
use sys::Fd;
use sys::fs::{AT_SYMLINK_NOFOLLOW, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, S_IFDIR, S_IFMT};

/// As much as a pipe has room for.
const BUFFER_BYTES: usize = 64 << 10;

/// Whose the copies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The archive's.
    Kept,
    /// Whoever copies.
    Caller,
    /// One user and group.
    One(u32, u32),
}

/// What happens to a directory in the place of a file, and to a file in that of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// Nothing: it is a mistake.
    Refused,
    /// It goes, with all that is in it.
    Replaced,
}

/// How copies are made.
#[derive(Clone, Copy)]
pub(crate) struct Making<'m> {
    pub(crate) owner: Owner,
    /// Users and groups of the archive, as the target calls them.
    pub(crate) ids: Ids<'m>,
    pub(crate) clash: Clash,
}

/// What input that is no archive is told by.
pub(crate) const NO_ARCHIVE: &str = "no tar archive: ";

pub(crate) fn told(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Os, error.to_string())
}

fn pack_to(source: &Source, name: &[u8], is_live: bool, output: impl Write) -> Result<()> {
    let mut writer = Writer::new(Bytes::new(output));
    let options = pack::Options { is_live, is_system: true, ..pack::Options::default() };
    let dir = sys::fs::duplicate(&source.dir, 3).map_err(told)?;
    pack::pack_one(dir.borrow(), &source.name, name, options, &mut writer).map_err(told)?;
    let mut output = writer.finish().map_err(told)?.into_inner();
    output.flush().map_err(told)
}

/// Users and groups under other numbers.
pub(crate) type Ids<'i> = &'i dyn Fn(u32, u32) -> (u32, u32);

/// Writes an archive with the users that the container knows.
pub(super) fn write(
    source: &Source,
    name: &[u8],
    inside: &Inside,
    output: impl Write,
) -> Result<()> {
    let output = BufWriter::with_capacity(BUFFER_BYTES, output);
    if !inside.has_own_ids() {
        return pack_to(source, name, inside.is_live, output);
    }
    piped(
        |writer| pack_to(source, name, inside.is_live, writer),
        |reader| rename(reader, output, inside),
    )
}

/// Gives everything of an archive the users that the container knows.
fn rename(input: impl BufRead, output: impl Write, inside: &Inside) -> Result<()> {
    let mut reader = Reader::new(input, Limits::default());
    let mut writer = Writer::new(Bytes::new(output));
    while let Some(mut entry) = reader.next_entry().map_err(told)? {
        (entry.uid, entry.gid) = inside.inner(entry.uid, entry.gid);
        writer.entry(&entry).map_err(told)?;
        let mut left = entry.stored();
        while left > 0 {
            let length = {
                let bytes = reader.body().map_err(told)?;
                writer.data(bytes).map_err(told)?;
                bytes.len()
            };
            reader.consume(length).map_err(told)?;
            left -= length as u64;
        }
    }
    writer.finish().map_err(told)?.into_inner().flush().map_err(told)
}

/// Has one thread write what another one reads.
pub(crate) fn piped<T>(
    write: impl FnOnce(BufWriter<PipeWriter>) -> Result<()> + Send,
    read: impl FnOnce(BufReader<PipeReader>) -> Result<T>,
) -> Result<T> {
    let (reader, writer) = std::io::pipe().map_err(told)?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || write(BufWriter::with_capacity(BUFFER_BYTES, writer)));
        let read = read(BufReader::with_capacity(BUFFER_BYTES, reader));
        let written = writing.join().unwrap_or_else(|_| Err(told("a thread has panicked")));
        match (written, read) {
            // The reader has gone first, and says why.
            (Err(error), Err(read)) if error.to_string().contains("Broken pipe") => Err(read),
            (Err(error), _) => Err(error),
            (Ok(()), read) => read,
        }
    })
}

/// Copies from one end to the other; says how many bytes of contents there were.
pub(super) fn pass(
    source: &Source,
    name: &[u8],
    is_live: bool,
    target: &Target,
    making: Making<'_>,
) -> Result<u64> {
    piped(
        |writer| pack_to(source, name, is_live, writer),
        |reader| unpack(reader, target.dir(), making),
    )
}

/// Unpacks an archive, packed in any way this program knows, in a directory.
pub(crate) fn read(input: impl Read, root: &Fd, making: Making<'_>) -> Result<u64> {
    let none = |error| Error::new(Kind::Invalid, format!("{NO_ARCHIVE}{error}"));
    let input = BufReader::with_capacity(BUFFER_BYTES, input);
    let (_, plain) = Bounded::of(input, &Limits::default()).map_err(none)?;
    unpack(BufReader::with_capacity(BUFFER_BYTES, plain), root, making)
}

pub(super) fn unpack(input: impl BufRead, root: &Fd, making: Making<'_>) -> Result<u64> {
    let is_root = sys::ids::is_administrator();
    let options = Options {
        form: Form::Plain,
        devices: if is_root { Devices::Make } else { Devices::Skip },
        owners: if making.owner == Owner::Caller { Owners::Own } else { Owners::Exact },
        keep: None,
    };
    // What was opened as a path only cannot be listed.
    let root =
        sys::fs::open_at(root, ".", sys::fs::O_RDONLY | sys::fs::O_DIRECTORY, 0).map_err(told)?;
    let mut extractor = Extractor::new(root.borrow(), options).map_err(told)?;
    let mut reader = Reader::new(input, Limits::default());
    let mut is_first = true;
    loop {
        let mut entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) if is_first => {
                return Err(Error::new(Kind::Invalid, format!("{NO_ARCHIVE}{error}")));
            }
            Err(error) => return Err(told(error)),
        };
        is_first = false;
        check(&root, &entry, making.clash)?;
        match making.owner {
            // What was set-id of another's would be so of the caller.
            Owner::Caller => entry.mode &= 0o1777,
            Owner::One(uid, gid) => (entry.uid, entry.gid) = (uid, gid),
            Owner::Kept => {}
        }
        (entry.uid, entry.gid) = (making.ids)(entry.uid, entry.gid);
        extractor.entry(&entry, &mut reader).map_err(told)?;
    }
    Ok(extractor.finish().map_err(told)?.bytes)
}

/// A directory and a file do not replace each other, unless that is wanted, and no name removes another.
fn check(root: &Fd, entry: &Entry, clash: Clash) -> Result<()> {
    let refused = |text: String| Err(Error::new(Kind::Invalid, text));
    let shown = || String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
    let Some((parent, name)) = entry.path.split() else { return Ok(()) };
    if name.starts_with(b".wh.") {
        return refused(format!("{}: archives of layers have such names, and no others", shown()));
    }
    if clash == Clash::Replaced {
        return Ok(());
    }
    let parent = if parent.is_empty() { b"." } else { parent };
    let inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    let flags = sys::fs::O_PATH | sys::fs::O_DIRECTORY;
    let Ok(parent) = sys::fs::open_at2(root, parent, flags, 0, inside) else { return Ok(()) };
    let is_dir = match sys::fs::stat_at(&parent, name, AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => stat.st_mode & S_IFMT == S_IFDIR,
        Err(_) => return Ok(()),
    };
    match (is_dir, entry.what == What::Directory) {
        (true, false) => {
            refused(format!("cannot overwrite directory \"{}\" with non-directory", shown()))
        }
        (false, true) => {
            refused(format!("cannot overwrite non-directory \"{}\" with directory", shown()))
        }
        _ => Ok(()),
    }
}
