//! A store on each file system that is in use, and where the kernel stacks nothing.

use super::full::private_mounts;
use super::verbs::ALL_KINDS;
use e2e::images::{Sample, Yard};
use e2e::watch::{Verdict, Watched};
use e2e::{is_root, skip};
use serde_json::Value;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use sys::Errno;

const SMALL: Sample =
    Sample { text: "small", architectures: &["amd64"], layers: 2, packed: true, bytes: 3000 };
const FSOPEN: i32 = 430;
const MOUNT: i32 = 165;

/// A file system in a file, mounted where only the test's thread sees it.
struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// A place for one. `None`: this machine has not what it takes; said by SKIP.
    fn begin(test: &str, kind: &str) -> Option<Self> {
        if !private_mounts(test) {
            return None;
        }
        let dir = std::env::temp_dir().join(format!("tare-e2e-{kind}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("mounted")).unwrap();
        Some(Self { dir })
    }

    fn new(test: &str, kind: &str, megabytes: u64) -> Option<Self> {
        let disk = Self::begin(test, kind)?;
        let file = std::fs::File::create(disk.dir.join("image")).unwrap();
        file.set_len(megabytes << 20).unwrap();
        let image = disk.dir.join("image");
        // On ext4 without blocks that are root's only.
        let options: &[&str] = if kind == "ext4" { &["-F", "-m", "0"] } else { &["-f"] };
        let mut make = Command::new(format!("mkfs.{kind}"));
        let made = run(make.arg("-q").args(options).arg(&image));
        let mounted = made.and_then(|()| {
            run(Command::new("mount").args(["-t", kind, "-o", "loop"]).arg(image).arg(disk.place()))
        });
        match mounted {
            Ok(()) => Some(disk),
            Err(why) => {
                skip(test, &format!("no {kind} in a file: {why}"));
                None
            }
        }
    }

    fn place(&self) -> PathBuf {
        self.dir.join("mounted")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = sys::mount::unmount(self.place().to_str().unwrap(), 2);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(e2e::stderr(&output).trim().replace('\n', "; ")),
    }
}

/// A yard with `oci:kinds:kinds`: four layers with an entry of each kind, and the digest of its manifest.
fn with_kinds(yard: &Yard) -> String {
    SMALL.write(&yard.path("layout"), "small");
    let made = yard.shell(ALL_KINDS).output().unwrap();
    assert!(made.status.success(), "{}", e2e::stderr(&made));
    yard.fine(&["inspect", "--format", "{{.Digest}}", "oci:kinds:kinds"])
}

/// What is in a mounted image.
fn check_tree(place: &str) {
    let place = Path::new(place);
    let stat = |name: &str| std::fs::symlink_metadata(place.join(name)).unwrap();
    assert_eq!(stat("d").permissions().mode() & 0o7777, 0o750);
    assert_eq!(std::fs::read_to_string(place.join("d/one")).unwrap(), "one\n");
    assert_eq!(stat("two").ino(), stat("d/one").ino());
    assert_eq!(stat("two").permissions().mode() & 0o7777, 0o4755);
    assert_eq!(std::fs::read_link(place.join("d/link")).unwrap(), Path::new("one"));
    assert!(stat("fifo").file_type().is_fifo());
    let names = |dir: &str| {
        let names = std::fs::read_dir(place.join(dir)).unwrap();
        let mut names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // What is hidden of the layers below.
    assert_eq!((names("d"), names("o")), (vec!["link".into(), "one".into()], Vec::new()));
    // The layers below show through, and nothing can be written.
    assert_eq!(names("").len(), 6, "{:?}", names(""));
    let refused = std::fs::write(place.join("new"), "").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

/// Space is freed by a process of its own.
fn wait_for_layers(yard: &Yard, count: usize) {
    const FREE_LIMIT: Duration = Duration::from_secs(120);
    let began = Instant::now();
    let entries = |name: &str| yard.list(&format!("store/{name}")).len();
    while (entries("layers"), entries("trash")) != (count, 0) {
        assert!(began.elapsed() < FREE_LIMIT, "{:?}", yard.list("store/layers"));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Pull, mount, commit, push, remove, check.
fn live_on(parent: &Path, reflink: Option<bool>) {
    let yard = Yard::below(parent);
    let digest = with_kinds(&yard);
    yard.fine(&["pull", "-q", "oci:kinds:kinds"]);
    let record: Value = serde_json::from_slice(&yard.read("store/store.json")).unwrap();
    if let Some(reflink) = reflink {
        assert_eq!(record["abilities"]["reflink"], reflink, "{record}");
    }
    if is_root() {
        let place = yard.fine(&["mount", "kinds"]);
        check_tree(place.trim());
        yard.fine(&["unmount", "kinds"]);
    }
    yard.fine(&["mutate", "append", "-b", "kinds", "-f", "layer.tar", "-t", "more:1"]);
    yard.fine(&["mutate", "flatten", "more:1", "-t", "flat:1"]);
    yard.fine(&["push", "-q", "--preserve-digests", "kinds", "oci:kinds:again"]);
    let format = ["inspect", "--format", "{{.Digest}}"];
    let again = yard.fine(&[&format[..], &["oci:kinds:again"]].concat());
    assert_eq!(again, digest);
    assert_eq!(yard.fine(&["fsck", "--full"]), "the store is in order\n");
    yard.fine(&["rmi", "--force", "kinds", "more:1", "flat:1"]);
    wait_for_layers(&yard, 0);
    assert_eq!(yard.fine(&["fsck", "--full"]), "the store is in order\n");
}

/// Not a block is free, and an image and what nobody needs go all the same.
fn free_on(parent: &Path) {
    let yard = Yard::below(parent);
    with_kinds(&yard);
    yard.fine(&["pull", "-q", "oci:kinds:kinds"]);
    yard.fine(&["pull", "-q", "oci:layout:small"]);
    // Pieces of ever fewer bytes: what is left takes none of them.
    let fill = "n=0; for size in 64M 16M 4M 1M 256k 64k 16k 4k; do
            while fallocate -l $size full-$n; do n=$((n+1)); done; rm full-$n
        done 2>/dev/null
        n=0; while echo > empty-$n; do n=$((n+1)); done 2>/dev/null; sync -f .";
    yard.shell(fill).output().unwrap();
    assert!(std::fs::write(yard.path("more"), vec![0; 1 << 20]).is_err());
    yard.fine(&["rmi", "kinds"]);
    yard.fine(&["gc", "-q"]);
    // Both of the other image's stay.
    wait_for_layers(&yard, 2);
    assert_eq!(yard.fine(&["fsck", "--full"]), "the store is in order\n");
}

#[test]
fn a_full_disk_is_freed_on_each_file_system() {
    const TEST: &str = "a_full_disk_is_freed_on_each_file_system";
    for (kind, megabytes) in [("ext4", 16), ("xfs", 320), ("btrfs", 128)] {
        let Some(disk) = Disk::new(TEST, kind, megabytes) else { continue };
        free_on(&disk.place());
    }
}

#[test]
fn a_store_on_ext4() {
    let Some(disk) = Disk::new("a_store_on_ext4", "ext4", 64) else { return };
    live_on(&disk.place(), Some(false));
}

#[test]
fn a_store_on_xfs() {
    let Some(disk) = Disk::new("a_store_on_xfs", "xfs", 320) else { return };
    live_on(&disk.place(), Some(true));
}

#[test]
fn a_store_on_btrfs() {
    let Some(disk) = Disk::new("a_store_on_btrfs", "btrfs", 128) else { return };
    live_on(&disk.place(), Some(true));
}

#[test]
fn a_store_on_tmpfs() {
    let Some(disk) = Disk::begin("a_store_on_tmpfs", "tmpfs") else { return };
    let place = disk.place();
    sys::mount::mount("none", place.to_str().unwrap(), "tmpfs", 0, "size=64m").unwrap();
    live_on(&place, Some(false));
}

/// As in a container: overlayfs takes no upper directories there, and lower ones only so deep.
#[test]
fn a_store_on_overlayfs() {
    let Some(disk) = Disk::begin("a_store_on_overlayfs", "overlay") else { return };
    let made = ["lower", "upper", "work"].map(|name| {
        std::fs::create_dir(disk.dir.join(name)).unwrap();
        disk.dir.join(name).to_str().unwrap().to_owned()
    });
    let [lower, upper, work] = made;
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    sys::mount::mount("none", disk.place().to_str().unwrap(), "overlay", 0, options).unwrap();
    live_on(&disk.place(), None);
}

/// Calls `tare` on a kernel without overlayfs.
fn without_overlay(yard: &Yard, args: &[&str]) -> String {
    let mut command = yard.watched_command(args);
    let said = yard.path("said");
    let file = std::fs::File::create(&said).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null());
    let mut watched = Watched::start(&mut command, |_, notice| {
        let argument = match notice.number {
            FSOPEN => notice.args[0],
            MOUNT => notice.args[2],
            _ => return Verdict::Continue,
        };
        let mut name = [0; 8];
        let memory = std::fs::File::open(format!("/proc/{}/mem", notice.pid));
        let read = memory.and_then(|memory| memory.read_exact_at(&mut name, argument));
        match read.is_ok() && &name == b"overlay\0" {
            true => Verdict::Fail(Errno::ENODEV),
            false => Verdict::Continue,
        }
    });
    let status = watched.wait();
    let said = std::fs::read_to_string(said).unwrap();
    assert!(status.success(), "{args:?}: {said}");
    said
}

#[test]
fn without_overlayfs_layers_are_copied_while_they_are_mounted() {
    if !private_mounts("without_overlayfs_layers_are_copied_while_they_are_mounted") {
        return;
    }
    let yard = Yard::in_memory();
    with_kinds(&yard);
    without_overlay(&yard, &["pull", "-q", "oci:kinds:kinds"]);
    let record: Value = serde_json::from_slice(&yard.read("store/store.json")).unwrap();
    assert_eq!(record["abilities"]["overlay"], false);
    let layers = || yard.list("store/layers").len();
    assert_eq!(layers(), 4);
    let first = without_overlay(&yard, &["mount", "kinds"]);
    check_tree(first.trim());
    assert_eq!(layers(), 5);
    // The copy is used again, and kept.
    let second = without_overlay(&yard, &["mount", "kinds"]);
    check_tree(second.trim());
    assert_ne!(first, second);
    yard.fine(&["gc", "-q"]);
    assert_eq!(layers(), 5);
    assert_eq!(yard.fine(&["fsck", "--full"]), "the store is in order\n");
    assert!(yard.fine(&["mount"]).contains("localhost/kinds"), "{}", yard.fine(&["mount"]));
    // The newest goes first.
    assert_eq!(yard.fine(&["unmount", "kinds"]), second);
    yard.fine(&["gc", "-q"]);
    check_tree(first.trim());
    yard.fine(&["unmount", "kinds"]);
    yard.fine(&["gc", "-q"]);
    assert_eq!(layers(), 4);
    without_overlay(&yard, &["push", "-q", "--preserve-digests", "kinds", "oci:kinds:again"]);
}

/// Nothing is given to anybody, and nothing copied: what is mounted are the files that were pulled.
#[test]
fn an_ordinary_user_mounts_what_was_pulled_and_no_copy() {
    const TEST: &str = "an_ordinary_user_mounts_what_was_pulled_and_no_copy";
    if !is_root() {
        return skip(TEST, "only root can become another user");
    }
    let yard = Yard::in_memory();
    with_kinds(&yard);
    // A copy: the user may not be let to where programs are built.
    std::fs::copy(e2e::program("tare"), yard.path("program")).unwrap();
    let script = "
        ./program pull -q oci:kinds:kinds
        place=$(./program mount kinds)
        for name in d/one two d/link fifo; do
            [ $(stat -c %i $place/$name) = $(stat -c %i store/layers/*/diff/$name) ]
        done
        ./program push -q --preserve-digests kinds oci:kinds:again
        ./program fsck --full
        ./program unmount kinds";
    let given = yard.shell("rm -rf store run; chown -R 65534:65534 .").output().unwrap();
    assert!(given.status.success());
    let user = "exec setpriv --reuid 65534 --regid 65534 --clear-groups \
                unshare --user --map-root-user --mount sh -ec \"$SCRIPT\"";
    let output = yard.shell(user).env("SCRIPT", script).output().unwrap();
    let said = e2e::stderr(&output);
    if said.contains("unshare failed") {
        return skip(TEST, &format!("ordinary users make no namespaces here: {}", said.trim()));
    }
    assert!(output.status.success(), "{said}");
    assert!(e2e::stdout(&output).contains("the store is in order\n"), "{}", e2e::stdout(&output));
}
