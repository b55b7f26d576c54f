//! Copies of other registries.

use super::Served;
use e2e::images::{DockerRegistry, Recorder, Sample, Yard};

const BOTH: Sample = Sample {
    text: "both",
    architectures: &["amd64", "arm64"],
    layers: 2,
    packed: true,
    bytes: 200_000,
};

/// What docker's registry has comes once, is the same, and stays when that is gone.
#[test]
fn images_of_dockers_registry_are_copied_once() {
    const TEST: &str = "images_of_dockers_registry_are_copied_once";
    let yard = Yard::new();
    let Some(docker) = DockerRegistry::start(TEST, &yard) else { return };
    let digest = BOTH.write(&yard.path("layout"), "both");
    let layout = format!("oci:{}:both", yard.path("layout"));
    yard.fine(&["copy", "-q", "--all", &layout, &docker.place("team/app:v1")]);
    let recorder = Recorder::before(&docker);
    let proxy = format!("hub=http://{}", recorder.host());
    let served = Served::start(&yard, "copies", &["--proxy", &proxy, "--proxy-ttl", "1s"]);
    let pull = |served: &Served, to: &str| {
        let from = served.place("hub/team/app:v1");
        yard.fine(&["copy", "-q", "--all", &from, &format!("oci:{}:both", yard.path(to))]);
        let found = yard.fine(&["inspect", "--raw", &from]);
        assert_eq!(e2e::images::sha256(found.as_bytes()), digest);
        assert_eq!(yard.list(&format!("{to}/blobs/sha256")), yard.list("layout/blobs/sha256"));
    };
    pull(&served, "first");
    let asked = recorder.take();
    let gets =
        |what: &str| asked.iter().filter(|it| it.starts_with("GET") && it.contains(what)).count();
    // An index, two manifests, and of each a configuration and two layers, some of which are the same.
    let blobs = yard.list("layout/blobs/sha256").len() - 3;
    assert_eq!((gets("/manifests/"), gets("/blobs/")), (3, blobs), "{asked:#?}");
    pull(&served, "second");
    let asked = recorder.take();
    assert!(!asked.iter().any(|it| it.starts_with("GET /v2/team")), "{asked:#?}");
    assert_eq!(
        yard.fine(&["list-tags", &served.place("hub/team/app")]).matches("\"v1\"").count(),
        1
    );
    let refused = yard.fails(&["copy", "-q", "--all", &layout, &served.place("hub/team/app:v2")]);
    assert!(refused.contains("405"), "{refused}");
    served.stop();
    let proxy = format!("hub=http://{}", docker.host());
    drop(docker);
    let served = Served::start(&yard, "copies", &["--proxy", &proxy, "--proxy-ttl", "0"]);
    pull(&served, "third");
    served.stop();
    let checked = yard.fine(&["registry", "check", "--root", &yard.path("copies")]);
    assert!(checked.contains(" 0 problems"), "{checked}");
}

/// A copy of a copy, by password, of all that a registry has.
#[test]
fn copies_say_who_they_are_to_the_registry_only() {
    let yard = Yard::new();
    let line = yard.tare_command(&["registry", "htpasswd", "ann"]);
    let line = {
        use std::io::Write;
        let mut command = line;
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
        child.wait_with_output().unwrap().stdout
    };
    let passwords = yard.write("htpasswd", &line);
    let first = Served::start(&yard, "first", &["--htpasswd", &passwords]);
    let digest = BOTH.write(&yard.path("layout"), "both");
    let layout = format!("oci:{}:both", yard.path("layout"));
    let place = first.place("team/app:v1");
    yard.fine(&["copy", "-q", "--all", "--dest-creds", "ann:secret", &layout, &place]);
    // Without credentials, what is there is as if it were not.
    let proxy = format!("http://{}", first.host);
    let nobody = Served::start(&yard, "nobody", &["--proxy", &proxy]);
    let refused = yard.fails(&["inspect", "--raw", &nobody.place("team/app:v1")]);
    assert!(refused.contains("there is no manifest"), "{refused}");
    let auth = format!(r#"{{"auths":{{"{}":{{"auth":"YW5uOnNlY3JldA=="}}}}}}"#, first.host);
    let file = yard.write("proxy-auth.json", auth.as_bytes());
    let second = Served::start(&yard, "second", &["--proxy", &proxy, "--proxy-authfile", &file]);
    let of_second = format!("all=http://{}", second.host);
    let third = Served::start(&yard, "third", &["--proxy", &of_second]);
    for place in [second.place("team/app:v1"), third.place("all/team/app:v1")] {
        let found = yard.fine(&["inspect", "--raw", &place]);
        assert_eq!(e2e::images::sha256(found.as_bytes()), digest, "{place}");
        yard.fine(&["copy", "-q", "--all", &place, &format!("dir:{}", yard.path("to"))]);
    }
}
