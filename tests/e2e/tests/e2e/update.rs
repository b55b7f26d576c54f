//! `update`: every limit by option, and all of them from a document.

use e2e::{Bundle, skip, stderr};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// A running container, and the value of a file in one of its cgroups.
fn start(test: &str) -> Option<Bundle> {
    if !Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
        skip(test, "needs the hierarchies of cgroup v1");
        return None;
    }
    let mut bundle = Bundle::new(test)?;
    bundle.config["linux"]["resources"] = json!({
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
        "cpu": {"shares": 512, "period": 100_000, "cpus": "0"},
        "pids": {"limit": 30}
    });
    bundle.args(&["sleep", "100"]).start();
    Some(bundle)
}

fn read(bundle: &Bundle, controller: &str, file: &str) -> String {
    let path = format!("/sys/fs/cgroup/{controller}/{}/{file}", bundle.id());
    std::fs::read_to_string(path).unwrap_or_default().trim().to_string()
}

#[test]
fn limits_change_one_by_one() {
    let Some(bundle) = start("limits_change_one_by_one") else { return };
    let id = bundle.id().to_string();
    for (option, value, controller, file, expected) in [
        ("--memory-swap", "128m", "memory", "memory.memsw.limit_in_bytes", "134217728"),
        ("--memory", "100663296", "memory", "memory.limit_in_bytes", "100663296"),
        ("--memory", "32m", "memory", "memory.limit_in_bytes", "33554432"),
        ("--memory-reservation", "16M", "memory", "memory.soft_limit_in_bytes", "16777216"),
        ("--kernel-memory-tcp", "8m", "memory", "memory.kmem.tcp.limit_in_bytes", "8388608"),
        ("--kernel-memory", "8m", "memory", "memory.limit_in_bytes", "33554432"),
        ("--cpu-quota", "30000", "cpu", "cpu.cfs_quota_us", "30000"),
        ("--cpu-period", "60000", "cpu", "cpu.cfs_period_us", "60000"),
        ("--cpu-burst", "15000", "cpu", "cpu.cfs_burst_us", "15000"),
        ("--cpu-share", "200", "cpu", "cpu.shares", "200"),
        ("--cpu-idle", "1", "cpu", "cpu.idle", "1"),
        ("--cpuset-cpus", "0", "cpuset", "cpuset.cpus", "0"),
        ("--cpuset-mems", "0", "cpuset", "cpuset.mems", "0"),
        ("--pids-limit", "20", "pids", "pids.max", "20"),
        ("--pids-limit", "-1", "pids", "pids.max", "max"),
    ] {
        let output = bundle.runtime(&["update", option, value, &id]);
        assert!(output.status.success(), "{option} {value}: {}", stderr(&output));
        assert_eq!(read(&bundle, controller, file), expected, "{option} {value}");
    }
    // Where the kernel has no such file the error names it.
    for (option, value, file) in [
        ("--blkio-weight", "100", "blkio/ID/blkio.bfq.weight"),
        ("--cpu-rt-period", "900000", "cpu/ID/cpu.rt_period_us"),
        ("--cpu-rt-runtime", "1000", "cpu/ID/cpu.rt_runtime_us"),
    ] {
        let path = format!("/sys/fs/cgroup/{}", file.replace("ID", &id));
        let output = bundle.runtime(&["update", option, value, &id]);
        match output.status.success() {
            true => assert_eq!(std::fs::read_to_string(path).unwrap().trim(), value, "{option}"),
            false => assert!(stderr(&output).contains(&path), "{option}: {}", stderr(&output)),
        }
    }
    for (option, value) in [("--memory", "1x"), ("--pids-limit", "many"), ("--memory", "-5")] {
        let output = bundle.runtime(&["update", option, value, &id]);
        assert!(stderr(&output).contains(&format!("for {option}")), "{}", stderr(&output));
    }
}

#[test]
fn limits_change_by_document() {
    let Some(bundle) = start("limits_change_by_document") else { return };
    let id = bundle.id().to_string();
    let document = |shares: u64, limit: i64| -> Value {
        json!({"memory": {"limit": limit << 20}, "cpu": {"shares": shares, "quota": 40_000},
               "pids": {"limit": 10}})
    };
    let check = |shares: &str, limit: i64| {
        assert_eq!(read(&bundle, "cpu", "cpu.shares"), shares);
        assert_eq!(read(&bundle, "memory", "memory.limit_in_bytes"), (limit << 20).to_string());
        assert_eq!(read(&bundle, "pids", "pids.max"), "10");
    };
    let file = bundle.path("resources.json");
    std::fs::write(file, document(300, 48).to_string()).unwrap();
    let output = bundle.runtime(&["update", "--resources", file, &id]);
    assert!(output.status.success(), "{}", stderr(&output));
    check("300", 48);

    for path in ["-", "/dev/stdin"] {
        let mut command = bundle.command(&["update", "-r", path, &id]);
        let mut update = command.stdin(Stdio::piped()).spawn().unwrap();
        let shares = if path == "-" { 400 } else { 500 };
        let mut stdin = update.stdin.take().unwrap();
        stdin.write_all(document(shares, 40).to_string().as_bytes()).unwrap();
        drop(stdin);
        assert!(update.wait().unwrap().success());
        check(&shares.to_string(), 40);
    }
    std::fs::write(file, r#"{"memory": {"limit": "much"}}"#).unwrap();
    let output = bundle.runtime(&["update", "-r", file, &id]);
    assert!(stderr(&output).contains("memory.limit: invalid type"), "{}", stderr(&output));
}
