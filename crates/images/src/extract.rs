//! The files of an artifact, written to a directory.
//!
//! Whoever made the artifact chose their names. Nothing is written outside of the directory: a name that
//! leads out is refused, and no link on the way is followed. A file is there as a whole or not at all.

use crate::artifact::TITLE;
use crate::error::{Error, Kind, Result};
use oci::image::{Descriptor, Document, MediaType};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use sys::fs::{self, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY};
use sys::fs::{RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS};
use sys::{CWD, Errno, Fd};
use transport::Source;

/// Directories on the way to a file.
const DEPTH_LIMIT: usize = 64;
/// Names that are tried for a file before it has its own.
const TEMPORARY_LIMIT: u32 = 100;
/// Copied at once.
const COPY_BYTES: usize = 256 << 10;

/// What happens to files that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They are replaced.
    Replace,
    /// They are a mistake.
    Refuse,
}

/// Which files of an artifact.
#[derive(Clone, Debug, Default)]
pub struct Which<'w> {
    /// That of a name.
    pub title: Option<&'w str>,
    /// That with a digest.
    pub digest: Option<&'w str>,
}

/// A file of an artifact.
#[derive(Clone, Debug)]
pub struct ArtifactFile {
    /// Its content.
    pub descriptor: Descriptor,
    /// Its name, if it has one.
    pub title: Option<String>,
}

/// The files of an artifact that are asked for.
pub fn artifact_files(artifact: &Document, which: &Which<'_>) -> Result<Vec<ArtifactFile>> {
    let Some(manifest) = artifact.manifest() else {
        let text = format!("{} is no artifact", artifact.digest());
        return Err(Error::new(Kind::Invalid, text));
    };
    let mut files = Vec::new();
    for descriptor in &manifest.layers {
        let title = descriptor.annotations.get(TITLE).cloned();
        // What stands there only because something has to.
        if title.is_none() && descriptor.kind() == MediaType::Empty {
            continue;
        }
        let wanted = which.title.is_none_or(|wanted| title.as_deref() == Some(wanted))
            && which.digest.is_none_or(|wanted| descriptor.digest.to_string() == wanted);
        if wanted {
            files.push(ArtifactFile { descriptor: descriptor.clone(), title });
        }
    }
    match files.is_empty() && (which.title.is_some() || which.digest.is_some()) {
        true => Err(Error::new(Kind::NotFound, "the artifact has no such file")),
        false => Ok(files),
    }
}

/// Writes files into a directory, which is made if it is not there. A file without a name gets its digest
/// for one. Says what was written.
pub fn extract(
    source: &dyn Source,
    files: &[ArtifactFile],
    directory: &Path,
    existing: Existing,
) -> Result<Vec<PathBuf>> {
    let mut places = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files {
        let digest = file.descriptor.digest.to_string();
        let name = file.title.as_deref().unwrap_or(&digest);
        let parts = components(name)?;
        if !seen.insert(parts.clone()) {
            let text = format!("two files of the artifact are called `{}`", shown(name));
            return Err(Error::new(Kind::Invalid, text).with_hint("choose one by --digest"));
        }
        places.push(parts);
    }
    std::fs::create_dir_all(directory).map_err(|error| {
        Error::new(Kind::Os, format!("making {}: {error}", directory.display()))
    })?;
    let root = open_root(directory)?;
    let mut written = Vec::new();
    for (file, parts) in files.iter().zip(&places) {
        let name = parts.join("/");
        write(source, file, &root, parts, existing)
            .map_err(|error| error.during(format_args!("writing {}", shown(&name))))?;
        written.push(directory.join(name));
    }
    Ok(written)
}

/// Writes one file to a path that the user has named.
pub fn extract_to(
    source: &dyn Source,
    file: &ArtifactFile,
    path: &Path,
    existing: Existing,
) -> Result<()> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        let text = format!("{} is no name of a file", path.display());
        return Err(Error::new(Kind::Invalid, text));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let root = open_root(parent.unwrap_or(Path::new(".")))?;
    write(source, file, &root, &[name.to_owned()], existing)
        .map_err(|error| error.during(format_args!("writing {}", path.display())))
}

fn open_root(directory: &Path) -> Result<Fd> {
    use std::os::unix::ffi::OsStrExt;
    fs::open_at(CWD, directory.as_os_str().as_bytes(), O_RDONLY | O_DIRECTORY, 0)
        .map_err(|errno| Error::new(Kind::Os, format!("opening {}: {errno}", directory.display())))
}

/// The parts of a name that stays in its directory.
fn components(name: &str) -> Result<Vec<String>> {
    let refuse = |why: &str| {
        let text = format!("the artifact has a file called `{}`: {why}", shown(name));
        Err(Error::new(Kind::Denied, text)
            .with_hint("`tare artifact extract --digest DIGEST ARTIFACT FILE` writes it elsewhere"))
    };
    if name.starts_with('/') {
        return refuse("it is an absolute path");
    }
    let parts: Vec<&str> =
        name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() || name.ends_with('/') {
        return refuse("it is no name of a file");
    }
    if parts.contains(&"..") {
        return refuse("it leads out of the directory");
    }
    if name.chars().any(char::is_control) {
        return refuse("it has control characters");
    }
    let longest = archive::limits::NAME_BYTES;
    if parts.len() > DEPTH_LIMIT || parts.iter().any(|part| part.len() > longest) {
        return refuse("it is too long");
    }
    Ok(parts.into_iter().map(str::to_owned).collect())
}

/// A name for messages: it may hold what terminals take for commands.
fn shown(name: &str) -> String {
    const SHOWN: usize = 120;
    name.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

fn os(errno: Errno) -> Error {
    match errno {
        Errno::ELOOP | Errno::ENOTDIR => Error::new(Kind::Denied, "a link or file is on the way")
            .with_hint("no link is followed: write to a directory without them"),
        Errno::EEXIST => Error::new(Kind::Exists, "there is a file of this name"),
        errno => Error::new(Kind::Os, errno.to_string()),
    }
}

fn write(
    source: &dyn Source,
    file: &ArtifactFile,
    root: &Fd,
    parts: &[String],
    existing: Existing,
) -> Result<()> {
    let Some((name, parents)) = parts.split_last() else { return Ok(()) };
    let mut dir = fs::duplicate(root, 0).map_err(os)?;
    for parent in parents {
        match fs::mkdir(&dir, parent, 0o777) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(os(errno)),
        }
        let how = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
        dir = fs::open_at2(&dir, parent, flags, 0, how).map_err(os)?;
    }
    if existing == Existing::Refuse && fs::stat_at(&dir, name, fs::AT_SYMLINK_NOFOLLOW).is_ok() {
        return Err(os(Errno::EEXIST));
    }
    let (temporary, out) = temporary_file(&dir)?;
    let done = copy(source, &file.descriptor, &out).and_then(|()| {
        const RENAME_NOREPLACE: u32 = 1;
        let flags = if existing == Existing::Refuse { RENAME_NOREPLACE } else { 0 };
        fs::rename(&dir, &temporary, &dir, name, flags).map_err(os)
    });
    if done.is_err() {
        // The error that is told is the first one.
        let _ = fs::unlink(&dir, &temporary, 0);
    }
    done
}

fn temporary_file(dir: &Fd) -> Result<(String, Fd)> {
    for number in 0..TEMPORARY_LIMIT {
        let name = format!(".tare-{}-{number}", std::process::id());
        match fs::open_at(dir, &name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o666) {
            Ok(file) => return Ok((name, file)),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(os(errno)),
        }
    }
    Err(Error::new(Kind::Os, "no name is free for a temporary file"))
}

fn copy(source: &dyn Source, descriptor: &Descriptor, out: &Fd) -> Result<()> {
    let mut content = match descriptor.embedded() {
        Some(bytes) => {
            let digest = *descriptor.verifiable()?;
            let bytes = std::io::Cursor::new(bytes);
            let size = Some(descriptor.size);
            Box::new(transport::hash::Verified::new(bytes, digest, size)) as transport::Blob
        }
        None => source.blob(descriptor)?,
    };
    let mut buffer = vec![0; COPY_BYTES];
    let digest = *descriptor.verifiable()?;
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => fs::write_all(out, &buffer[..count]).map_err(os)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(crate::pull::reading(&error, &digest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn names_stay_in_their_directory() {
        let check = |name: &str, expected: &[&str]| {
            assert_eq!(components(name).unwrap(), expected, "{name}");
        };
        check("a", &["a"]);
        check("./a//b.txt", &["a", "b.txt"]);
        check("..a/b..", &["..a", "b.."]);
        let long = "x".repeat(256);
        let deep = "x/".repeat(65) + "x";
        for name in [
            "",
            ".",
            "/",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            "a\nb",
            "a\u{1b}[2J",
            "a/",
            &long,
            &deep,
        ] {
            assert!(components(name).is_err(), "{name}");
        }
    }
}
