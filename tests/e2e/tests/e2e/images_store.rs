//! Verbs about the images of a store: `images`, `rmi`, `tag`, `untag`, `history`, `image`, `mount`,
//! `gc`, `fsck`, `system df`.

use e2e::images::{Sample, Yard, put, sha256};
use e2e::{is_root, skip, stderr, stdout};
use oci::image::{ContainerConfig, History, ImageConfig, Manifest, RootFs, media_type};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use transport::Sink;
use transport::hash::verify_manifest;
use transport::layout::{LayoutSink, Place};

/// A store with a base image of two names, one upon it with labels, and one without a name.
struct Full {
    yard: Yard,
    base: String,
    app: String,
    nameless: String,
}

impl Full {
    fn new() -> Self {
        let yard = Yard::new();
        let lower = archive(&yard, "mkdir etc; echo a > etc/a");
        let upper = archive(&yard, "head -c 3000000 /dev/zero > zeros");
        let base = pull(&yard, "base:1", &[&lower], |config| {
            config.created = "2020-01-01T00:00:00Z".into();
        });
        yard.fine(&["tag", "base:1", "registry.example.com/team/base:v1"]);
        let app = pull(&yard, "app:2", &[&lower, &upper], |config| {
            config.created = "2022-02-02T02:02:02Z".into();
            let labels = [("team", "a"), ("stage", "test")];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
            config.config = Some(ContainerConfig {
                env: vec!["A=1".into()],
                cmd: oci::image::Words(vec!["sh".into()]),
                labels: labels.into_iter().collect(),
                ..ContainerConfig::default()
            });
        });
        let nameless = pull(&yard, "lost:1", &[&lower], |config| {
            config.created = "2021-01-01T00:00:00Z".into();
        });
        yard.fine(&["untag", "lost:1"]);
        Self { yard, base, app, nameless }
    }

    fn ok(&self, args: &[&str]) -> String {
        self.yard.fine(args).trim_end().to_owned()
    }

    fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.yard.tare(args);
        assert_eq!(output.status.code(), Some(code), "tare {args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "tare {args:?}");
        stderr(&output)
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    fn store(&self, below: &str) -> PathBuf {
        Path::new(&self.yard.path("store")).join(below)
    }

    /// Waits until there are so many layers, and no trash.
    fn wait_for_layers(&self, count: usize) {
        let start = Instant::now();
        let entries = |below: &str| std::fs::read_dir(self.store(below)).unwrap().count();
        while entries("layers") != count || entries("trash") != 0 {
            assert!(start.elapsed() < Duration::from_secs(120), "{} layers", entries("layers"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The names that a list has.
    fn listed(&self, args: &[&str]) -> Vec<String> {
        let all = [&["images", "--format", "{{.Repository}}:{{.Tag}}"], args].concat();
        self.ok(&all).lines().map(str::to_owned).collect()
    }
}

/// An archive of what a script makes in an empty directory.
fn archive(yard: &Yard, script: &str) -> Vec<u8> {
    let tree = yard.path("tree");
    std::fs::create_dir(&tree).unwrap();
    let script = format!("{script}\ntar -c --mtime=@7 --sort=name -f ../tree.tar .");
    let done = Command::new("sh").args(["-ec", &script]).current_dir(&tree).output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
    std::fs::remove_dir_all(tree).unwrap();
    yard.read("tree.tar")
}

/// Makes an image and pulls it; its ID.
fn pull(yard: &Yard, name: &str, tars: &[&Vec<u8>], change: impl Fn(&mut ImageConfig)) -> String {
    let step = |_| History { created_by: "COPY . /".into(), ..History::default() };
    let mut config = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        rootfs: RootFs {
            kind: "layers".into(),
            diff_ids: tars.iter().map(|tar| sha256(tar).into()).collect(),
        },
        history: tars.iter().map(step).collect(),
        ..ImageConfig::default()
    };
    change(&mut config);
    let place = format!("{}:{name}", yard.path("layout"));
    let sink = LayoutSink::create(&Place::parse(&place).unwrap(), None).unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        config: put(&sink, media_type::OCI_CONFIG, oci::json::write(&config).as_bytes()),
        layers: tars.iter().map(|tar| put(&sink, media_type::OCI_LAYER, tar)).collect(),
        ..Manifest::default()
    };
    let text = oci::json::write(&manifest).into_bytes();
    sink.finish(&verify_manifest(text, "", None).unwrap()).unwrap();
    let id = yard.fine(&["pull", "-q", &format!("oci:{place}")]);
    id.trim_end().to_owned()
}

const APP: &str = "localhost/app:2";
const BASES: [&str; 2] = ["localhost/base:1", "registry.example.com/team/base:v1"];
const NONE: &str = "<none>:<none>";

#[test]
fn images_are_listed_the_newest_first() {
    let yard = Full::new();
    let short = |id: &str| id[..12].to_owned();
    let (app, base, nameless) = (short(&yard.app), short(&yard.base), short(&yard.nameless));
    let text = yard.ok(&[
        "images",
        "--format",
        "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedAt}}\\t{{.Size}}",
    ]);
    let expected = format!(
        "\
REPOSITORY                       TAG       IMAGE ID       CREATED AT                      SIZE
localhost/app                    2         {app}   2022-02-02 02:02:02 +0000 UTC   3.02MB
<none>                           <none>    {nameless}   2021-01-01 00:00:00 +0000 UTC   10.2kB
localhost/base                   1         {base}   2020-01-01 00:00:00 +0000 UTC   10.2kB
registry.example.com/team/base   v1        {base}   2020-01-01 00:00:00 +0000 UTC   10.2kB"
    );
    assert_eq!(text, expected);
    let table = yard.ok(&["images"]);
    let heads: Vec<&str> = table
        .lines()
        .next()
        .unwrap()
        .split("  ")
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    assert_eq!(heads, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    assert!(table.lines().nth(1).unwrap().contains(" years ago "), "{table}");
    assert!(yard.ok(&["images", "--digests"]).contains("sha256:"));
    assert_eq!(yard.ok(&["images", "--noheading"]).lines().count(), 4);
    // Every ID once.
    assert_eq!(yard.ok(&["images", "-q"]), [app, nameless, base].join("\n"));
    let full = yard.ok(&["image", "ls", "-q", "--no-trunc"]);
    assert_eq!(full.lines().next().unwrap(), format!("sha256:{}", yard.app));
}

#[test]
fn lists_come_as_json_and_by_templates() {
    let yard = Full::new();
    let list = yard.json(&["images", "--format", "json"]);
    assert_eq!(list.as_array().unwrap().len(), 3);
    assert_eq!(list[0]["Id"], json!(yard.app));
    assert_eq!(list[0]["Labels"], json!({"stage": "test", "team": "a"}));
    assert_eq!(list[0]["Created"], json!(1_643_767_322));
    assert_eq!(list[2]["RepoTags"], json!(BASES));
    assert_eq!(list[1]["RepoTags"], Value::Null);
    let row: Value =
        serde_json::from_str(yard.ok(&["images", "--format", "{{json .}}", "app"]).trim()).unwrap();
    assert_eq!(
        (row["Repository"].as_str(), row["Tag"].as_str()),
        (Some("localhost/app"), Some("2"))
    );
    assert_eq!(
        yard.ok(&["images", "--format", "{{.Id}} {{.Labels.team}}", "app"]),
        format!("{} a", &yard.app[..12])
    );
    assert_eq!(yard.ok(&["images", "--format", "{{range .}}{{.Tag}};{{end}}"]), "2;<none>;1;v1;");
    assert_eq!(
        yard.ok(&["images", "--format", "table {{.Tag}} {{.Repository}}", "app"]),
        "TAG       REPOSITORY\n2         localhost/app"
    );
    let text = yard.fails(1, &["images", "--format", "{{.Nope}}"]);
    assert_eq!(
        text,
        "tare: template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type image\n"
    );
    let text = yard.fails(1, &["images", "--format", "{{.ID"]);
    assert_eq!(text, "tare: template parsing error: template: :1: unclosed action\n");
}

#[test]
fn filters_choose_images() {
    let yard = Full::new();
    let check = |filters: &[&str], expected: &[&str]| {
        let args: Vec<&str> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
        assert_eq!(yard.listed(&args), expected, "{filters:?}");
    };
    let all = [&[APP, NONE][..], &BASES].concat();
    check(&[], &all);
    check(&["dangling=true"], &[NONE]);
    check(&["dangling=false"], &[&[APP][..], &BASES].concat());
    check(&["label=team"], &[APP]);
    check(&["label=team=a", "label=stage=test"], &[APP]);
    check(&["label=team=b"], &[]);
    check(&["label=team=a", "label=nope"], &[]);
    check(&["label!=team", "dangling=false"], &BASES);
    check(&["before=app:2"], &[&[NONE][..], &BASES].concat());
    check(&["since=base:1"], &[APP, NONE]);
    check(&["after=base:1", "before=app:2"], &[NONE]);
    check(&["until=2021-06-01"], &[&[NONE][..], &BASES].concat());
    check(&["until=2020-01-01T00:00:00Z"], &[]);
    check(&["until=1h"], &all);
    check(&["reference=base"], &BASES);
    check(&["reference=localhost/*"], &[APP, BASES[0]]);
    check(&["reference=*:v1"], &[BASES[1]]);
    check(&["reference=app", "reference=team/base"], &[APP, BASES[1]]);
    check(&["id=", "dangling=true"], &[NONE]);
    check(&[&format!("id={}", &yard.app[..8])], &[APP]);
    check(&["containers=true"], &[]);
    check(&["readonly=true"], &[]);
    check(&["intermediate=false", "dangling=true"], &[NONE]);
    assert_eq!(yard.listed(&["app:2"]), [APP]);
    assert_eq!(yard.listed(&["*e*"]), [BASES[0], BASES[1]].to_vec());
    for (filter, expected) in [
        ("nope=1", "tare: --filter nope=1: there is no such filter\nhint: "),
        ("dangling", "tare: --filter dangling: must be KEY=VALUE\n"),
        ("dangling=perhaps", "tare: --filter dangling=perhaps: must be true or false\n"),
        ("until=soon", "tare: --filter until=soon: is no point in time\nhint: "),
        ("before=nope", "tare: --filter before=nope: nope: no such image\n"),
        ("reference=[", "tare: --filter reference=[: the pattern is malformed\n"),
    ] {
        let text = yard.fails(1, &["images", "--filter", filter]);
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn lists_have_other_orders() {
    let yard = Full::new();
    let check = |order: &str, expected: &[&str]| {
        assert_eq!(
            yard.listed(&["--sort", order, "--filter", "dangling=false"]),
            expected,
            "{order}"
        );
    };
    check("created", &[APP, BASES[0], BASES[1]]);
    check("repository", &[APP, BASES[0], BASES[1]]);
    check("size", &[BASES[0], BASES[1], APP]);
    check("tag", &[BASES[0], APP, BASES[1]]);
}

#[test]
fn an_image_goes_with_its_last_name() {
    let yard = Full::new();
    assert_eq!(yard.ok(&["rmi", "base:1"]), "Untagged: localhost/base:1");
    assert_eq!(yard.listed(&["base"]), [BASES[1]]);
    let text = yard.ok(&["rmi", "team/base:v1"]);
    assert_eq!(text, format!("Untagged: {}\nDeleted: sha256:{}", BASES[1], yard.base));
    // The layer below another image stays.
    assert_eq!(
        yard.json(&["image", "inspect", "app:2"])[0]["RootFS"]["Layers"].as_array().unwrap().len(),
        2
    );
    yard.ok(&["fsck", "--full"]);
    let text = yard.ok(&["image", "rm", &yard.app[..10], &yard.nameless]);
    assert!(text.contains(&format!("Deleted: sha256:{}", yard.app)), "{text}");
    assert_eq!(yard.listed(&[]), Vec::<String>::new());
    // What is left of it goes without being asked for.
    yard.wait_for_layers(0);
}

#[test]
fn removal_does_not_wait_for_a_collection_among_many_images() {
    let yard = Full::new();
    let names: Vec<String> = (0..250).map(|number| format!("many:{number}")).collect();
    let names = names.iter().map(String::as_str);
    let args: Vec<&str> = ["tag", "base:1"].into_iter().chain(names).collect();
    yard.ok(&args);
    // Also where the store's path is none that the other process could use.
    let text = yard.ok(&["--root", "store", "--runroot", "run", "rmi", "app:2"]);
    assert_eq!(text, format!("Untagged: {APP}\nDeleted: sha256:{}", yard.app));
    yard.wait_for_layers(1);
    assert_eq!(yard.ok(&["fsck", "--full"]), "the store is in order");
}

#[test]
fn lists_do_without_what_is_noted_beside_names() {
    let yard = Full::new();
    let before = yard.ok(&["images"]);
    for dir in std::fs::read_dir(yard.store("names")).unwrap() {
        for file in std::fs::read_dir(dir.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let facts = record.as_object_mut().unwrap().remove("facts");
            assert!(facts.is_some_and(|facts| facts["size_bytes"].is_u64()), "{path:?}");
            std::fs::write(&path, record.to_string()).unwrap();
        }
    }
    assert_eq!(yard.ok(&["images"]), before);
    assert_eq!(
        yard.ok(&["image", "inspect", "-f", "{{.Id}}", &yard.app[..9]]),
        format!("sha256:{}", yard.app)
    );
}

#[test]
fn of_several_platforms_one_is_listed_and_each_can_be_looked_at() {
    let yard = Full::new();
    let layout = yard.yard.path("several");
    let sample = Sample { architectures: &["amd64", "arm64"], ..Sample::default() };
    let digest = sample.write(&layout, "several:1").to_string();
    yard.ok(&["pull", "-q", "--all-platforms", &format!("oci:{layout}:several:1")]);
    let listed = yard.json(&["images", "--format", "json", "several"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["Digest"], json!(digest));
    let id = |platform: &str| {
        let args = [
            "image",
            "inspect",
            "--platform",
            platform,
            "-f",
            "{{.Architecture}} {{.Id}}",
            "several:1",
        ];
        yard.ok(&args)
    };
    let (amd, arm) = (id("linux/amd64"), id("linux/arm64"));
    assert!(amd.starts_with("amd64 ") && arm.starts_with("arm64 "), "{amd} {arm}");
    let shown = format!("sha256:{}", listed[0]["Id"].as_str().unwrap());
    assert!([&amd, &arm].iter().any(|one| one.ends_with(&shown)));
    // A collection leaves all of them, and they go together.
    yard.ok(&["gc"]);
    let steps = yard.ok(&["history", "--platform", "linux/arm64", "-q", "several:1"]);
    let short = &arm["arm64 sha256:".len()..][..12];
    assert_eq!(steps.lines().collect::<Vec<_>>(), [short, "<missing>"]);
    yard.ok(&["rmi", "several:1"]);
    yard.wait_for_layers(2);
}

#[test]
fn what_has_several_names_is_removed_by_force_only() {
    let yard = Full::new();
    let text = yard.fails(2, &["rmi", &yard.base]);
    let names = BASES.join(", ");
    let expected = format!("tare: {}: the image has several names: {names}\nhint: ", yard.base);
    assert!(text.starts_with(&expected), "{text}");
    let digest = yard.ok(&["images", "--format", "{{.Digest}}", "localhost/base"]);
    assert_eq!(
        yard.ok(&["rmi", &format!("localhost/base@{digest}")]),
        "Untagged: localhost/base:1"
    );
    yard.ok(&["tag", "team/base:v1", "base:1"]);
    let text = yard.ok(&["rmi", "--force", &yard.base[..12]]);
    assert_eq!(text.lines().filter(|line| line.starts_with("Untagged: ")).count(), 2, "{text}");
    // Of several that are asked for the others go all the same.
    let output = yard.yard.tare(&["rmi", "nope", "app:2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("Untagged: localhost/app:2\n"));
    assert!(stderr(&output).starts_with("tare: nope: no such image\nhint: "));
    assert_eq!(yard.ok(&["rmi", "--ignore", "nope"]), "");
    assert_eq!(yard.ok(&["rmi", "--all"]), format!("Deleted: sha256:{}", yard.nameless));
}

#[test]
fn names_are_given_and_taken() {
    let yard = Full::new();
    yard.ok(&["tag", &yard.app[..8], "docker.io/library/x", "y:z"]);
    assert_eq!(
        yard.listed(&["--filter", &format!("id={}", yard.app)]),
        ["docker.io/library/x:latest", APP, "localhost/y:z"]
    );
    yard.ok(&["untag", "app:2", "x"]);
    yard.ok(&["untag", "app:2"]);
    assert_eq!(yard.listed(&["--filter", &format!("id={}", yard.app)]), [NONE]);
    // It is found by its ID, and survives a collection.
    yard.ok(&["gc"]);
    yard.ok(&["tag", &yard.app, "again"]);
    assert_eq!(yard.listed(&["--filter", "dangling=true"]), [NONE]);
    let exists = |name: &str| yard.yard.tare(&["image", "exists", name]).status.code();
    assert_eq!(
        [exists("again"), exists("localhost/again:latest"), exists("nope")],
        [Some(0), Some(0), Some(1)]
    );
    let text = yard.fails(1, &["untag", "again", "base:1"]);
    assert_eq!(text, "tare: base:1: is no name of again\n");
    let text = yard.fails(1, &["tag", "again", "Upper"]);
    assert!(text.contains("small letters"), "{text}");
}

#[test]
fn what_is_known_of_an_image_is_shown() {
    let yard = Full::new();
    let image = &yard.json(&["image", "inspect", "app:2"])[0];
    assert_eq!(image["Id"], json!(format!("sha256:{}", yard.app)));
    assert_eq!(image["RepoTags"], json!([APP]));
    assert_eq!(
        image["RepoDigests"],
        json!([format!("localhost/app@{}", image["Digest"].as_str().unwrap())])
    );
    assert_eq!(image["Created"], json!("2022-02-02T02:02:02Z"));
    let config = json!({"Env": ["A=1"], "Cmd": ["sh"], "Labels": {"stage": "test", "team": "a"}});
    assert_eq!(image["Config"], config);
    assert_eq!(image["Size"], json!(3_020_800));
    assert_eq!(image["RootFS"]["Type"], json!("layers"));
    let check = |template: &str, expected: &str| {
        assert_eq!(yard.ok(&["image", "inspect", "-f", template, "app:2"]), expected, "{template}");
    };
    check("{{.Id}}", &format!("sha256:{}", yard.app));
    check("{{.ID}}", &format!("sha256:{}", yard.app));
    check("{{.Config.Labels.team}} {{index .Config.Labels \"nope\"}}|", "a |");
    check("{{json .Config.Env}} {{.Created.Year}} {{len .RootFS.Layers}}", "[\"A=1\"] 2022 2");
    let output = yard.yard.tare(&["image", "inspect", "-f", "{{.Os}}", "nope", "app:2"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), "linux\n"));
    assert!(stderr(&output).starts_with("tare: nope: no such image"));
    // `inspect` shows the same of names that are no places.
    assert_eq!(
        yard.json(&["inspect", "app:2", &yard.base]),
        yard.json(&["image", "inspect", "app:2", "base:1"])
    );
    assert_eq!(yard.ok(&["inspect", "--type", "image", "-f", "{{.Os}}", "app:2"]), "linux");
    let output = yard.yard.tare(&["inspect", "--type", "container", "app:2"]);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(1), "tare: No such container: app:2\n")
    );
    let text = yard.fails(1, &["image", "inspect", "-f", "{{.Nope}}", "app:2"]);
    assert!(text.ends_with("map has no entry for key \"Nope\"\n"), "{text}");
}

#[test]
fn steps_and_layers_are_shown() {
    let yard = Full::new();
    let text = yard.ok(&["history", "--format", "{{.ID}} {{.Size}} {{.CreatedBy}}", "app:2"]);
    let id = &yard.app[..12];
    assert_eq!(text, format!("{id} 3.01MB COPY . /\n<missing> 10.2kB COPY . /"));
    assert!(
        yard.ok(&["history", "--human=false", "--format", "{{.Size}}", "app:2"])
            .starts_with("3010560\n")
    );
    assert_eq!(
        yard.ok(&["history", "-q", "--no-trunc", "app:2"]),
        format!("sha256:{}\n<missing>", yard.app)
    );
    let steps = yard.json(&["image", "history", "--format", "json", "app:2"]);
    assert_eq!(steps[0]["size"], json!(3_010_560));
    let tree = yard.ok(&["image", "tree", "app:2"]);
    assert!(
        tree.starts_with(&format!(
            "Image ID: {id}\nTags:     [{APP}]\nSize:     3.02MB\nImage Layers\n├── ID: "
        )),
        "{tree}"
    );
    assert!(tree.ends_with(&format!("Size:  3.01MB Top Layer of: [{APP}]")), "{tree}");
    let above = yard.ok(&["image", "tree", "--whatrequires", "base:1"]);
    assert!(above.ends_with(&format!("Images built upon it\n└── ID: {id} [{APP}]")), "{above}");
}

#[test]
fn a_mounted_image_is_seen_and_stays() {
    const TEST: &str = "a_mounted_image_is_seen_and_stays";
    if !is_root() {
        return skip(TEST, "mounting needs root");
    }
    let yard = Full::new();
    let place = yard.ok(&["mount", "app:2"]);
    assert_eq!(std::fs::read_to_string(format!("{place}/etc/a")).unwrap(), "a\n");
    assert_eq!(std::fs::metadata(format!("{place}/zeros")).unwrap().len(), 3_000_000);
    assert!(std::fs::write(format!("{place}/new"), "").is_err());
    assert_eq!(yard.ok(&["mount"]), format!("localhost/app:2   {place}"));
    assert_eq!(yard.json(&["image", "mount", "--format", "json"])[0]["mountpoint"], json!(place));
    let text = yard.fails(2, &["rmi", "app:2"]);
    assert!(
        text.starts_with(&format!("tare: app:2: the image is mounted at {place}\nhint: ")),
        "{text}"
    );
    // Its users keep what is removed by force.
    yard.ok(&["rmi", "--force", "app:2"]);
    assert_eq!(std::fs::read_to_string(format!("{place}/etc/a")).unwrap(), "a\n");
    assert_eq!(yard.ok(&["unmount", &place]), place);
    assert!(!std::path::Path::new(&format!("{place}/etc")).exists());
    let there = yard.yard.path("there");
    std::fs::create_dir(&there).unwrap();
    assert_eq!(yard.ok(&["mount", "--target", &there, "base:1"]), there);
    let text = yard.fails(1, &["unmount", "app:2"]);
    assert!(text.starts_with("tare: app:2: no such image"), "{text}");
    assert_eq!(yard.ok(&["umount", "base:1"]), there);
    let text = yard.fails(1, &["unmount", "base:1"]);
    assert_eq!(text, "tare: base:1: the image is not mounted\n");
    assert_eq!(yard.ok(&["mount", "--all"]).lines().count(), 2);
    assert_eq!(yard.ok(&["image", "unmount", "--all"]).lines().count(), 2);
    assert_eq!(yard.ok(&["mount"]), "");
}

#[test]
fn the_store_is_checked_and_mended() {
    let yard = Full::new();
    assert_eq!(yard.ok(&["fsck"]), "the store is in order");
    assert_eq!(yard.json(&["system", "fsck", "--full", "--format", "json"]), json!([]));
    // A byte of a configuration is another one: only the full check reads it.
    let blob = yard.store(&format!("blobs/sha256/{}/{}", &yard.app[..2], yard.app));
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    yard.ok(&["fsck", "--quick"]);
    let output = yard.yard.tare(&["fsck", "--full", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found[0]["problem"], json!("damaged"));
    assert_eq!(found[0]["digest"], json!(format!("sha256:{}", yard.app)));
    assert_eq!(found[0]["repaired"], json!(false));
    let output = yard.yard.tare(&["fsck", "--full", "--repair"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).ends_with(" (taken out of the way)\n"), "{}", stdout(&output));
    let text = stderr(&output);
    assert!(text.ends_with(&format!("\nhint: `tare pull {APP}` fetches them again\n")), "{text}");
    let output = yard.yard.tare(&["fsck"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("missing: "), "{}", stdout(&output));
    // The others are as they were.
    assert_eq!(yard.ok(&["image", "inspect", "-f", "{{.Os}}", "base:1"]), "linux");
}

#[test]
fn space_is_counted_and_freed() {
    let yard = Full::new();
    let rows = yard.json(&["system", "df", "--format", "json"]);
    assert_eq!(rows[0]["Type"], json!("Images"));
    assert_eq!(rows[0]["TotalCount"], json!("3"));
    assert_eq!(
        yard.ok(&["system", "df", "--format", "{{.Type}}"]),
        "Images\nContainers\nLocal Volumes\nBuild Cache\nLeftovers"
    );
    let verbose = yard.ok(&["system", "df", "-v"]);
    assert!(verbose.contains("SHARED SIZE   UNIQUE SIZE   CONTAINERS"), "{verbose}");
    let text = yard.fails(1, &["image", "prune"]);
    assert_eq!(text, "tare: nobody is there to be asked\nhint: --force does not ask\n");
    let text = yard.ok(&["image", "prune", "--force"]);
    assert!(
        text.starts_with(&format!("Deleted: sha256:{}\nTotal reclaimed space: ", yard.nameless)),
        "{text}"
    );
    assert_eq!(yard.listed(&[]).len(), 3);
    let text = yard.ok(&["image", "prune", "-af", "--filter", "label=team"]);
    assert!(text.contains("Untagged: localhost/app:2\n"), "{text}");
    assert_eq!(yard.listed(&[]), BASES);
    let collected = yard.json(&["gc", "--format", "json"]);
    assert_eq!(collected["Layers"], json!([]));
}
