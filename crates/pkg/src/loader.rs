//! What a dynamic loader would map for a program, without running anything.
//!
//! Objects are loaded breadth first, as `_dl_map_object_deps` of glibc and `load_deps` of musl do:
//! who asks first decides by which name and through whose run path a library is found. A name is
//! not searched for again when a loaded object has been asked for by it or, with glibc, has it as
//! its `DT_SONAME`; what turns out to be a file that is loaded already is not loaded twice.
//!
//! Not followed, because it is not in the headers or not there in a container: `dlopen`,
//! `LD_PRELOAD`, `/etc/ld.so.preload`, auditors (`DT_AUDIT`).

use crate::elf::{Elf, Need};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, Opened};
use crate::ldcache::Key;
use crate::machine::Machine;
use crate::search::{Flavour, Hit, Object, expand, musl_directories, search};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Objects of one program. LibreOffice, among the largest, loads some 300.
const MAX_OBJECTS: usize = 2048;
/// Names that the objects of one program ask for in all; LibreOffice's ask for some 10,000.
const MAX_NEEDS: usize = 1 << 16;
/// Bytes of musl's path file.
const MAX_PATH_FILE_BYTES: u64 = 64 << 10;

/// What a program loads.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// `PT_INTERP`.
    pub(crate) interpreter: Option<PathBuf>,
    /// The libraries by the names that the loader opens them by, in its order.
    pub(crate) libraries: Vec<PathBuf>,
    /// Other files that the loader reads.
    pub(crate) configuration: Option<PathBuf>,
}

/// The program or library to start from.
pub(crate) struct Start<'a> {
    /// The name that it is opened by.
    pub(crate) path: &'a Path,
    pub(crate) opened: Opened,
    /// A library is loaded by a program of this flavour.
    pub(crate) library_of: Option<Flavour>,
}

/// Paths that the container's loader must know, found by [`load`] on the way.
pub(crate) type CacheEntries = BTreeMap<Key, Vec<u8>>;

/// Everything that `start` loads. The second value is the flavour of its loader, if it has one.
pub(crate) fn load(
    files: &mut Files<'_>,
    start: Start<'_>,
    cache: &mut CacheEntries,
) -> Result<(Loaded, Option<Flavour>)> {
    let mut loaded = Loaded::default();
    let elf = Rc::clone(&start.opened.elf);
    let (flavour, interpreter) = match (&elf.interpreter, start.library_of) {
        (Some(interpreter), _) => {
            let path = files.host.absolute(OsStr::from_bytes(interpreter).as_ref());
            let opened = open_interpreter(files, start.path, &path, &elf)?;
            let (flavour, configuration) = flavour_of(files, &path)?;
            loaded.configuration = configuration;
            loaded.interpreter = Some(path.clone());
            (flavour, Some((path, opened, interpreter.clone())))
        }
        (None, Some(flavour)) => (flavour, None),
        // Static, static-pie included: nothing else is loaded.
        (None, None) => return Ok((loaded, None)),
    };
    // The kernel tells a program where it is without links; a library is where it was opened.
    let origin = match interpreter {
        Some(_) => start.opened.resolved.parent(),
        None => start.path.parent(),
    };
    let mut graph = Graph { files, flavour: flavour.clone(), objects: Vec::new(), loaded, cache };
    graph.objects.push(Object {
        path: start.path.to_owned(),
        names: vec![start.path.as_os_str().as_bytes().to_vec()],
        elf,
        id: start.opened.id,
        loader: None,
        origin: origin.unwrap_or(Path::new("/")).to_owned(),
    });
    if let Some((path, opened, name)) = interpreter {
        graph.push(path, opened, name, None)?;
        graph.loaded.libraries.clear();
    }
    graph.follow()?;
    Ok((graph.loaded, Some(flavour)))
}

fn open_interpreter(
    files: &mut Files<'_>,
    program: &Path,
    path: &Path,
    elf: &Elf,
) -> Result<Opened> {
    let opened = files
        .library(path)?
        .filter(|opened| (opened.elf.class, opened.elf.machine) == (elf.class, elf.machine));
    opened.ok_or_else(|| {
        let (path, program) = (path.display(), program.display());
        Error::new(ErrorKind::NotFound, format!("loader {path} of {program} not found"))
            .with_hint("the program is for another kind of system: it does not run on the host")
    })
}

/// Which loader `interpreter` is, and the file that musl's reads its directories from.
fn flavour_of(files: &mut Files<'_>, interpreter: &Path) -> Result<(Flavour, Option<PathBuf>)> {
    let name = interpreter.file_name().unwrap_or_default().to_string_lossy();
    let Some(arch) = name.strip_prefix("ld-musl-") else { return Ok((Flavour::Glibc, None)) };
    let arch = arch.split('.').next().unwrap_or(arch);
    // `__dls3`: the prefix is what is two levels above the loader.
    let prefix = interpreter.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let file = prefix.join(format!("etc/ld-musl-{arch}.path"));
    let text = files.small_file(&file, MAX_PATH_FILE_BYTES)?;
    let sys_path = musl_directories(text.as_deref().unwrap_or(b"/lib:/usr/local/lib:/usr/lib"));
    Ok((Flavour::Musl { sys_path }, text.map(|_| file)))
}

/// The objects of one program.
struct Graph<'a, 'h> {
    files: &'a mut Files<'h>,
    flavour: Flavour,
    objects: Vec<Object>,
    loaded: Loaded,
    cache: &'a mut CacheEntries,
}

impl Graph<'_, '_> {
    fn follow(&mut self) -> Result<()> {
        let (mut at, mut needs) = (0, 0);
        while at < self.objects.len() {
            let elf = Rc::clone(&self.objects[at].elf);
            needs += elf.needed.len();
            if needs > MAX_NEEDS {
                return Err(self.too_many("65,536 names"));
            }
            for (name, need) in &elf.needed {
                self.need(at, name, *need)?;
            }
            at += 1;
        }
        Ok(())
    }

    /// Loads what object `from` asks for as `name`.
    fn need(&mut self, from: usize, name: &[u8], need: Need) -> Result<()> {
        let names = match self.flavour {
            Flavour::Glibc => {
                let machine = Machine::of(&self.objects[0].elf);
                expand(name, &self.objects[from].origin, machine)
            }
            Flavour::Musl { .. } => vec![(name.to_vec(), false)],
        };
        if names.iter().any(|(name, _)| self.is_loaded(name)) {
            return Ok(());
        }
        for (name, _) in names {
            let hits = search(self.files, &self.flavour, &self.objects, from, &name)?;
            if hits.is_empty() {
                continue;
            }
            for hit in hits {
                self.note(&name, &hit);
                self.push(hit.path, hit.opened, name.clone(), Some(from))?;
            }
            return Ok(());
        }
        match need {
            Need::Optional => Ok(()),
            Need::Required => Err(self.missing(from, name)),
        }
    }

    fn is_loaded(&self, name: &[u8]) -> bool {
        let asked = |object: &Object| object.names.iter().any(|known| known == name);
        match self.flavour {
            Flavour::Glibc => {
                let is_soname = |object: &Object| object.elf.soname.as_deref() == Some(name);
                // The kernel's own library, which every process has.
                let is_vdso = matches!(name, b"linux-vdso.so.1" | b"linux-gate.so.1");
                is_vdso || self.objects.iter().any(|object| asked(object) || is_soname(object))
            }
            Flavour::Musl { .. } => is_musl_itself(name) || self.objects.iter().any(asked),
        }
    }

    fn push(
        &mut self,
        path: PathBuf,
        opened: Opened,
        name: Vec<u8>,
        loader: Option<usize>,
    ) -> Result<()> {
        self.loaded.libraries.push(path.clone());
        if let Some(same) = self.objects.iter_mut().find(|object| object.id == opened.id) {
            same.names.push(name);
            return Ok(());
        }
        if self.objects.len() == MAX_OBJECTS {
            return Err(self.too_many("2048 objects"));
        }
        let origin = path.parent().unwrap_or(Path::new("/")).to_owned();
        let names = vec![name, path.as_os_str().as_bytes().to_vec()];
        self.objects.push(Object { path, names, elf: opened.elf, id: opened.id, loader, origin });
        Ok(())
    }

    /// Notes what the container's loader is to find without the host's cache.
    fn note(&mut self, name: &[u8], hit: &Hit) {
        let Some(flags) = Machine::of(&hit.opened.elf).cache_flags() else { return };
        let level = hit.path.parent().filter(|directory| {
            directory.parent().and_then(Path::file_name) == Some(OsStr::new("glibc-hwcaps"))
        });
        let level = level.and_then(Path::file_name).map(|level| level.as_bytes().to_vec());
        if hit.is_systems && hit.is_variant == level.is_some() {
            let key = Key { name: name.to_vec(), flags, level };
            let path = hit.path.as_os_str().as_bytes().to_vec();
            self.cache.entry(key).or_insert(path);
        }
    }

    fn too_many(&self, what: &str) -> Error {
        let program = self.objects[0].path.display();
        let message = format!("following what {program} needs: more than {what}");
        Error::new(ErrorKind::Unsupported, message)
    }

    fn missing(&mut self, from: usize, name: &[u8]) -> Error {
        let name = OsStr::from_bytes(name);
        let (shown, needs) = (name.display(), self.objects[from].path.display());
        let message = format!("library {shown}, which {needs} needs, not found");
        let configured = self.files.configured().unwrap_or_default();
        let mut there = configured.iter().map(|directory| directory.join(name));
        let hint = match there.find(|path| matches!(self.files.tree.find(path), Ok(Some(_)))) {
            Some(path) if !name.is_empty() && self.flavour == Flavour::Glibc => format!(
                "{} is there, but not in /etc/ld.so.cache or not for this machine: run ldconfig",
                path.display()
            ),
            _ => "the program does not start on the host either: install the library".into(),
        };
        Error::new(ErrorKind::NotFound, message).with_hint(hint)
    }
}

/// The names that musl's loader, which is its libc, answers for (`load_library`).
fn is_musl_itself(name: &[u8]) -> bool {
    const PARTS: [&[u8]; 7] = [b"c", b"pthread", b"rt", b"m", b"dl", b"util", b"xnet"];
    let Some(rest) = name.strip_prefix(b"lib") else { return false };
    PARTS.iter().any(|part| rest.strip_prefix(*part).is_some_and(|rest| rest.starts_with(b".")))
}
