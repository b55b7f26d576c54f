//! The machine that the tests run on, as a large example.

use super::*;
use std::collections::BTreeSet;

/// Programs compared with the loader: a full desktop has more, and this is a fast test.
const MAX_PROGRAMS: usize = 3000;

/// Dynamic programs of this machine that name glibc's loader, without links, each file once.
fn programs(directory: &str) -> Vec<String> {
    let host = view(Path::new("/"));
    let mut files = Files::new(&host);
    let Ok(names) = files.tree.list(Path::new(directory)) else { return Vec::new() };
    let mut programs = BTreeSet::new();
    for name in names {
        let Ok(resolved) = files.tree.resolve(&Path::new(directory).join(name)) else { continue };
        let Found::File { stamp, .. } = &*resolved.found else { continue };
        let Ok(elf) = files.elf(&resolved.path, stamp) else { continue };
        if elf.interpreter.as_deref() == Some(LOADER.as_bytes()) {
            programs.insert(resolved.path.display().to_string());
        }
    }
    programs.into_iter().take(MAX_PROGRAMS).collect()
}

/// What `ld.so --list` finds, and the first name that it does not find.
fn ask_loader(program: &str) -> (BTreeSet<String>, bool) {
    // Not ldd, which is a script around this, nor LD_TRACE_LOADED_OBJECTS, which would run a
    // program that is static after all.
    let output = Command::new(LOADER).args(["--list", program]).env_clear().output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    let is_complete = !text.contains("not found") && !error.contains("error while loading");
    (parse_list(&output.stdout).into_iter().collect(), is_complete)
}

#[test]
fn every_program_of_this_machine_loads_what_the_loader_says() {
    if !Path::new(LOADER).exists() {
        return skip("needs glibc's loader for x86-64");
    }
    let programs: Vec<_> = ["/usr/bin", "/usr/sbin"].into_iter().flat_map(programs).collect();
    let check = |program: &String| {
        let (expected, is_complete) = ask_loader(program);
        let found = loaded(&view(Path::new("/")), program);
        match found {
            Ok(found) if is_complete => {
                let found: BTreeSet<_> = found.into_iter().collect();
                let is_same = found.difference(&expected).all(|path| path.contains("glibc-hwcaps"))
                    && found.is_superset(&expected);
                (!is_same).then(|| format!("{program}: {found:?} is not {expected:?}"))
            }
            Ok(found) => Some(format!("{program}: {found:?}, but the loader misses something")),
            Err(error) if is_complete => Some(format!("{program}: {}", shown(&error))),
            Err(_) => None,
        }
    };
    // Two at a time: most of it is waiting for the other process.
    let (first, second) = programs.split_at(programs.len() / 2);
    let differences: Vec<String> = std::thread::scope(|scope| {
        let other = scope.spawn(|| second.iter().filter_map(check).collect::<Vec<_>>());
        let mut all: Vec<_> = first.iter().filter_map(check).collect();
        all.extend(other.join().unwrap());
        all
    });
    assert!(differences.is_empty(), "{} programs: {differences:#?}", programs.len());
    assert!(!programs.is_empty());
}

/// Runs a command in the closure of a program of this machine and gives its output.
fn run_packed(wanted: &[Wanted], command: &[&str]) -> String {
    let mut closure = crate::closure(&view(Path::new("/")), wanted).unwrap();
    closure.merge(crate::skeleton()).unwrap();
    let root = Temporary::new();
    closure.write_to(&root.0, std::time::UNIX_EPOCH).unwrap();
    let output = run(Command::new("/usr/sbin/chroot").arg(&root.0).args(command).env_clear());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn packed_programs_run() {
    if !is_root() {
        return skip("chroot needs root");
    }
    let program = |name: &str| Wanted::Program(name.into());
    let output = run_packed(&[program("/bin/sh")], &["/bin/sh", "-c", "echo $((6 * 7)); cd /tmp"]);
    assert_eq!(output, "42\n");
    let output = run_packed(&[program("env")], &["/usr/bin/env", "-i", "A=1", "/usr/bin/env"]);
    assert_eq!(output, "A=1\n");
    let output = run_packed(&[program("sh"), program("ls")], &["/usr/bin/sh", "-c", "ls -d /e*"]);
    assert_eq!(output, "/etc\n");
}

#[test]
fn packed_python_runs() {
    let python = Path::new("/usr/bin/python3");
    if !is_root() || !python.exists() {
        return skip("needs root for chroot, and /usr/bin/python3");
    }
    let script =
        "import encodings, os; print(os.path.dirname(os.path.dirname(encodings.__file__)))";
    let library = run(Command::new(python).args(["-I", "-S", "-c", script]).env_clear()).stdout;
    let library = PathBuf::from(String::from_utf8(library).unwrap().trim());
    let mut wanted = vec![Wanted::Program("python3".into())];
    // What it imports to start at all; the rest is some thousand files more of the same kind.
    for name in ["encodings", "codecs.py", "io.py", "abc.py", "os.py", "stat.py", "posixpath.py"] {
        wanted.push(Wanted::Path(library.join(name)));
    }
    let command = ["/usr/bin/python3", "-I", "-S", "-c", "print('weightless', 6 * 7)"];
    assert_eq!(run_packed(&wanted, &command), "weightless 42\n");
}

#[test]
fn two_looks_at_the_same_files_are_the_same_closure() {
    let closure =
        || crate::closure(&view(Path::new("/")), &[Wanted::Program("sh".into())]).unwrap();
    let (first, second) = (closure(), closure());
    assert_eq!(first, second);
    assert_eq!(first.fingerprint(), second.fingerprint());
}

/// `cargo test -p pkg --release time_of -- --nocapture` measures; a closure of the largest program
/// takes some 10 ms.
#[test]
#[allow(clippy::print_stderr, reason = "a measurement is there to be printed")]
fn time_of_closures_is_bounded() {
    const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
    for name in ["sh", "ls", "python3", "git", "gdb"] {
        let host = view(Path::new("/"));
        let wanted = [Wanted::Program(name.into())];
        let Ok(closure) = crate::closure(&host, &wanted) else { continue };
        let start = std::time::Instant::now();
        const ROUNDS: u32 = 5;
        for _ in 0..ROUNDS {
            crate::closure(&host, &wanted).unwrap();
        }
        let each = start.elapsed() / ROUNDS;
        assert!(each < LIMIT, "{name}: {each:?}");
        let start = std::time::Instant::now();
        closure.fingerprint();
        let fingerprint = start.elapsed();
        let start = std::time::Instant::now();
        closure.digest().unwrap();
        let digest = start.elapsed();
        let root = Temporary::new();
        let start = std::time::Instant::now();
        closure.write_to(&root.0, std::time::UNIX_EPOCH).unwrap();
        let written = start.elapsed();
        eprintln!(
            "{name}: {} entries, {} bytes: closure {each:?}, fingerprint {fingerprint:?}, digest \
             {digest:?}, write {written:?}",
            closure.entries().len(),
            closure.size_bytes()
        );
    }
}
