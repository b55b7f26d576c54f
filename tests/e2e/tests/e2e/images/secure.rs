//! What images and other users of the machine cannot do to a store.

use super::verbs::ALL_KINDS;
use e2e::images::{Sample, Yard};
use e2e::watch::{Verdict, Watched};
use e2e::{is_root, skip, stderr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SMALL: Sample =
    Sample { text: "small", architectures: &["amd64"], layers: 2, packed: true, bytes: 3000 };
const EXECVE: [i32; 2] = [59, 322];
const CHROOT: i32 = 161;

fn with_kinds() -> Yard {
    let yard = Yard::in_memory();
    SMALL.write(&yard.path("layout"), "small");
    let made = yard.shell(ALL_KINDS).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    yard
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Setuid programs of images are nobody's to run, and secrets of images nobody's to read, whoever made
/// the store's directory and whatever the file mode mask is (CVE-2021-41091, CVE-2021-41103, CVE-2024-25621).
#[test]
fn s4_layers_are_out_of_reach_of_other_users() {
    let yard = with_kinds();
    for given in [false, true] {
        let script = match given {
            false => "rm -rf store run; umask 0; tare pull -q oci:kinds:kinds",
            true => {
                "rm -rf store run; mkdir -m 777 store run; umask 0; tare pull -q oci:kinds:kinds"
            }
        };
        assert!(yard.shell(script).status().unwrap().success());
        for name in ["layers", "staging", "containers", "trash"] {
            assert_eq!(mode(&Path::new(&yard.path("store")).join(name)), 0o700, "{name}, {given}");
        }
        let setuid = std::fs::read_dir(yard.path("store/layers")).unwrap();
        let setuid = setuid.map(|layer| layer.unwrap().path().join("diff/two"));
        assert_eq!(setuid.filter(|it| it.exists() && mode(it) == 0o4755).count(), 1);
        if is_root() {
            assert!(yard.shell("umask 0; tare mount kinds").status().unwrap().success());
            let mounts = std::fs::read_dir(yard.path("run")).unwrap().next().unwrap().unwrap();
            assert_eq!(mode(&mounts.path().join("mounts")), 0o700);
            yard.fine(&["unmount", "kinds"]);
        }
    }
}

/// Nothing that was found in an image is executed, nothing of the host's either: packed layers are unpacked
/// by the program itself, in its own root (CVE-2019-14271, CVE-2021-20291).
#[test]
fn b9_unpacking_starts_no_program() {
    const TEST: &str = "b9_unpacking_starts_no_program";
    let yard = with_kinds();
    let packed = "gzip -k layer.tar; xz -k layer.tar; bzip2 -k layer.tar; zstd -q layer.tar";
    let made = yard.shell(packed).output().unwrap();
    if !made.status.success() {
        return skip(TEST, &format!("archives cannot be packed: {}", stderr(&made).trim()));
    }
    for words in [
        ["pull", "-q", "oci:kinds:kinds"],
        ["import", "-q", "layer.tar.gz"],
        ["import", "-q", "layer.tar.xz"],
        ["import", "-q", "layer.tar.bz2"],
        ["import", "-q", "layer.tar.zst"],
        ["push", "kinds", "oci:out:x"],
    ] {
        let mut command = yard.watched_command(&words);
        let said = std::fs::File::create(yard.path("said")).unwrap();
        command.stdout(Stdio::null()).stderr(said);
        let started = Arc::new(AtomicUsize::new(0));
        let counter = started.clone();
        let mut watched = Watched::start(&mut command, move |_, notice| {
            if EXECVE.contains(&notice.number) || notice.number == CHROOT {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Continue
        });
        let status = watched.wait();
        let said = String::from_utf8_lossy(&yard.read("said")).into_owned();
        assert!(status.success(), "{words:?}: {said}");
        assert_eq!(started.load(Ordering::Relaxed), 0, "{words:?}");
    }
}

/// Names of files are made of digests: what is none leads nowhere (CVE-2014-9358, CVE-2024-3727).
#[test]
fn g5_digests_that_are_paths_are_refused() {
    let yard = with_kinds();
    let canary = yard.write("canary", b"{}");
    let good = String::from_utf8(yard.read("kinds/index.json")).unwrap();
    let digest = good.split('"').find(|it| it.starts_with("sha256:")).unwrap();
    let up = "sha256:../../../canary";
    for bad in [up, "../canary", "sha256:", "SHA256:aa", "sha256:zz", "md5:../../canary", ""] {
        yard.write("kinds/index.json", good.replace(digest, bad).as_bytes());
        let text = yard.fails(&["pull", "-q", "oci:kinds:kinds"]);
        assert!(text.starts_with("tare: ") && text.contains("digest"), "{bad}: {text}");
        let text = yard.fails(&["copy", "-q", "oci:kinds:kinds", "oci:out:x"]);
        assert!(text.contains("digest"), "{bad}: {text}");
    }
    assert_eq!(std::fs::read(canary).unwrap(), b"{}");
    // The same in a manifest: layers and configurations.
    yard.write("kinds/index.json", good.as_bytes());
    let manifest = String::from_utf8(yard.read(&format!("kinds/blobs/sha256/{}", &digest[7..])));
    let manifest = manifest.unwrap();
    for part in manifest.split('"').filter(|it| it.starts_with("sha256:")) {
        let changed = manifest.replace(part, up);
        let hex = e2e::images::sha256(changed.as_bytes()).hex();
        yard.write(&format!("kinds/blobs/sha256/{hex}"), changed.as_bytes());
        let index = good.replace(digest, &format!("sha256:{hex}"));
        let size = |text: &str| format!("\"size\":{}", text.len());
        yard.write("kinds/index.json", index.replace(&size(&manifest), &size(&changed)).as_bytes());
        let text = yard.fails(&["pull", "-q", "oci:kinds:kinds"]);
        assert!(text.contains("digest"), "{part}: {text}");
    }
}
