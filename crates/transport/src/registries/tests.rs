//! The cases of containers/image's tests, and own ones.

use super::*;
use crate::tests::test_directory;
use short::is_short;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
const HASH: &str = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn load(main: &str, drop_ins: &[&str]) -> Result<Registries> {
    let path = |name: &str| Path::new(DATA).join(name);
    Registries::load(&Files {
        main: path(main),
        must_exist: true,
        drop_ins: drop_ins.iter().map(|name| path(name)).collect(),
        chosen_aliases: None,
    })
}

/// Loads a text.
fn read(name: &str, text: &str) -> Result<Registries> {
    let directory = test_directory(name);
    let main = directory.join("registries.conf");
    std::fs::write(&main, text).unwrap();
    let loaded = Registries::load(&Files { main, must_exist: true, ..Files::default() });
    std::fs::remove_dir_all(directory).unwrap();
    loaded
}

fn parse(name: &str) -> Reference {
    Reference::parse_canonical(name).unwrap()
}

#[test]
fn files_that_are_there_are_read() {
    let check = |main: &str, count: usize| {
        let registries = load(main, &[]).unwrap();
        assert_eq!(registries.entries().len(), count, "{main}");
        assert_eq!(registries.warnings(), [] as [String; 0], "{main}");
    };
    check("registries/empty.conf", 0);
    check("registries/mirrors.conf", 2);
    check("registries/unmarshal.conf", 4);
    check("registries/invalidate-cache.conf", 4);
    check("registries/try-update-cache-valid.conf", 1);
    check("registries/unqualified-search.conf", 4);
    check("registries/pull-sources-from-reference.conf", 9);
    check("registries/base-for-registries.d.conf", 1);
    check("registries/cred-helper.conf", 3);
    check("registries-default.conf", 0);
    check("registries-libimage.conf", 1);
    check("skopeo/registries.conf", 5);
    check("skopeo/blocked-registries.conf", 2);
    check("auth/cred-helper.conf", 0);
    check("auth/cred-helper-with-auth-files.conf", 0);
    let absent = Files { main: Path::new(DATA).join("absent.conf"), ..Files::default() };
    assert_eq!(Registries::load(&absent).unwrap().entries().len(), 0);
}

#[test]
fn mistakes_are_named() {
    let check = |main: &str, kind: ErrorKind, expected: &str| {
        let error = load(&format!("registries/{main}.conf"), &[]).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{main}: {error}");
    };
    let invalid = ErrorKind::Invalid;
    check("insecure-conflicts", invalid, "registry.com: is there twice, and `insecure` says both");
    check("blocked-conflicts", invalid, "`blocked` says both");
    check("missing-mirror-location", invalid, "mirror.location: is not there");
    check("invalid-prefix", invalid, "registry.prefix: `http://schema-is-invalid.com` must not");
    check(
        "invalid-search",
        invalid,
        "`registry-a.com/namespace-is-forbidden` is no registry's name",
    );
    check("invalid-short-name-mode", invalid, "short-name-mode: `invalid`");
    check("invalid-aliases", invalid, "aliases: `quay.io/repo/image:1` must name");
    check("invalid-value-mirror", invalid, "pull-from-mirror: `notvalid`");
    check(
        "invalid-config-level-mirror",
        invalid,
        "registry.pull-from-mirror: belongs into a mirror",
    );
    check("invalid-conflict-mirror", invalid, "exclude each other");
    check("try-update-cache-invalid", invalid, "line 1: ");
    check("this-does-not-exist", ErrorKind::NotFound, "there is no such file");
    for old in [
        "v1-compatibility",
        "v1-invalid-block",
        "v1-invalid-insecure",
        "v1-invalid-search",
        "mixing-v1-v2",
        "mixing-v1-v2-empty",
    ] {
        check(old, ErrorKind::Unsupported, "has the format of version 1");
    }
    let error = read("mistakes", "a = 1\n[[registry]]\nlocation = 1\n").unwrap_err();
    assert!(error.to_string().ends_with("location: integer instead of a string"), "{error}");
    let error = read("mistakes", "[[registry]]\n\nlocation = \n").unwrap_err();
    assert!(error.to_string().contains("line 3: "), "{error}");
    for prefix in ["*.x.example/y", "*.x.example:5000", "*.", "*.*.example"] {
        let text = format!("[[registry]]\nprefix = \"{prefix}\"\n");
        assert!(read("mistakes", &text).is_err(), "{prefix}");
    }
    let known = read("mistakes", "x = 1\n[[registry]]\nlocation = \"a.example\"\nbloked = true\n");
    let warnings = known.unwrap().warnings().join("\n");
    assert!(warnings.contains("`x` is not known") && warnings.contains("registry.bloked"));
}

#[test]
fn drop_ins_replace_what_comes_before() {
    let registries =
        load("registries/base-for-registries.d.conf", &["registries/registries.conf.d"]).unwrap();
    assert_eq!(registries.search(), ["example-overwrite.com"]);
    assert!(registries.search_origin.ends_with("registries.conf.d/config-1.conf"));
    assert_eq!(registries.credential_helpers(), ["dropin-1", "dropin-2"]);
    let locations: Vec<_> = registries.entries().iter().map(|entry| &*entry.location).collect();
    assert_eq!(locations.len(), 6, "{locations:?}");
    let base = registries.find("base.com/image").unwrap();
    assert!(base.blocked && !base.insecure);
    assert!(registries.find("ignore-me-because-i-have-a-wrong-suffix.com").is_none());
    // Set to nothing, and not set.
    let unset = load("registries/unqualified-search.conf", &["registries/registries.conf.d-usr1"]);
    assert_eq!(unset.unwrap().search().len(), 3);
    let emptied =
        load("registries/unqualified-search.conf", &["registries/registries.conf.d-usr2"]);
    assert_eq!(emptied.unwrap().search().len(), 0);
    let helpers =
        load("registries/cred-helper.conf", &["registries/registries.conf.d-empty-helpers"]);
    assert_eq!(helpers.unwrap().credential_helpers().len(), 0);
}

#[test]
fn prefixes_end_at_separators() {
    let digest = |digit: &str| format!("example.com/foo@sha256:{}", digit.repeat(64));
    let check = |name: &str, prefix: &str, expected: Option<usize>| {
        assert_eq!(entry::matched(name, prefix), expected, "{name} {prefix}");
    };
    for (name, prefix) in [
        ("docker.io", "docker.io"),
        ("example.com:5000", "example.com:5000"),
        ("example.com:5000", "example.com"),
        ("example.com/foo", "example.com"),
        ("example.com/foo/bar:baz", "example.com"),
        ("docker.io/library", "docker.io/library"),
        ("docker.io/library/busybox", "docker.io/library"),
        ("docker.io/library/busybox", "docker.io/library/busybox"),
        ("example.com/foo:bar", "example.com/foo:bar"),
    ] {
        check(name, prefix, Some(prefix.len()));
    }
    check(&digest("a"), &digest("a"), Some(digest("a").len()));
    for (name, prefix) in [
        ("docker.io", "example.com"),
        ("example.com:50000", "example.com:5000"),
        ("docker.io", "docker.io/library"),
        ("example.com/library", "docker.io/library"),
        ("docker.io/libraryy", "docker.io/library"),
        ("docker.io/library/busybox2", "docker.io/library/busybox"),
        ("example.com/foo", "example.com/foo:bar"),
        ("example.com/foo:bar2", "example.com/foo:bar"),
        ("example.com/foo", "*"),
        ("docker.io/foo", "*.com"),
        ("example.com/foo", "*.co"),
        ("example.com/foo", "*.example.com"),
        ("yet.another.example.com/foo", "**.example.com"),
        ("example.net/namespace-ends-in.com/foo/bar/bbq:baz", "*.com"),
        ("another.example.com/namespace.com/foo/bar/bbq:baz", "*.namespace.com"),
    ] {
        check(name, prefix, None);
    }
    check(&digest("b"), &digest("a"), None);
    for (name, prefix, host) in [
        ("docker.io", "*.io", "docker.io"),
        ("example.com/foo/bar:baz", "*.com", "example.com"),
        ("yet.another.example.com/foo/bar", "*.another.example.com", "yet.another.example.com"),
        ("another.example.com/namespace.com/foo:baz", "*.example.com", "another.example.com"),
        ("another.sub.example.com/foo", "*.sub.example.com", "another.sub.example.com"),
    ] {
        check(name, prefix, Some(host.len()));
    }
}

#[test]
fn the_longest_prefix_counts() {
    let registries =
        load("registries/find-registry.conf", &["registries/registries.conf.d"]).unwrap();
    assert_eq!(registries.entries().len(), 19);
    let check = |name: &str, location: Option<&str>| {
        let found = registries.find(name).map(|entry| &*entry.location);
        assert_eq!(found, location, "{name}");
    };
    check("simple-prefix.com/foo/bar:latest", Some("registry.com:5000"));
    check("simple-prefix.com", Some("registry.com:5000"));
    check("not.so.simple-prefix.com/", Some("subdomain-prefix.com"));
    check("not.quite.simple-prefix.com/", Some("subdomain-prefix-2.com"));
    check("not.quite.simple-prefix.com:5000/with/path:tag", Some("subdomain-prefix-2.com"));
    check(
        "really.not.quite.simple-prefix.com:5000/with/path/and/beyond:tag",
        Some("subdomain-prefix-1-overridden-by-dropin-location.com"),
    );
    check("foo.docker.io:5000/omg/wtf/bbq:foo", Some("subdomain-prefix-2.com"));
    check(
        &format!("foo.bar.example.com:6000/omg/wtf/bbq{HASH}"),
        Some("subdomain-prefix-3-overridden-by-dropin-location.com"),
    );
    check("foo.bar.docker.io:5000/omg/wtf/bbq:foo", Some("subdomain-prefix-4.com"));
    check("foo.bar.example.com:5000/omg/wtf/bbq:foo", Some("subdomain-prefix-5.com"));
    check("simple-prefix.net", None);
    check("complex-prefix.com:4000/with/path/and/beyond:tag", Some("another-registry.com:5000"));
    check("no-prefix.com/foo:tag", Some("no-prefix.com"));
    check("empty-prefix.com/foo:tag", Some("empty-prefix.com"));
}

#[test]
fn names_get_the_location_for_their_prefix() {
    let check = |name: &str, prefix: &str, location: &str, expected: Option<&str>| {
        let entry = Registry { prefix: prefix.into(), ..Registry::default() };
        let found = entry.rewrite(&parse(name), location).ok().map(|found| found.to_string());
        assert_eq!(found.as_deref(), expected, "{name} {prefix} {location}");
    };
    check("example.com/image", "example.com", "example.com", Some("example.com/image"));
    check("example.com:5000/image:1", "example.com:5000", "x.io:1", Some("x.io:1/image:1"));
    let named = format!("example.com/foo{HASH}");
    check(&named, "example.com", "example.com", Some(&named));
    check("example.com/foo/i:1", "example.com/foo", "example.com", Some("example.com/i:1"));
    check("example.com/foo/i:1", "example.com/foo", "x.io/p", Some("x.io/p/i:1"));
    check("docker.io/library/i", "docker.io/library", "example.com", Some("example.com/i"));
    check("docker.io/library/i", "docker.io", "example.com", Some("example.com/library/i"));
    check("docker.io/namespace/i", "*.io", "example.com", Some("example.com/namespace/i"));
    check("a.sub.example.io:5000/p/i:1", "*.sub.example.io", "x.com", Some("x.com:5000/p/i:1"));
    check("foo.bar.io/ns1/ns2", "*.bar.io", "omg.bbq.com/r", Some("omg.bbq.com/r/ns1/ns2"));
    check(
        "abc.internal.registry.com/f:b",
        "*.registry.com",
        "",
        Some("abc.internal.registry.com/f:b"),
    );
    for (name, prefix, location) in [
        ("example.com/foo/image:latest", "example.com/foo", "example.com/path/"),
        (&*named, "example.com/foo", "example.com"),
        ("example.com:5000/image:latest", "example.com", ""),
        ("example.com:5000/image:latest", "example.com", "example.com:5000"),
        ("example.com/foo/image:latest", "example.com//foo", "example.com/path"),
        ("example.com/image:latest", "image", "anotherimage"),
        ("example.com/foo/image", "example.com/f", "example.com/foo"),
        ("docker.io/library/image", "example.com", "example.com"),
        ("docker.io/library/image", "*.com", "example.com"),
        ("foo.docker.io/library/image", "*.docker.com", "example.com/image"),
    ] {
        check(name, prefix, location, None);
    }
}

#[test]
fn mirrors_are_asked_for_what_they_may_be() {
    let registries = load("registries/pull-sources-from-reference.conf", &[]).unwrap();
    let check = |prefix: &str, selector: &str, places: &[&str], insecure: usize| {
        let sources =
            registries.pull_sources(&parse(&format!("{prefix}/image{selector}"))).unwrap();
        let expected = places.iter().map(|place| format!("{place}/image{selector}"));
        let found = sources.iter().map(|source| source.reference.to_string());
        assert!(found.eq(expected), "{prefix}{selector}: {sources:?}");
        assert_eq!(sources.iter().filter(|source| source.insecure).count(), insecure);
        assert!(sources.iter().rev().skip(1).all(|source| source.is_mirror));
        assert!(!sources.last().unwrap().is_mirror);
    };
    let mirrors = |letter: char, numbers: &[u32]| -> Vec<String> {
        let mirror = |number: &u32| format!("mirror-{number}.registry-{letter}.com");
        numbers.iter().map(mirror).chain([format!("registry-{letter}.com/bar")]).collect()
    };
    for (letter, prefix, by_digest, by_tag, insecure) in [
        ('a', "foo", &[1, 2][..], &[1, 2][..], 1),
        ('b', "foo", &[1, 2], &[], 0),
        ('a', "baz", &[1, 2], &[1, 2], 1),
        ('b', "baz", &[1, 2], &[], 0),
        ('c', "baz", &[1, 2], &[1], 0),
        ('d', "baz", &[1, 2], &[], 0),
        ('e', "baz", &[], &[1, 2], 0),
        ('f', "baz", &[1], &[1, 2], 0),
        ('g', "baz", &[1, 3, 4], &[2, 3, 4], 0),
    ] {
        let prefix = format!("registry-{letter}.com/{prefix}");
        for (selector, numbers) in [(HASH, by_digest), (":aaa", by_tag)] {
            let places = mirrors(letter, numbers);
            let places: Vec<_> = places.iter().map(String::as_str).collect();
            check(&prefix, selector, &places, insecure);
        }
    }
    // Nothing is configured for it.
    check("registry-x.com", ":1", &["registry-x.com"], 0);
}

#[test]
fn blocked_registries_are_refused() {
    let registries = load("skopeo/blocked-registries.conf", &[]).unwrap();
    let blocked = parse("registry-blocked.com/image:test");
    let error = registries.pull_sources(&blocked).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("blocked-registries.conf"));
    assert!(registries.push_target(&blocked).is_err());
    let allowed = parse("registry-unblocked.com/image:test");
    assert_eq!(registries.pull_sources(&allowed).unwrap().len(), 1);
    // Pushing goes to the name itself.
    let registries = load("registries/pull-sources-from-reference.conf", &[]).unwrap();
    let pushed = parse("registry-a.com/foo/image:1");
    assert_eq!(registries.push_target(&pushed).unwrap().reference, pushed);
}

#[test]
fn short_names_stand_for_what_is_configured() {
    let names = |resolution: Result<Resolution>| match resolution {
        Ok(Resolution::Try(candidates)) => {
            let names = candidates.iter().map(|it| it.reference.to_string());
            names.collect::<Vec<_>>().join(" ")
        }
        Ok(Resolution::Ask(candidates)) => format!("ask {}", candidates.len()),
        Err(error) => format!("{:?}", error.kind()),
    };
    let check = |main: &str, drop_ins: &[&str], name: &str, expected: [&str; 2]| {
        let registries = load(main, drop_ins).unwrap();
        for (interactive, expected) in [false, true].into_iter().zip(expected) {
            assert_eq!(names(registries.resolve(name, interactive)), expected, "{main} {name}");
        }
    };
    let alias = "quay.io/repo/image";
    for file in ["no-reg", "one-reg", "two-reg"] {
        let file = format!("shortnames/{file}.conf");
        check(&file, &[], "repo/image", [alias; 2]);
        check(&file, &[], "repo/image:tag", [&*format!("{alias}:tag"); 2]);
        check(&file, &[], &format!("repo/image{HASH}"), [&*format!("{alias}{HASH}"); 2]);
        check(&file, &[], "quay.io/new/image:1", ["quay.io/new/image:1"; 2]);
        check(&file, &[], "localhost/x", ["localhost/x"; 2]);
    }
    check("shortnames/no-reg.conf", &[], "new/image", ["NotFound"; 2]);
    check("shortnames/one-reg.conf", &[], "new/image:1", ["quay.io/new/image:1"; 2]);
    let both = "quay.io/new/image registry.com/new/image";
    check("shortnames/two-reg.conf", &[], "new/image", [both, "ask 2"]);
    check("shortnames/two-reg.conf", &[], "in valid", ["Invalid"; 2]);
    let aliases = "shortnames/aliases.conf";
    check(aliases, &[], "docker", ["docker.io/library/foo"; 2]);
    check(aliases, &[], "quay/foo:a", ["quay.io/library/foo:a"; 2]);
    check(aliases, &[], "empty", ["NotFound"; 2]);
    let drop_ins = ["shortnames/registries.conf.d"];
    check(aliases, &drop_ins, "docker", ["docker.io/library/config1"; 2]);
    check(aliases, &drop_ins, "barz", ["barz.com/config2"; 2]);
    check(aliases, &drop_ins, "example", ["example-overwrite.com/example"; 2]);
    for mode in ["enforcing", "permissive", "disabled", ""] {
        let text = format!(
            "unqualified-search-registries = [\"a.example\", \"docker.io\"]\nshort-name-mode = \"{mode}\"\n"
        );
        let registries = read("modes", &text).unwrap();
        let tried = "a.example/x docker.io/library/x";
        let expected = match mode {
            "enforcing" => ["Ambiguous", "ask 2"],
            "disabled" => [tried, tried],
            _ => [tried, "ask 2"],
        };
        for (interactive, expected) in [false, true].into_iter().zip(expected) {
            assert_eq!(names(registries.resolve("x", interactive)), expected, "{mode}");
        }
        if mode == "enforcing" {
            let hint = registries.resolve("x:1", false).unwrap_err().hint().unwrap().to_owned();
            assert!(hint.contains(r#"`"x" = "a.example/x"` below [aliases] in "#), "{hint}");
        }
    }
    assert!(is_short("x") && is_short("x/y") && is_short("x:5000"));
    assert!(!is_short("x.y/z") && !is_short("x:5000/z") && !is_short("localhost/z"));
}

#[test]
fn choices_are_recorded_and_come_first() {
    let directory = test_directory("choices");
    let chosen = directory.join("below/short-name-aliases.conf");
    let reload = || {
        let main = Path::new(DATA).join("shortnames/aliases.conf");
        let chosen_aliases = Some(chosen.clone());
        Registries::load(&Files { main, must_exist: true, chosen_aliases, ..Files::default() })
    };
    let resolve = |name: &str| match reload().unwrap().resolve(name, false).unwrap() {
        Resolution::Try(candidates) => candidates[0].reference.to_string(),
        Resolution::Ask(_) => unreachable!("nobody can be asked"),
    };
    assert_eq!(resolve("docker:1"), "docker.io/library/foo:1");
    record_alias(&chosen, "docker:1", &parse("a.example/x:1")).unwrap();
    record_alias(&chosen, "some/thing", &parse("b.example/x")).unwrap();
    record_alias(&chosen, "docker", &parse("c.example/x")).unwrap();
    assert_eq!(resolve("docker:1"), "c.example/x:1");
    assert_eq!(resolve("some/thing"), "b.example/x");
    assert_eq!(std::fs::read_dir(chosen.parent().unwrap()).unwrap().count(), 1);
    std::fs::remove_dir_all(directory).unwrap();
}
