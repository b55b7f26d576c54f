//! Every mapping of a field to a file of v1.

use super::fake::{Tree, check, v1};
use super::*;

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
        &[
            ("memory.kmem.limit_in_bytes", ""),
            ("memory.kmem.tcp.limit_in_bytes", "6"),
            (limit, "1"),
        ],
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
    let resources = resources(r#"{"blockIO":{"weight":10}}"#);
    let ask = Ask { path: "/x", all: true, resources, ..Ask::default() };
    let plan = ask.plan(&tree.layout(v1())).unwrap();
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
    let text = oci::json::write(&plan.stats().unwrap());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
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
fn v1_gives_what_limits_nothing_to_its_owner() {
    use std::os::unix::fs::MetadataExt;
    const TEST: &str = "v1_gives_what_limits_nothing_to_its_owner";
    if sys::ids::euid() != 0 {
        return skip(TEST, "not root");
    }
    let tree = Tree::new("owner-v1");
    for dir in ["systemd", "unified", "devices", "pids", "memory"] {
        for file in ["cgroup.procs", "tasks", "pids.max", "memory.limit_in_bytes"] {
            tree.file(&format!("cg/{dir}/x/{file}"), "");
        }
    }
    let json = r#"{"memory":{"limit":100}}"#;
    let ask = Ask {
        path: "/x",
        resources: resources(json),
        user_namespace: true,
        all: true,
        ..Ask::default()
    };
    let mut plan = ask.plan(&tree.layout(v1())).unwrap();
    for directory in &mut plan.directories {
        directory.used =
            ["name=systemd", "pids", "devices", "memory"].iter().any(|name| directory.has(name))
                || directory.is_unified();
    }
    plan.owner = Some(12_345);
    plan.create(&ask.resources).unwrap();
    let owner = |path: &str| std::fs::metadata(tree.0.join("cg").join(path)).unwrap().uid();
    for given in [
        "systemd/x",
        "systemd/x/cgroup.procs",
        "systemd/x/tasks",
        "unified/x",
        "unified/x/cgroup.procs",
    ] {
        assert_eq!(owner(given), 12_345, "{given}");
    }
    for kept in [
        "systemd",
        "systemd/x/pids.max",
        "pids/x",
        "pids/x/tasks",
        "devices/x/cgroup.procs",
        "memory/x",
        "memory/x/memory.limit_in_bytes",
    ] {
        assert_eq!(owner(kept), 0, "{kept}");
    }
}
