//! The kernel of this machine, below a prefix of our own.

use super::*;
use crate::error::Kind;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The container's processes and cgroups, gone at the end whatever happens.
struct Guard {
    plan: Plan,
    children: Vec<Child>,
    /// File with the root's enabled controllers, and what was in it.
    restore: Option<(String, String)>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.plan.kill_all(9, 5000);
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let failed = self.plan.remove(5000);
        for directory in &self.plan.directories {
            let parent = directory.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            // Other tests of this process may be in it.
            let _ = std::fs::remove_dir(format!("{}/{parent}", directory.mount));
        }
        if let Some((file, before)) = &self.restore {
            let now = std::fs::read_to_string(file).unwrap_or_default();
            for name in now.split_whitespace().filter(|name| !before.contains(name)) {
                let _ = std::fs::write(file, format!("-{name}"));
            }
        }
        if !std::thread::panicking() {
            assert!(failed.is_empty(), "{failed:?}");
        }
    }
}

/// A plan below `/tare-test-PID`, or the reason why this machine cannot have one.
fn plan(test: &str, json: &str, all: bool) -> Option<Guard> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let skip = |why: &str| {
        skip(test, why);
        None
    };
    let layout = Layout::detect().unwrap();
    if sys::ids::euid() != 0 {
        return skip("not root");
    }
    if layout.version == Version::V2 || !layout.has("devices") || !layout.has("pids") {
        return skip("no v1 hierarchies with devices and pids");
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = format!("/tare-test-{}/{number}", std::process::id());
    let ask = Ask { path: &path, resources: resources(json), all, ..Ask::default() };
    if let Err(error) = ask.plan(&layout) {
        return skip(&error.to_string());
    }
    Some(Guard { plan: ask.plan(&layout).unwrap(), children: Vec::new(), restore: None })
}

impl Guard {
    fn create(&mut self, json: &str) -> Created {
        let mut resources = resources(json);
        resources.devices.extend(default_device_rules());
        self.plan.create(&resources).unwrap()
    }

    /// Starts a shell in the cgroup.
    fn shell(&mut self, script: &str) -> i32 {
        let script = format!("read go; {script}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id() as i32;
        self.plan.attach(&SubCgroups::default(), None, pid).unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
        self.children.push(child);
        pid
    }

    fn read(&self, controller: &str, file: &str) -> String {
        let path = format!("{}/{file}", self.plan.path_of(controller).unwrap());
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}")).trim().to_string()
    }
}

/// Waits until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `body` in a child that entered the cgroup before; returns its exit code. The child must
/// not allocate: other threads may have held the lock.
fn in_cgroup(created: &Created, body: impl Fn() -> i32) -> i32 {
    let how = sys::process::Clone { cgroup: created.join.cgroup(), ..Default::default() };
    match sys::process::fork(how).unwrap() {
        None => {
            let code = if created.join.enter().is_err() { 99 } else { body() };
            sys::process::exit(code)
        }
        Some(child) => match sys::wait::child(child.pid, true).unwrap().unwrap().1 {
            sys::wait::Exit::Code(code) => code,
            sys::wait::Exit::Signal(signal) => 128 + signal,
        },
    }
}

const LIMITS: &str = r#"{"pids":{"limit":50},"memory":{"limit":67108864,"reservation":33554432},
    "cpu":{"shares":512,"quota":50000,"period":100000}}"#;

#[test]
fn a_child_enters_every_cgroup_without_procs() {
    let Some(mut guard) = plan("a_child_enters_every_cgroup_without_procs", LIMITS, false) else {
        return;
    };
    let created = guard.create(LIMITS);
    assert!(created.warnings.is_empty() && !created.without_cgroup);
    assert_eq!(guard.read("pids", "pids.max"), "50");
    assert_eq!(guard.read("memory", "memory.limit_in_bytes"), "67108864");
    assert_eq!(guard.read("memory", "memory.soft_limit_in_bytes"), "33554432");
    assert_eq!(guard.read("cpu", "cpu.shares"), "512");
    assert_eq!(guard.read("cpu", "cpu.cfs_quota_us"), "50000");
    let (from, to) = sys::fs::pipe().unwrap();
    let code = in_cgroup(&created, || {
        let Ok(file) = sys::fs::open_read("/proc/self/cgroup") else { return 1 };
        let mut buffer = [0; 4096];
        let Ok(count) = sys::fs::read(&file, &mut buffer) else { return 2 };
        i32::from(sys::fs::write_all(&to, &buffer[..count]).is_err())
    });
    drop(to);
    assert_eq!(code, 0);
    let text = String::from_utf8(sys::fs::read_to_end(&from, 4096).unwrap()).unwrap();
    let own = &guard.plan.directories[0].path;
    for directory in guard.plan.directories.iter().filter(|directory| directory.used) {
        let line = format!(":{}:/{own}", directory.controllers.join(","));
        assert!(text.lines().any(|l| l.ends_with(&line)), "{line} is missing in\n{text}");
    }
}

#[test]
fn device_rules_hold() {
    let Some(mut guard) = plan("device_rules_hold", "{}", false) else { return };
    let mut rules =
        resources(r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#);
    rules.devices.extend(default_device_rules());
    let created = guard.plan.create(&rules).unwrap();
    let mut list: Vec<_> =
        guard.read("devices", "devices.list").lines().map(String::from).collect();
    list.sort();
    assert_eq!(
        list,
        [
            "b *:* m",
            "c *:* m",
            "c 10:200 rwm",
            "c 136:* rwm",
            "c 1:11 r",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
            "c 5:2 rwm",
        ]
    );
    check_device_access(&created);
    // Set again on what is there, in use: nothing changes, nobody notices.
    guard.shell("sleep 60");
    let dir = tree::Dir::open(guard.plan.directory("devices").unwrap()).unwrap();
    let rules = devices::Rules::parse(&rules.devices).unwrap();
    devices::apply_v1(&dir, &rules, false).unwrap();
}

/// Access to /dev/kmsg (1:11) for reading only, to /dev/null in every way, to /dev/port not at all.
fn check_device_access(created: &Created) {
    let open = |path: &str, flags: u32| match sys::fs::open_at(sys::CWD, path, flags, 0) {
        Ok(_) => 0,
        Err(errno) => errno.0,
    };
    let denied = sys::Errno::EPERM.0;
    let kmsg_exists = std::path::Path::new("/dev/kmsg").exists();
    let port_exists = std::path::Path::new("/dev/port").exists();
    assert_eq!(in_cgroup(created, || open("/dev/null", sys::fs::O_RDWR)), 0);
    if kmsg_exists {
        assert_eq!(in_cgroup(created, || open("/dev/kmsg", sys::fs::O_RDONLY)), 0);
        assert_eq!(in_cgroup(created, || open("/dev/kmsg", sys::fs::O_WRONLY)), denied);
        assert_eq!(in_cgroup(created, || open("/dev/kmsg", sys::fs::O_RDWR)), denied);
    }
    if port_exists {
        assert_eq!(in_cgroup(created, || open("/dev/port", sys::fs::O_RDONLY)), denied);
    }
}

#[test]
fn device_programs_hold() {
    let Some(mut guard) = plan("device_programs_hold", "{}", false) else { return };
    // Everything by v1, so that only the program can deny.
    let allow_all = resources(r#"{"devices":[{"allow":true,"type":"a","access":"rwm"}]}"#);
    let created = guard.plan.create(&allow_all).unwrap();
    let Some(unified) = guard.plan.unified().filter(|directory| directory.used) else {
        skip("device_programs_hold", "no unified hierarchy");
        return;
    };
    let dir = tree::Dir::open(unified).unwrap();
    let deny_all = devices::Rules::default();
    match device_filter::attach(&dir, &deny_all, true) {
        Err(error) if error.kind() == Kind::Denied || error.kind() == Kind::Unsupported => {
            skip("device_programs_hold", &error.to_string());
            return;
        }
        result => result.unwrap(),
    }
    let null = || i32::from(sys::fs::open_at(sys::CWD, "/dev/null", sys::fs::O_RDWR, 0).is_ok());
    assert_eq!(in_cgroup(&created, null), 0);
    // Replaced in place: one program before and after.
    let mut rules =
        resources(r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#);
    rules.devices.extend(default_device_rules());
    let rules = devices::Rules::parse(&rules.devices).unwrap();
    device_filter::attach(&dir, &rules, false).unwrap();
    assert_eq!(sys::bpf::device_programs(&dir).unwrap().len(), 1);
    assert_eq!(in_cgroup(&created, null), 1);
    check_device_access(&created);
    // Several, as systemd leaves them: one remains.
    let rules = devices::Rules { default_allow: true, ..devices::Rules::default() };
    device_filter::attach(&dir, &rules, true).unwrap();
    assert_eq!(sys::bpf::device_programs(&dir).unwrap().len(), 2);
    device_filter::attach(&dir, &rules, false).unwrap();
    assert_eq!(sys::bpf::device_programs(&dir).unwrap().len(), 1);
}

#[test]
fn a_container_is_paused_and_resumed() {
    for unified in [true, false] {
        let Some(mut guard) = plan("a_container_is_paused_and_resumed", "{}", false) else {
            return;
        };
        // Without the unified hierarchy the v1 freezer is made at the first pause.
        if !unified {
            guard.plan.directories.retain(|directory| !directory.is_unified());
            guard.plan.version = Version::V1;
        }
        guard.create("{}");
        let pid = guard.shell("while :; do :; done");
        guard.shell("sleep 60 & sleep 60");
        assert!(!guard.plan.is_frozen().unwrap());
        let changed = guard.plan.enlist_freezer().unwrap();
        assert_eq!(changed, !unified || guard.plan.unified().is_none());
        guard.plan.freeze(FREEZE_DEADLINE_MS).unwrap();
        assert!(guard.plan.is_frozen().unwrap());
        let ticks = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit(')').next().unwrap().split(' ').nth(12).unwrap().parse::<u64>().unwrap()
        };
        let before = ticks();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(ticks(), before, "frozen processes do not run");
        // A process that joins is paused, too, and dies with the others.
        guard.plan.thaw().unwrap();
        assert!(!guard.plan.is_frozen().unwrap());
        until("thawed processes run", || ticks() > before);
        guard.plan.freeze(FREEZE_DEADLINE_MS).unwrap();
        guard.plan.kill_all(9, KILL_DEADLINE_MS).unwrap();
        assert!(guard.plan.processes().unwrap().is_empty());
    }
}

#[test]
fn nobody_outruns_the_kill() {
    for unified in [true, false] {
        let Some(mut guard) = plan("nobody_outruns_the_kill", r#"{"pids":{"limit":200}}"#, false)
        else {
            return;
        };
        if !unified {
            guard.plan.directories.retain(|directory| !directory.is_unified());
            guard.plan.version = Version::V1;
        }
        guard.create(r#"{"pids":{"limit":200}}"#);
        // Each process starts another one and ends.
        guard.shell("f() { (f) & }; f; f; f; f; sleep 60");
        let first = guard.plan.processes().unwrap();
        until("it runs away", || {
            let now = guard.plan.processes().unwrap();
            now.iter().filter(|pid| !first.contains(pid)).count() > 1
        });
        guard.plan.kill_all(9, 5000).unwrap();
        assert!(guard.plan.processes().unwrap().is_empty());
        assert!(guard.plan.remove(REMOVE_DEADLINE_MS).is_empty());
        assert!(!guard.plan.exists());
        // Again, on what is not there any more.
        assert!(guard.plan.remove(0).is_empty());
        guard.plan.kill_all(9, 0).unwrap();
    }
}

/// What a creator leaves that died between its init and the cgroups of v1.
#[test]
fn the_kill_waits_for_processes_of_the_unified_hierarchy_alone() {
    let name = "the_kill_waits_for_processes_of_the_unified_hierarchy_alone";
    let Some(mut guard) = plan(name, "{}", false) else { return };
    let Some(unified) = guard.plan.unified().filter(|directory| directory.used) else {
        return skip(name, "no unified hierarchy");
    };
    let procs = format!("{}/cgroup.procs", unified.full_path());
    guard.create("{}");
    let mut command = Command::new("sh");
    command.args(["-c", "read go; for i in $(seq 40); do sleep 60 & done; wait"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::fs::write(&procs, child.id().to_string()).unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
    guard.children.push(child);
    let pids = || std::fs::read_to_string(&procs).unwrap().lines().count();
    until("it has children", || pids() > 40);
    assert!(guard.plan.processes().unwrap().is_empty());
    guard.plan.kill_all(9, KILL_DEADLINE_MS).unwrap();
    assert_eq!(pids(), 0);
}

#[test]
fn other_signals_reach_everybody() {
    let Some(mut guard) = plan("other_signals_reach_everybody", "{}", false) else { return };
    guard.create("{}");
    guard.shell("sleep 60");
    guard.shell("sleep 60");
    guard.plan.kill_all(15, 0).unwrap();
    until("they end", || guard.plan.processes().unwrap().is_empty());
}

#[test]
fn cgroups_below_are_removed_with_their_processes_named() {
    let Some(mut guard) =
        plan("cgroups_below_are_removed_with_their_processes_named", LIMITS, false)
    else {
        return;
    };
    guard.create(LIMITS);
    let memory = guard.plan.path_of("memory").unwrap();
    let devices = guard.plan.path_of("devices").unwrap();
    for path in [&memory, &devices] {
        std::fs::create_dir_all(format!("{path}/a/b/c")).unwrap();
        std::fs::create_dir_all(format!("{path}/d")).unwrap();
    }
    let pid = guard.shell("exec sleep 60");
    std::fs::write(format!("{devices}/a/b/cgroup.procs"), pid.to_string()).unwrap();
    assert_eq!(guard.plan.processes().unwrap(), [pid]);
    let failures = guard.plan.remove(50);
    // Everything that could be removed is.
    assert!(!std::path::Path::new(&format!("{devices}/d")).exists());
    assert!(!failures.is_empty());
    for failure in &failures {
        assert_eq!(failure.kind(), Kind::Busy);
        let expected = format!("processes are left: {pid}");
        assert!(failure.to_string().contains(&expected), "{failure}");
    }
    guard.plan.kill_all(9, KILL_DEADLINE_MS).unwrap();
    assert!(guard.plan.remove(REMOVE_DEADLINE_MS).is_empty());
}

#[test]
fn half_of_a_cgroup_is_removed() {
    let Some(mut guard) = plan("half_of_a_cgroup_is_removed", LIMITS, true) else { return };
    guard.create(LIMITS);
    for controller in ["memory", "devices"] {
        std::fs::remove_dir(guard.plan.path_of(controller).unwrap()).unwrap();
    }
    assert!(guard.plan.kill_all(9, 100).is_ok());
    assert!(guard.plan.remove(100).is_empty());
    for directory in &guard.plan.directories {
        assert!(!std::path::Path::new(&directory.full_path()).exists());
    }
}

#[test]
fn a_cgroup_in_use_is_refused() {
    let Some(mut guard) = plan("a_cgroup_in_use_is_refused", "{}", false) else { return };
    guard.create("{}");
    guard.shell("exec sleep 60");
    let path = format!("/{}", guard.plan.directories[0].path);
    let ask = Ask { path: &path, ..Ask::default() };
    let error = ask.plan(&Layout::detect().unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    assert!(error.to_string().contains("is not empty: 1 process(es)"), "{error}");
}

#[test]
fn an_update_takes_new_controllers_into_use() {
    let Some(mut guard) = plan("an_update_takes_new_controllers_into_use", LIMITS, false) else {
        return;
    };
    guard.create(LIMITS);
    let pid = guard.shell("sleep 60 & sleep 60");
    let update = |guard: &mut Guard, json: &str| {
        let resources = resources(json);
        let changed = guard.plan.enlist_for(&resources).unwrap();
        guard.plan.update(&resources).unwrap();
        changed
    };
    assert!(update(&mut guard, r#"{"cpu":{"cpus":"0"}}"#));
    assert_eq!(guard.read("cpuset", "cpuset.cpus"), "0");
    until("everybody is there", || {
        let members = guard.read("cpuset", "cgroup.procs");
        let mut members: Vec<i32> = members.lines().map(|line| line.parse().unwrap()).collect();
        members.sort();
        members.contains(&pid) && members == guard.plan.processes().unwrap()
    });
    // Raising and lowering both limits, in any order.
    for (memory, swap) in [(200, 400), (20, 40), (100, -1), (50, 60), (80, 80), (-1, 0), (30, 50)] {
        let mib = |value: i64| if value > 0 { value << 20 } else { value };
        let json = format!(r#"{{"memory":{{"limit":{},"swap":{}}}}}"#, mib(memory), mib(swap));
        assert!(!update(&mut guard, &json), "{json}");
        if memory > 0 {
            assert_eq!(guard.read("memory", "memory.limit_in_bytes"), mib(memory).to_string());
        }
        if swap > 0 {
            assert_eq!(guard.read("memory", "memory.memsw.limit_in_bytes"), mib(swap).to_string());
        }
    }
    update(&mut guard, r#"{"cpu":{"period":10000,"quota":3000}}"#);
    assert_eq!(guard.read("cpu", "cpu.cfs_quota_us"), "3000");
    assert_eq!(guard.read("cpu", "cpu.cfs_period_us"), "10000");
    update(&mut guard, r#"{"cpu":{"burst":1000}}"#);
    assert_eq!(guard.read("cpu", "cpu.cfs_burst_us"), "1000");
    update(&mut guard, r#"{"cpu":{"idle":1}}"#);
    assert_eq!(guard.read("cpu", "cpu.idle"), "1");
    update(&mut guard, r#"{"pids":{"limit":-1}}"#);
    assert_eq!(guard.read("pids", "pids.max"), "max");
    let bad = resources(r#"{"cpu":{"idle":2}}"#);
    assert!(guard.plan.update(&bad).unwrap_err().to_string().contains("cpu.idle"));
}

#[test]
fn memory_running_out_is_told() {
    const JSON: &str = r#"{"memory":{"limit":16777216,"swap":16777216}}"#;
    let Some(mut guard) = plan("memory_running_out_is_told", JSON, false) else { return };
    guard.create(JSON);
    let mut watch = guard.plan.watch_oom().unwrap();
    assert_eq!(watch.check().unwrap(), OomEvent::Quiet);
    guard.shell("sleep 60");
    guard.shell("x=$(head -c 64m /dev/zero | tr '\\0' x)");
    let mut fds = watch.poll_fds();
    assert_eq!(sys::wait::poll(&mut fds, Some(10_000)).unwrap(), 1);
    assert_eq!(watch.check().unwrap(), OomEvent::Oom);
    until("a process is killed", || guard.plan.oom_kill_count().unwrap() > 0);
    guard.plan.kill_all(9, KILL_DEADLINE_MS).unwrap();
    assert!(guard.plan.remove(REMOVE_DEADLINE_MS).is_empty());
    // The kernel may have told more than once of what happened before.
    let mut told = OomEvent::Oom;
    for _ in 0..10 {
        let mut fds = watch.poll_fds();
        assert_eq!(sys::wait::poll(&mut fds, Some(10_000)).unwrap(), 1);
        told = watch.check().unwrap();
        if told == OomEvent::Gone {
            break;
        }
    }
    assert_eq!(told, OomEvent::Gone);
}

#[test]
fn statistics_of_a_running_container_are_read() {
    for all in [false, true] {
        let Some(mut guard) = plan("statistics_of_a_running_container_are_read", LIMITS, all)
        else {
            return;
        };
        guard.create(LIMITS);
        guard.shell("x=0; while [ $x -lt 20000 ]; do x=$((x+1)); done; sleep 60");
        until("it uses the processor", || guard.plan.stats().unwrap().cpu.usage.total > 0);
        // Pages are charged in batches.
        until("it uses memory", || guard.plan.stats().unwrap().memory.usage.usage > 0);
        let stats = guard.plan.stats().unwrap();
        assert_eq!(stats.pids.limit, 50);
        assert!(stats.pids.current >= 1);
        assert_eq!(stats.memory.usage.limit, 67_108_864);
        assert!(stats.memory.raw.contains_key("rss"));
        assert_eq!(stats.cpuset.cpus.is_empty(), !all);
        let event = Event { kind: "stats", id: "c1", data: Some(stats) };
        let json = oci::json::write(&event);
        assert!(json.starts_with(r#"{"type":"stats","id":"c1","data":{"cpu":{"usage":{"total":"#));
    }
}

#[test]
fn every_used_hierarchy_is_entered() {
    let Some(mut guard) = plan("every_used_hierarchy_is_entered", "{}", true) else { return };
    let created = guard.create("{}");
    let directories = guard.plan.directories.iter().filter(|d| !d.is_unified() && d.used).count();
    assert_eq!(created.join.tasks.len() + created.join.courtesy_tasks.len(), directories);
    assert_eq!(in_cgroup(&created, || 0), 0);
    let pid = guard.shell("sleep 60");
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = format!("/{}", guard.plan.directories[0].path);
    for directory in guard.plan.directories.iter().filter(|d| !d.is_unified()) {
        let is_ours = |line: &str| line.contains(&format!(":{}:", directory.controllers.join(",")));
        let line = text.lines().find(|line| is_ours(line)).unwrap();
        assert_eq!(line.ends_with(&own), directory.used, "{line}");
    }
    // Sub-cgroups by controller, as `exec --cgroup` has them.
    std::fs::create_dir(format!("{}/sub", guard.plan.path_of("memory").unwrap())).unwrap();
    let sub = SubCgroups::parse(&["memory:sub"]).unwrap();
    let join = guard.plan.join(&sub, Some(pid)).unwrap();
    assert_eq!(join.tasks.len(), created.join.tasks.len());
    guard.plan.attach(&sub, Some(pid), pid).unwrap();
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(text.contains(&format!(":memory:{own}/sub\n")), "{text}");
    for bad in ["nonexistent", "cpu:nonexistent"] {
        let error = guard.plan.join(&SubCgroups::parse(&[bad]).unwrap(), Some(pid)).unwrap_err();
        assert!(error.to_string().contains("adding pid to cgroup"), "{error}");
        assert!(error.to_string().contains("no such file or directory"), "{error}");
    }
    let unknown = SubCgroups::parse(&["whaaat:/"]).unwrap();
    assert!(guard.plan.join(&unknown, None).is_err());
}

#[test]
fn limits_that_the_kernel_refuses_are_named() {
    let json = r#"{"cpu":{"period":100}}"#;
    let Some(mut guard) = plan("limits_that_the_kernel_refuses_are_named", json, false) else {
        return;
    };
    let error = guard.plan.create(&resources(json)).unwrap_err().to_string();
    assert!(error.contains("writing \"100\" to") && error.contains("cpu.cfs_period_us"), "{error}");
}

/// Tests that enable controllers for the whole hierarchy take turns.
static V2_TURN: Mutex<()> = Mutex::new(());

/// The same on the unified hierarchy, as a machine with v2 only has it.
fn unified_plan(test: &str, json: &str) -> Option<Guard> {
    let layout = Layout::detect().unwrap();
    let Some(unified) = layout.unified.as_ref().filter(|_| sys::ids::euid() == 0) else {
        skip(test, "no unified hierarchy, or not root");
        return None;
    };
    let mountinfo = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", unified.mount);
    let path = format!("/tare-test-{}-v2/{test}", std::process::id());
    let ask = Ask { path: &path, resources: resources(json), ..Ask::default() };
    let plan = ask.plan(&Layout::parse(&mountinfo, "0::/\n")).unwrap();
    assert_eq!(plan.version, Version::V2);
    let file = format!("{}/cgroup.subtree_control", unified.mount);
    let before = std::fs::read_to_string(&file).unwrap();
    Some(Guard { plan, children: Vec::new(), restore: Some((file, before)) })
}

#[test]
fn v2_does_it_all() {
    let _turn = V2_TURN.lock();
    let Some(mut guard) = unified_plan("v2_does_it_all", "{}") else { return };
    let mut rules =
        resources(r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#);
    rules.devices.extend(default_device_rules());
    let created = guard.plan.create(&rules).unwrap();
    assert!(created.join.tasks.is_empty() && created.join.cgroup().is_some());
    check_device_access(&created);
    let pid = guard.shell("(sleep 60) & while :; do :; done");
    until("both run", || guard.plan.processes().unwrap().len() == 2);
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(text.contains(&format!("0::/{}\n", guard.plan.directories[0].path)), "{text}");

    guard.plan.freeze(FREEZE_DEADLINE_MS).unwrap();
    assert!(guard.plan.is_frozen().unwrap());
    guard.plan.thaw().unwrap();
    assert!(!guard.plan.is_frozen().unwrap());
    until("it uses the processor", || guard.plan.stats().unwrap().cpu.usage.total > 0);
    assert_eq!(guard.plan.stats().unwrap().pids.current, 2);

    // What no controller is there for is named; beside v1 that is most of them.
    let unified = resources(r#"{"unified":{"memory.high":"1048576"}}"#);
    let path = guard.plan.path_of("").unwrap();
    let controllers = std::fs::read_to_string(format!("{path}/cgroup.controllers")).unwrap();
    match guard.plan.update(&unified) {
        Ok(_) => {
            let high = std::fs::read_to_string(format!("{path}/memory.high")).unwrap();
            assert_eq!(high, "1048576\n");
        }
        Err(error) => {
            assert!(!controllers.contains("memory"), "{controllers}");
            let error = error.to_string();
            assert!(error.contains("controller \"memory\" not available"), "{error}");
        }
    }

    guard.plan.freeze(FREEZE_DEADLINE_MS).unwrap();
    let below = format!("{}/below", guard.plan.path_of("").unwrap());
    std::fs::create_dir(&below).unwrap();
    guard.plan.kill_all(9, KILL_DEADLINE_MS).unwrap();
    assert!(guard.plan.processes().unwrap().is_empty());
    assert!(guard.plan.remove(REMOVE_DEADLINE_MS).is_empty());
    assert!(!guard.plan.exists());
}

#[test]
fn v2_exec_follows_an_init_that_moved() {
    let _turn = V2_TURN.lock();
    let Some(mut guard) = unified_plan("v2_exec_follows_an_init_that_moved", "{}") else { return };
    guard.create("{}");
    let init = guard.shell("exec sleep 60");
    let own = guard.plan.path_of("").unwrap();
    let available = std::fs::read_to_string(format!("{own}/cgroup.controllers")).unwrap();
    // Controllers that are enabled below a cgroup keep processes out of it.
    let Some(controller) = available.split_whitespace().next() else {
        skip("v2_exec_follows_an_init_that_moved", "no controller is available");
        return;
    };
    std::fs::create_dir(format!("{own}/init")).unwrap();
    std::fs::write(format!("{own}/init/cgroup.procs"), init.to_string()).unwrap();
    std::fs::write(format!("{own}/cgroup.subtree_control"), format!("+{controller}")).unwrap();
    let join = guard.plan.join(&SubCgroups::default(), Some(init)).unwrap();
    let how = sys::process::Clone { cgroup: join.cgroup(), ..Default::default() };
    match sys::process::fork(how) {
        Ok(None) => sys::process::exit(0),
        Ok(Some(_)) => panic!("a process started in a cgroup that takes none"),
        Err(errno) => assert_eq!(errno, sys::Errno::EBUSY),
    }
    // The fallback of the caller.
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = child.id() as i32;
    let attached = guard.plan.attach(&SubCgroups::default(), Some(init), pid);
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    attached.unwrap();
    assert!(text.trim_end().ends_with("v2_exec_follows_an_init_that_moved/init"), "{text}");
}
