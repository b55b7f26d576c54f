//! The driver against a server that plays systemd.

use super::super::layout::Layout;
use super::super::plan::{Driver, Plan, Request};
use super::bus::Bus;
use super::fake::{Answer, serve};
use super::wire::Value;
use super::*;
use oci::runtime::Map;

const OK: Option<&str> = Some("OK 0123456789abcdef\r\n");

fn version() -> Answer {
    Answer::Return(vec![Value::text("v255.4-1ubuntu8").variant()])
}

fn request<'a>(path: &'a str, resources: &'a Resources, annotations: &'a Map) -> Request<'a> {
    Request {
        id: "c1",
        cgroups_path: path,
        resources,
        annotations,
        properties: &[],
        driver: Driver::Systemd,
        rootless: false,
        user_namespace: false,
        shown: false,
        writable: false,
        owner: None,
        bus_address: None,
        uid: 0,
    }
}

fn plan(resources: &Resources, annotations: &Map) -> Plan {
    let mountinfo = "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let layout = Layout::parse(mountinfo, "0::/\n").below("/nowhere");
    Plan::new(&layout, &request("", resources, annotations)).unwrap()
}

#[test]
fn cgroups_paths_name_units() {
    let (resources, annotations) = (Resources::default(), Map::new());
    let check = |path: &str, expected: Option<(&str, &str)>| {
        let unit = Unit::new(&request(path, &resources, &annotations));
        let made = unit.as_ref().ok().map(|unit| (unit.name.clone(), unit.cgroup_path().unwrap()));
        let expected = expected.map(|(name, path)| (name.to_string(), path.to_string()));
        assert_eq!(made, expected, "{path}: {unit:?}");
    };
    check("", Some(("tare-c1.scope", "system.slice/tare-c1.scope")));
    check(":docker:ab", Some(("docker-ab.scope", "system.slice/docker-ab.scope")));
    check("::ab", Some(("ab.scope", "system.slice/ab.scope")));
    check(
        "kubepods-burstable-pod1.slice:cri:ab",
        Some((
            "cri-ab.scope",
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-ab.scope",
        )),
    );
    check("-.slice:p:n", Some(("p-n.scope", "p-n.scope")));
    check("a.slice:p:n.slice", Some(("n.slice", "a.slice/n.slice")));
    for path in [
        "/a/b",
        "a.slice:b",
        "a:b:c:d",
        "a:b:c",
        ".slice:b:c",
        "-a.slice:b:c",
        "a--b.slice:b:c",
        "a-.slice:b:c",
        "a/b.slice:b:c",
        "a.slice:b/c:d",
        "a.slice:b:../c",
        "a.slice:b:c\0d",
        "a.slice:b:c d",
    ] {
        check(path, None);
    }
    let long = "x".repeat(300);
    check(&format!(":a:{long}"), None);
}

fn jobs_end_well(before: bool) -> impl FnMut(&str) -> Answer + Send + 'static {
    move |call| match call {
        "Get" => version(),
        _ => Answer::Job { result: "done", before },
    }
}

#[test]
fn a_container_starts_with_two_calls() {
    for before in [false, true] {
        let (client, server) = serve(OK, jobs_end_well(before));
        let mut annotations = Map::new();
        annotations.insert("org.systemd.property.TimeoutStopSec".into(), "3".into());
        let resources: Resources =
            oci::json::read(r#"{"memory":{"limit":4096}}"#.as_bytes()).unwrap();
        let plan = plan(&resources, &annotations);
        let unit = plan.unit.clone().unwrap();
        let bus = Bus::start(client, true, true).unwrap();
        unit.start_over(bus, &plan, &resources, 42).unwrap();
        let calls = server.join().unwrap();
        let names: Vec<_> = calls.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Get", "StartTransientUnit"]);
        let start = &calls[1].1;
        assert_eq!(start.signature, "ssa(sv)a(sa(sv))");
        let mut reader = start.reader();
        assert_eq!(reader.text().unwrap(), "tare-c1.scope");
        assert_eq!(reader.text().unwrap(), "replace");
        let body = String::from_utf8_lossy(start.body()).into_owned();
        for name in ["Slice", "PIDs", "Delegate", "TimeoutStopUSec", "DevicePolicy", "MemoryMax"] {
            assert!(body.contains(name), "{name} is missing");
        }
    }
}

#[test]
fn bad_rules_are_refused_before_anything_is_started() {
    let (client, server) = serve(OK, jobs_end_well(false));
    let resources: Resources =
        oci::json::read(r#"{"devices":[{"allow":true}]}"#.as_bytes()).unwrap();
    let plan = plan(&resources, &Map::new());
    let unit = plan.unit.clone().unwrap();
    let bus = Bus::start(client, true, true).unwrap();
    assert!(unit.start_over(bus, &plan, &resources, 42).is_err());
    let names: Vec<_> = server.join().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Get"]);
}

#[test]
fn over_a_bus_the_client_says_hello_and_listens() {
    let (client, server) = serve(OK, |call| match call {
        "Hello" => Answer::Return(vec![Value::text(":1.5")]),
        "AddMatch" => Answer::Return(vec![]),
        "Get" => version(),
        _ => Answer::Job { result: "done", before: false },
    });
    let resources = Resources::default();
    let plan = plan(&resources, &Map::new());
    let unit = plan.unit.clone().unwrap();
    let bus = Bus::start(client, false, true).unwrap();
    unit.start_over(bus, &plan, &resources, 42).unwrap();
    let names: Vec<_> = server.join().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Hello", "AddMatch", "Get", "StartTransientUnit"]);
}

#[test]
fn a_failed_unit_of_the_same_name_is_reset_once() {
    let mut starts = 0;
    let (client, server) = serve(OK, move |call| match call {
        "Get" => version(),
        "StartTransientUnit" => {
            starts += 1;
            match starts {
                1 => Answer::Error("org.freedesktop.systemd1.UnitExists"),
                _ => Answer::Job { result: "done", before: false },
            }
        }
        _ => Answer::Return(vec![]),
    });
    let resources = Resources::default();
    let plan = plan(&resources, &Map::new());
    let unit = plan.unit.clone().unwrap();
    unit.start_over(Bus::start(client, true, true).unwrap(), &plan, &resources, 1).unwrap();
    let names: Vec<_> = server.join().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Get", "StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]);
}

#[test]
fn refusals_and_failed_jobs_are_told() {
    let start = |answer: fn() -> Answer| {
        let (client, _server) = serve(OK, move |call| match call {
            "Get" => version(),
            "StartTransientUnit" => answer(),
            _ => Answer::Return(vec![]),
        });
        let resources = Resources::default();
        let plan = plan(&resources, &Map::new());
        let unit = plan.unit.clone().unwrap();
        let bus = Bus::start(client, true, true).unwrap();
        unit.start_over(bus, &plan, &resources, 1).unwrap_err()
    };
    let error = start(|| Answer::Job { result: "failed", before: false });
    assert_eq!(
        error.to_string(),
        "starting systemd unit tare-c1.scope: the job ended with \"failed\""
    );
    let error = start(|| Answer::Error("org.freedesktop.systemd1.UnitExists"));
    assert_eq!(error.kind(), Kind::Exists);
    let error = start(|| Answer::Error("org.freedesktop.DBus.Error.AccessDenied"));
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("systemd: because"));
    assert!(start(|| Answer::Close).to_string().contains("closed the connection"));
    let error = start(|| Answer::Raw(b"B\x02\0\x01aaaaaaaaaaaaaaaaaaaa".to_vec()));
    assert_eq!(error.kind(), Kind::Corrupt);
}

#[test]
fn stopping_what_is_gone_is_no_error() {
    for (name, fine) in [("NoSuchUnit", true), ("AccessDenied", false)] {
        let full: &'static str = Box::leak(format!("org.freedesktop.systemd1.{name}").into());
        let (client, server) = serve(OK, move |_| Answer::Error(full));
        let resources = Resources::default();
        let unit = plan(&resources, &Map::new()).unit.unwrap();
        let bus = Bus::start(client, true, true).unwrap();
        assert_eq!(unit.stop_over(bus).is_ok(), fine);
        let names: Vec<_> = server.join().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["StopUnit", "ResetFailedUnit"]);
    }
}

#[test]
fn an_update_sets_only_what_is_new() {
    let (client, server) = serve(OK, |call| match call {
        "Get" => version(),
        _ => Answer::Return(vec![]),
    });
    let empty = Resources::default();
    let plan = plan(&empty, &Map::new());
    let mut resources: Resources =
        oci::json::read(r#"{"cpu":{"quota":3334,"period":10000}}"#.as_bytes()).unwrap();
    let unit = plan.unit.clone().unwrap();
    let bus = Bus::start(client, true, true).unwrap();
    unit.update_over(bus, &plan, &mut resources).unwrap();
    assert_eq!(resources.cpu.unwrap().quota, Some(3400));
    let calls = server.join().unwrap();
    assert_eq!(calls[1].0, "SetUnitProperties");
    assert_eq!(calls[1].1.signature, "sba(sv)");
}

#[test]
fn greetings_are_checked() {
    for (greeting, named, expected) in [
        ("OK 1\r\n", true, None),
        ("DATA\r\nOK 1\r\n", false, None),
        ("REJECTED EXTERNAL\r\n", true, Some("does not let this user in")),
        ("HTTP/1.1 400 Bad Request\r\n", true, Some("does not let this user in")),
    ] {
        let (client, _server) = serve(Some(greeting), |_| Answer::Nothing);
        let started = Bus::start(client, true, named);
        match expected {
            None => drop(started.unwrap()),
            Some(text) => assert!(started.unwrap_err().to_string().contains(text)),
        }
    }
    let endless: &'static str = Box::leak("x".repeat(10_000).into_boxed_str());
    let (client, _server) = serve(Some(endless), |_| Answer::Nothing);
    assert!(Bus::start(client, true, true).unwrap_err().to_string().contains("no end"));
}

#[test]
fn versions_are_read() {
    for (text, expected) in [
        ("249", Some(249)),
        ("v245.4-1.fc32", Some(245)),
        ("\"v257~rc1\"", Some(257)),
        ("", None),
        ("x", None),
    ] {
        let (client, _server) =
            serve(OK, move |_| Answer::Return(vec![Value::text(text).variant()]));
        let mut bus = Bus::start(client, true, true).unwrap();
        assert_eq!(super::version(&mut bus).ok(), expected, "{text:?}");
    }
}

#[test]
fn waiting_ends_at_the_deadline() {
    // A server that says nothing at all, and one that says nothing about the job.
    let (client, _silent) = sys::socket::pair(sys::socket::Kind::Stream).unwrap();
    let soon = || sys::time::monotonic_ms() + 50;
    let error = Bus::start_until(client, true, true, soon()).unwrap_err();
    assert_eq!((error.kind(), error.hint()), (Kind::Busy, None));
    let (client, _server) = serve(OK, |_| Answer::Return(vec![Value::Path("/job/1".into())]));
    let mut bus = Bus::start_until(client, true, true, soon()).unwrap();
    let waited = bus.job("StopUnit", vec![]).unwrap_err();
    assert_eq!(waited.context("x").kind(), Kind::Busy);
}
