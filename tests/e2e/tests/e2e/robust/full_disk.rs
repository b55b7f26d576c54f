//! A state directory on a file system that is full: of bytes, or of files.

use e2e::{Bundle, program, stderr, stdout, unprotected};

/// `create` with a state root on a tmpfs with these options that `fill` has filled: what could not
/// be made (which of these comes first depends on the machine's cgroups), and nothing left beside
/// the filler.
fn check(bundle: &Bundle, options: &str, fill: &str, whats: &[&str]) {
    let root = bundle.path("full");
    let runtime = program("tare-runtime");
    let (runtime, path, id) = (runtime.display(), bundle.path(""), bundle.id());
    let output = unprotected(&format!(
        "mount -t tmpfs -o {options} tmpfs {root} && cd {root} && {{ {fill}; }} 2>/dev/null; \
         {runtime} --root {root} create --bundle {path} {id} >/dev/null; echo status $?; \
         ls {root} | grep -v filler; umount -l {root}"
    ));
    let case = format!("{options}: {}", stderr(&output));
    assert_eq!(stdout(&output), "status 1\n", "{case}");
    let said = stderr(&output).replace(root, "ROOT").replace(id, "ID");
    let is_expected = |what: &&str| {
        said.starts_with(&format!("tare-runtime: error: {what}: no space left on device"))
    };
    assert!(whats.iter().any(is_expected) && said.lines().count() == 1, "{case}");
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new(), "{case}");
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let Some(mut bundle) = Bundle::new("a_full_disk_is_told_and_nothing_is_left") else { return };
    bundle.args(&["sleep", "100"]).write();
    std::fs::create_dir(bundle.path("full")).unwrap();
    const RECORD: &str = "writing the state of container ID";
    const FIFO: &str = "making the start fifo of container ID";
    check(&bundle, "size=4k", "busybox dd if=/dev/zero of=filler bs=4096 count=4", &[RECORD]);
    // The inodes are those of the root, the container, and its first file.
    check(&bundle, "nr_inodes=1", ":", &["opening the state directory ROOT"]);
    check(&bundle, "nr_inodes=2", ":", &[RECORD, FIFO]);
    check(&bundle, "nr_inodes=3", ":", &[RECORD, FIFO]);
}
