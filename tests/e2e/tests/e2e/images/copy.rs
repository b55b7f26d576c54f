//! `copy`, beside skopeo's.

use e2e::images::{DockerRegistry, Recorder, Sample, Yard};
use serde_json::Value;

const ONE: Sample =
    Sample { text: "one", architectures: &["amd64"], layers: 2, packed: true, bytes: 1000 };
const BOTH: Sample = Sample { text: "both", architectures: &["amd64", "arm64"], ..ONE };

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The files of a directory with what they hold.
fn files(yard: &Yard, directory: &str) -> Vec<(String, Vec<u8>)> {
    let names = yard.list(directory);
    names.iter().map(|name| (name.clone(), yard.read(&format!("{directory}/{name}")))).collect()
}

#[test]
fn a_copy_has_the_same_bytes_as_skopeos() {
    const TEST: &str = "a_copy_has_the_same_bytes_as_skopeos";
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    let digest = BOTH.write(&yard.path("layout"), "both");
    for (all, tag) in [(&["--all"][..], "all"), (&[], "one")] {
        let check = |from: &str, to: &str| {
            let (ours, theirs) = (format!("{to}-ours"), format!("{to}-theirs"));
            yard.fine(&[&["copy", "-q"], all, &[from, &format!("dir:{ours}")]].concat());
            let theirs_place = format!("dir:{}", yard.path(&theirs));
            let args = [&["copy", "-q", "--src-tls-verify=false"], all, &[from, &theirs_place]];
            yard.skopeo(TEST, &args.concat())?;
            assert_eq!(files(&yard, &ours), files(&yard, &theirs), "{from}");
            Some(())
        };
        let layout = format!("oci:{}:both", yard.path("layout"));
        if check(&layout, &format!("from-layout-{tag}")).is_none() {
            return;
        }
        let place = registry.place(&format!("team/{tag}:1"));
        yard.fine(&[&["copy", "-q", "--digestfile", "digest"], all, &[&layout, &place]].concat());
        check(&place, &format!("from-registry-{tag}")).unwrap();
        let written = String::from_utf8(yard.read("digest")).unwrap();
        assert_eq!(written == digest.to_string(), tag == "all");
        assert_eq!(yard.fine(&["list-tags", &registry.place(&format!("team/{tag}"))]), {
            let repository = format!("{}/team/{tag}", registry.host());
            format!(
                "{{\n    \"Repository\": \"{repository}\",\n    \"Tags\": [\n        \"1\"\n    ]\n}}\n"
            )
        });
    }
}

#[test]
fn formats_are_converted_as_skopeo_does() {
    const TEST: &str = "formats_are_converted_as_skopeo_does";
    let yard = Yard::new();
    BOTH.write(&yard.path("layout"), "both");
    let layout = format!("oci:{}:both", yard.path("layout"));
    for (format, all) in [("v2s2", true), ("v2s2", false), ("oci", true)] {
        let all: &[&str] = if all { &["--all"] } else { &[] };
        let [ours, theirs] =
            ["ours", "theirs"].map(|who| yard.path(&format!("{who}-{format}-{all:?}")));
        let options = [&["copy", "-q", "--format", format], all].concat();
        let places = [&ours, &theirs].map(|path| format!("dir:{path}"));
        yard.fine(&[&options[..], &[&layout, &places[0]]].concat());
        if yard.skopeo(TEST, &[&options[..], &[&layout, &places[1]]].concat()).is_none() {
            return;
        }
        let manifest = |path: &str| json(&std::fs::read(format!("{path}/manifest.json")).unwrap());
        let kinds = |document: &Value| -> Vec<String> {
            let lists = ["manifests", "layers"].iter().filter_map(|key| document[key].as_array());
            let kind = |it: &Value| it["mediaType"].as_str().unwrap().to_owned();
            let mut kinds: Vec<String> = lists.flatten().map(kind).collect();
            kinds.push(kind(document));
            kinds
        };
        assert_eq!(kinds(&manifest(&ours)), kinds(&manifest(&theirs)));
    }
}

#[test]
fn layers_are_packed_as_the_options_say() {
    let yard = Yard::new();
    let plain = Sample { packed: false, ..ONE };
    ONE.write(&yard.path("layout"), "gzip");
    plain.write(&yard.path("layout"), "plain");
    let check = |image: &str, options: &[&str], to: &str, expected: Result<&str, &str>| {
        let from = format!("oci:{}:{image}", yard.path("layout"));
        let place = match to {
            "dir" => format!("dir:{}", yard.path("out")),
            _ => format!("oci:{}:x", yard.path("out")),
        };
        let _ = std::fs::remove_dir_all(yard.path("out"));
        let args = [&["copy", "-q"], options, &[&from, &place]].concat();
        let expected = match expected {
            Ok(expected) => expected,
            Err(sentence) => {
                let text = yard.fails(&args);
                return assert!(text.contains(sentence), "{text}");
            }
        };
        yard.fine(&args);
        let text = yard.fine(&["copy", "-q", &place, "dir:look", "--digestfile", "d"]);
        assert_eq!(text, "");
        let manifest = json(&yard.read("look/manifest.json"));
        for layer in manifest["layers"].as_array().unwrap() {
            let kind = layer["mediaType"].as_str().unwrap();
            assert_eq!(
                kind,
                format!("application/vnd.oci.image.layer.v1.tar{expected}"),
                "{args:?}"
            );
        }
    };
    check("gzip", &[], "dir", Ok("+gzip"));
    check("plain", &[], "dir", Ok(""));
    check("plain", &[], "oci", Ok("+gzip"));
    check("plain", &["--dest-oci-accept-uncompressed-layers"], "oci", Ok(""));
    check("plain", &["--dest-compress"], "dir", Ok("+gzip"));
    check("gzip", &["--dest-decompress"], "dir", Ok(""));
    check("gzip", &["--dest-compress-format=zstd"], "oci", Ok("+zstd"));
    check("gzip", &["--dest-compress-format=zstd"], "dir", Ok("+gzip"));
    check("gzip", &["--dest-compress-format=zstd", "--dest-compress"], "dir", Ok("+zstd"));
    let forced = ["--dest-compress-format=zstd", "--dest-force-compress-format"];
    check("gzip", &forced, "dir", Ok("+zstd"));
    let level = ["--dest-compress-format=zstd", "--dest-compress-level=19"];
    check("plain", &level, "oci", Ok("+zstd"));
    check("plain", &["--dest-compress-level=9"], "oci", Ok("+gzip"));
    check("plain", &["--dest-precompute-digests"], "oci", Ok("+gzip"));
    check("plain", &["--dest-compress-level=10"], "oci", Err("has to be from 1 to 9"));
    check("gzip", &["--dest-compress-format=zstd:chunked"], "oci", Ok("+zstd"));
    let both = ["--dest-compress-format=zstd", "--format=v2s2"];
    check("gzip", &both, "oci", Err("has no layers packed with zstd"));
    let kept = ["--preserve-digests", "--dest-decompress"];
    check("gzip", &kept, "dir", Err("would change"));
    check("gzip", &["--preserve-digests"], "oci", Ok("+gzip"));
}

#[test]
fn the_store_is_a_place_as_any_other() {
    let yard = Yard::new();
    let digest = ONE.write(&yard.path("layout"), "one");
    let layout = format!("oci:{}:one", yard.path("layout"));
    yard.fine(&["copy", "-q", &layout, "store:app:1"]);
    yard.fine(&["copy", "-q", "store:app:1", "store:example.com/other:2"]);
    for name in ["store:localhost/app:1", "store:example.com/other:2"] {
        yard.fine(&["copy", "-q", name, "dir:out", "--digestfile", "digest"]);
        assert_eq!(yard.read("digest"), digest.to_string().into_bytes());
    }
    let text = yard.fails(&["copy", "--format=v2s2", &layout, "store:app:1"]);
    assert!(text.contains("--format: the store keeps manifests as they come"), "{text}");
    let text = yard.fails(&["copy", "store:absent", "dir:out"]);
    assert!(text.contains("copying store:absent to dir:out: absent: no such image"), "{text}");
}

#[test]
fn a_copy_goes_on_where_it_stopped() {
    const TEST: &str = "a_copy_goes_on_where_it_stopped";
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    ONE.write(&yard.path("layout"), "one");
    yard.fine(&["copy", "-q", "oci:layout:one", &registry.place("app:1")]);
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:whole"]);
    let recorder = Recorder::before(&registry);
    let place = format!("docker://{}/app:1", recorder.host());
    let blobs: Vec<String> =
        yard.list("whole").into_iter().filter(|name| name.len() == 64).collect();
    // One blob is whole, one was cut off by another program, and there is what nobody wants.
    let [kept, damaged, _] = &blobs[..] else { panic!("{blobs:?}") };
    for (name, content) in [
        ("version", yard.read("whole/version")),
        (kept, yard.read(&format!("whole/{kept}"))),
        (damaged, b"half".to_vec()),
        (&"0".repeat(64), b"another image's".to_vec()),
        ("manifest.json", b"{}".to_vec()),
        (".left-over.1-1", b"x".to_vec()),
    ] {
        yard.write(&format!("part/{name}"), &content);
    }
    yard.fine(&["copy", "-q", &place, "dir:part"]);
    assert_eq!(files(&yard, "part"), files(&yard, "whole"));
    let asked = recorder.take();
    let fetched = |name: &str| asked.iter().any(|it| it.ends_with(&format!("blobs/sha256:{name}")));
    assert!(fetched(damaged), "{asked:?}");
    // A configuration is always read.
    let manifest = json(&yard.read("whole/manifest.json"));
    if manifest["config"]["digest"] != format!("sha256:{kept}") {
        assert!(!fetched(kept), "{asked:?}");
    }
    yard.write("mine/notes", b"no image");
    let text = yard.fails(&["copy", &place, "dir:mine"]);
    assert!(text.contains("mine is not empty, and holds no image"), "{text}");
}

#[test]
fn docker_archives_have_several_names() {
    const TEST: &str = "docker_archives_have_several_names";
    let yard = Yard::new();
    ONE.write(&yard.path("layout"), "one");
    let archive = format!("docker-archive:{}", yard.path("both.tar"));
    let named = format!("{archive}:busybox:1.28.3");
    let more = "--additional-tag=example.com/empty/but:different,example.com/empty:latest";
    yard.fine(&["copy", "-q", more, "oci:layout:one", &named]);
    let listed = yard.fine(&["list-tags", &archive]);
    if let Some(theirs) = yard.skopeo(TEST, &["list-tags", &archive]) {
        assert_eq!(json(listed.as_bytes()), json(theirs.as_bytes()));
    }
    for name in ["busybox:1.28.3", "example.com/empty/but:different", "example.com/empty:latest"] {
        assert!(listed.contains(name), "{listed}");
        yard.fine(&["copy", "-q", &format!("{archive}:{name}"), "dir:back"]);
    }
    yard.fine(&["copy", "-q", "oci:layout:one", "docker-archive:unnamed.tar"]);
    assert!(yard.fine(&["list-tags", "docker-archive:unnamed.tar"]).contains("\"@0\""));
    let text = yard.fails(&["copy", more, "oci:layout:one", "dir:x"]);
    assert!(text.contains("--additional-tag: an image in a dir: has one name"), "{text}");
}

#[test]
fn an_interrupted_copy_leaves_nothing_behind() {
    const TEST: &str = "an_interrupted_copy_leaves_nothing_behind";
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    // More than what comes before the silence, and than what fits into buffers.
    let large = Sample { packed: false, bytes: 4 << 20, ..ONE };
    large.write(&yard.path("layout"), "large");
    let accept = "--dest-oci-accept-uncompressed-layers";
    yard.fine(&["copy", "-q", "--dest-decompress", "oci:layout:large", &registry.place("app:1")]);
    yard.fine(&["copy", "-q", accept, &registry.place("app:1"), "oci:whole:x"]);
    let stalling = Recorder::stalling(&registry, 2 << 20);
    let slow = format!("docker://{}/app:1", stalling.host());
    let unfinished = |directory: &str| -> Vec<String> {
        let is_unfinished = |name: &String| name.starts_with('.');
        yard.list(directory).into_iter().filter(is_unfinished).collect()
    };
    for (place, directory) in [
        ("oci:to-layout:x", "to-layout/blobs/sha256"),
        ("dir:to-dir", "to-dir"),
        ("docker-archive:archives/x.tar:x:1", "archives"),
        ("oci-archive:archives/y.tar", "archives"),
    ] {
        std::fs::create_dir_all(yard.path("archives")).unwrap();
        let args = ["copy", "-q", accept, &slow, place];
        let mut running = yard.tare_command(&args).spawn().unwrap();
        let began = std::time::Instant::now();
        let size = || -> u64 {
            let _ = std::fs::create_dir_all(yard.path(directory));
            let path = |name: &String| yard.path(&format!("{directory}/{name}"));
            let sizes = unfinished(directory);
            sizes.iter().map(|name| std::fs::metadata(path(name)).map_or(0, |it| it.len())).sum()
        };
        while size() < 1 << 20 {
            assert!(began.elapsed().as_secs() < 60, "{place}: nothing is written");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let pid = running.id().to_string();
        let interrupted = std::process::Command::new("kill").args(["-INT", &pid]).status();
        assert!(interrupted.unwrap().success());
        assert!(!running.wait().unwrap().success());
        assert!(!unfinished(directory).is_empty(), "{place}");
        yard.fine(&["copy", "-q", accept, &registry.place("app:1"), place]);
        assert_eq!(unfinished(directory), [""; 0], "{place}");
    }
    assert_eq!(tree(&yard, "to-layout/blobs"), tree(&yard, "whole/blobs"));
}

/// The files below a directory, with what they hold.
fn tree(yard: &Yard, directory: &str) -> Vec<(String, Vec<u8>)> {
    let algorithms = yard.list(directory);
    let of = |name: &String| files(yard, &format!("{directory}/{name}"));
    algorithms.iter().flat_map(of).collect()
}
