//! Trees of plain directories and files: every mapping of a field to a file.

use super::*;
use crate::error::Kind;
use std::path::PathBuf;

const HYBRID: &str = "\
1 0 0:1 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
2 0 0:2 / /cg/memory rw - cgroup cgroup rw,memory
3 0 0:3 / /cg/cpuset rw - cgroup cgroup rw,cpuset
4 0 0:4 / /cg/devices rw - cgroup cgroup rw,devices
5 0 0:5 / /cg/pids rw - cgroup cgroup rw,pids
6 0 0:6 / /cg/blkio rw - cgroup cgroup rw,blkio
7 0 0:7 / /cg/freezer rw - cgroup cgroup rw,freezer
8 0 0:8 / /cg/net rw - cgroup cgroup rw,net_cls,net_prio
9 0 0:9 / /cg/hugetlb rw - cgroup cgroup rw,hugetlb
10 0 0:10 / /cg/rdma rw - cgroup cgroup rw,rdma
11 0 0:11 / /cg/systemd rw - cgroup cgroup rw,name=systemd
12 0 0:12 / /cg/unified rw - cgroup2 cgroup2 rw
";
const OWN: &str = "\
11:name=systemd:/init.scope
10:rdma:/
9:hugetlb:/
8:net_cls,net_prio:/
7:freezer:/
6:blkio:/
5:pids:/user/me
4:devices:/user/me
3:cpuset:/
2:memory:/user
1:cpu,cpuacct:/
0::/user/me
";
const V2: &str = "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

fn v1() -> Layout {
    Layout::parse(HYBRID, OWN)
}

fn v2() -> Layout {
    Layout::parse(V2, "0::/user.slice/s.scope\n")
}

/// A directory of this test, removed with everything in it.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tare-cgroup-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn layout(&self, layout: Layout) -> Layout {
        layout.below(self.0.to_str().unwrap())
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn paths_follow_runc() {
    let check = |layout: &Layout, path: &str, expected: &[&str]| {
        let plan = Ask { path, ..Ask::default() }.plan(layout).unwrap();
        assert_eq!(used(&plan), expected, "{path:?}");
    };
    // Absolute: from the root of each hierarchy.
    let absolute = ["pids a/b", "devices a/b", " a/b"];
    check(&v1(), "/a/b", &absolute);
    check(&v1(), "//a/./b/", &absolute);
    // Relative, and the default: below the runtime's own; beside v1, from the unified root.
    check(&v1(), "a/b", &["pids user/me/a/b", "devices user/me/a/b", " a/b"]);
    check(&v1(), "", &["pids user/me/c1", "devices user/me/c1", " c1"]);
    // v2: beside the runtime's own, whose processes would keep controllers from a child.
    check(&v2(), "/a/b", &[" a/b"]);
    check(&v2(), "a", &[" user.slice/a"]);
    check(&v2(), "", &[" user.slice/c1"]);
    check(&Layout::parse(V2, "0::/\n"), "", &[" c1"]);
}

#[test]
fn paths_that_leave_or_name_the_root_are_refused() {
    for path in ["/", ".", "/./", "..", "/a/../b", "a/..", "/a\0b", &"x/".repeat(3000)] {
        for layout in [v1(), v2()] {
            let error = Ask { path, ..Ask::default() }.plan(&layout).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{path:?}");
        }
    }
}

#[test]
fn only_what_is_asked_for_is_used() {
    let check = |json: &str, all: bool, expected: &[&str]| {
        let ask = Ask { path: "/x", resources: resources(json), all, ..Ask::default() };
        let mut names: Vec<_> = used(&ask.plan(&v1()).unwrap());
        names.retain(|name| !matches!(name.as_str(), "devices x" | "pids x" | " x"));
        assert_eq!(names, expected, "{json}");
    };
    check("{}", false, &[]);
    check(r#"{"memory":{"limit":0,"kernel":5}}"#, false, &[]);
    check(r#"{"memory":{"limit":1}}"#, false, &["memory x"]);
    check(r#"{"memory":{"swappiness":0}}"#, false, &["memory x"]);
    check(r#"{"cpu":{"shares":0,"quota":0,"period":0}}"#, false, &[]);
    check(r#"{"cpu":{"burst":0}}"#, false, &["cpu,cpuacct x"]);
    check(r#"{"cpu":{"cpus":"0"}}"#, false, &["cpuset x"]);
    check(r#"{"blockIO":{"weight":10}}"#, false, &["blkio x"]);
    check(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}"#, false, &["hugetlb x"]);
    check(r#"{"network":{"classID":1}}"#, false, &["net_cls,net_prio x"]);
    check(r#"{"rdma":{"m":{}}}"#, false, &["rdma x"]);
    let all = Ask { path: "/x", all: true, ..Ask::default() }.plan(&v1()).unwrap();
    assert_eq!(used(&all).len(), 12);
}

#[test]
fn what_the_machine_lacks_is_named() {
    let devices = HYBRID.lines().find(|line| line.contains("devices")).unwrap();
    let layout = Layout::parse(devices, OWN);
    let error = Ask { resources: resources(r#"{"rdma":{"m":{}}}"#), ..Ask::default() };
    let error = error.plan(&layout).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().starts_with("cannot set rdma limit"), "{error}");
    let error = Ask::default().plan(&Layout::parse("", "")).unwrap_err();
    assert!(error.to_string().contains("device access"), "{error}");
    let unified = Ask { resources: resources(r#"{"unified":{"a.b":"1"}}"#), ..Ask::default() };
    assert!(unified.plan(&v1()).unwrap_err().to_string().contains("invalid configuration"));
}

#[test]
fn plans_are_recorded_and_read_back() {
    let plan = Ask { path: "/x", rootless: true, ..Ask::default() }.plan(&v1()).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    for (from, to) in [("\"x\"", "\"../x\""), ("\"x\"", "\"\""), ("\"/cg/pids", "\"cg/pids")] {
        let damaged: Plan = serde_json::from_str(&text.replace(from, to)).unwrap();
        assert!(damaged.check().is_err(), "{to}");
        assert_eq!(damaged.remove(0).len(), 1);
        assert!(damaged.kill_all(9, 0).is_err());
    }
    assert!(serde_json::from_str::<Plan>("{}").is_err());
}

#[test]
fn enlisting_says_when_to_record() {
    let mut plan = Ask { path: "/x", ..Ask::default() }.plan(&v1()).unwrap();
    assert!(plan.enlist(&["freezer"]).unwrap());
    assert!(!plan.enlist(&["freezer", "pids"]).unwrap());
    assert!(plan.enlist_for(&resources(r#"{"cpu":{"cpus":"0"}}"#)).unwrap());
    assert_eq!(plan.enlist(&["perf_event"]).unwrap_err().kind(), Kind::Unsupported);
    assert_eq!(plan.path_of("cpuset").as_deref(), Some("/cg/cpuset/x"));
    assert_eq!(plan.path_of("memory"), None);
    let mut plan = Ask { path: "/x", ..Ask::default() }.plan(&v2()).unwrap();
    assert!(!plan.enlist(&["freezer"]).unwrap());
    assert_eq!(plan.path_of("anything").as_deref(), Some("/sys/fs/cgroup/x"));
}

#[test]
fn places_that_are_taken_are_refused() {
    let tree = Tree::new("taken");
    let layout = tree.layout(v1());
    let plan = || Ask { path: "/x", ..Ask::default() }.plan(&layout);
    plan().unwrap();
    tree.file("cg/freezer/x/freezer.state", "FROZEN\n");
    let error = plan().unwrap_err();
    assert!(error.to_string().contains("container's cgroup unexpectedly frozen"), "{error}");
    tree.file("cg/freezer/x/freezer.state", "THAWED\n");
    tree.file("cg/devices/x/sub/cgroup.procs", "1\n2\n");
    let error = plan().unwrap_err();
    assert!(error.to_string().contains("container's cgroup is not empty: 2 process"), "{error}");
    assert_eq!(error.kind(), Kind::InUse);

    let layout = tree.layout(v2());
    tree.file("sys/fs/cgroup/x/cgroup.freeze", "1\n");
    let error = Ask { path: "/x", ..Ask::default() }.plan(&layout).unwrap_err();
    assert!(error.to_string().contains("unexpectedly frozen"), "{error}");
}

#[test]
fn rootless_goes_without_unless_something_was_asked_for() {
    // sysfs lets nobody make a directory (EPERM); the other tree is not there (ENOENT).
    for mount in ["/sys/kernel", "/nowhere"] {
        for v2 in [false, true] {
            let text = match v2 {
                true => format!("1 0 0:1 / {mount} rw - cgroup2 cgroup2 rw\n"),
                false => format!("1 0 0:1 / {mount} rw - cgroup cgroup rw,pids\n"),
            };
            let layout = Layout::parse(&text, "1:pids:/\n0::/\n");
            let create = |path: &str, json: &str, rootless: bool| {
                let resources = resources(json);
                let ask = Ask { path, resources, rootless, user_namespace: true, ..Ask::default() };
                let mut plan = ask.plan(&layout).unwrap();
                plan.create(&ask.resources).map(|created| (created, plan))
            };
            let (created, plan) = create("", "{}", true).unwrap();
            assert!(created.without_cgroup && created.join.optional);
            assert_eq!((used(&plan).len(), plan.exists()), (0, false));
            assert!(plan.processes().unwrap().is_empty());
            assert!(plan.remove(0).is_empty() && plan.kill_all(9, 0).is_ok());

            let error = create("", r#"{"pids":{"limit":5}}"#, true).unwrap_err();
            assert!(error.to_string().starts_with("cannot set pids limit"), "{error}");
            assert!(error.hint().unwrap().contains("delegation"));
            for (path, rootless) in [("/x", true), ("", false)] {
                let error = create(path, "{}", rootless).unwrap_err();
                let start = "unable to apply cgroup configuration: creating cgroup";
                assert!(error.to_string().starts_with(start), "{error}");
            }
        }
    }
}

/// Makes a cgroup whose files are there already and compares what is in them afterwards.
fn check(tree: &Tree, layout: Layout, dir: &str, json: &str, files: &[(&str, &str)]) {
    let _ = std::fs::remove_dir_all(tree.0.join(dir));
    for (file, _) in files {
        tree.file(&format!("{dir}/{file}"), "");
    }
    tree.file(&format!("{dir}/tasks"), "");
    let ask =
        Ask { path: "/x", resources: resources(json), user_namespace: true, ..Ask::default() };
    let mut plan = ask.plan(&tree.layout(layout)).unwrap();
    let only = format!("{}/{dir}", tree.0.display());
    plan.directories.iter_mut().for_each(|d| d.used &= d.full_path() == only);
    plan.create(&ask.resources).unwrap_or_else(|error| panic!("{json}: {error}"));
    for (file, expected) in files {
        assert_eq!(tree.read(&format!("{dir}/{file}")), *expected, "{json}: {file}");
    }
}

#[test]
fn v1_limits_reach_their_files() {
    let tree = Tree::new("v1");
    let check = |dir: &str, json: &str, files: &[(&str, &str)]| {
        check(&tree, v1(), &format!("cg/{dir}/x"), json, files);
    };
    let memory = |fields: &str, files: &[(&str, &str)]| {
        check("memory", &format!(r#"{{"memory":{{{fields}}}}}"#), files);
    };
    let (limit, swap) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
    memory(r#""limit":100,"swap":200"#, &[(limit, "100"), (swap, "200")]);
    memory(r#""limit":100"#, &[(limit, "100"), (swap, "")]);
    memory(r#""limit":-1"#, &[(limit, "-1"), (swap, "-1")]);
    memory(r#""limit":-1,"swap":5"#, &[(limit, "-1"), (swap, "5")]);
    memory(r#""swap":-1"#, &[(limit, ""), (swap, "-1")]);
    memory(r#""reservation":7"#, &[("memory.soft_limit_in_bytes", "7")]);
    memory(r#""disableOOMKiller":true"#, &[("memory.oom_control", "1")]);
    memory(r#""limit":1,"disableOOMKiller":false"#, &[("memory.oom_control", ""), (limit, "1")]);
    memory(r#""swappiness":60"#, &[("memory.swappiness", "60")]);
    memory(r#""swappiness":18446744073709551615"#, &[("memory.swappiness", "")]);
    memory(
        r#""limit":1,"kernel":5,"kernelTCP":6"#,
        &[("memory.kmem.limit_in_bytes", ""), (limit, "1")],
    );

    let cpu = |fields: &str, files: &[(&str, &str)]| {
        check("cpu,cpuacct", &format!(r#"{{"cpu":{{{fields}}}}}"#), files);
    };
    cpu(
        r#""shares":512,"quota":50000,"period":100000,"burst":1000,"idle":1"#,
        &[
            ("cpu.shares", "512"),
            ("cpu.cfs_quota_us", "50000"),
            ("cpu.cfs_period_us", "100000"),
            ("cpu.cfs_burst_us", "1000"),
            ("cpu.idle", "1"),
        ],
    );
    cpu(r#""quota":-1,"burst":5"#, &[("cpu.cfs_quota_us", "-1")]);
    cpu(
        r#""realtimeRuntime":950000,"realtimePeriod":1000000"#,
        &[("cpu.rt_runtime_us", "950000"), ("cpu.rt_period_us", "1000000")],
    );

    check("pids", r#"{"pids":{"limit":20}}"#, &[("pids.max", "20")]);
    check("pids", r#"{"pids":{"limit":-1}}"#, &[("pids.max", "max")]);
    check("pids", r#"{"pids":{"limit":0}}"#, &[("pids.max", "1")]);
    check("pids", r#"{"pids":{}}"#, &[("pids.max", "")]);

    let io = |fields: &str, files: &[(&str, &str)]| {
        check("blkio", &format!(r#"{{"blockIO":{{{fields}}}}}"#), files);
    };
    let device = r#""weight":500,"weightDevice":[{"major":8,"minor":0,"weight":600}]"#;
    io(device, &[("blkio.weight", "500"), ("blkio.weight_device", "8:0 600")]);
    io(device, &[("blkio.bfq.weight", "500"), ("blkio.bfq.weight_device", "8:0 600")]);
    io(
        r#""leafWeight":30,"weightDevice":[{"major":8,"minor":0,"leafWeight":40}]"#,
        &[("blkio.leaf_weight", "30"), ("blkio.leaf_weight_device", "8:0 40")],
    );
    io(
        r#""throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],
           "throttleWriteBpsDevice":[{"major":8,"minor":1,"rate":2}],
           "throttleReadIOPSDevice":[{"major":8,"minor":2,"rate":3}],
           "throttleWriteIOPSDevice":[{"major":8,"minor":3,"rate":18446744073709551615}]"#,
        &[
            ("blkio.throttle.read_bps_device", "8:0 1"),
            ("blkio.throttle.write_bps_device", "8:1 2"),
            ("blkio.throttle.read_iops_device", "8:2 3"),
            ("blkio.throttle.write_iops_device", "8:3 18446744073709551615"),
        ],
    );

    let huge = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4096}]}"#;
    check("hugetlb", huge, &[("hugetlb.2MB.limit_in_bytes", "4096")]);
    check(
        "hugetlb",
        huge,
        &[("hugetlb.2MB.limit_in_bytes", "4096"), ("hugetlb.2MB.rsvd.limit_in_bytes", "4096")],
    );
    check(
        "net",
        r#"{"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":5}]}}"#,
        &[("net_cls.classid", "1048577"), ("net_prio.ifpriomap", "eth0 5")],
    );
    check(
        "rdma",
        r#"{"rdma":{"mlx5_0":{"hcaHandles":3,"hcaObjects":4}}}"#,
        &[("rdma.max", "mlx5_0 hca_handle=3 hca_object=4")],
    );
}

#[test]
fn v1_cpusets_inherit_what_is_not_given() {
    let tree = Tree::new("cpuset");
    tree.file("cg/cpuset/cpuset.cpus", "0-3\n");
    tree.file("cg/cpuset/cpuset.mems", "0\n");
    let cpu = |fields: &str, files: &[(&str, &str)]| {
        check(&tree, v1(), "cg/cpuset/x", &format!(r#"{{"cpu":{{{fields}}}}}"#), files);
    };
    cpu(r#""cpus":"1""#, &[("cpuset.cpus", "1"), ("cpuset.mems", "0")]);
    cpu(r#""mems":"0""#, &[("cpuset.cpus", "0-3"), ("cpuset.mems", "0")]);
    // Mounted with `noprefix`.
    tree.file("cg/cpuset/cpus", "0-7\n");
    tree.file("cg/cpuset/mems", "0-1\n");
    cpu(r#""cpus":"1""#, &[("cpus", "1"), ("mems", "0-1")]);
}

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
fn invalid_values_are_refused() {
    let tree = Tree::new("invalid");
    for file in ["memory/x/tasks", "cpu,cpuacct/x/tasks", "devices/x/tasks", "pids/x/tasks"] {
        tree.file(&format!("cg/{file}"), "");
    }
    for (json, expected) in [
        (r#"{"memory":{"swappiness":101}}"#, "invalid memory.swappiness 101"),
        (r#"{"cpu":{"shares":1}}"#, "minimum allowed cpu-shares is 2"),
        (r#"{"cpu":{"shares":262145}}"#, "maximum allowed cpu-shares is 262144"),
    ] {
        let resources = resources(json);
        let ask = Ask { path: "/x", resources, user_namespace: true, ..Ask::default() };
        let mut plan = ask.plan(&tree.layout(v1())).unwrap();
        let error = plan.create(&ask.resources).unwrap_err();
        assert!(error.to_string().contains(expected), "{json}: {error}");
    }
}

#[test]
fn v1_statistics_are_read() {
    let tree = Tree::new("stats1");
    let plan = Ask { path: "/x", all: true, ..Ask::default() }.plan(&tree.layout(v1())).unwrap();
    for (file, text) in [
        ("cpu,cpuacct/x/cpu.stat", "nr_periods 3\nnr_throttled 1\nthrottled_time 500\n"),
        ("cpu,cpuacct/x/cpuacct.stat", "user 12\nsystem 3\n"),
        ("cpu,cpuacct/x/cpuacct.usage", "987\n"),
        ("cpu,cpuacct/x/cpuacct.usage_percpu", "900 87 \n"),
        ("cpu,cpuacct/x/cpuacct.usage_all", "cpu user system\n0 5 6\n1 7 8\n"),
        ("memory/x/memory.stat", "cache 4096\nrss 8192\n"),
        ("memory/x/memory.usage_in_bytes", "12288\n"),
        ("memory/x/memory.max_usage_in_bytes", "16384\n"),
        ("memory/x/memory.failcnt", "2\n"),
        ("memory/x/memory.limit_in_bytes", "9223372036854771712\n"),
        ("pids/x/pids.current", "4\n"),
        ("pids/x/pids.max", "max\n"),
        ("blkio/x/blkio.throttle.io_serviced", "8:0 Read 5\n8:0 Total 5\nTotal 5\n"),
        ("blkio/x/blkio.throttle.io_service_bytes", "8:0 Read 4096\nTotal 4096\n"),
        ("cpuset/x/cpuset.cpus", "0-1\n"),
        ("cpuset/x/cpuset.mems", "0\n"),
        ("cpuset/x/cpuset.sched_relax_domain_level", "-1\n"),
    ] {
        tree.file(&format!("cg/{file}"), text);
    }
    let json = serde_json::to_value(plan.stats().unwrap()).unwrap();
    let at =
        |path: &str| json.pointer(path).unwrap_or_else(|| panic!("{path} in {json}")).to_string();
    for (path, expected) in [
        (
            "/cpu/usage",
            r#"{"kernel":30000000,"percpu":[900,87],"percpu_kernel":[6,8],"percpu_user":[5,7],"total":987,"user":120000000}"#,
        ),
        ("/cpu/throttling", r#"{"periods":3,"throttledPeriods":1,"throttledTime":500}"#),
        ("/memory/cache", "4096"),
        ("/memory/raw", r#"{"cache":4096,"rss":8192}"#),
        ("/memory/usage", r#"{"failcnt":2,"limit":9223372036854771712,"max":16384,"usage":12288}"#),
        ("/pids", r#"{"current":4}"#),
        ("/blkio/ioServicedRecursive/1", r#"{"major":8,"op":"Total","value":5}"#),
        ("/blkio/ioServiceBytesRecursive/0/value", "4096"),
        ("/cpuset/cpus", "[0,1]"),
        ("/cpuset/sched_relax_domain_level", "-1"),
    ] {
        assert_eq!(at(path), expected, "{path}");
    }
    tree.file("cg/pids/x/pids.current", "many\n");
    let error = plan.stats().unwrap_err().to_string();
    assert!(error.contains("pids.current: unreadable \"many\\n\""), "{error}");
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
    let json = serde_json::to_value(plan.stats().unwrap()).unwrap();
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
