//! The grammar of containers-transports(5), with the cases of containers/image.

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const HEX_2: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Puts digests in the place of their marks: `{D}` and `{E}` are digests, `{I}` and `{J}` IDs.
fn filled(text: &str) -> String {
    let text = text.replace("{D}", &format!("sha256:{HEX}"));
    let text = text.replace("{E}", &format!("sha256:{HEX_2}"));
    text.replace("{I}", HEX).replace("{J}", HEX_2)
}

/// A place is written back as `expected`, and that is read as the same place.
fn check(text: &str, expected: &str) -> Place {
    let (text, expected) = (filled(text), filled(expected));
    let place = Place::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(place.to_string(), expected, "{text}");
    assert_eq!(place.transport(), text.split(':').next().unwrap());
    assert_eq!(Place::parse(&expected).unwrap(), place, "{text}");
    assert_eq!(Place::parse_unless_name(&text).unwrap(), Some(place.clone()), "{text}");
    place
}

fn refuse(text: &str) -> Error {
    let text = filled(text);
    match Place::parse(&text) {
        Ok(place) => panic!("{text} is {place:?}"),
        Err(error) => error,
    }
}

fn hint(text: &str) -> String {
    refuse(text).hint().unwrap_or_default().to_owned()
}

#[test]
fn every_transport_is_read() {
    let texts = [
        "containers-storage:x",
        "dir:x",
        "docker://x",
        "docker-archive:x",
        "docker-daemon:x:y",
        "host:x",
        "oci:x",
        "oci-archive:x",
        "rootfs:x",
        "store:x",
        "tar:x",
    ];
    let found: Vec<_> = texts.map(|text| Place::parse(text).unwrap().transport()).into();
    assert_eq!(found, TRANSPORTS);
    for transport in TRANSPORTS {
        assert_eq!(refuse(&format!("{transport}:")).kind(), ErrorKind::Invalid, "{transport}");
    }
}

#[test]
fn images_of_registries_are_read() {
    let place = check("docker://busybox", "docker://busybox:latest");
    let Place::Registry(image) = place else { panic!("{place:?}") };
    assert_eq!(image.name.to_string(), "docker.io/library/busybox:latest");
    assert!(!image.unnamed);
    check("docker://busybox:notlatest", "docker://busybox:notlatest");
    check("docker://x.example:5000/a/b", "docker://x.example:5000/a/b:latest");
    check("docker://a@{D}", "docker://a@{D}");
    // skopeo refuses both at once; here, the digest decides.
    check("docker://a:1@{D}", "docker://a:1@{D}");
    let place = check("docker://a/b@@unknown-digest@@", "docker://a/b@@unknown-digest@@");
    let Place::Registry(image) = place else { panic!("{place:?}") };
    assert!(image.unnamed && image.name.tag().is_none());
    for text in [
        "docker://",
        "docker:",
        "docker:///",
        "docker://Upper",
        "docker://{I}",
        "docker://a@",
        "docker://a@sha256:ab",
        "docker://a:1@@unknown-digest@@",
        "docker://a@{D}@@unknown-digest@@",
        "docker://@@unknown-digest@@",
        "docker://a@@unknown@@",
    ] {
        refuse(text);
    }
}

#[test]
fn layouts_and_their_archives_are_read() {
    for transport in ["oci", "oci-archive"] {
        for path in ["/", "/etc", "relative", "/tmp/x/nothing", "//tmp/x"] {
            for (written, kept) in [
                (":notlatest:image", ":notlatest:image"),
                (":latestimage", ":latestimage"),
                (":busybox@0", ":busybox@0"),
                (":", ""),
                ("", ""),
                (":@0", ":@0"),
                (":@999999", ":@999999"),
                ("@{D}", "@{D}"),
                (":x@{D}", ":x@{D}"),
            ] {
                let text = format!("{transport}:{path}{written}");
                check(&text, &format!("{transport}:{path}{kept}"));
            }
        }
        for rest in [":x", "/a:invalid'image!value@", "/a:@-1", "/a:@", "/a:@0:busybox", "/a:x "] {
            let text = format!("{transport}:{rest}");
            assert!(refuse(&text).to_string().starts_with(&text), "{text}");
        }
    }
}

#[test]
fn archives_of_docker_are_read() {
    let select = |text: &str, expected: &str| match check(text, expected) {
        Place::DockerArchive(place) => (place.path.display().to_string(), place.select),
        place => panic!("{place:?}"),
    };
    let path = "/path".to_owned();
    let of = |text: &str| select(text, text);
    assert_eq!(of("docker-archive:/path"), (path.clone(), ArchiveSelect::Only));
    assert_eq!(of("docker-archive:/path:@0"), (path.clone(), ArchiveSelect::Position(0)));
    let last = of("docker-archive:/path:@999999");
    assert_eq!(last, (path, ArchiveSelect::Position(999_999)));
    for (written, kept) in [
        ("/path:busybox:notlatest", "/path:docker.io/library/busybox:notlatest"),
        ("/path:busybox", "/path:docker.io/library/busybox:latest"),
        ("/path:docker.io/library/busybox:latest", "/path:docker.io/library/busybox:latest"),
        ("path:example.com/ns/foo:bar", "path:example.com/ns/foo:bar"),
    ] {
        check(&format!("docker-archive:{written}"), &format!("docker-archive:{kept}"));
    }
    for rest in [
        ":busybox",
        "/path:",
        "/path:busybox@{D}",
        "/path:busybox:latest@{D}",
        "/path:UPPERCASEISINVALID",
        "/path:@",
        "/path:@-2",
        "/path:@-1",
        "/path:@+1",
        "/path:@18446744073709551616",
        "/path:busybox@0",
        "/path:@0:busybox",
    ] {
        refuse(&format!("docker-archive:{rest}"));
    }
}

#[test]
fn images_of_dockerd_are_read() {
    for (written, kept) in [
        ("{D}", "{D}"),
        ("busybox:notlatest", "busybox:notlatest"),
        ("busybox:latest", "busybox:latest"),
        ("busybox@{D}", "busybox@{D}"),
        ("docker.io/library/busybox:latest", "busybox:latest"),
        ("x.example/a:1", "x.example/a:1"),
        ("sha512:ab", "sha512:ab"),
    ] {
        check(&format!("docker-daemon:{written}"), &format!("docker-daemon:{kept}"));
    }
    let place = Place::parse(&filled("docker-daemon:{D}")).unwrap();
    assert!(matches!(place, Place::Daemon(DaemonImage::Id(_))), "{place:?}");
    let sha512 = format!("sha512:{HEX}{HEX}");
    for rest in [
        "busybox",
        "{I}",
        "sha256:XX23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "sha256:ab",
        "UPPERCASEISINVALID",
        "busybox:latest@{D}",
        &sha512,
    ] {
        refuse(&format!("docker-daemon:{rest}"));
    }
    assert_eq!(hint("docker-daemon:busybox"), "write `docker-daemon:busybox:latest`");
    assert_eq!(hint("docker-daemon:{I}"), filled("write `docker-daemon:{D}`"));
}

#[test]
fn images_of_a_containers_storage_are_read() {
    let check_image = |text: &str, name: &str, id: &str| {
        let text = filled(text);
        let place = Place::parse(&format!("containers-storage:{text}"));
        let place = place.unwrap_or_else(|error| panic!("{text}: {error}"));
        let Place::Storage(image) = &place else { panic!("{place:?}") };
        let found = image.name.as_ref().map_or(String::new(), ToString::to_string);
        assert_eq!(found, filled(name), "{text}");
        assert_eq!(image.id.as_deref().unwrap_or(""), filled(id), "{text}");
        assert_eq!(Place::parse(&place.to_string()).unwrap(), place, "{text}");
    };
    const LATEST: &str = "docker.io/library/busybox:latest";
    const OTHER: &str = "docker.io/library/busybox:notlatest";
    check_image("busybox", LATEST, "");
    check_image("busybox:notlatest", OTHER, "");
    check_image("docker.io/library/busybox:notlatest", OTHER, "");
    check_image("example.com/a/b/c:1", "example.com/a/b/c:1", "");
    check_image("@{I}", "", "{I}");
    check_image("{I}", "", "{I}");
    check_image("@0123", "", "0123");
    check_image("sha256:ab", "docker.io/library/sha256:ab", "");
    check_image("sha256:{I}", "docker.io/library/sha256:{I}", "");
    check_image("busybox@{I}", LATEST, "{I}");
    check_image("busybox@abc", LATEST, "abc");
    check_image("busybox:notlatest@{I}", OTHER, "{I}");
    check_image("busybox@{D}", "docker.io/library/busybox@{D}", "");
    check_image("busybox:notlatest@{E}", "docker.io/library/busybox:notlatest@{E}", "");
    check_image("busybox@{E}@{I}", "docker.io/library/busybox@{E}", "{I}");
    check_image("busybox:notlatest@{D}@{I}", "docker.io/library/busybox:notlatest@{D}", "{I}");
    for text in [
        "[unterminated",
        "UPPERCASEISINVALID",
        "@{D}",
        "UPPERCASEISINVALID@{I}",
        "busybox@ab",
        "busybox@",
        "busybox@sha256:ab",
        "busybox@{D}@ab",
        "busybox@ab@{I}",
        "busybox@@{I}",
        "busybox:notlatest@{E}@{D}@{I}",
        "{I}@{J}",
        "@",
        "[/x]",
    ] {
        refuse(&format!("containers-storage:{text}"));
    }
}

#[test]
fn the_beginning_of_an_id_may_stand_where_a_name_does() {
    let maybe = |text: &str| match Place::parse(&format!("containers-storage:{text}")).unwrap() {
        Place::Storage(image) => image.maybe_id,
        place => panic!("{place:?}"),
    };
    assert_eq!(maybe("abc").as_deref(), Some("abc"));
    assert_eq!(maybe("0123456789abcdef").as_deref(), Some("0123456789abcdef"));
    for text in ["ab", "abc:1", "abcx", "a/abc", &format!("abc@{HEX}")] {
        assert_eq!(maybe(text), None, "{text}");
    }
}

#[test]
fn stores_are_read() {
    let store = |text: &str| match check(text, text) {
        Place::Storage(image) => image.store.unwrap(),
        place => panic!("{place:?}"),
    };
    let full = store("containers-storage:[overlay@/r+/run:a=b,c=d]docker.io/library/x:1");
    let expected = StorePlace {
        driver: Some("overlay".into()),
        root: "/r".into(),
        run_root: Some("/run".into()),
        options: vec!["a=b".into(), "c=d".into()],
    };
    assert_eq!(full, expected);
    let root = store("containers-storage:[/r]docker.io/library/x:1");
    let expected =
        StorePlace { driver: None, root: "/r".into(), run_root: None, options: Vec::new() };
    assert_eq!(root, expected);
    assert_eq!(store("containers-storage:[vfs@/r]@{I}").driver.as_deref(), Some("vfs"));
    for text in ["[]", "[relative]", "[d@relative]", "[@/r]", "[d@]", "[d@/r+relative]", "[+/r]"] {
        refuse(&format!("containers-storage:{text}busybox"));
    }
    refuse(&format!("containers-storage:[/r:{}]busybox", ",".repeat(64)));
}

#[test]
fn whatever_stands_behind_a_simple_transport_is_kept() {
    for text in ["dir:/etc", "dir:a:b", "tar:-", "tar:a.tar.gz", "rootfs:/r", "host:/bin/sh"] {
        check(text, text);
    }
    check("store:x@y", "store:x@y");
}

#[test]
fn the_right_spelling_is_suggested() {
    for (text, expected) in [
        ("docker:busybox", "write `docker://busybox`"),
        ("docker:/busybox", "write `docker://busybox`"),
        ("dockr://busybox", "write `docker://busybox`"),
        ("Docker://busybox", "write `docker://busybox`"),
        ("https://x.example/a", "write `docker://x.example/a`"),
        ("container-storage:x", "write `containers-storage:x`"),
        ("containers_storage:x", "write `containers-storage:x`"),
        ("podman:x", "write `containers-storage:x`"),
        ("docker-archiv:/x", "write `docker-archive:/x`"),
        ("docker-deamon:x:y", "write `docker-daemon:x:y`"),
        ("ocu:/x", "write `oci:/x`"),
        ("oci-tar:/x", "write `oci-archive:/x`"),
        ("rotfs:/x", "write `rootfs:/x`"),
        ("busybox", "write `docker://busybox` for a registry, `store:busybox` for the store"),
        ("busybox:1", "write `docker://busybox:1` for a registry, `store:busybox:1` for the store"),
        ("./x", "write `oci:./x` or `dir:./x`"),
        ("/x:1", "write `oci:/x:1` or `dir:/x:1`"),
        ("/x.tar:1", "write `oci-archive:/x.tar:1` or `docker-archive:/x.tar:1`"),
    ] {
        assert_eq!(hint(text), expected, "{text}");
        assert_eq!(refuse(text).kind(), ErrorKind::Invalid, "{text}");
    }
    for text in ["", ":", ":busybox", "é:x", &format!("{}:x", "x".repeat(100_000))] {
        assert_eq!(refuse(text).kind(), ErrorKind::Invalid);
    }
}

#[test]
fn transports_of_others_are_refused_with_a_reason() {
    for text in ["ostree:x@/y", "sif:/x", "atomic:x/y:z", "tarball:/x", "containerd:x"] {
        assert_eq!(refuse(text).kind(), ErrorKind::Unsupported, "{text}");
        assert!(!hint(text).is_empty(), "{text}");
        let error = Place::parse_unless_name(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
    }
}

#[test]
fn bare_names_are_told_from_places() {
    for text in ["busybox", "busybox:1", "x.example:5000/a", "docker:latest", "localhost:1/a:2", ""]
    {
        assert_eq!(Place::parse_unless_name(text).unwrap(), None, "{text}");
    }
    for text in ["oci:", "dockr://x", "https://x", "docker://", "docker-daemon:x"] {
        assert!(Place::parse_unless_name(text).is_err(), "{text}");
    }
}
