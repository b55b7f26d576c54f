//! The cases of docker's reference library (`tests/data/reference`), and own ones.

use super::*;
use crate::error::ErrorKind;
use serde_json::Value;

fn cases(group: &str) -> Vec<Value> {
    let text = include_str!("../../tests/data/reference/reference-vectors.json");
    let all: Value = serde_json::from_str(text).unwrap();
    let cases = all[group].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{group}");
    cases
}

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member].as_str().unwrap_or("")
}

#[test]
fn references_are_taken_to_pieces_as_docker_does() {
    for case in cases("parse") {
        let parsed = Parts::parse(text(&case, "input"));
        if !text(&case, "err").is_empty() {
            let expected = match text(&case, "err") {
                "digest.ErrDigestUnsupported" => ErrorKind::Unsupported,
                _ => ErrorKind::Invalid,
            };
            assert_eq!(parsed.map_err(|error| error.kind()), Err(expected), "{case}");
            continue;
        }
        let parts = parsed.unwrap();
        assert_eq!(parts.name, text(&case, "repository"), "{case}");
        assert_eq!(parts.domain(), text(&case, "domain"), "{case}");
        assert_eq!(parts.tag.unwrap_or(""), text(&case, "tag"), "{case}");
        let digest = parts.digest.map(|digest| digest.to_string()).unwrap_or_default();
        assert_eq!(digest, text(&case, "digest"), "{case}");
    }
}

#[test]
fn parts_put_together_are_the_text() {
    for case in cases("TestSerialization") {
        let input = text(&case, "input");
        if !text(&case, "err").is_empty() {
            assert!(Parts::parse(input).is_err());
            continue;
        }
        let reference = Reference::from_parts(&Parts::parse(input).unwrap()).unwrap();
        assert_eq!(reference.to_string(), input);
        assert_eq!(reference.name(), text(&case, "name"));
        assert_eq!(reference.tag().unwrap_or(""), text(&case, "tag"));
    }
    for case in cases("TestSplitHostname") {
        let parts = Parts::parse(text(&case, "input")).unwrap();
        assert_eq!((parts.domain(), parts.path()), (text(&case, "domain"), text(&case, "name")));
    }
    for case in cases("TestWithNameFailure") {
        assert!(Parts::parse(text(&case, "input")).is_err(), "{case}");
    }
}

/// The library's cases take 37 digits for a SHA-256, because it only looks at their number. Here they
/// are refused, and filled up for the rest of the test.
#[test]
fn tags_and_digests_are_added() {
    let cases = [cases("TestWithTag"), cases("TestWithDigest")].concat();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let short = text(&case, "digest");
        assert!(short.is_empty() || Digest::parse(short).is_err());
        let full = format!("{short:0<71}");
        let combined = text(&case, "combined").replace(short, &full);
        // The library takes names without a registry there; a reference has one.
        let lacking = Parts::parse(text(&case, "name")).unwrap().domain().is_empty();
        let domain = if lacking { "x.example/" } else { "" };
        let name = format!("{domain}{}", text(&case, "name"));
        let mut reference = Reference::parse_canonical(&name).unwrap();
        if !text(&case, "tag").is_empty() {
            reference = reference.with_tag(text(&case, "tag")).unwrap();
        }
        if !short.is_empty() {
            reference = reference.with_digest(Digest::parse(&full).unwrap());
        }
        let expected = if short.is_empty() { text(&case, "combined") } else { &combined };
        assert_eq!(reference.to_string(), format!("{domain}{expected}"));
    }
}

#[test]
fn only_names_in_full_are_canonical() {
    for case in cases("TestParseNamed") {
        let parsed = Reference::parse_canonical(text(&case, "input"));
        assert_eq!(parsed.is_err(), !text(&case, "err").is_empty(), "{case}");
        if let Ok(reference) = parsed {
            assert_eq!(reference.domain(), text(&case, "domain"));
            assert_eq!(reference.path(), text(&case, "name"));
        }
    }
}

#[test]
fn names_get_the_defaults_of_docker() {
    for (group, valid) in [
        ("name_valid", true),
        ("remote_valid", true),
        ("name_invalid", false),
        ("remote_invalid", false),
    ] {
        for case in cases(group) {
            let parsed = Reference::parse(case.as_str().unwrap());
            assert_eq!(parsed.is_ok(), valid, "{case}: {parsed:?}");
        }
    }
    for case in cases("TestNormalizedSplitHostname") {
        let reference = Reference::parse(text(&case, "input")).unwrap();
        assert_eq!(reference.domain(), text(&case, "domain"), "{case}");
        assert_eq!(reference.path(), text(&case, "name"), "{case}");
    }
}

#[test]
fn names_have_short_and_full_forms() {
    for case in cases("TestParseRepositoryInfo") {
        let forms = ["FamiliarName", "FullName", "AmbiguousName"];
        for form in forms.map(|form| text(&case, form)).iter().filter(|form| !form.is_empty()) {
            let reference = Reference::parse(form).unwrap();
            assert_eq!(reference.name(), text(&case, "FullName"), "{form}");
            assert_eq!(reference.familiar_name(), text(&case, "FamiliarName"), "{form}");
            assert_eq!(reference.domain(), text(&case, "Domain"), "{form}");
            assert_eq!(reference.path(), text(&case, "RemoteName"), "{form}");
        }
    }
}

#[test]
fn images_are_called_by_name_digest_or_id() {
    for case in cases("TestParseAnyReference") {
        let found = match Designation::parse(text(&case, "Reference")).unwrap() {
            Designation::Reference(reference) => reference.to_string(),
            Designation::Digest(digest) => digest.to_string(),
        };
        assert_eq!(found, text(&case, "Equivalent"));
    }
}

#[test]
fn a_pull_needs_a_tag_or_a_digest() {
    for case in cases("TestParseDockerRef") {
        let mut reference = Reference::parse(text(&case, "input")).unwrap().or_latest();
        // The library drops the tag next to a digest. Here it stays, and the digest decides.
        if let (Some(digest), Some(_)) = (reference.digest().copied(), reference.tag()) {
            assert_eq!(reference.selector(), digest.to_string());
            reference = reference.repository().with_digest(digest);
        }
        assert_eq!(reference.to_string(), text(&case, "expected"), "{case}");
    }
}

#[test]
fn names_are_found_by_patterns() {
    for case in cases("TestMatch") {
        let reference = Reference::parse(text(&case, "reference")).unwrap();
        let expected = case["expected"].as_bool();
        assert_eq!(reference.matches(text(&case, "pattern")), expected, "{case}");
    }
}

/// The library's regular expressions, one by one.
#[test]
fn the_grammar_is_that_of_the_expressions() {
    for case in cases("TestDomainRegexp") {
        let expected = case["match"].as_bool().unwrap();
        assert_eq!(is_domain(text(&case, "input")), expected, "{case}");
    }
    for case in cases("TestIdentifierRegexp") {
        let expected = case["match"].as_bool().unwrap();
        assert_eq!(is_identifier(text(&case, "input")), expected, "{case}");
    }
    for case in cases("TestFullNameRegexp") {
        let input = text(&case, "input");
        // An expression for names knows no tags, and no limit.
        let (_, last) = input.rsplit_once('/').unwrap_or(("", input));
        let parsed = Parts::parse(input).ok().filter(|_| !last.contains(':'));
        let expected = case["match"].as_bool().unwrap();
        if input.len() > NAME_LIMIT_BYTES {
            assert!(expected && parsed.is_none());
            continue;
        }
        assert_eq!(parsed.is_some(), expected, "{case}");
        if let (Some(parts), Some(subs)) = (parsed, case["subs"].as_str()) {
            assert_eq!([parts.domain(), parts.path()].concat(), subs, "{case}");
        }
    }
    for case in cases("TestReferenceRegexp") {
        // One input was lost when the table was made: its comment says what it is.
        let digest = "sha256:be178c0543eb17f5f3043021c9e5fcf30285e557a4fc309cce97ff9ca6182912";
        let input = match text(&case, "input") {
            lost if lost.starts_with("// ") => format!("localhost:8080@{digest}"),
            input => input.to_owned(),
        };
        let parsed = Parts::parse(&input);
        assert_eq!(parsed.is_ok(), case["match"].as_bool().unwrap(), "{case}");
        if let Ok(parts) = parsed {
            let digest = parts.digest.map(|digest| digest.to_string()).unwrap_or_default();
            let found = [parts.name, parts.tag.unwrap_or(""), &digest].concat();
            assert_eq!(found, text(&case, "subs"));
        }
    }
}

#[test]
fn ports_addresses_and_limits() {
    let check = |text: &str, expected: Option<&str>| {
        let found = Reference::parse(text).ok().map(|found| found.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    };
    check("localhost/x", Some("localhost/x"));
    check("[::1]:5000/x:1", Some("[::1]:5000/x:1"));
    check("[::1]/x", Some("[::1]/x"));
    check("[::g]/x", None);
    check("[]/x", None);
    check("[::1/x", None);
    check("Foo/bar", Some("Foo/bar"));
    check("a:/x", None);
    check("a:b/x", None);
    check("x:", None);
    check("x@", None);
    check("x:a@", None);
    check("x:a:b", None);
    check("x\n", None);
    check("x:\u{e9}", None);
    check("\u{e9}", None);
    check("..", None);
    check("x/../y", None);
    let long = "a".repeat(NAME_LIMIT_BYTES - "docker.io/library/".len());
    check(&long, Some(&format!("docker.io/library/{long}")));
    check(&format!("{long}a"), None);
    check(&format!("x:{}", "t".repeat(TAG_LIMIT_BYTES + 1)), None);
    let reference = Reference::parse("x").unwrap();
    assert!(reference.with_tag(&"t".repeat(TAG_LIMIT_BYTES)).is_ok());
    assert!(reference.with_tag("").is_err() && reference.with_tag("-x").is_err());
    assert_eq!(reference.selector(), "latest");
    assert_eq!(reference.matches("["), None);
    let long = "x".repeat(10_000) + "\u{1b}[2J!";
    let error = Reference::parse(&long).unwrap_err().to_string();
    assert!(error.len() < 200 && !error.contains('\u{1b}'), "{error}");
}
