//! Plans, on trees of plain directories and files.

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
pub(super) const V2: &str = "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

pub(super) fn v1() -> Layout {
    Layout::parse(HYBRID, OWN)
}

pub(super) fn v2() -> Layout {
    Layout::parse(V2, "0::/user.slice/s.scope\n")
}

/// A directory of this test, removed with everything in it.
pub(super) struct Tree(pub(super) PathBuf);

impl Tree {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tare-cgroup-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn layout(&self, layout: Layout) -> Layout {
        layout.below(self.0.to_str().unwrap())
    }

    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, path: &str) -> String {
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
    // What programs inside look at is theirs; the rest waits until it is needed.
    let shown = ["name=systemd x", "cpuset x", "memory x", "cpu,cpuacct x"];
    check("{}", true, &shown);
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
    let text = oci::json::write(&plan);
    assert_eq!(oci::json::read::<Plan>(text.as_bytes()).unwrap(), plan);
    for (from, to) in [("\"x\"", "\"../x\""), ("\"x\"", "\"\""), ("\"/cg/pids", "\"cg/pids")] {
        let damaged: Plan = oci::json::read(text.replace(from, to).as_bytes()).unwrap();
        assert!(damaged.check().is_err(), "{to}");
        assert_eq!(damaged.remove(0).len(), 1);
        assert!(damaged.kill_all(9, 0).is_err());
    }
    assert!(oci::json::read::<Plan>("{}".as_bytes()).is_err());
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
pub(super) fn check(tree: &Tree, layout: Layout, dir: &str, json: &str, files: &[(&str, &str)]) {
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
