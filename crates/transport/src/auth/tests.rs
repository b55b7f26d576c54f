//! The cases of containers/image's tests, with docker's files beside them, and own ones.

mod keep;

use super::*;
use crate::ErrorKind;
use crate::tests::test_directory;
use std::os::unix::fs::PermissionsExt;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/auth");

fn lookup(file: &str, legacy: bool) -> Lookup {
    let path = Path::new(DATA).join(file);
    Lookup { files: vec![AuthFile { path, legacy }], ..Lookup::default() }
}

fn shown(found: &Option<Credentials>) -> String {
    match found {
        None => "none".into(),
        Some(Credentials::Basic { user, password }) => format!("{user}:{password}"),
        Some(Credentials::Bearer { token }) => format!("?{token}"),
        Some(Credentials::Identity { user, token }) => format!("{user}?{token}"),
    }
}

#[test]
fn names_are_found_from_special_to_general() {
    let check = |file: &str, name: &str, expected: &str| {
        let found = lookup(file, file == "legacy.json").find(name).unwrap();
        assert_eq!(shown(&found), expected, "{file} {name}");
    };
    check("absent.json", "index.docker.io", "none");
    check("example.json", "", "none");
    check("example.json", "example.org", "example:org");
    check("example.json", "registry.example.org", "none");
    check("full.json", "docker.io", "docker:io");
    check("abnormal.json", "docker.io", "index:docker.io");
    check("full.json", "normalize.example.org", "normalize:example");
    check("full.json", "localhost", "local:host");
    check("full.json", "10.10.30.45:5000", "10.10:30.45-5000");
    check("abnormal.json", "localhost:5000", "local:host-5000");
    check("abnormal.json", "localhost:5001", "local:host-5001");
    check("abnormal.json", "127.0.0.1:5000", "127.0:0.1-5000");
    check(
        "example_identitytoken.json",
        "example.org",
        "00000000-0000-0000-0000-000000000000?some very long identity token",
    );
    check("empty.json", "localhost:5000", "none");
    check("refpath.json", "example.org/repo/image", "example:org");
    check("refpath.json", "example.org/repo", "example:org");
    check("refpath.json", "example.org/repository", "local:host");
    check("refpath.json", "example.org/image", "local:host");
    check("refpath.json", "docker.io/library/busybox", "library:busybox");
    check("refpath.json", "docker.io/library/notbusybox", "library:other");
    check("refpath.json", "docker.io/vendor/product", "first:level");
    check("refpath.json", "docker.io/vendor", "first:level");
    check("refpath.json", "docker.io/other-vendor/other-product", "top:level");
    check("legacy.json", "localhost", "local:host-legacy");
    check("legacy.json", "docker.io", "docker:io-legacy");
    check("legacy.json", "docker.io/library/x", "docker:io-legacy");
}

#[test]
fn the_first_file_that_knows_a_name_decides() {
    let file = |name: &str, legacy| AuthFile { path: Path::new(DATA).join(name), legacy };
    let files =
        vec![file("empty.json", false), file("full.json", false), file("legacy.json", true)];
    let lookup = Lookup { files, ..Lookup::default() };
    assert_eq!(shown(&lookup.find("docker.io").unwrap()), "docker:io");
}

#[test]
fn files_that_are_no_json_are_errors() {
    let directory = test_directory("auth-bad");
    let path = directory.join("auth.json");
    let find = |text: &str, legacy| {
        std::fs::write(&path, text).unwrap();
        let files = vec![AuthFile { path: path.clone(), legacy }];
        Lookup { files, ..Lookup::default() }.find("x.example").map(|found| shown(&found))
    };
    for legacy in [false, true] {
        let error = find("Json rocks! Unless it doesn't.", legacy).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("auth.json: "), "{error}");
    }
    assert_eq!(find("", false).unwrap(), "none");
    assert_eq!(find(r#"{"auths":{"x.example":{}}}"#, false).unwrap(), "none");
    assert_eq!(find(r#"{"auths":{"x.example":{"auth":"bm9jb2xvbg=="}}}"#, false).unwrap(), "none");
    assert!(find(r#"{"auths":{"x.example":{"auth":"!"}}}"#, false).is_err());
    let plain = r#"{"auths":{"x.example":{"username":"a","password":"b"}}}"#;
    assert_eq!(find(plain, false).unwrap(), "a:b");
    // What is for a namespace is not for the registry, nor for others of its namespaces.
    let space =
        r#"{"auths":{"x.example/a":{"auth":"YTpi"},"https://y.example/v1/":{"auth":"YTpi"}}}"#;
    let find_at = |name: &str| {
        std::fs::write(&path, space).unwrap();
        let files = vec![AuthFile { path: path.clone(), legacy: false }];
        shown(&Lookup { files, ..Lookup::default() }.find(name).unwrap())
    };
    for (name, expected) in [
        ("x.example", "none"),
        ("x.example/b", "none"),
        ("x.example/a/c", "a:b"),
        ("y.example/b", "a:b"),
    ] {
        assert_eq!(find_at(name), expected, "{name}");
    }
    // Docker pads with zeros.
    let padded = r#"{"auths":{"x.example":{"auth":"YTpiAAA="}}}"#;
    assert_eq!(find(padded, false).unwrap(), "a:b");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn files_are_looked_for_where_podman_and_docker_do() {
    let mut places = Places { home: "/home/x".into(), uid: 7, ..Places::default() };
    let check = |places: &Places, expected: &[&str]| {
        let files = places.files();
        let found: Vec<_> = files.iter().map(|file| file.path.to_str().unwrap()).collect();
        assert_eq!(found, expected);
        assert!(files.iter().all(|file| file.legacy == file.path.ends_with(".dockercfg")));
    };
    check(
        &places,
        &[
            "/run/containers/7/auth.json",
            "/home/x/.config/containers/auth.json",
            "/home/x/.docker/config.json",
            "/home/x/.dockercfg",
        ],
    );
    places.runtime_dir = Some("/run/user/7".into());
    places.config_home = Some("/conf".into());
    places.docker_config = Some("/docker".into());
    check(
        &places,
        &[
            "/run/user/7/containers/auth.json",
            "/conf/containers/auth.json",
            "/docker/config.json",
            "/home/x/.dockercfg",
        ],
    );
    assert_eq!(places.docker_files(), places.files()[2..]);
    places.named = Some("/named".into());
    check(&places, &["/named"]);
}

/// A helper that knows three registries, one of them by docker's name.
const HELPER: &str = r#"#!/bin/sh
read -r name
case "$1 $name" in
"get registry-a.example") echo '{"ServerURL":"x","Username":"foo","Secret":"bar"}' ;;
"get registry-b.example") echo '{"Username":"<token>","Secret":"fizzbuzz"}' ;;
"get https://index.docker.io/v1/") echo '{"Username":"hub","Secret":"dock"}' ;;
"get garbage.example") echo 'Secret: hunter2' ;;
"get large.example") head -c 2000000 /dev/zero ;;
"get broken.example") echo 'the key ring is locked'; exit 1 ;;
"get silent.example") exit 7 ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"#;

#[test]
fn helpers_are_asked() {
    let directory = test_directory("auth-helper");
    let helper = directory.join("docker-credential-test");
    std::fs::write(&helper, HELPER).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.join("config.json");
    let find = |config: &str, helpers: &[&str], name: &str| {
        std::fs::write(&path, config).unwrap();
        let lookup = Lookup {
            files: vec![AuthFile { path: path.clone(), legacy: false }],
            helpers: helpers.iter().map(ToString::to_string).collect(),
            search_path: std::env::join_paths([Path::new("/nowhere"), &directory]).unwrap(),
        };
        lookup.find(name).map(|found| shown(&found))
    };
    let own = r#"{"credHelpers":{"registry-a.example":"test"},"auths":{"registry-b.example":{"auth":"YTpi"}}}"#;
    assert_eq!(find(own, &[], "registry-a.example/x/y").unwrap(), "foo:bar");
    assert_eq!(find(own, &[], "registry-b.example/x/y").unwrap(), "a:b");
    let store = r#"{"credsStore":"test","auths":{"c.example":{"auth":"YTpi"}}}"#;
    assert_eq!(find(store, &[], "registry-b.example").unwrap(), "?fizzbuzz");
    assert_eq!(find(store, &[], "docker.io/library/x").unwrap(), "hub:dock");
    assert_eq!(find(store, &[], "c.example").unwrap(), "a:b");
    assert_eq!(find(store, &[], "d.example").unwrap(), "none");
    // Those of registries.conf: the files are only looked at where the list says so.
    let plain = r#"{"auths":{"c.example":{"auth":"YTpi"}}}"#;
    assert_eq!(find(plain, &["test"], "registry-a.example").unwrap(), "foo:bar");
    assert_eq!(find(plain, &["test"], "c.example").unwrap(), "none");
    assert_eq!(find(plain, &["test", "containers-auth.json"], "c.example").unwrap(), "a:b");
    for (helpers, name) in [
        (["test"], "garbage.example"),
        (["test"], "large.example"),
        (["test"], "broken.example"),
        (["absent"], "x.example"),
        (["../x"], "x.example"),
    ] {
        let error = find(plain, &helpers, name).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let locked = find(plain, &["test"], "broken.example").unwrap_err();
    assert!(locked.to_string().ends_with("the key ring is locked"), "{locked}");
    let silent = find(plain, &["test"], "silent.example").unwrap_err();
    assert!(silent.to_string().ends_with("docker-credential-test: exit status: 7"), "{silent}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn secrets_are_not_shown() {
    let basic = Credentials::Basic { user: "u".into(), password: "hunter2".into() };
    let identity = Credentials::Identity { user: "u".into(), token: "hunter2".into() };
    assert!(!format!("{basic:?}{identity:?}").contains("hunter2"));
}
