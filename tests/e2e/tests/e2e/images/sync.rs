//! `sync`, beside skopeo's.

use e2e::images::{DockerRegistry, Recorder, Sample, Yard};
use serde_json::Value;

const ONE: Sample =
    Sample { text: "one", architectures: &["amd64", "arm64"], layers: 2, packed: true, bytes: 100 };
const TWO: Sample = Sample { text: "two", ..ONE };
const THREE: Sample = Sample { text: "three", architectures: &["amd64"], ..ONE };

/// A registry with `src/app` (1.0, 1.1, 2.0-rc, latest) and `src/other` (1).
fn filled(test: &str, yard: &Yard) -> Option<DockerRegistry> {
    let registry = DockerRegistry::start(test, yard)?;
    for (sample, name) in [(ONE, "one"), (TWO, "two"), (THREE, "three")] {
        sample.write(&yard.path("layout"), name);
    }
    for (image, places) in [
        ("one", &["src/app:1.0", "src/app:latest"][..]),
        ("two", &["src/app:1.1"]),
        ("three", &["src/app:2.0-rc", "src/other:1"]),
    ] {
        for place in places {
            let layout = format!("oci:layout:{image}");
            yard.fine(&["copy", "-q", "--all", &layout, &registry.place(place)]);
        }
    }
    Some(registry)
}

/// All files below a directory, with what they hold.
fn tree(yard: &Yard, directory: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in yard.list(directory) {
        let path = format!("{directory}/{name}");
        match std::path::Path::new(&yard.path(&path)).is_dir() {
            true => all.extend(
                tree(yard, &path)
                    .into_iter()
                    .map(|(below, bytes)| (format!("{name}/{below}"), bytes)),
            ),
            false => all.push((name, yard.read(&path))),
        }
    }
    all
}

fn tags(yard: &Yard, place: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(&yard.fine(&["list-tags", place])).unwrap();
    let tags = value["Tags"].as_array().unwrap().iter();
    let mut tags: Vec<String> = tags.map(|tag| tag.as_str().unwrap().to_owned()).collect();
    tags.sort();
    tags
}

#[test]
fn a_repository_goes_to_a_directory_and_back_as_with_skopeo() {
    const TEST: &str = "a_repository_goes_to_a_directory_and_back_as_with_skopeo";
    let yard = Yard::new();
    let Some(registry) = filled(TEST, &yard) else { return };
    let source = format!("{}/src/app", registry.host());
    for (options, to) in [
        (&[][..], "plain"),
        (&["--all"], "all"),
        (&["--scoped", "--all"], "scoped"),
        (&["--append-suffix", "-mirror"], "suffix"),
    ] {
        let (ours, theirs) = (yard.path(&format!("{to}-ours")), yard.path(&format!("{to}-theirs")));
        for directory in [&ours, &theirs] {
            std::fs::create_dir(directory).unwrap();
        }
        let base = [&["sync", "--src", "docker", "--dest", "dir"], options].concat();
        yard.fine(&[&base[..], &[&source, &ours]].concat());
        let args = [&base[..], &["--src-tls-verify=false", &source, &theirs]].concat();
        if yard.skopeo(TEST, &args).is_none() {
            continue;
        }
        let both = [&format!("{to}-ours"), &format!("{to}-theirs")].map(|it| tree(&yard, it));
        assert!(both[0].len() > 4 && both[0] == both[1], "{to}: {:?}", names(&both));
    }
    // And to another registry, with the tags of both kinds of directories.
    for from in ["all-ours", "suffix-ours"] {
        let destination = format!("{}/back/", registry.host());
        yard.fine(&["sync", "-s=dir", "-d=docker", "--all", &yard.path(from), &destination]);
    }
    let suffixed = ["1.0", "1.0-mirror", "1.1", "1.1-mirror", "2.0-rc", "2.0-rc-mirror"];
    let expected = [&suffixed[..], &["latest", "latest-mirror"]].concat();
    assert_eq!(tags(&yard, &registry.place("back/app")), expected);
    let digest = |place: &str| yard.fine(&["inspect", "-n", "-f", "{{.Digest}}", place]);
    assert_eq!(digest(&registry.place("back/app:1.1")), digest(&registry.place("src/app:1.1")));
}

fn names(trees: &[Vec<(String, Vec<u8>)>; 2]) -> [Vec<&str>; 2] {
    [&trees[0], &trees[1]].map(|tree| tree.iter().map(|(name, _)| name.as_str()).collect())
}

#[test]
fn what_is_there_is_not_fetched_again() {
    const TEST: &str = "what_is_there_is_not_fetched_again";
    let yard = Yard::new();
    let Some(registry) = filled(TEST, &yard) else { return };
    let recorder = Recorder::before(&registry);
    let source = format!("{}/src/app", recorder.host());
    for (options, to) in [
        (&["--all"][..], format!("{}/dst", registry.host())),
        (&["--all"], yard.path("usb")),
        (&[], format!("{}/one", registry.host())),
    ] {
        let dest = if to.starts_with('/') { "dir" } else { "docker" };
        let base = ["sync", "--src", "docker", "--dest", dest, "--digestfile", "digests"];
        let args = [&base[..], options, &[&source, &to]].concat();
        yard.fine(&args);
        let first = yard.read("digests");
        assert!(recorder.take().iter().any(|it| it.starts_with("GET /v2/src/app/blobs/")));
        yard.fine(&args);
        assert_eq!(yard.read("digests"), first);
        let asked = recorder.take();
        let is_fetched = |it: &&String| {
            it.starts_with("GET") && (it.contains("/manifests/") || it.contains("/blobs/"))
        };
        let fetched: Vec<&String> = asked.iter().filter(is_fetched).collect();
        match options.is_empty() {
            // Of an index, the image for this machine has to be looked for.
            true => {
                assert!(fetched.iter().all(|it| it.contains("/manifests/sha256:")), "{asked:?}")
            }
            false => {
                let manifests = fetched.iter().filter(|it| !it.contains("/manifests/sha256-"));
                assert_eq!(manifests.count(), 0, "{asked:?}");
            }
        }
    }
    // Another image of the same name is seen.
    yard.fine(&["copy", "-q", "oci:layout:three", &registry.place("src/app:1.0")]);
    let to = yard.path("usb");
    let output = yard.tare(&["sync", "--src=docker", "--dest=dir", "--all", &source, &to]);
    assert!(e2e::stderr(&output).contains("4 images from 1 source: 1 copied"));
}

#[test]
fn a_file_says_what_is_mirrored() {
    const TEST: &str = "a_file_says_what_is_mirrored";
    let yard = Yard::new();
    let Some(registry) = filled(TEST, &yard) else { return };
    let digest = THREE.write(&yard.path("layout"), "three");
    let host = registry.host();
    let check = |text: String, minor: u32, expected: &[&str]| {
        yard.write("sync.yml", text.as_bytes());
        let _ = std::fs::remove_dir_all(yard.path("out"));
        yard.fine(&["sync", "--src", "yaml", "--dest", "dir", "sync.yml", "out"]);
        assert_eq!(yard.list("out"), expected, "{text}");
        if !yard.has_skopeo(TEST, minor) {
            return;
        }
        let _ = std::fs::remove_dir_all(yard.path("theirs"));
        let file = yard.path("sync.yml");
        std::fs::create_dir_all(yard.path("theirs")).unwrap();
        let to = yard.path("theirs");
        let args = ["sync", "--src", "yaml", "--dest", "dir", "--src-tls-verify=false", &file, &to];
        yard.skopeo(TEST, &args).expect("it is there");
        let both = [tree(&yard, "out"), tree(&yard, "theirs")];
        assert!(both[0] == both[1], "{text}: {:?}", names(&both));
    };
    let check = |body: &str, expected: &[&str]| {
        // Versions are newer than what Debian 12 has.
        let minor = if body.contains("semver") { 16 } else { 0 };
        check(format!("\"{host}\":\n  tls-verify: false\n{body}"), minor, expected);
    };
    let all = ["app:1.0", "app:1.1", "app:2.0-rc", "app:latest"];
    check("  images:\n    src/app: []\n", &all);
    let with_digest =
        format!("  images:\n    src/app: [\"1.0\", \"{digest}\"]\n    src/other: [1]\n");
    let by_digest = format!("app@{digest}");
    check(&with_digest, &["app:1.0", &by_digest, "other:1"]);
    check("  images-by-tag-regex:\n    src/app: ^1\\.\n", &["app:1.0", "app:1.1"]);
    check("  images-by-semver:\n    src/app: \">= 1.1\"\n", &["app:1.1"]);
    check("  images-by-semver:\n    src/app: \">= 1.1-0\"\n", &["app:1.1", "app:2.0-rc"]);
    // What is absent is an error here, and a word in skopeo's log.
    let body = "  images:\n    src/absent: []\n    src/other: []\n";
    yard.write("sync.yml", format!("\"{host}\":\n{body}").as_bytes());
    let args = ["sync", "--src=yaml", "--dest=dir", "sync.yml", "out2"];
    let text = yard.fails(&args);
    assert!(text.contains("src/absent: ") && text.contains("hint: --keep-going"), "{text}");
    let text = yard.fails(&[&args[..], &["--keep-going"]].concat());
    assert!(text.contains("1 failures, 1 images"), "{text}");
    assert_eq!(yard.list("out2"), ["other:1"]);
}

#[test]
fn tags_are_chosen_and_old_ones_removed() {
    const TEST: &str = "tags_are_chosen_and_old_ones_removed";
    let yard = Yard::new();
    let Some(registry) = filled(TEST, &yard) else { return };
    let source = format!("{}/src/app", registry.host());
    let to = format!("{}/dst", registry.host());
    let sync = |options: &[&str], to: &str| {
        let dest = if to.starts_with('/') { "dir" } else { "docker" };
        let base = ["sync", "--src=docker", "--all", "--dest", dest];
        yard.fine(&[&base[..], options, &[&source, to]].concat())
    };
    sync(&["--tags", "^1", "--tags-semver", ">= 2.0-0"], &to);
    assert_eq!(tags(&yard, &registry.place("dst/app")), ["1.0", "1.1", "2.0-rc"]);
    // What nobody mirrors is left alone; what was mirrored and is gone goes.
    yard.fine(&["copy", "-q", "oci:layout:two", &registry.place("dst/app:1.9")]);
    yard.fine(&["copy", "-q", "oci:layout:one", &registry.place("dst/app:own")]);
    let text = sync(&["--prune", "--tags", "^1", "--dry-run"], &to);
    assert_eq!(text.lines().filter(|line| line.starts_with("remove ")).count(), 1, "{text}");
    assert!(text.contains("app:1.9\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("present ")).count(), 2, "{text}");
    // Docker's registry cannot take the tag away alone: it is that of another one, too.
    let args =
        ["sync", "--src=docker", "--dest=docker", "--all", "--prune", "--tags=^1", &source, &to];
    let text = yard.fails(&args);
    assert!(text.contains("removing docker://") && text.contains("1.1 would lose"), "{text}");
    let usb = yard.path("usb");
    sync(&[], &usb);
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:usb/app:old"]);
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:usb/another:old"]);
    yard.write("usb/app:notes/readme", b"no image");
    sync(&["--prune"], &usb);
    let expected = ["another:old", "app:1.0", "app:1.1", "app:2.0-rc", "app:latest", "app:notes"];
    assert_eq!(yard.list("usb"), expected);
}

#[test]
fn a_sync_is_refused_with_the_reason() {
    let yard = Yard::new();
    std::fs::create_dir(yard.path("empty")).unwrap();
    let check = |args: &[&str], expected: &str| {
        let text = yard.fails(&[&["sync"], args].concat());
        assert!(text.contains(expected), "{args:?}: {text}");
    };
    check(&["-s=dir", "-d=dir", "a", "b"], "there is nothing to do here");
    check(&["-s=dir", "-d=docker", "empty", "x.example"], "there are no images to copy");
    check(&["-s=dir", "-d=docker", "absent", "x.example"], "reading absent: ");
    check(&["-s=yaml", "-d=dir", "absent.yml", "b"], "absent.yml: there is no such file");
    check(&["-s=docker", "-d=dir", "--tags=(", "a", "b"], "is no regular expression");
    check(&["-s=docker", "-d=dir", "--tags-semver=new", "a", "b"], "`new`: is no constraint");
    check(&["-s=docker", "-d=dir", "--sign-by=x", "a", "b"], "cannot be signed yet");
    check(&["-s=docker", "-d=dir", "--src-daemon-host=x", "a", "b"], "knows registries and dir");
    ONE.write(&yard.path("layout"), "one");
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:two/x/app:1"]);
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:two/y/app:1"]);
    check(
        &["-s=dir", "-d=docker", "two", "x.example/z"],
        "would both go to docker://x.example/z/app:1",
    );
}

#[test]
fn signatures_and_referrers_come_along() {
    const TEST: &str = "signatures_and_referrers_come_along";
    let yard = Yard::new();
    let Some(registry) = filled(TEST, &yard) else { return };
    // An attachment of the image that 2.0-rc is.
    let digest = THREE.write(&yard.path("layout"), "three");
    let signature = format!("sha256-{}.sig", digest.hex());
    yard.fine(&[
        "copy",
        "-q",
        "oci:layout:two",
        "--all",
        &registry.place(&format!("src/app:{signature}")),
    ]);
    let source = format!("{}/src/app", registry.host());
    let sync = |options: &[&str], to: &str| {
        let to = format!("{}/{to}", registry.host());
        let base = ["sync", "-q", "--src=docker", "--dest=docker"];
        yard.tare(&[&base[..], options, &[&source, &to]].concat())
    };
    // As a tag like any other, or with the image that it belongs to.
    assert!(sync(&[], "as-tags").status.success());
    assert!(tags(&yard, &registry.place("as-tags/app")).contains(&signature));
    assert!(sync(&["--tags=^2"], "some").status.success());
    assert_eq!(tags(&yard, &registry.place("some/app")), ["2.0-rc"]);
    // What is there under such a tag is an index here, and no signature.
    let output = sync(&["--all", "--tags=^2"], "along");
    assert!(e2e::stderr(&output).contains("is no artifact"), "{output:?}");
    let output = sync(&["--all", "--tags=^2", "--remove-signatures"], "without");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(tags(&yard, &registry.place("without/app")), ["2.0-rc"]);
}

#[test]
fn a_digest_that_would_change_is_not_mirrored() {
    let yard = Yard::new();
    let Some(registry) = filled("a_digest_that_would_change_is_not_mirrored", &yard) else {
        return;
    };
    let source = format!("{}/src/other:1", registry.host());
    let sync = ["sync", "--src", "docker", "--dest", "dir", "--format", "v2s2"];
    let text = yard.fails(&[&sync[..], &["--preserve-digests", &source, "kept"]].concat());
    assert!(text.contains("would change"), "{text}");
    yard.fine(&[&sync[..], &["-q", &source, "changed"]].concat());
}
