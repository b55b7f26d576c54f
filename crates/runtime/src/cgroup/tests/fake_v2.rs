//! Every mapping of a field to a file of v2.

use super::fake::{Tree, V2, check, v2};
use super::*;
use crate::error::Kind;

#[test]
fn v2_limits_reach_their_files() {
    let tree = Tree::new("v2");
    tree.file("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    tree.file("sys/fs/cgroup/cgroup.subtree_control", "");
    let check = |json: &str, files: &[(&str, &str)]| {
        check(&tree, v2(), "sys/fs/cgroup/x", json, files);
    };
    check(
        r#"{"memory":{"limit":100,"swap":250,"reservation":50}}"#,
        &[("memory.max", "100"), ("memory.swap.max", "150"), ("memory.low", "50")],
    );
    check(r#"{"memory":{"limit":-1}}"#, &[("memory.max", "max"), ("memory.swap.max", "max")]);
    check(r#"{"memory":{"limit":5,"swap":5}}"#, &[("memory.max", "5"), ("memory.swap.max", "0")]);
    // Without swap accounting, forbidding swap is no error.
    check(r#"{"memory":{"limit":5,"swap":5}}"#, &[("memory.max", "5")]);
    check(r#"{"memory":{"limit":5}}"#, &[("memory.max", "5"), ("memory.swap.max", "")]);
    check(r#"{"cpu":{"shares":1024}}"#, &[("cpu.weight", "100")]);
    check(r#"{"cpu":{"quota":5000,"period":20000}}"#, &[("cpu.max", "5000 20000")]);
    check(r#"{"cpu":{"quota":5000}}"#, &[("cpu.max", "5000")]);
    check(r#"{"cpu":{"quota":-1}}"#, &[("cpu.max", "max")]);
    check(r#"{"cpu":{"period":20000}}"#, &[("cpu.max", "max 20000")]);
    check(r#"{"cpu":{"burst":7,"idle":1}}"#, &[("cpu.max.burst", "7"), ("cpu.idle", "1")]);
    check(r#"{"cpu":{"cpus":"0-1","mems":"0"}}"#, &[("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]);
    check(r#"{"pids":{"limit":0}}"#, &[("pids.max", "1")]);
    check(r#"{"blockIO":{"weight":750}}"#, &[("io.weight", "7475")]);
    check(r#"{"blockIO":{"weight":750}}"#, &[("io.bfq.weight", "750"), ("io.weight", "")]);
    for (key, name) in [
        ("throttleReadBpsDevice", "rbps"),
        ("throttleWriteBpsDevice", "wbps"),
        ("throttleReadIOPSDevice", "riops"),
        ("throttleWriteIOPSDevice", "wiops"),
    ] {
        let json = format!(r#"{{"blockIO":{{"{key}":[{{"major":8,"minor":1,"rate":9}}]}}}}"#);
        check(&json, &[("io.max", &format!("8:1 {name}=9"))]);
    }
    check(
        r#"{"hugepageLimits":[{"pageSize":"1GB","limit":5}]}"#,
        &[("hugetlb.1GB.max", "5"), ("hugetlb.1GB.rsvd.max", "5")],
    );
    check(r#"{"rdma":{"m":{"hcaHandles":3}}}"#, &[("rdma.max", "m hca_handle=3")]);
    // `unified` comes last.
    check(
        r#"{"pids":{"limit":20},"unified":{"pids.max":"42","misc.max":"res_a 1"}}"#,
        &[("pids.max", "42\n"), ("misc.max", "res_a 1\n")],
    );
}

#[test]
fn v2_values_that_cannot_be_set_are_named() {
    let tree = Tree::new("v2-refused");
    tree.file("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
    tree.file("sys/fs/cgroup/x/cgroup.controllers", "cpu memory pids\n");
    tree.file("sys/fs/cgroup/x/cgroup.procs", "");
    let create = |json: &str| {
        let resources = resources(json);
        let ask = Ask { path: "/x", resources, user_namespace: true, ..Ask::default() };
        ask.plan(&tree.layout(v2())).unwrap().create(&ask.resources).unwrap_err().to_string()
    };
    for (json, expected) in [
        (r#"{"unified":{"a/b":"1"}}"#, "must be a file name (no slashes)"),
        (r#"{"unified":{"../x.y":"1"}}"#, "must be a file name (no slashes)"),
        (r#"{"unified":{"tasks":"1"}}"#, "CONTROLLER.PARAMETER"),
        (r#"{"unified":{"..":"1"}}"#, "CONTROLLER.PARAMETER"),
        (r#"{"unified":{"hugetlb.2MB.max":"1"}}"#, "controller \"hugetlb\" not available"),
        (r#"{"unified":{"memory.nothing":"1"}}"#, "unable to set unified resource"),
        (r#"{"memory":{"swap":5}}"#, "without memory limit"),
        (r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#, "is not a page size"),
        (r#"{"pids":{"limit":5}}"#, "writing \"5\" to"),
        (r#"{"cpu":{"cpus":"0"}}"#, "x has no controller cpuset"),
    ] {
        let error = create(json);
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn v2_enables_controllers_on_the_way() {
    let tree = Tree::new("enable");
    let layout = Layout::parse(V2, "0::/\n");
    let ask = Ask { path: "/a/b/x", user_namespace: true, ..Ask::default() };
    for dir in ["", "a/", "a/b/", "a/b/x/"] {
        tree.file(&format!("sys/fs/cgroup/{dir}cgroup.subtree_control"), "");
        tree.file(&format!("sys/fs/cgroup/{dir}cgroup.controllers"), "");
    }
    tree.file("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
    let mut plan = ask.plan(&tree.layout(layout)).unwrap();
    plan.create(&ask.resources).unwrap();
    for (dir, expected) in [
        ("", "+cpu +memory +pids"),
        ("a/", "+cpu +memory +pids"),
        ("a/b/", "+cpu +memory +pids"),
        ("a/b/x/", ""),
    ] {
        assert_eq!(tree.read(&format!("sys/fs/cgroup/{dir}cgroup.subtree_control")), expected);
    }
    // With everything there, nothing is written.
    tree.file("sys/fs/cgroup/a/b/x/cgroup.controllers", "cpu io memory pids\n");
    tree.file("sys/fs/cgroup/cgroup.subtree_control", "");
    plan.create(&ask.resources).unwrap();
    assert_eq!(tree.read("sys/fs/cgroup/cgroup.subtree_control"), "");
    // A cgroup below one with processes can only be threaded.
    tree.file("sys/fs/cgroup/a/b/x/cgroup.controllers", "");
    tree.file("sys/fs/cgroup/a/b/x/cgroup.type", "domain invalid\n");
    plan.create(&ask.resources).unwrap();
    assert!(tree.read("sys/fs/cgroup/a/b/x/cgroup.type").starts_with("threaded"));
    tree.file("sys/fs/cgroup/a/b/x/cgroup.type", "domain invalid\n");
    let error = plan.create(&resources(r#"{"memory":{"limit":5}}"#)).unwrap_err();
    assert!(error.to_string().contains("it is in an invalid state"), "{error}");
}

#[test]
fn v2_updates_keep_the_other_half() {
    let tree = Tree::new("update");
    let plan = Ask { path: "/x", ..Ask::default() }.plan(&tree.layout(v2())).unwrap();
    let check = |json: &str, file: &str, before: &str, expected: &str| {
        tree.file(&format!("sys/fs/cgroup/x/{file}"), before);
        let path = format!("sys/fs/cgroup/x/{file}");
        plan.update(&resources(json)).unwrap();
        assert_eq!(tree.read(&path), expected, "{json}");
    };
    check(r#"{"cpu":{"period":90000}}"#, "cpu.max", "5 1\n", "5 90000");
    check(r#"{"cpu":{"period":90000}}"#, "cpu.max", "max\n", "max 90000");
    tree.file("sys/fs/cgroup/x/memory.max", "100\n");
    check(r#"{"memory":{"swap":250}}"#, "memory.swap.max", "", "150");
    tree.file("sys/fs/cgroup/x/memory.max", "max\n");
    check(r#"{"memory":{"swap":250}}"#, "memory.swap.max", "", "250");
    tree.file("sys/fs/cgroup/x/memory.current", "2048\n");
    for (fields, expected) in [
        (r#""limit":1024"#, "rejecting memory limit 1024 <= usage 2048"),
        (r#""limit":1024,"swap":2048"#, "rejecting memory+swap limit 2048 <= usage 2048"),
    ] {
        let json = format!(r#"{{"memory":{{{fields},"checkBeforeUpdate":true}}}}"#);
        let error = plan.update(&resources(&json)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let warnings = plan.update(&resources(r#"{"cpu":{"realtimeRuntime":5}}"#)).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn v2_statistics_are_read() {
    let tree = Tree::new("stats2");
    let plan = Ask { path: "/x", ..Ask::default() }.plan(&tree.layout(v2())).unwrap();
    for (file, text) in [
        ("cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_throttled 2\n"),
        (
            "cpu.pressure",
            "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
        ("memory.stat", "anon 5\nfile 6\n"),
        ("memory.current", "100\n"),
        ("memory.max", "200\n"),
        ("memory.peak", "150\n"),
        ("memory.swap.current", "10\n"),
        ("memory.swap.max", "max\n"),
        ("pids.current", "2\n"),
        ("pids.max", "20\n"),
        ("io.stat", "8:0 rbytes=5 wbytes=6 rios=1 wios=2\n"),
    ] {
        tree.file(&format!("sys/fs/cgroup/x/{file}"), text);
    }
    let text = oci::json::write(&plan.stats().unwrap());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (path, expected) in [
        ("/cpu/usage", r#"{"kernel":3000,"total":7000,"user":4000}"#),
        ("/cpu/psi/some", r#"{"avg10":1.5,"avg300":0,"avg60":0,"total":9}"#),
        ("/memory/cache", "6"),
        ("/memory/usage", r#"{"failcnt":0,"limit":200,"max":150,"usage":100}"#),
        ("/memory/swap", r#"{"failcnt":0,"limit":18446744073709551615,"usage":110}"#),
        ("/pids", r#"{"current":2,"limit":20}"#),
        ("/blkio/ioServicedRecursive/1", r#"{"major":8,"op":"Write","value":2}"#),
    ] {
        assert_eq!(json.pointer(path).unwrap().to_string(), expected, "{path}");
    }
    // Without the controller, processes are counted.
    std::fs::remove_file(tree.0.join("sys/fs/cgroup/x/pids.current")).unwrap();
    tree.file("sys/fs/cgroup/x/cgroup.procs", "5\n6\n7\n");
    assert_eq!(plan.stats().unwrap().pids, PidsStats { current: 3, limit: 0 });
}

#[test]
fn v2_joins_and_signals_by_files() {
    let tree = Tree::new("join2");
    let plan = Ask { path: "/x", ..Ask::default() }.plan(&tree.layout(v2())).unwrap();
    let none = SubCgroups::default();
    let error = plan.join(&none, None).unwrap_err().to_string();
    assert!(error.starts_with("adding pid to cgroup") && error.contains("/x: no such"), "{error}");
    tree.file("sys/fs/cgroup/x/cgroup.procs", "");
    tree.file("sys/fs/cgroup/x/sub/cgroup.procs", "");
    let join = plan.join(&none, None).unwrap();
    assert!(join.cgroup().is_some() && join.tasks.is_empty());
    plan.join(&SubCgroups::parse(&["sub"]).unwrap(), None).unwrap();
    assert!(plan.join(&SubCgroups::parse(&["other"]).unwrap(), None).is_err());
    let unknown = plan.join(&SubCgroups::parse(&["cpu:sub"]).unwrap(), None).unwrap_err();
    assert!(unknown.to_string().contains("unknown controller cpu"), "{unknown}");
    plan.attach(&SubCgroups::parse(&["sub"]).unwrap(), None, 42).unwrap();
    assert_eq!(tree.read("sys/fs/cgroup/x/sub/cgroup.procs"), "42");
    // One write kills everybody.
    tree.file("sys/fs/cgroup/x/sub/cgroup.procs", "");
    tree.file("sys/fs/cgroup/x/cgroup.kill", "");
    plan.kill_all(9, 100).unwrap();
    assert_eq!(tree.read("sys/fs/cgroup/x/cgroup.kill"), "1");
    tree.file("sys/fs/cgroup/x/cgroup.freeze", "0\n");
    tree.file("sys/fs/cgroup/x/cgroup.events", "populated 1\nfrozen 1\n");
    plan.freeze(100).unwrap();
    assert!(plan.is_frozen().unwrap());
    tree.file("sys/fs/cgroup/x/cgroup.events", "populated 1\nfrozen 0\n");
    assert_eq!(plan.freeze(50).unwrap_err().kind(), Kind::Busy);
    assert!(!plan.is_frozen().unwrap(), "thawed again");
    // Without the controller there is nothing to watch, which is no failure.
    assert_eq!(plan.watch_oom().unwrap_err().kind(), Kind::Unsupported);
    tree.file("sys/fs/cgroup/x/memory.events", "oom 3\noom_kill 2\n");
    assert_eq!(plan.oom_kill_count().unwrap(), 2);
    let mut watch = plan.watch_oom().unwrap();
    assert_eq!(watch.check().unwrap(), OomEvent::Quiet);
    tree.file("sys/fs/cgroup/x/memory.events", "oom 4\noom_kill 3\n");
    assert_eq!(watch.check().unwrap(), OomEvent::Oom);
    assert_eq!(watch.check().unwrap(), OomEvent::Quiet);
    tree.file("sys/fs/cgroup/x/cgroup.events", "populated 0\nfrozen 0\n");
    assert_eq!(watch.check().unwrap(), OomEvent::Gone);
}

#[test]
fn v2_gives_the_cgroup_to_its_owner() {
    use std::os::unix::fs::MetadataExt;
    if sys::ids::euid() != 0 {
        return skip("v2_gives_the_cgroup_to_its_owner", "not root");
    }
    let tree = Tree::new("owner");
    let files = ["cgroup.procs", "cgroup.subtree_control", "pids.max", "cgroup.controllers"];
    for file in files {
        tree.file(&format!("sys/fs/cgroup/x/{file}"), "");
    }
    tree.file("sys/fs/cgroup/cgroup.controllers", "");
    let ask = Ask { path: "/x", user_namespace: true, ..Ask::default() };
    let mut plan = ask.plan(&tree.layout(v2())).unwrap();
    plan.owner = Some(12_345);
    plan.create(&ask.resources).unwrap();
    let owner =
        |file: &str| std::fs::metadata(tree.0.join("sys/fs/cgroup/x").join(file)).unwrap().uid();
    assert_eq!(owner(""), 12_345);
    assert_eq!(files.map(owner), [12_345, 12_345, 0, 0]);
}
