//! Names of containers: each is a link to the identifier, which only one process can make.

use crate::error::{During, Error, Kind, Result};
use crate::files;
use sys::{Errno, Fd, fs};

const DIR: &str = "names";
/// renameat2(2): not over anything.
const RENAME_NOREPLACE: u32 = 1;
/// docker's own limit is that of a file's name.
const LIMIT_BYTES: usize = 253;
/// Others may remove a stale name, and take it, at the same time.
const TRIES: usize = 8;

/// Whether a text can be a container's name.
pub fn check(name: &str) -> Result<()> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && name.len() <= LIMIT_BYTES && name.bytes().all(is_fine) {
        return Ok(());
    }
    let shown: String = name.chars().take(LIMIT_BYTES).collect();
    Err(Error::invalid(format!(
        "Invalid container name ({shown}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

/// The identifier that a name stands for.
pub(crate) fn look_up(engine: &Fd, name: &str) -> Result<Option<String>> {
    if check(name).is_err() {
        return Ok(None);
    }
    match fs::read_link(engine, format!("{DIR}/{name}")) {
        Ok(id) => Ok(String::from_utf8(id).ok()),
        Err(Errno::ENOENT | Errno::EINVAL | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(Error::os(format!("looking for the name {name}"), errno)),
    }
}

/// Takes a name. `is_there` says whether a container that has it already exists.
pub(crate) fn take(
    engine: &Fd,
    name: &str,
    id: &str,
    is_there: impl Fn(&str) -> bool,
) -> Result<()> {
    check(name)?;
    files::make_dir(engine, DIR)?;
    let path = format!("{DIR}/{name}");
    for _ in 0..TRIES {
        match fs::symlink(id, engine, &path) {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error::os(format!("taking the name {name}"), errno)),
        }
        match look_up(engine, name)? {
            Some(other) if other == id => return Ok(()),
            Some(other) if is_there(&other) => return Err(taken(name, &other)),
            // Its container was removed by something that was killed before it had given the name back.
            Some(stale) => release(engine, name, &stale)?,
            None => {}
        }
    }
    Err(Error::new(Kind::Exists, format!("the name {name}: others take it again and again")))
}

fn taken(name: &str, id: &str) -> Error {
    let text = format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\"."
    );
    Error::new(Kind::Exists, text)
        .with_hint(format!("remove it (`tare rm {name}`), rename it, or choose another name"))
}

/// Gives a name back, if it is that container's.
pub(crate) fn release(engine: &Fd, name: &str, id: &str) -> Result<()> {
    if look_up(engine, name)?.as_deref() != Some(id) {
        return Ok(());
    }
    let _lock = lock(engine)?;
    if look_up(engine, name)?.as_deref() == Some(id) {
        files::remove(engine, &format!("{DIR}/{name}"))?;
    }
    Ok(())
}

/// Between a look at a name and what is done to it nobody else may give it back: somebody could take it then, and would
/// lose it again. Whoever takes one that nobody has needs no lock.
fn lock(engine: &Fd) -> Result<Fd> {
    const WHAT: &str = "locking the names";
    let dir = files::open_dir(engine, DIR)?;
    fs::lock(&dir, fs::Lock::Exclusive).during(|| WHAT)?;
    Ok(dir)
}

/// Puts a name aside, if it is that container's: it is free from here on, and what is left of it says that the container
/// is being removed. That takes no room on a disk.
pub(crate) fn put_aside(engine: &Fd, name: &str, id: &str, place: &str) -> Result<bool> {
    if look_up(engine, name)?.as_deref() != Some(id) {
        return Ok(false);
    }
    let _lock = lock(engine)?;
    if look_up(engine, name)?.as_deref() != Some(id) {
        return Ok(false);
    }
    match fs::rename(engine, format!("{DIR}/{name}"), engine, place, 0) {
        Err(Errno::ENOENT) => Ok(false),
        result => result.map(|()| true).during(|| format!("giving the name {name} back")),
    }
}

/// Takes it back, unless somebody has it now: then the container goes with the next command.
pub(crate) fn put_back(engine: &Fd, name: &str, place: &str) {
    let _ = fs::rename(engine, place, engine, format!("{DIR}/{name}"), RENAME_NOREPLACE);
}

/// Gives every name of a container back, of which nobody knows what it was called.
pub(crate) fn release_all(engine: &Fd, id: &str) -> Result<()> {
    files::list(engine, DIR)?.iter().try_for_each(|name| release(engine, name, id))
}

const FIRST: [&str; 48] = [
    "amber", "bold", "brisk", "calm", "clear", "clever", "cosy", "crisp", "deft", "eager", "early",
    "fair", "fleet", "fond", "frank", "free", "fresh", "gentle", "glad", "golden", "grand",
    "happy", "hardy", "humble", "keen", "kind", "light", "lively", "lucid", "merry", "mild",
    "neat", "noble", "plain", "plucky", "prime", "quick", "quiet", "ready", "sharp", "silent",
    "smooth", "solid", "spry", "steady", "sunny", "swift", "warm",
];
const SECOND: [&str; 48] = [
    "alder", "anchor", "aspen", "badger", "beacon", "birch", "bison", "brook", "cedar", "comet",
    "crane", "delta", "ember", "falcon", "fern", "finch", "fjord", "gull", "harbor", "hazel",
    "heron", "island", "kestrel", "lark", "linden", "lynx", "maple", "marten", "meadow", "otter",
    "pebble", "pine", "plover", "quartz", "raven", "reed", "river", "robin", "rowan", "sable",
    "spruce", "stork", "summit", "thistle", "tundra", "walnut", "willow", "wren",
];

/// A name for a container that nobody gave one.
pub fn random() -> Result<String> {
    let mut bytes = [0u8; 4];
    sys::time::random(&mut bytes).map_err(|errno| Error::os("making a name", errno))?;
    let word = |list: &[&'static str; 48], byte: u8| list[usize::from(byte) % list.len()];
    let number = u16::from_ne_bytes([bytes[2], bytes[3]]) % 1000;
    Ok(format!("{}_{}{number}", word(&FIRST, bytes[0]), word(&SECOND, bytes[1])))
}

#[test]
fn names_are_checked_as_docker_does() {
    for good in ["a", "ab", "a_b.c-d", "0x", &"a".repeat(253)] {
        assert!(check(good).is_ok(), "{good}");
    }
    for bad in ["", "-a", ".a", "_a", "a b", "a/b", "é1", &"a".repeat(254)] {
        assert!(check(bad).is_err(), "{bad}");
    }
    assert!(check(&random().unwrap()).is_ok());
}
