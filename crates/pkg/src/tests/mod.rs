//! Tests over trees of real files.
//!
//! A test makes a small system below a temporary directory, with libraries built by binutils, and
//! says what is to be found. Where the test runs as root, glibc's own loader is then asked twice:
//! in that tree, and in the closure as written - so what the tests expect is what the loader does.

mod host;
mod links;
mod loader;
mod malformed;
mod musl;
mod written;

use crate::elf::Elf;
use crate::files::{Files, Opened};
use crate::loader::{CacheEntries, Start, load};
use crate::tree::Found;
use crate::{Closure, HostView, Result, Wanted};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The loader that test programs name.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Reports that a test cannot run here.
fn skip(reason: &str) {
    // The harness names a test's thread after it.
    skips::skip(std::thread::current().name().unwrap_or("a test of pkg"), reason);
}

/// Whether binutils and the loader of the machine that tests build for are there.
fn can_build() -> bool {
    let works = |tool| Command::new(tool).arg("--version").output().is_ok();
    let can = works("as") && works("ld") && Path::new(LOADER).exists();
    if !can {
        skip("needs as, ld and glibc's loader for x86-64");
    }
    can
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// A directory that goes when the test does.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pkg-test-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(command: &mut Command) -> Output {
    /// A fork of another test may hold a file that this test has just written open for writing until
    /// it executes something, and such a file cannot be executed.
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return output;
        }
        assert!(error.contains("Text file busy"), "{command:?}: {error}");
    }
    panic!("{command:?}: text file busy");
}

/// What a built ELF file asks for.
#[derive(Clone, Copy, Default)]
struct Spec<'a> {
    soname: Option<&'a str>,
    needs: &'a [&'a str],
    rpath: Option<&'a str>,
    runpath: Option<&'a str>,
    /// More options of `ld`.
    options: &'a [&'a str],
    is_32_bit: bool,
}

/// A small system.
struct Root {
    directory: Temporary,
}

impl Root {
    /// With the host's loader in it.
    fn new() -> Self {
        let root = Self { directory: Temporary::new() };
        root.copy(LOADER);
        root
    }

    /// Where `path` of the tree is.
    fn at(&self, path: &str) -> PathBuf {
        let real = self.directory.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(real.parent().unwrap()).unwrap();
        real
    }

    fn file(&self, path: &str, text: &str, mode: u32) {
        fs::write(self.at(path), text).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        symlink(target, self.at(path)).unwrap();
    }

    /// A file of the host at the same place.
    fn copy(&self, path: &str) {
        fs::copy(path, self.at(path)).unwrap();
    }

    fn library(&self, path: &str, spec: Spec<'_>) {
        self.build(path, &["-shared"], spec);
    }

    fn program(&self, path: &str, spec: Spec<'_>) {
        self.build(path, &["-pie", "-e", "0", "--dynamic-linker", LOADER], spec);
    }

    fn build(&self, path: &str, kind: &[&str], spec: Spec<'_>) {
        let (format, object) =
            if spec.is_32_bit { ("elf_i386", "32") } else { ("elf_x86_64", "64") };
        let scratch = scratch();
        let mut ld = Command::new("ld");
        ld.args(["-m", format, "--no-as-needed", "-o"]).arg(self.at(path));
        ld.args(kind).args(spec.options).arg(scratch.join(object));
        if let Some(soname) = spec.soname {
            ld.args(["-soname", soname]);
        }
        for (path, tags) in
            [(spec.rpath, "--disable-new-dtags"), (spec.runpath, "--enable-new-dtags")]
        {
            path.iter().for_each(|path| {
                ld.args([tags, "-rpath", path]);
            });
        }
        // A name that is needed is the soname of what is linked: a library made for that.
        for (number, name) in spec.needs.iter().enumerate() {
            let stub = self.directory.0.with_extension(format!("stub{number}"));
            run(Command::new("ld")
                .args(["-m", format, "-shared", "-soname", name, "-o"])
                .arg(&stub)
                .arg(scratch.join(object)));
            ld.arg(stub);
        }
        run(&mut ld);
        for number in 0..spec.needs.len() {
            let _ = fs::remove_file(self.directory.0.with_extension(format!("stub{number}")));
        }
    }

    fn host(&self) -> HostView {
        view(&self.directory.0)
    }

    fn closure(&self, program: &str) -> Result<Closure> {
        crate::closure(&self.host(), &[Wanted::Program(program.into())])
    }

    /// The closure of a program as lines.
    fn listing(&self, program: &str) -> String {
        listing(&self.closure(program).unwrap())
    }

    /// `ldconfig` for this tree, as root.
    fn ldconfig(&self) {
        run(Command::new("/sbin/ldconfig").arg("-r").arg(&self.directory.0));
    }

    /// Checks what is loaded for a program, and that glibc's loader agrees.
    fn check(&self, program: &str, expected: &[&str]) {
        assert_eq!(loaded(&self.host(), program).unwrap(), expected, "{program}");
        self.check_packed(program, expected);
        if is_root() {
            assert_eq!(listed_by_loader(&self.directory.0, program), sorted(expected), "loader");
        }
    }

    /// Checks that the loader, in the closure as written, finds exactly `expected`.
    fn check_packed(&self, program: &str, expected: &[&str]) {
        let packed = Temporary::new();
        self.closure(program).unwrap().write_to(&packed.0, std::time::UNIX_EPOCH).unwrap();
        if is_root() {
            assert_eq!(listed_by_loader(&packed.0, program), sorted(expected), "packed");
        }
    }

    /// The one message of the error for a program.
    fn error(&self, program: &str) -> String {
        shown(&self.closure(program).unwrap_err())
    }
}

/// An error with what led to it, as the binary prints it.
fn shown(error: &crate::Error) -> String {
    let mut text = format!("{:?}: {error}", error.kind());
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn view(root: &Path) -> HostView {
    HostView {
        root: root.to_owned(),
        path: vec!["/usr/bin".into(), "/bin".into()],
        working_directory: "/".into(),
    }
}

fn sorted(paths: &[&str]) -> Vec<String> {
    let mut paths: Vec<_> = paths.iter().map(|path| path.to_string()).collect();
    paths.sort();
    paths
}

/// The libraries of a program, in the order in which they are loaded.
fn loaded(host: &HostView, program: &str) -> Result<Vec<String>> {
    let mut files = Files::new(host);
    let resolved = files.tree.resolve(Path::new(program))?;
    let Found::File { stamp, .. } = &*resolved.found else { panic!("{program} is no file") };
    let opened = Opened {
        elf: files.elf(&resolved.path, stamp)?,
        id: (stamp.device, stamp.inode),
        resolved: resolved.path.clone(),
    };
    let start = Start { path: Path::new(program), opened, library_of: None };
    let (loaded, _) = load(&mut files, start, &mut CacheEntries::new())?;
    Ok(loaded.libraries.iter().map(|path| path.display().to_string()).collect())
}

/// What glibc's loader maps for a program of the tree `root`, sorted.
fn listed_by_loader(root: &Path, program: &str) -> Vec<String> {
    // The kernel tells a program its real name; the loader by itself is told one.
    let real = view(root);
    let resolved = Files::new(&real).tree.resolve(Path::new(program)).unwrap().path;
    let output = run(Command::new("/usr/sbin/chroot")
        .arg(root)
        .args([LOADER, "--list"])
        .arg(resolved)
        .env_clear());
    let mut paths = parse_list(&output.stdout);
    paths.sort();
    paths
}

/// The paths in the output of `ld.so --list`, without the loader itself.
fn parse_list(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let path = |line: &str| {
        let line = line.trim().rsplit_once(" (0x").map_or(line.trim(), |(name, _)| name);
        let path = line.split_once(" => ").map_or(line, |(_, path)| path).to_owned();
        (path != LOADER && path.contains('/')).then_some(path)
    };
    text.lines().filter_map(path).collect()
}

fn listing(closure: &Closure) -> String {
    let line = |entry: &crate::Entry| match &entry.node {
        crate::Node::Directory { .. } => format!("{}/\n", entry.path.display()),
        crate::Node::File { .. } => format!("{}\n", entry.path.display()),
        crate::Node::Link { target } => {
            format!("{} -> {}\n", entry.path.display(), target.display())
        }
    };
    closure.entries().iter().map(line).collect()
}

/// Empty objects to link, made once and small enough to stay.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let scratch = std::env::temp_dir().join("pkg-test-objects");
        fs::create_dir_all(&scratch).unwrap();
        for bits in ["32", "64"] {
            let made = scratch.join(format!("{bits}.{}", std::process::id()));
            run(Command::new("as").args([&format!("--{bits}"), "-o"]).arg(&made).arg("/dev/null"));
            fs::rename(made, scratch.join(bits)).unwrap();
        }
        scratch
    })
}

/// A file of the host as ELF.
fn read_elf(bytes: &[u8]) -> std::result::Result<Elf, crate::elf::Malformed> {
    Elf::read(&|offset, buffer| {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    })
}
