//! Options of verbs about images that other tests have no use for: what each of them does.

use crate::images_scratch::Scratch;
use crate::peers::speaks_tls;
use e2e::images::{Sample, Yard};
use e2e::{is_root, skip, stderr, stdout};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;

const BOTH: Sample = Sample {
    text: "both",
    architectures: &["amd64", "arm64"],
    layers: 1,
    packed: true,
    bytes: 2000,
};

/// A layout with an index for two platforms.
fn with_both() -> Yard {
    let yard = Yard::new();
    BOTH.write(&yard.path("layout"), "both");
    yard
}

fn architecture(yard: &Yard, image: &str) -> String {
    yard.fine(&["image", "inspect", "--format", "{{.Architecture}}", image]).trim_end().to_owned()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The manifest of an image in a directory of skopeo's, or a layout's file.
fn manifest(yard: &Yard, path: &str) -> Value {
    serde_json::from_slice(&yard.read(path)).unwrap()
}

#[test]
fn the_image_of_a_platform_is_chosen() {
    let yard = with_both();
    let pull = |options: &[&str]| {
        let id = yard.fine(&[&["pull", "-q"], options, &["oci:layout:both"]].concat());
        let found = architecture(&yard, id.trim_end());
        yard.fine(&["rmi", "--all", "--force"]);
        found
    };
    assert_eq!(pull(&["--arch", "arm64", "--os", "linux", "--variant", "v8"]), "arm64");
    assert_eq!(pull(&["--arch=amd64"]), "amd64");
    let text = yard.fails(&["pull", "--os", "plan9", "oci:layout:both"]);
    assert!(text.contains("plan9"), "{text}");
    for (options, expected) in [
        (
            &["--override-arch", "arm64", "--override-os", "linux", "--override-variant", "v8"][..],
            "arm64",
        ),
        (&["--override-arch=amd64"], "amd64"),
    ] {
        yard.fine(&[options, &["copy", "-q", "oci:layout:both", "dir:chosen"]].concat());
        let text = yard.fine(&["inspect", "--format", "{{.Architecture}}", "dir:chosen"]);
        assert_eq!(text.trim_end(), expected);
    }
    // Of what the store has of an index, all or one is pushed and saved.
    yard.fine(&["pull", "-q", "--all-platforms", "oci:layout:both"]);
    yard.fine(&["push", "-q", "--all", "both", "oci:pushed:all"]);
    let index = manifest(&yard, "pushed/index.json");
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let pushed = manifest(&yard, &format!("pushed/blobs/{}", digest.replace(':', "/")));
    assert_eq!(pushed["manifests"].as_array().unwrap().len(), 2);
    yard.fine(&["push", "-q", "--platform", "linux/arm64", "both", "dir:one"]);
    assert_eq!(
        yard.fine(&["inspect", "--format", "{{.Architecture}}", "dir:one"]).trim_end(),
        "arm64"
    );
    yard.fine(&["save", "-q", "--platform", "linux/arm64", "-o", "saved.tar", "both"]);
    yard.fine(&["rmi", "--all", "--force"]);
    yard.fine(&["load", "-q", "--platform", "linux/arm64", "-i", "saved.tar"]);
    assert_eq!(architecture(&yard, "both"), "arm64");
    yard.fine(&[
        "import",
        "-q",
        "--arch",
        "riscv64",
        "--os",
        "linux",
        "--variant",
        "x",
        "saved.tar",
        "new",
    ]);
    let text =
        yard.fine(&["image", "inspect", "-f", "{{.Os}}/{{.Architecture}}/{{.Variant}}", "new"]);
    assert_eq!(text.trim_end(), "linux/riscv64/x");
}

#[test]
fn what_is_copied_of_an_index_is_chosen() {
    let yard = with_both();
    for (which, count) in [("system", None), ("all", Some(2)), ("index-only", Some(2))] {
        let place = format!("dir:{which}");
        yard.fine(&[
            "copy",
            "-q",
            "--multi-arch",
            which,
            "--image-parallel-copies",
            "1",
            "oci:layout:both",
            &place,
        ]);
        let found = manifest(&yard, &format!("{which}/manifest.json"));
        assert_eq!(found["manifests"].as_array().map(Vec::len), count, "{which}");
        let blobs = yard.list(which).len();
        assert_eq!(blobs > 2, which != "index-only", "{which}: {blobs} files");
    }
}

#[test]
fn layers_are_packed_as_a_push_says() {
    let scratch = Scratch::new();
    scratch.image("app:1", &["seq 3000 > a", "seq 3000 5000 > b"]);
    let layers = |options: &[&str], place: &str| {
        scratch.ok(&[&["push", "-q"], options, &["app:1", place]].concat());
        let raw = json_of(&scratch.ok(&["inspect", "--raw", place]));
        let layers = raw["layers"].as_array().unwrap().clone();
        let kinds = layers.iter().map(|it| it["mediaType"].as_str().unwrap().to_owned());
        let kind = kinds.collect::<Vec<_>>()[1].rsplit(['.', '+']).next().unwrap().to_owned();
        (kind, layers[0]["size"].as_u64().unwrap())
    };
    let (kind, gzip) = layers(&[], "oci:a:usual");
    assert_eq!(kind, "gzip");
    let (kind, plain) = layers(&["--disable-compression"], "oci:a:plain");
    assert_eq!(kind, "tar");
    assert_eq!(layers(&["-D"], "oci:a:short").1, plain);
    let (kind, zstd) =
        layers(&["--compression-format", "zstd", "--compression-level", "19"], "oci:a:zstd");
    assert_eq!(kind, "zstd");
    assert!(zstd < gzip && gzip < plain, "{zstd} {gzip} {plain}");
    let (_, fast) = layers(&["--compression-format=gzip", "--compression-level=1"], "oci:a:fast");
    assert!(fast > gzip, "{fast} {gzip}");
    assert_eq!(layers(&[], "dir:as-it-is").0, "tar");
    assert_eq!(layers(&["--compress"], "dir:packed").0, "gzip");
    // What is packed already stays so in a directory, unless it has to be otherwise.
    scratch.ok(&["pull", "-q", "oci:a:usual"]);
    let again = ["--force-compression", "--compression-format", "zstd"];
    assert_eq!(layers(&again, "dir:forced").0, "zstd");
    for (options, expected) in [
        (&["--all", "--compression-format", "zstd", "--compression-level", "3"][..], "zstd"),
        (&["--force-compression", "--compression-format=gzip", "--remove-signatures"], "gzip"),
    ] {
        scratch.ok(&["manifest", "create", "--amend", "--all", "list:1", "app:1"]);
        scratch.ok(&[&["manifest", "push", "-q"], options, &["list:1", "oci:b:list"]].concat());
        let index = json_of(&scratch.ok(&["inspect", "--raw", "oci:b:list"]));
        let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
        let blob = std::fs::read_to_string(scratch.path(&format!("b/blobs/{digest}"))).unwrap();
        let image = json_of(&blob);
        let kind = image["layers"][0]["mediaType"].as_str().unwrap();
        assert!(kind.ends_with(expected), "{kind}");
    }
}

#[test]
fn layers_get_a_table_of_contents_once() {
    const CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
    let scratch = Scratch::new();
    scratch.image("app:1", &["seq 3000 > a; ln -s a b", "mkdir d; seq 100 > d/e"]);
    let id = scratch.ok(&["images", "-q", "--no-trunc", "app:1"]);
    let chunked = ["--compression-format", "zstd:chunked"];
    let raw = |place: &str| json_of(&scratch.ok(&["inspect", "--raw", place]));
    scratch.ok(&[&["push", "-q"], &chunked[..], &["app:1", "oci:a:one"]].concat());
    let first = raw("oci:a:one");
    for layer in first["layers"].as_array().unwrap() {
        assert!(layer["annotations"][CHECKSUM].is_string(), "{layer}");
    }
    // What has one is left alone; what is in zstd without one is packed anew.
    let copy = ["copy", "-q", "--dest-compress-format", "zstd:chunked"];
    scratch.ok(&[&copy[..], &["oci:a:one", "oci:a:two"]].concat());
    assert_eq!(raw("oci:a:two"), first);
    scratch.ok(&["push", "-q", "--compression-format", "zstd", "app:1", "oci:a:plain"]);
    assert_eq!(raw("oci:a:plain")["layers"][0]["annotations"], Value::Null);
    scratch.ok(&[&copy[..], &["oci:a:plain", "oci:a:three"]].concat());
    assert_eq!(raw("oci:a:three"), first);
    // To everybody else it is a layer in zstd.
    scratch.ok(&["rmi", "--all"]);
    assert_eq!(scratch.ok(&["pull", "-q", "oci:a:one"]), id["sha256:".len()..]);
    scratch.ok(&["push", "-q", "one", "oci:a:again"]);
    assert_eq!(raw("oci:a:again"), first);
    assert_eq!(scratch.ok(&["fsck", "--full"]), "the store is in order");
}

#[test]
fn a_registry_is_asked_when_the_policy_says() {
    let yard = with_both();
    let text = yard.fails(&["pull", "--policy", "never", "127.0.0.1:1/x"]);
    assert!(text.contains("no such image"), "{text}");
    yard.fine(&["copy", "-q", "oci:layout:both", "store:127.0.0.1:1/x"]);
    for policy in ["never", "missing", "newer"] {
        let id = yard.fine(&["pull", "-q", "--retry", "0", "--policy", policy, "127.0.0.1:1/x"]);
        assert_eq!(id.trim_end().len(), 64, "{policy}");
    }
    let text = yard.fails(&["pull", "--retry", "0", "--policy", "always", "127.0.0.1:1/x"]);
    assert!(text.contains("127.0.0.1:1"), "{text}");
}

#[test]
fn options_without_a_meaning_here_change_nothing() {
    let yard = with_both();
    yard.fine(&["copy", "-q", "oci:layout:both", "store:app:1"]);
    for (with, without) in [
        (
            &["pull", "-q", "--disable-content-trust", "--remove-signatures", "oci:layout:both"][..],
            &["pull", "-q", "oci:layout:both"][..],
        ),
        (
            &["push", "--disable-content-trust", "--remove-signatures", "app:1", "dir:a"],
            &["push", "app:1", "dir:b"],
        ),
        (&["rmi", "--no-prune", "app:2"], &["rmi", "app:2"]),
        (
            &["system", "prune", "--force", "--build", "--external", "--volumes"],
            &["system", "prune", "-f"],
        ),
    ] {
        let outputs = [with, without].map(|args| {
            yard.fine(&["tag", "app:1", "app:2"]);
            yard.fine(args)
        });
        assert_eq!(outputs[0], outputs[1], "{with:?}");
    }
    for args in [&["logout", "--tls-verify=false", "--all"][..], &["logout", "--all"]] {
        assert_eq!(yard.fine(args), "Removed login credentials for all registries\n");
    }
    let text = yard.fails(&["delete", "--daemon-host", "x", "docker-daemon:a:1"]);
    assert!(text.contains("images cannot be deleted from a docker-daemon:"), "{text}");
}

#[test]
fn lists_come_in_buildahs_words_and_in_every_order() {
    let scratch = Scratch::new();
    scratch.image("small:2", &["echo a > a"]);
    scratch.image("large:1", &["seq 10000 > a"]);
    let listed = |sort: &str| {
        scratch.ok(&["images", "--sort", sort, "--format", "{{.Repository}}:{{.Tag}}"])
    };
    let (large, small) = ("localhost/large:1", "localhost/small:2");
    for sort in ["repository", "tag"] {
        assert_eq!(listed(sort), format!("{large}\n{small}"), "{sort}");
    }
    assert_eq!(listed("size"), format!("{small}\n{large}"));
    let images = json_of(&scratch.ok(&["images", "--json"]));
    assert_eq!(images, json_of(&scratch.ok(&["images", "--format", "json"])));
    assert_eq!(images.as_array().unwrap().len(), 2);
    if is_root() {
        scratch.ok(&["mount", "small:2"]);
        let mounts = json_of(&scratch.ok(&["mount", "--json", "--no-trunc"]));
        assert_eq!(mounts[0]["Repositories"], json!([small]));
        assert_eq!(mounts[0]["id"].as_str().unwrap().len(), "sha256:".len() + 64);
        scratch.ok(&["unmount", "small:2"]);
    } else {
        skip("lists_come_in_buildahs_words_and_in_every_order", "needs root to mount");
    }
}

#[test]
fn what_nobody_needs_is_removed() {
    let scratch = Scratch::new();
    let make = || {
        scratch.image("named:1", &["echo a > a"]);
        scratch.image("nameless:1", &["echo b > b"]);
        scratch.ok(&["untag", "nameless:1"]);
    };
    let left = || scratch.ok(&["images", "-a", "--format", "{{.Repository}}"]);
    for (verb, expected) in [
        (&["rmi", "--prune"][..], "localhost/named"),
        (&["prune", "-f"], "localhost/named"),
        (&["prune", "--all", "-f"], ""),
        (&["image", "prune", "--all", "--force"], ""),
        (&["system", "prune", "--force"], "localhost/named"),
        (&["system", "prune", "--all", "--force"], ""),
        (&["system", "reset", "--force"], ""),
    ] {
        make();
        let said = scratch.ok(verb);
        assert!(said.contains("\nTotal reclaimed space: "), "{verb:?}: {said}");
        assert_eq!(left(), expected, "{verb:?}");
    }
    assert_eq!(scratch.ok(&["fsck"]), "the store is in order");
    // Who is not there has to say that he does not want to be asked; who says yes by a pipe is there.
    make();
    let error = scratch.fails(1, &["system", "reset"]);
    assert!(
        error.ends_with("nobody is there to be asked\nhint: --force does not ask\n"),
        "{error}"
    );
    for (answer, expected) in [("n\n", "localhost/named"), ("y\n", "")] {
        std::fs::write(scratch.path("answer"), answer).unwrap();
        let answer = std::fs::File::open(scratch.path("answer")).unwrap();
        let output = scratch.command(&["system", "prune", "--all"]).stdin(answer).output().unwrap();
        assert!(output.status.success());
        assert_eq!(left().lines().last().unwrap_or_default(), expected);
        scratch.ok(&["rmi", "--prune"]);
    }
}

#[test]
fn files_become_artifacts_of_an_index() {
    let scratch = Scratch::new();
    scratch.image("app:1", &["echo a > a"]);
    for (name, content) in [("one.json", "{\"a\":1}"), ("two", "b"), ("config", "{}")] {
        std::fs::write(scratch.path(name), content).unwrap();
    }
    scratch.ok(&["manifest", "create", "list:1", "app:1"]);
    scratch.ok(&[
        "manifest",
        "add",
        "--artifact",
        "--artifact-type",
        "application/x.kind",
        "--artifact-annotation",
        "a=b",
        "--artifact-layer-type",
        "text/x",
        "--artifact-subject",
        "app:1",
        "--annotation",
        "of=entry",
        "--os",
        "linux",
        "--arch",
        "arm64",
        "list:1",
        "one.json:application/json",
        "two",
    ]);
    scratch.ok(&["manifest", "annotate", "--os", "plan9", "list:1", "app:1"]);
    let list = json_of(&scratch.ok(&["manifest", "inspect", "list:1"]));
    assert_eq!(list["manifests"][0]["platform"]["os"], "plan9");
    let entry = &list["manifests"][1];
    assert_eq!(entry["artifactType"], "application/x.kind");
    assert_eq!(entry["annotations"], json!({"of": "entry"}));
    assert_eq!(entry["platform"], json!({"architecture": "arm64", "os": "linux"}));
    scratch.ok(&["gc"]);
    scratch.ok(&["manifest", "push", "-q", "list:1", "oci:a:list"]);
    let read = |digest: &Value| {
        let digest = digest.as_str().unwrap().replace(':', "/");
        json_of(&std::fs::read_to_string(scratch.path(&format!("a/blobs/{digest}"))).unwrap())
    };
    let artifact = read(&entry["digest"]);
    assert_eq!(artifact["subject"]["digest"], list["manifests"][0]["digest"]);
    assert_eq!(artifact["annotations"], json!({"a": "b"}));
    let layer = |position: usize| {
        let layer = &artifact["layers"][position];
        (layer["mediaType"].clone(), layer["annotations"]["org.opencontainers.image.title"].clone())
    };
    assert_eq!(layer(0), (json!("application/json"), json!("one.json")));
    assert_eq!(layer(1), (json!("text/x"), json!("two")));
    scratch.ok(&[
        "manifest",
        "add",
        "--artifact",
        "--artifact-config",
        "config",
        "--artifact-config-type",
        "text/config",
        "--artifact-exclude-titles",
        "list:1",
        "two",
    ]);
    scratch.ok(&["manifest", "push", "-q", "list:1", "oci:a:list"]);
    let list = json_of(&scratch.ok(&["manifest", "inspect", "list:1"]));
    let artifact = read(&list["manifests"][2]["digest"]);
    assert_eq!(artifact["config"]["mediaType"], "text/config");
    assert_eq!(artifact["layers"][0]["annotations"], Value::Null);
    assert_eq!(scratch.ok(&["fsck", "--full"]), "the store is in order");
}

#[test]
fn artifacts_are_replaced_and_files_taken_by_their_digests() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("one"), "one").unwrap();
    std::fs::write(scratch.path("two"), "two").unwrap();
    scratch.ok(&["artifact", "add", "--file-type", "text/x", "thing:1", "one"]);
    let error = scratch.fails(1, &["artifact", "add", "thing:1", "two"]);
    assert!(error.contains("`--replace` takes its place"), "{error}");
    scratch.ok(&["artifact", "add", "--replace", "--file-type", "text/y", "thing:1", "one", "two"]);
    let about = json_of(&scratch.ok(&["artifact", "inspect", "thing:1"]));
    let layers = about["Manifest"]["layers"].as_array().unwrap();
    assert_eq!(layers[0]["mediaType"], "text/y");
    let digest = layers[1]["digest"].as_str().unwrap();
    scratch.ok(&["artifact", "extract", "--digest", digest, "thing:1", "taken"]);
    assert_eq!(std::fs::read_to_string(scratch.path("taken")).unwrap(), "two");
}

#[test]
fn blobs_are_shared_by_layouts() {
    let yard = with_both();
    std::fs::create_dir(yard.path("shared")).unwrap();
    yard.fine(&["copy", "-q", "--dest-shared-blob-dir", "shared", "oci:layout:both", "oci:thin:a"]);
    assert!(!yard.list("thin").contains(&"blobs".to_owned()));
    assert_eq!(yard.list("shared"), ["sha256"]);
    yard.fine(&["copy", "-q", "--src-shared-blob-dir", "shared", "oci:thin:a", "dir:b"]);
    yard.fine(&["inspect", "--shared-blob-dir", "shared", "oci:thin:a"]);
    yard.fine(&["delete", "--shared-blob-dir", "shared", "oci:thin:a"]);
    yard.fails(&["inspect", "--shared-blob-dir", "shared", "oci:thin:a"]);
}

#[test]
fn a_daemon_is_looked_for_where_an_option_says() {
    let yard = with_both();
    let host = format!("unix://{}", yard.path("no.sock"));
    for args in [
        &["copy", "--dest-daemon-host", &host, "oci:layout:both", "docker-daemon:a:1"][..],
        &["inspect", "--daemon-host", &host, "docker-daemon:a:1"],
    ] {
        let text = yard.fails(args);
        assert!(text.contains("no.sock"), "{args:?}: {text}");
    }
}

#[test]
fn policies_are_those_that_options_name() {
    let yard = with_both();
    let policy = yard.write("reject.json", br#"{"default":[{"type":"reject"}]}"#);
    let copy = ["copy", "-q", "oci:layout:both", "dir:x"];
    let text = yard.fails(&[&["--policy", &policy], &copy[..]].concat());
    assert!(text.contains("reject"), "{text}");
    yard.fine(&[&["--policy", &policy, "--insecure-policy"], &copy[..]].concat());
}

#[test]
fn temporary_files_go_where_an_option_says() {
    let yard = with_both();
    std::fs::create_dir(yard.path("store")).unwrap();
    let text = yard.fails(&[
        "--tmpdir",
        "/dev/null/x",
        "copy",
        "oci:layout:both",
        "docker-archive:x.tar:a:1",
    ]);
    assert!(text.contains("/dev/null/x"), "{text}");
    std::fs::create_dir(yard.path("temporary")).unwrap();
    yard.fine(&[
        "--tmpdir",
        "temporary",
        "copy",
        "-q",
        "oci:layout:both",
        "docker-archive:x.tar:a:1",
    ]);
    assert!(yard.list("temporary").is_empty());
}

/// Answers one request with some JSON, and says what it was.
fn answer_once(body: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut head = String::new();
            let mut reader = BufReader::new(&client);
            if speaks_tls(&mut reader) {
                continue;
            }
            while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
            let is_search = head.contains("/v1/search");
            let _ = sender.send(head);
            let (status, body) = if is_search { ("200 OK", body) } else { ("404 Not Found", "") };
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let _ = (&client).write_all(text.as_bytes());
        }
    });
    (host, receiver)
}

#[test]
fn a_search_is_limited_and_registries_see_who_asks() {
    let body = r#"{"num_results":1,"results":[{"name":"team/app","description":"a description that is longer than the forty-five characters of a column"}]}"#;
    let (host, asked) = answer_once(body);
    let yard = Yard::new();
    let config = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    yard.write("home/.config/containers/registries.conf", config.as_bytes());
    let term = format!("{host}/app");
    let search = |options: &[&str]| {
        yard.fine(&[&["--user-agent-prefix", "us", "search"], options, &[&term]].concat())
    };
    let long = "longer than the forty-five characters of a column";
    assert!(!search(&["--limit", "7", "--compatible"]).contains(long));
    assert!(search(&["--limit", "7", "--no-trunc"]).contains(long));
    let debug = stderr(&yard.tare(&["--debug", "search", &term]));
    let told = format!("tare: debug: GET http://{host}/v1/search?...: 200, ");
    assert!(debug.contains(&told), "{debug}");
    let heads: Vec<String> = asked.try_iter().collect();
    assert!(heads.iter().any(|head| head.contains("n=7")), "{heads:?}");
    assert!(
        heads.iter().filter(|head| head.contains("ser-agent: us tare/")).count() > 3,
        "{heads:?}"
    );
}

#[test]
fn a_command_ends_when_its_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let yard = Yard::new();
    let place = format!("docker://{host}/x");
    let output = yard.tare(&["--command-timeout", "300ms", "--debug", "inspect", &place]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("--command-timeout 300ms: the time is over"));
}

#[test]
fn the_program_says_what_it_is_and_where_its_store_is() {
    let yard = with_both();
    yard.fine(&["pull", "-q", "oci:layout:both"]);
    let version = yard.fine(&["--version"]);
    let version = version.trim_end().strip_prefix("tare ").unwrap();
    for args in [
        &["version", "--format", "{{.Client.Version}}"][..],
        &["version", "-f", "{{.Server.Version}}"],
        &["info", "--format", "{{.ServerVersion}}"],
        &["info", "-f", "{{.Version.Version}}"],
    ] {
        assert_eq!(yard.fine(args).trim_end(), version, "{args:?}");
    }
    assert!(yard.fine(&["version"]).starts_with(&format!("Version:  {version}\nOS/Arch:  linux/")));
    for args in [&["version", "--json"][..], &["version", "--format", "json"]] {
        assert_eq!(json_of(&yard.fine(args))["Client"]["Os"], "linux");
    }
    let root = yard.path("store");
    for args in [
        &["info", "--format", "{{.Store.GraphRoot}}"][..],
        &["system", "info", "--format", "{{.DockerRootDir}}"],
    ] {
        assert_eq!(yard.fine(args).trim_end(), root, "{args:?}");
    }
    let info = json_of(&yard.fine(&["info", "--format", "json"]));
    assert_eq!(info["store"]["imageStore"]["number"], 1);
    assert!(info["host"]["memTotal"].as_u64().unwrap() > 1 << 20);
    let text = yard.fine(&["info", "--debug"]);
    assert!(text.contains(&format!("Store:             {root}\n")), "{text}");
    assert!(text.contains("\nImages:            1\n"), "{text}");
}
