//! Kernels and outer filters without the newer system calls: the call fails with `ENOSYS`, or with
//! `EPERM` as the default of an outer container's filter does. Either the container is exactly what
//! it is with the call, or a sentence says what is missing.

use super::{GONE_DEADLINE, assert_nothing_left};
use e2e::Bundle;
use e2e::watch::Verdict;
use serde_json::json;
use sys::Errno;

/// A call that may be missing.
struct Call {
    name: &'static str,
    /// On x86-64.
    numbers: &'static [i32],
    /// What is said where no fallback is promised; empty: all is the same without the call.
    says: &'static str,
}

const fn same(name: &'static str, numbers: &'static [i32]) -> Call {
    Call { name, numbers, says: "" }
}

const fn says(name: &'static str, numbers: &'static [i32], says: &'static str) -> Call {
    Call { name, numbers, says }
}

const CALLS: [Call; 21] = [
    same("openat2", &[437]),
    same("clone3", &[435]),
    same("close_range", &[436]),
    same("mount_setattr", &[442]),
    same("open_tree", &[428]),
    same("fsopen", &[430]),
    same("fsconfig", &[431]),
    same("fsmount", &[432]),
    // Every kernel that has the others has it.
    says("move_mount", &[429], "attaching the mount with move_mount: "),
    same("all mount calls of Linux 5.2", &[428, 429, 430, 431, 432, 442]),
    // exec enters all namespaces at once with it.
    says("pidfd_open", &[434], "opening the container's init with pidfd_open: "),
    same("pidfd_getfd", &[438]),
    same("pidfd_send_signal", &[424]),
    same("faccessat2", &[439]),
    same("memfd_create", &[319]),
    same("execveat", &[322]),
    same("copy_file_range", &[326]),
    same("keyctl", &[250]),
    same("waitid", &[247]),
    says("seccomp", &[317], "installing the seccomp filter: "),
    says(
        "all calls since Linux 5.1",
        &[424, 428, 429, 430, 431, 432, 434, 435, 436, 437, 438, 439, 442],
        "opening the container's init with pidfd_open: ",
    ),
];

/// Tells all that a fallback could have left out: covers, attributes, descriptors, identity.
const SCRIPT: &str = "busybox cut -d' ' -f4,5,6 /proc/self/mountinfo; ls /proc/self/fd /sys/firmware; \
                      cat /proc/keys /proc/timer_list; busybox wc -c < /proc/kcore; \
                      echo x 2>&1 > /proc/sys/kernel/hostname; cat /data/file; id; \
                      grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; busybox pwd; \
                      ls -l /dev | busybox awk '{print $1, $NF}'";

fn bundle(test: &str) -> Option<Bundle> {
    let mut bundle = Bundle::new(test)?;
    std::fs::create_dir(bundle.path("pids")).unwrap();
    std::fs::create_dir(bundle.path("data")).unwrap();
    std::fs::write(bundle.path("data/file"), "content\n").unwrap();
    let data = json!({"destination": "/data", "type": "bind", "source": "data",
                      "options": ["rbind", "ro", "nosuid"]});
    bundle.config["mounts"].as_array_mut().unwrap().push(data);
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]
    });
    Some(bundle)
}

const VERBS: [&str; 4] = ["run", "start", "exec", "delete"];

/// The [`VERBS`] without the calls: what they say, and how they end.
fn live(bundle: &mut Bundle, missing: &'static [i32], errno: Option<Errno>) -> Vec<(String, i32)> {
    let decide = move |_: usize, notice: &sys::seccomp::Notice| match errno {
        Some(errno) if missing.contains(&notice.number) => Verdict::Fail(errno),
        _ => Verdict::Continue,
    };
    let id = bundle.id().to_string();
    let path = bundle.path("");
    let mut told = Vec::new();
    bundle.args(&["sh", "-c", SCRIPT]).write();
    let mut watched = bundle.watched(&["run", "--bundle", path, &id], decide);
    let status = watched.wait();
    told.push((bundle.said(), status.code().unwrap_or(-1)));
    assert!(watched.is_gone_within(GONE_DEADLINE));
    assert_nothing_left("run", bundle);
    bundle.args(&["sleep", "100"]).write();
    super::quietly(bundle, &["create", "--bundle", path, &id]);
    let calls =
        [&["start", &id][..], &["exec", &id, "sh", "-c", SCRIPT], &["delete", "--force", &id]];
    for args in calls {
        let mut watched = bundle.watched(args, decide);
        let status = watched.wait();
        told.push((bundle.said(), status.code().unwrap_or(-1)));
        assert!(watched.is_gone_within(GONE_DEADLINE));
    }
    bundle.runtime(&["delete", "--force", &id]);
    assert_nothing_left("exec and delete", bundle);
    told
}

#[test]
fn without_new_system_calls_a_container_is_the_same_or_none() {
    let test = "without_new_system_calls_a_container_is_the_same_or_none";
    let Some(mut bundle) = bundle(test) else { return };
    let usual = live(&mut bundle, &[], None);
    assert!(usual.iter().all(|(_, code)| *code == 0), "{usual:?}");
    assert!(usual[0].0.contains("content\n"), "{}", usual[0].0);
    let mut problems = Vec::new();
    for Call { name, numbers, says } in CALLS {
        for errno in [Errno::ENOSYS, Errno::EPERM] {
            let told = live(&mut bundle, numbers, Some(errno));
            let mut needed = false;
            for (index, verb) in VERBS.iter().enumerate().filter(|(i, _)| told[*i] != usual[*i]) {
                needed = true;
                let (said, code) = &told[index];
                let one_sentence = said.lines().count() == 1 && said.contains(says);
                if says.is_empty() || *code == 0 || !one_sentence {
                    problems.push(format!("{name}, {errno}, {verb}: {code} {said}"));
                }
            }
            if !needed && !says.is_empty() {
                problems.push(format!("{name}, {errno}: it is not needed"));
            }
        }
    }
    assert!(problems.is_empty(), "{}\nusually {usual:?}", problems.join("\n"));
}

/// CVE-2019-5736: a program file that the container could write to is worse than no container.
#[test]
fn a_runtime_that_cannot_be_sealed_goes_no_further() {
    let test = "a_runtime_that_cannot_be_sealed_goes_no_further";
    let Some(mut bundle) = bundle(test) else { return };
    const OPEN_TREE: i32 = 428;
    const MEMFD_CREATE: i32 = 319;
    bundle.args(&["true"]).write();
    let (path, id) = (bundle.path(""), bundle.id());
    for errno in [Errno::ENOSYS, Errno::EPERM] {
        let mut watched =
            bundle.watched(&["run", "--bundle", path, id], move |_, notice| match notice.number {
                OPEN_TREE | MEMFD_CREATE => Verdict::Fail(errno),
                _ => Verdict::Continue,
            });
        assert_eq!(watched.wait().code(), Some(1));
        let expected = format!(
            "tare-runtime: error: protecting the program's own file from the container: {errno} \
             (hint: it needs open_tree and mount_setattr, or memfd_create; or a read-only mount)\n"
        );
        assert_eq!(bundle.said(), expected);
        assert_nothing_left(test, &bundle);
    }
}
