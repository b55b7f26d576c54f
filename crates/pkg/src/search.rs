//! Where one object finds another: the search orders of glibc's and musl's loaders.
//!
//! glibc (`_dl_map_object` in `elf/dl-load.c`), for a name without a slash:
//! 1. unless the object that asks has a `DT_RUNPATH`: its `DT_RPATH`, then the one of the object
//!    that caused it to be loaded, and so on up to the program;
//! 2. (`LD_LIBRARY_PATH`, which a container starts without;)
//! 3. its own `DT_RUNPATH`;
//! 4. `/etc/ld.so.cache` - or `/etc/ld.so.conf` where there is no cache - without the default
//!    directories for an object marked `DF_1_NODEFLIB`;
//! 5. the default directories, for the same object not at all.
//!
//! In each directory of 1, 3 and 5 `glibc-hwcaps/LEVEL` comes before the directory itself. What is
//! of another class or machine is skipped.
//!
//! **CPU levels.** The search does not ask which CPU it runs on. It collects the library of *every*
//! level that exists along the way, up to and with the first one for all CPUs. So the loader in the
//! container chooses what it would choose on the host, another CPU finds what it can run, and the
//! closure of the same files is the same on every machine. The `haswell` and similar directories
//! that glibc searched up to 2.36 are collected where the host's cache names them, only.
//!
//! musl (`load_library` in `ldso/dynlink.c`): the run path (`DT_RUNPATH` or else `DT_RPATH`) of
//! the object that asks and of those that caused it to be loaded, then the directories of
//! `/etc/ld-musl-ARCH.path` or, without that file, `/lib`, `/usr/local/lib`, `/usr/lib`.

use crate::elf::Elf;
use crate::error::Result;
use crate::files::{Files, Opened};
use crate::machine::Machine;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// An object in memory.
pub(crate) struct Object {
    /// The name that it was opened by.
    pub(crate) path: PathBuf,
    /// What it was asked for as.
    pub(crate) names: Vec<Vec<u8>>,
    pub(crate) elf: Rc<Elf>,
    /// `st_dev` and `st_ino`: the same file is loaded once.
    pub(crate) id: (u64, u64),
    /// The object that caused it to be loaded.
    pub(crate) loader: Option<usize>,
    /// `$ORIGIN`.
    pub(crate) origin: PathBuf,
}

/// The kind of loader that a program names as its interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    Glibc,
    /// `sys_path` is what is searched last.
    Musl {
        sys_path: Vec<PathBuf>,
    },
}

/// One place where a library was found.
pub(crate) struct Hit {
    pub(crate) path: PathBuf,
    pub(crate) opened: Opened,
    /// Whether only some CPUs take it.
    pub(crate) is_variant: bool,
    /// Whether the loader's own knowledge (cache, default directories) led there.
    pub(crate) is_systems: bool,
}

/// A directory to look into; a variant is one that only some CPUs look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) is_variant: bool,
}

/// The files that `name`, asked for by `objects[from]`, stands for: those for some CPUs first, at
/// most one for all of them last.
pub(crate) fn search(
    files: &mut Files<'_>,
    flavour: &Flavour,
    objects: &[Object],
    from: usize,
    name: &[u8],
) -> Result<Vec<Hit>> {
    let machine = Machine::of(&objects[0].elf);
    let mut search = Search { files, machine, name, hits: Vec::new(), is_done: false };
    if name.contains(&b'/') {
        let path = search.files.host.absolute(OsStr::from_bytes(name).as_ref());
        search.open(path, false, false)?;
    } else {
        match flavour {
            Flavour::Glibc => search.glibc(objects, from)?,
            Flavour::Musl { sys_path } => search.musl(objects, from, sys_path)?,
        }
    }
    Ok(search.hits)
}

struct Search<'a, 'h> {
    files: &'a mut Files<'h>,
    machine: Machine,
    name: &'a [u8],
    hits: Vec<Hit>,
    /// A library for all CPUs has been found.
    is_done: bool,
}

impl Search<'_, '_> {
    fn glibc(&mut self, objects: &[Object], from: usize) -> Result<()> {
        let asks = &objects[from];
        if asks.elf.runpath.is_none() {
            let mut next = Some(from);
            while let Some(object) = next.map(|at| &objects[at]) {
                if let Some(rpath) = &object.elf.rpath {
                    let directories = self.directories(rpath, &object.origin);
                    self.look_into(&directories, false)?;
                }
                next = object.loader;
            }
        }
        if let Some(runpath) = &asks.elf.runpath {
            let directories = self.directories(runpath, &asks.origin);
            self.look_into(&directories, false)?;
        }
        self.system(asks.elf.no_default_libraries)
    }

    /// Cache or configuration, and default directories.
    fn system(&mut self, no_defaults: bool) -> Result<()> {
        if self.is_done {
            return Ok(());
        }
        let defaults = self.machine.default_directories();
        let is_default = |path: &Path| defaults.iter().any(|default| path.starts_with(default));
        if self.files.cache()?.is_some() {
            for (path, is_variant) in self.files.cached(self.name) {
                if !(no_defaults && is_default(&path)) {
                    self.open(path, is_variant, true)?;
                }
            }
        } else {
            let mut directories = self.files.configured()?;
            directories.retain(|directory| !(no_defaults && is_default(directory)));
            self.look_into(&plain(directories), true)?;
        }
        if !no_defaults {
            self.look_into(&plain(defaults.into_iter().map(PathBuf::from)), true)?;
        }
        Ok(())
    }

    fn musl(&mut self, objects: &[Object], from: usize, sys_path: &[PathBuf]) -> Result<()> {
        let mut next = Some(from);
        while let Some(object) = next.map(|at| &objects[at]) {
            let run_path = object.elf.runpath.as_ref().or(object.elf.rpath.as_ref());
            if let Some(directories) = run_path.and_then(|text| musl_path(text, &object.origin)) {
                self.each(plain(directories), false)?;
            }
            next = object.loader;
        }
        self.each(plain(sys_path.iter().cloned()), false)
    }

    /// The directories of a `DT_RPATH` or `DT_RUNPATH`.
    fn directories(&self, text: &[u8], origin: &Path) -> Vec<Directory> {
        let mut directories = Vec::new();
        for element in text.split(|&byte| byte == b':') {
            for (path, is_variant) in expand(element, origin, self.machine) {
                // An empty element is the working directory, as every relative one starts there.
                let path = self.files.host.absolute(OsStr::from_bytes(&path).as_ref());
                directories.push(Directory { path, is_variant });
            }
        }
        directories
    }

    /// Looks into directories and their subdirectories for CPU levels.
    fn look_into(&mut self, directories: &[Directory], is_systems: bool) -> Result<()> {
        for directory in directories {
            if self.is_done {
                break;
            }
            let levels = self.files.levels(&directory.path, self.machine)?;
            self.each(levels, is_systems)?;
            self.each(vec![directory.clone()], is_systems)?;
        }
        Ok(())
    }

    fn each(&mut self, directories: Vec<Directory>, is_systems: bool) -> Result<()> {
        for directory in directories {
            let path = directory.path.join(OsStr::from_bytes(self.name));
            self.open(path, directory.is_variant, is_systems)?;
        }
        Ok(())
    }

    fn open(&mut self, path: PathBuf, is_variant: bool, is_systems: bool) -> Result<()> {
        if self.is_done {
            return Ok(());
        }
        let Some(opened) = self.files.library(&path)? else { return Ok(()) };
        if Machine::of(&opened.elf) == self.machine {
            self.is_done = !is_variant;
            self.hits.push(Hit { path, opened, is_variant, is_systems });
        }
        Ok(())
    }
}

fn plain(paths: impl IntoIterator<Item = PathBuf>) -> Vec<Directory> {
    paths.into_iter().map(|path| Directory { path, is_variant: false }).collect()
}

/// What a text with `$ORIGIN`, `$LIB` and `$PLATFORM` (also in braces) may stand for, and whether
/// only on some CPUs. Other dollars stand for themselves, as in glibc.
pub(crate) fn expand(text: &[u8], origin: &Path, machine: Machine) -> Vec<(Vec<u8>, bool)> {
    /// More `$LIB`s and `$PLATFORM`s than this many combinations are no search path.
    const MAX_COMBINATIONS: usize = 64;
    /// `PATH_MAX`: nothing longer can be opened.
    const MAX_BYTES: usize = 4096;
    let mut results = vec![(Vec::new(), false)];
    let mut rest = text;
    while let Some(dollar) = rest.iter().position(|&byte| byte == b'$') {
        results.iter_mut().for_each(|(result, _)| result.extend_from_slice(&rest[..dollar]));
        results.retain(|(result, _)| result.len() < MAX_BYTES);
        rest = &rest[dollar + 1..];
        let values: Vec<Vec<u8>> = if let Some(after) = token(rest, b"ORIGIN") {
            rest = after;
            vec![origin.as_os_str().as_bytes().to_vec()]
        } else if let Some(after) = token(rest, b"LIB") {
            rest = after;
            machine.lib_tokens().into_iter().map(String::into_bytes).collect()
        } else if let Some(after) = token(rest, b"PLATFORM") {
            rest = after;
            let mut wider = Vec::new();
            for (result, is_variant) in &results {
                // Those that only some CPUs have come first, so that the search goes on to the rest.
                for (at, platform) in machine.platforms().iter().enumerate().rev() {
                    let result = [result, platform.as_bytes()].concat();
                    wider.push((result, *is_variant || at > 0));
                }
            }
            results = wider;
            results.truncate(MAX_COMBINATIONS);
            continue;
        } else {
            vec![b"$".to_vec()]
        };
        results = results
            .iter()
            .flat_map(|(result, is_variant)| {
                values.iter().map(move |value| ([result, value.as_slice()].concat(), *is_variant))
            })
            .take(MAX_COMBINATIONS)
            .collect();
    }
    results.iter_mut().for_each(|(result, _)| result.extend_from_slice(rest));
    results
}

/// What follows the token `name` at the start of `text`, as glibc's `is_dst` has it.
fn token<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if let Some(inner) = text.strip_prefix(b"{") {
        return inner.strip_prefix(name)?.strip_prefix(b"}");
    }
    let rest = text.strip_prefix(name)?;
    let goes_on = rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    (!goes_on).then_some(rest)
}

/// musl's `fixup_rpath`: `$ORIGIN` only; a path with any other dollar is ignored as a whole.
fn musl_path(text: &[u8], origin: &Path) -> Option<Vec<PathBuf>> {
    /// Room for hundreds of directories below a long `$ORIGIN`.
    const MAX_BYTES: usize = 1 << 20;
    let mut expanded = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.iter().position(|&byte| byte == b'$') {
        expanded.extend_from_slice(&rest[..dollar]);
        let after = &rest[dollar..];
        rest = after.strip_prefix(b"$ORIGIN").or(after.strip_prefix(b"${ORIGIN}"))?;
        expanded.extend_from_slice(origin.as_os_str().as_bytes());
        if expanded.len() > MAX_BYTES {
            return None;
        }
    }
    expanded.extend_from_slice(rest);
    Some(musl_directories(&expanded))
}

/// Directories separated as musl's `path_open` separates them.
pub(crate) fn musl_directories(text: &[u8]) -> Vec<PathBuf> {
    let elements = text.split(|byte| matches!(byte, b':' | b'\n'));
    elements
        .filter(|element| !element.is_empty())
        .map(|element| Path::new("/").join(OsStr::from_bytes(element)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Class;

    fn machine(class: Class, machine: u16) -> Machine {
        let elf = Elf {
            class,
            machine,
            flags: 0,
            interpreter: None,
            needed: Vec::new(),
            soname: None,
            rpath: None,
            runpath: None,
            no_default_libraries: false,
        };
        Machine::of(&elf)
    }

    #[test]
    fn tokens_expand_as_in_glibc() {
        let x86_64 = machine(Class::Elf64, 62);
        for (text, expected) in [
            ("/a", "/a"),
            ("", ""),
            ("$ORIGIN", "/o"),
            ("${ORIGIN}/../lib", "/o/../lib"),
            ("$ORIGIN:x", "/o:x"),
            ("$ORIGINAL", "$ORIGINAL"),
            ("${ORIGINAL}", "${ORIGINAL}"),
            ("${ORIGIN", "${ORIGIN"),
            ("$", "$"),
            ("$$ORIGIN", "$/o"),
            ("/x/$LIB/y", "/x/lib/x86_64-linux-gnu/y /x/lib64/y /x/lib/y"),
            ("/$PLATFORM", "/xeon_phi? /haswell? /x86_64"),
        ] {
            let expanded = expand(text.as_bytes(), Path::new("/o"), x86_64);
            let shown: Vec<_> = expanded
                .iter()
                .map(|(path, variant)| {
                    format!("{}{}", String::from_utf8_lossy(path), if *variant { "?" } else { "" })
                })
                .collect();
            assert_eq!(shown.join(" "), expected, "{text}");
        }
        let bomb = expand("$LIB".repeat(1000).as_bytes(), Path::new("/o"), x86_64);
        assert!(bomb.len() <= 64);
    }

    #[test]
    fn default_directories_follow_the_distributions() {
        for (machine, expected) in [
            (
                machine(Class::Elf64, 62),
                "/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /lib64 /usr/lib64 /lib /usr/lib",
            ),
            (
                machine(Class::Elf32, 3),
                "/lib/i386-linux-gnu /usr/lib/i386-linux-gnu /lib32 /usr/lib32 /lib /usr/lib",
            ),
            (
                machine(Class::Elf64, 243),
                "/lib/riscv64-linux-gnu /usr/lib/riscv64-linux-gnu /lib64/lp64d /usr/lib64/lp64d \
                 /lib64 /usr/lib64 /lib /usr/lib",
            ),
            (machine(Class::Elf64, 9999), "/lib64 /usr/lib64 /lib /usr/lib"),
            (machine(Class::Elf32, 9999), "/lib /usr/lib"),
        ] {
            assert_eq!(machine.default_directories().join(" "), expected);
        }
    }

    #[test]
    fn musl_ignores_a_run_path_with_unknown_tokens() {
        let path = |text: &str| musl_path(text.as_bytes(), Path::new("/o"));
        assert_eq!(path("$ORIGIN/x:/y"), Some(vec!["/o/x".into(), "/y".into()]));
        assert_eq!(path("/y:${ORIGIN}"), Some(vec!["/y".into(), "/o".into()]));
        assert_eq!(path("/y:$LIB"), None);
    }
}
