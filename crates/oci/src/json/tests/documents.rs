//! Documents: paths in errors, absence, order, options.

use crate::json::{Object, read, write, write_pretty};
use crate::runtime::*;

fn check(text: &str, expected: &str) {
    assert_eq!(read::<Spec>(text.as_bytes()).unwrap_err(), expected, "{text}");
}

#[test]
fn errors_name_the_field() {
    check(
        r#"{"process":{"user":{"uid":"root"}}}"#,
        r#"process.user.uid: invalid type: string "root", expected u32 (line 1 column 27)"#,
    );
    check(
        r#"{"process":{"args":["a",7]}}"#,
        "process.args[1]: invalid type: number `7`, expected a string (line 1 column 25)",
    );
    check(
        r#"{"process":{"args":"sh"}}"#,
        r#"process.args: invalid type: string "sh", expected an array (line 1 column 20)"#,
    );
    check(
        "{\n  \"annotations\": {\n    \"a.b\": null\n  }\n}",
        "annotations.a.b: invalid type: null, expected a string (line 3 column 12)",
    );
    check(
        r#"{"process":{"terminal":[]}}"#,
        "process.terminal: invalid type: an array, expected true or false (line 1 column 24)",
    );
    check(
        r#"{"mounts":[{},{"options":[true]}]}"#,
        "mounts[1].options[0]: invalid type: boolean `true`, expected a string (line 1 column 27)",
    );
    check(
        r#"{"process":{"oomScoreAdj":-2147483649}}"#,
        "process.oomScoreAdj: invalid value: integer `-2147483649` is not in the range of i32 \
         (line 1 column 27)",
    );
    check(
        r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"pids"}]}}"#,
        "linux.namespaces[1].type: unknown variant `pids`, expected one of `pid`, `network`, \
         `mount`, `ipc`, `uts`, `user`, `cgroup`, `time` (line 1 column 48)",
    );
    check(
        r#"{"linux":{"namespaces":[{"path":"/x"}]}}"#,
        "linux.namespaces[0]: missing field `type` (line 1 column 25)",
    );
    // Also where nothing is known of the member.
    check(
        r#"{"linux":{"x":{"y":[1,]}}}"#,
        "linux.x: a comma stands before the closing bracket (line 1 column 23)",
    );
    let long = format!(r#"{{"hostname":["{}"]}}"#, "x".repeat(1000));
    check(&long, "hostname: invalid type: an array, expected a string (line 1 column 13)");
    let long = format!(r#"{{"root":"{}"}}"#, "ä".repeat(1000));
    let error = read::<Spec>(long.as_bytes()).unwrap_err();
    assert!(error.starts_with("root: invalid type: string \"ä") && error.len() < 160, "{error}");
}

#[test]
fn truncated_and_foreign_texts_are_errors() {
    check("", "the text ends too early: expected an object (line 1 column 1)");
    check(" []", "invalid type: an array, expected an object (line 1 column 2)");
    check(
        r#"{"root":{"path":"x"#,
        "root.path: the text ends too early: expected the end of a string (line 1 column 19)",
    );
    check("{} {}", "trailing characters behind the document (line 1 column 4)");
}

#[test]
fn null_is_absent() {
    let spec: Spec = read(br#"{"mounts":null,"linux":{"seccomp":null},"hostname":null}"#).unwrap();
    assert_eq!(spec.mounts, Vec::new());
    assert_eq!(spec.hostname, "");
    assert_eq!(spec.linux.unwrap().seccomp, None);
    let user: User = read(br#"{"umask":null,"uid":null}"#).unwrap();
    assert_eq!(user, User::default());
    assert!(read::<Namespace>(br#"{"type":null}"#).unwrap_err().contains("missing field `type`"));
}

#[test]
fn the_last_of_members_with_the_same_name_counts() {
    let text = br#"{"args":["a","b"],"user":{"uid":1},"cwd":"/x","args":["c"],"user":{"gid":2},"cwd":null}"#;
    let process: Process = read(text).unwrap();
    assert_eq!(process.args, ["c"]);
    assert_eq!(process.user, User { gid: 2, ..User::default() });
    assert_eq!(process.cwd, "");
    let linux: Linux =
        read(br#"{"resources":{},"resources":null,"sysctl":{"a":"1","a":"2"}}"#).unwrap();
    assert_eq!(linux.resources, None);
    assert_eq!(linux.sysctl.get("a").unwrap(), "2");
    // Even when an earlier one is what is missing later.
    assert!(read::<Namespace>(br#"{"type":"pid","type":null}"#).is_err());
}

#[test]
fn names_are_exact_and_members_come_in_any_order() {
    let hook: Hook = read(
        br#"{"timeout":5,"PATH":"no","path":"/x","Env":["no"],"x":[{"path":1}],"args":["a"]}"#,
    )
    .unwrap();
    let expected =
        Hook { path: "/x".into(), args: vec!["a".into()], timeout: Some(5), env: Vec::new() };
    assert_eq!(hook, expected);
    // An escaped name is the same name.
    let root: Root = read(br#"{"pa\u0074h":"/r"}"#).unwrap();
    assert_eq!(root.path, "/r");
}

#[test]
fn every_prefix_of_a_document_is_an_error_without_a_panic() {
    let text = br#"{"process":{"args":["a\"b","\\"],"env":[{}]},"x":[[1,{"y":2}]]}"#;
    for end in 0..text.len() {
        assert!(read::<Spec>(&text[..end]).is_err());
    }
}

#[test]
fn members_are_left_out_as_go_does() {
    let check = |document: &dyn crate::json::ToJson, expected: &str| {
        assert_eq!(write(document), expected);
    };
    check(&Spec::default(), r#"{"ociVersion":""}"#);
    check(&Process::default(), r#"{"user":{"uid":0,"gid":0},"cwd":""}"#);
    check(&Namespace::default(), r#"{"type":"pid"}"#);
    check(&DeviceRule::default(), r#"{"allow":false}"#);
    check(&Resources::default(), "{}");
    check(&State::default(), r#"{"ociVersion":"","id":"","status":"creating","bundle":""}"#);
    let linux = Linux {
        resources: Some(Resources::default()),
        seccomp: Some(Seccomp { flags: Some(Vec::new()), ..Seccomp::default() }),
        ..Linux::default()
    };
    check(&linux, r#"{"resources":{},"seccomp":{"defaultAction":"SCMP_ACT_KILL","flags":[]}}"#);
    check(
        &Memory { disable_oom_killer: Some(false), limit: Some(0), ..Memory::default() },
        r#"{"limit":0,"disableOOMKiller":false}"#,
    );
}

#[test]
fn documents_for_people_are_indented() {
    let inner: &[u32] = &[1, 2];
    let empty: &[u32] = &[];
    let kept = Some(empty);
    let object = Object(&[
        ("name", &"x"),
        ("gone", &empty),
        ("list", &inner),
        ("empty", &kept),
        ("object", &Object(&[("a", &Object(&[]))])),
    ]);
    assert_eq!(
        write_pretty(&object),
        "{\n  \"name\": \"x\",\n  \"list\": [\n    1,\n    2\n  ],\n  \"empty\": [],\n  \
         \"object\": {\n    \"a\": {}\n  }\n}"
    );
    assert_eq!(write(&object), r#"{"name":"x","list":[1,2],"empty":[],"object":{"a":{}}}"#);
}

#[test]
fn raw_values_are_kept_as_they_stand() {
    let text = "{\"ociVersion\":\"\",\"vm\":{ \"a\" : [1.50, \"\\u0041\"] }}";
    let spec: Spec = read(text.as_bytes()).unwrap();
    assert_eq!(spec.vm.as_ref().unwrap().as_str(), "{ \"a\" : [1.50, \"\\u0041\"] }");
    assert_eq!(write(&spec), text);
}

crate::document! {
    /// All options together.
    Place(snake, strict) {
        mount_point: String => required,
        other as "Other Name": u16 => always,
        pairs: Vec<(String, String)>,
    }
}

#[test]
fn strict_documents_refuse_what_they_do_not_know() {
    let text = r#"{"mount_point":"/x","Other Name":3,"pairs":[["a","b"]]}"#;
    let place: Place = read(text.as_bytes()).unwrap();
    assert_eq!(write(&place), text);
    let check = |text: &str, expected: &str| {
        assert_eq!(read::<Place>(text.as_bytes()).unwrap_err(), expected);
    };
    check("{}", "missing field `mount_point` (line 1 column 1)");
    check(r#"{"mountPoint":"/x"}"#, "mountPoint: unknown field (line 1 column 15)");
    for pair in ["[]", r#"["a"]"#, r#"["a","b","c"]"#] {
        let text = format!(r#"{{"mount_point":"/x","pairs":[{pair}]}}"#);
        let error = read::<Place>(text.as_bytes()).unwrap_err();
        assert_eq!(error, "pairs[0]: expected two strings (line 1 column 30)");
    }
}

#[test]
fn names_have_values() {
    for &status in Status::VALUES {
        assert_eq!(Status::from_name(status.name()), Some(status));
    }
    assert_eq!(Status::from_name("Running"), None);
    assert_eq!(Action::Notify.name(), "SCMP_ACT_NOTIFY");
    assert_eq!(Arch::Sheb.name(), "SCMP_ARCH_SHEB");
    assert_eq!(NamespaceKind::Time.proc_name(), "time");
}
