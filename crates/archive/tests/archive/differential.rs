//! L2: what GNU tar, bsdtar and Python's tarfile read, Tare reads, or it refuses.

use crate::craft::{Block, Craft, Random};
use crate::place::Place;
use archive::tar::{Reader, What};
use archive::{Error, Limits};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Type, name, size of files, target of links: what has to be the same.
type List = Vec<(char, String, u64, String)>;

pub fn read(bytes: &[u8]) -> Result<List, Error> {
    let mut reader = Reader::new(bytes, Limits::default());
    let mut list = List::new();
    while let Some(entry) = reader.next_entry()? {
        let name = text(&entry.name);
        let (kind, size, target) = match &entry.what {
            What::File { size, .. } => ('-', *size, String::new()),
            What::Directory => ('d', 0, String::new()),
            What::Symlink(target) => ('l', 0, text(target)),
            What::Hardlink(target) => ('h', 0, text(target.as_bytes())),
            What::Character(major, minor) => ('c', 0, format!("{major},{minor}")),
            What::Block(major, minor) => ('b', 0, format!("{major},{minor}")),
            What::Fifo => ('p', 0, String::new()),
        };
        list.push((kind, name, size, target));
    }
    Ok(list)
}

fn text(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
    bytes.escape_ascii().to_string()
}

/// Names with anything but these are written by each program in its own way.
fn is_plain(list: &List) -> bool {
    let plain =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/,".contains(&b));
    list.iter().all(|(_, name, _, target)| plain(name) && plain(target))
}

/// GNU tar's verbose list, and bsdtar's: so many words, then the name.
fn verbose(program: &str, path: &Path) -> Result<List, String> {
    let mut command = Command::new(program);
    command.args(["-tvf"]).arg(path).arg("--numeric-owner").env("LC_ALL", "C").env("TZ", "UTC");
    let gnu = program == "tar";
    if gnu {
        command.args(["--full-time", "--quoting-style=escape"]);
    }
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let words = if gnu { 5 } else { 8 };
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| verbose_line(line, words, gnu)).collect()
}

fn verbose_line(
    line: &str,
    words: usize,
    gnu: bool,
) -> Result<(char, String, u64, String), String> {
    let mut rest = line;
    let mut fields = Vec::new();
    for _ in 0..words {
        rest = rest.trim_start();
        let (field, behind) = rest.split_once(' ').ok_or(line)?;
        fields.push(field);
        rest = behind;
    }
    // GNU tar aligns what is in the first columns only.
    let rest = rest.trim_start();
    let kind = line.chars().next().ok_or(line)?;
    // bsdtar shows the type that the mode may have, too.
    let kind = if kind == '-' && rest.contains(" link to ") { 'h' } else { kind };
    let kind = if kind == 'C' { '-' } else { kind };
    let middle = if kind == 'l' { " -> " } else { " link to " };
    let (name, target) = match kind {
        // bsdtar does not show a target that only PAX has. Go leaves the header's empty where nothing
        // of the target is ASCII, so that this is nothing to refuse.
        'l' if !gnu && !rest.contains(middle) => (rest, UNSEEN),
        'l' | 'h' => rest.split_once(middle).ok_or(line)?,
        _ => (rest, ""),
    };
    let size = fields[if gnu { 2 } else { 4 }];
    let mut entry =
        (kind, name.strip_suffix('/').unwrap_or(name).to_string(), 0, target.to_string());
    match kind {
        '-' => entry.2 = size.parse().map_err(|_| line)?,
        'b' | 'c' => entry.3 = size.to_string(),
        'h' => entry.3 = tidy(target),
        _ => {}
    }
    if kind == 'l' {
        entry.3 = target.strip_suffix('/').unwrap_or(target).to_string();
    }
    Ok(entry)
}

/// Hard links' targets are paths for us.
fn tidy(target: &str) -> String {
    let parts = target.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

/// A target that is not shown.
const UNSEEN: &str = "?";

fn tidied(list: &List) -> List {
    let entry = |(kind, name, size, target): &(char, String, u64, String)| {
        (*kind, tidy(name), *size, target.clone())
    };
    list.iter().map(entry).collect()
}

const PYTHON: &str = r#"
import sys, tarfile, os
KINDS = {b"0": "-", b"\0": "-", b"7": "-", b"S": "-", b"5": "d", b"D": "d", b"2": "l", b"1": "h", b"3": "c", b"4": "b", b"6": "p"}
def show(text):
    raw = text.encode("utf-8", "surrogateescape")
    if raw.endswith(b"/"): raw = raw[:-1]
    return "".join(chr(b) if 32 <= b < 127 else "\\x%02x" % b for b in raw)
for name in sorted(os.listdir(sys.argv[1])):
    print("FILE", name)
    try:
        with tarfile.open(os.path.join(sys.argv[1], name), "r:", errorlevel=2) as tar:
            members = list(tar)
        for m in members:
            kind = KINDS.get(m.type, "?")
            target = show(m.linkname) if kind in "lh" else "%d,%d" % (m.devmajor, m.devminor) if kind in "bc" else ""
            print("\t".join([kind, show(m.name), str(m.size if kind == "-" else 0), target]))
    except Exception as e:
        print("ERROR", type(e).__name__, str(e).replace("\n", " "))
"#;

/// Python reads a whole directory at once: its start takes longer than all of the reading.
fn python(folder: &Path) -> BTreeMap<String, Result<List, String>> {
    let output = Command::new("python3").args(["-c", PYTHON]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all = BTreeMap::new();
    let mut current = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(name) = line.strip_prefix("FILE ") {
            current = name.to_string();
            all.insert(current.clone(), Ok(List::new()));
        } else if let Some(error) = line.strip_prefix("ERROR ") {
            all.insert(current.clone(), Err(error.to_string()));
        } else {
            let mut parts = line.split('\t');
            let mut next = || parts.next().unwrap_or("").to_string();
            let (kind, name, size, target) = (next(), next(), next(), next());
            let kind = kind.chars().next().unwrap();
            let target = if kind == 'h' { tidy(&target) } else { target };
            let entry = (kind, name, size.parse().unwrap(), target);
            if let Some(Ok(list)) = all.get_mut(&current) {
                list.push(entry);
            }
        }
    }
    all
}

/// The programs of this machine.
fn programs(test: &str) -> Vec<&'static str> {
    let exists = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let all = ["tar", "bsdtar", "python3"];
    let found: Vec<_> = all.into_iter().filter(exists).collect();
    for missing in all.into_iter().filter(|name| !found.contains(name)) {
        skips::skip(test, &format!("{missing} is not installed"));
    }
    found
}

/// Compares what is taken; returns how many archives were.
pub fn compare(test: &str, archives: &[(String, Vec<u8>)], excused: &[(&str, &str)]) -> usize {
    let programs = programs(test);
    let place = Place::new("differential");
    let folder = place.root();
    let mut taken = Vec::new();
    for (name, bytes) in archives {
        if let Ok(list) = read(bytes) {
            std::fs::write(folder.join(name), bytes).unwrap();
            taken.push((name, list));
        }
    }
    let mut wrong = Vec::new();
    let pythons = programs.contains(&"python3").then(|| python(&folder));
    for (name, list) in &taken {
        let mut others: Vec<(&str, Result<List, String>)> = programs
            .iter()
            .filter(|program| **program != "python3")
            .map(|program| (*program, verbose(program, &folder.join(name))))
            .collect();
        if let Some(all) = &pythons {
            others.push(("python3", all[*name].clone()));
        }
        for (program, other) in others {
            let same = match &other {
                Ok(other) if is_plain(list) && other.len() == list.len() => {
                    let mut other = tidied(other);
                    for (entry, own) in other.iter_mut().zip(list) {
                        if entry.3 == UNSEEN {
                            entry.3.clone_from(&own.3);
                        }
                    }
                    other == tidied(list)
                }
                Ok(other) => other.len() == list.len(),
                // It wants names in PAX to be UTF-8; what it then shows is nobody's name.
                Err(why) => !is_plain(list) && why.contains("can't be converted"),
            };
            let known = excused.iter().any(|(file, who)| file == name && *who == program);
            if same == known {
                wrong.push(format!(
                    "{name}: Tare {list:?}\n  {program} {other:?} (excused: {known})"
                ));
            }
        }
    }
    if let (false, Some(folder)) = (wrong.is_empty(), std::env::var_os("TARE_ARCHIVE_KEEP")) {
        let _ = std::fs::rename(place.root(), folder);
        std::fs::create_dir(place.root()).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    taken.len()
}

pub fn plain_archives() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in ["tar-split", "container-libs"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "tar") {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                all.push((name, std::fs::read(path).unwrap()));
            }
        }
    }
    all.sort();
    all
}

/// Where Python is alone against the others, and Go's reader.
const PYTHON_ERRS: [(&str, &str); 5] = [
    // It takes times in GNU headers for a prefix of the name.
    ("gnu-incremental.tar", "python3"),
    ("invalid-go17.tar", "python3"),
    // It does not apply the size of sparse files 1.0 whose path is the same.
    ("pax-nil-sparse-data.tar", "python3"),
    ("pax-nil-sparse-hole.tar", "python3"),
    ("pax-sparse-big.tar", "python3"),
];

#[test]
fn archives_of_other_projects_are_read_as_other_programs_do() {
    let archives = plain_archives();
    let taken = compare("archives_of_other_projects", &archives, &PYTHON_ERRS);
    assert!(taken >= 28, "{taken} of {} were taken", archives.len());
}

#[test]
fn refusals_of_odd_archives_say_why() {
    let mut refused = BTreeMap::new();
    for (name, bytes) in plain_archives() {
        if let Err(error) = read(&bytes) {
            refused.insert(name, error.to_string());
        }
    }
    let text: Vec<_> = refused.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert_eq!(text.join("\n"), include_str!("refused.txt").trim_end());
}

/// Archives that GNU tar itself makes, in each of its formats, with all kinds of entries.
#[test]
fn what_tar_writes_is_read() {
    if programs("what_tar_writes_is_read").is_empty() {
        return;
    }
    let place = Place::new("written");
    let tree = place.root().join("tree");
    let long = "n".repeat(60);
    std::fs::create_dir_all(tree.join(&long).join(&long)).unwrap();
    std::fs::write(tree.join(&long).join(&long).join(&long), "deep").unwrap();
    std::fs::write(tree.join("file"), "x".repeat(5000)).unwrap();
    std::fs::hard_link(tree.join("file"), tree.join("other")).unwrap();
    std::os::unix::fs::symlink("file", tree.join("link")).unwrap();
    std::os::unix::fs::symlink(&long, tree.join("longlink")).unwrap();
    let sparse = std::fs::File::create(tree.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 1 << 20).unwrap();
    let mut archives = Vec::new();
    for format in [
        "--format=v7",
        "--format=ustar",
        "--format=gnu --sparse",
        "--format=posix",
        "--format=posix --sparse",
        "--format=posix --sparse --sparse-version=0.1",
        "--format=posix --sparse --sparse-version=0.0",
    ] {
        let output = Command::new("tar")
            .args(format.split(' '))
            .args(["-C", tree.to_str().unwrap(), "-cf", "-", "."])
            .output()
            .unwrap();
        // V7 has no room for long names; tar says so and goes on.
        assert!(output.status.success() || format.ends_with("v7"));
        archives.push((format.replace([' ', '-', '=', '.'], "_"), output.stdout));
    }
    let count = archives.len();
    let files = archives.clone();
    drop(place);
    assert_eq!(compare("what_tar_writes_is_read", &archives, &[]), count);
    for (name, bytes) in &files {
        let list = read(bytes).unwrap();
        if !name.ends_with("v7") {
            assert!(list.iter().any(|entry| entry.2 == (10 << 20) + 3), "{name}: {list:?}");
        }
    }
}

/// Rounds of the test below; `TARE_ARCHIVE_CASES=20000` makes it so many.
const CASES: usize = 300;

#[test]
fn damaged_headers_are_read_as_other_programs_do_or_refused() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cases = number("TARE_ARCHIVE_CASES").unwrap_or(CASES);
    let seed = number("TARE_ARCHIVE_SEED").unwrap_or(0) as u64;
    let mut bases = plain_archives();
    bases.retain(|(name, bytes)| {
        read(bytes).is_ok()
            && !PYTHON_ERRS.iter().any(|(file, _)| file == name)
            && bytes.len() < 20_000
    });
    bases.push(("own".into(), own()));
    let mut archives = Vec::new();
    for number in 0..cases {
        let mut random = Random::new(seed + number as u64 + 1);
        let (_, base) = &bases[random.below(bases.len())];
        archives.push((format!("{number:06}"), damage(base, &mut random)));
    }
    let taken = compare("damaged_headers", &archives, &[]);
    assert!(taken * 10 > cases, "{taken} of {cases} were taken");
}

fn own() -> Vec<u8> {
    Craft::new()
        .dir("d/")
        .pax(&[("path", "d/f"), ("size", "3"), ("mtime", "1.5")])
        .file("short", b"abc")
        .long(b'L', b"d/long")
        .file("x", b"xyz")
        .symlink("s", "d/f")
        .hardlink("h", "d/f")
        .device(b'3', "c", "0000001\0", "0000003\0")
        .global(&[("comment", "x")])
        .file("last", &[7; 600])
        .end()
}

/// Changes something in a header, and makes its checksum right again.
fn damage(base: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..1 + random.below(2) {
        let at = random.below(bytes.len() / 512) * 512;
        let (_, rest) = bytes.split_at_mut(at);
        let Some(block) = rest.first_chunk_mut::<512>() else { continue };
        let header = &block[257..262] == b"ustar" || block[148..154].iter().all(u8::is_ascii_digit);
        let (field, length) = FIELDS[random.below(FIELDS.len())];
        let at = field + random.below(length);
        match random.below(5) {
            0 => {
                block[at] =
                    [0, b' ', b'/', b'0', b'7', b'8', 0x80, 0xff, b'\n', b'.'][random.below(10)]
            }
            1 => block[at] ^= 1 << random.below(8),
            2 => block[156] = b"01234567xgLKSDXVMNA\0"[random.below(20)],
            3 => block[field..field + length].fill(0),
            _ => {
                let size = [0, 1, 3, 511, 512, 513, 1024][random.below(7)];
                block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
            }
        }
        if header {
            *block = Block(*block).sealed();
        }
    }
    bytes
}

/// Where fields of a header are.
const FIELDS: [(usize, usize); 12] = [
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (156, 1),
    (157, 100),
    (257, 8),
    (329, 16),
    (345, 155),
    (0, 40),
];
