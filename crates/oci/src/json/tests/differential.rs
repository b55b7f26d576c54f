//! The same opinion as serde_json on what is JSON and what it means; whole documents back and
//! forth.

use super::{Random, Tree};
use crate::json::{Raw, ToJson, read, write, write_pretty};
use crate::runtime::*;
use serde_json::Value;

const FULL: &[u8] = include_bytes!("full.json");
const MOBY: &[u8] = include_bytes!("../../../../runtime/tests/data/seccomp/moby-x86_64.json");
/// Texts that are mutated, and how often.
const ROUNDS: usize = 20_000;

/// Whether serde_json refuses for a reason of its own: numbers beyond a double.
fn is_own(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

fn compare(text: &[u8]) {
    let shown = || String::from_utf8_lossy(text).into_owned();
    let own = read::<Tree>(text);
    let skipped = read::<Raw>(text);
    match serde_json::from_slice::<Value>(text) {
        Ok(value) => {
            assert_eq!(own, Ok(Tree(value)), "{}", shown());
            assert!(skipped.is_ok(), "{}: {skipped:?}", shown());
        }
        Err(error) if is_own(&error) => {}
        Err(error) => {
            assert!(own.is_err(), "{}: {error}", shown());
            assert!(skipped.is_err(), "{}: {error}", shown());
        }
    }
    // Whatever it is, no document panics on it.
    drop(read::<Spec>(text));
}

#[test]
fn mutated_texts_are_judged_as_serde_json_does() {
    const PARTS: [&[u8]; 24] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"null",
        b"true",
        b"-",
        b"0",
        b"1.5",
        b"1e5",
        b"\\u00e4",
        b"\\ud83d\\ude00",
        b"\\ud83d",
        b" ",
        b"\n",
        b"\t",
        b"\0",
        b"\xc3\xa4",
        b"\xff",
        b"\"x\":",
    ];
    let seeds: [&[u8]; 4] = [
        FULL,
        br#"{"a":[1,-2,3.5e-7,true,false,null,"x\n\u0041"],"b":{"c":{},"d":[]},"":"\"\\"}"#,
        br#"[[],{},[{"a":[{}]}],"",0]"#,
        b" \"\xc3\xa4\\ud83d\\ude00\" ",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..ROUNDS {
        let mut text = seeds[round % seeds.len()].to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len() + 1);
            let end = (at + random.below(4)).min(text.len());
            let part = PARTS[random.below(PARTS.len())];
            match random.below(4) {
                0 => drop(text.splice(at..end, part.iter().copied())),
                1 => drop(text.splice(at..at, part.iter().copied())),
                2 => drop(text.drain(at..end)),
                _ => text.truncate(at),
            }
        }
        compare(&text);
    }
}

#[test]
fn every_prefix_is_judged_as_serde_json_does() {
    for end in 0..FULL.trim_ascii().len() {
        compare(&FULL[..end]);
        assert!(read::<Spec>(&FULL[..end]).is_err());
    }
    compare(FULL);
    compare(MOBY);
}

/// Reads, writes and reads again: nothing is lost, and the text is what another encoder makes of
/// the same members.
fn round_trip<T>(text: &[u8]) -> T
where
    T: crate::json::FromJson + ToJson + Default + PartialEq + std::fmt::Debug,
{
    let document: T = read(text).unwrap();
    let written = write(&document);
    assert_eq!(read::<T>(written.as_bytes()).as_ref(), Ok(&document));
    let value: Value = serde_json::from_slice(text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
    let pretty = write_pretty(&document);
    assert_eq!(serde_json::from_str::<Value>(&pretty).unwrap(), value);
    assert_eq!(read::<T>(pretty.as_bytes()).as_ref(), Ok(&document));
    document
}

#[test]
fn a_configuration_with_every_field_comes_back() {
    let spec = round_trip::<Spec>(FULL);
    let linux = spec.linux.unwrap();
    assert_eq!(linux.seccomp.unwrap().syscalls[0].args[0].value, u64::MAX);
    assert_eq!(linux.resources.unwrap().memory.unwrap().limit, Some(i64::MIN));
    round_trip::<Seccomp>(MOBY);
}

/// `full.json` would not notice a field that it does not have.
#[test]
fn the_full_configuration_has_every_field() {
    let text = core::str::from_utf8(FULL).unwrap();
    let mut missing = Vec::new();
    let mut look = |document: &dyn crate::json::Document| {
        for name in document.schema().names.iter() {
            if !text.contains(&format!("\"{name}\"")) {
                missing.push(name);
            }
        }
    };
    look(&Spec::default());
    look(&Root::default());
    look(&Mount::default());
    look(&Hooks::default());
    look(&Hook::default());
    look(&IdMapping::default());
    look(&Process::default());
    look(&ConsoleSize::default());
    look(&User::default());
    look(&Capabilities::default());
    look(&Rlimit::default());
    look(&Scheduler::default());
    look(&IoPriority::default());
    look(&CpuAffinity::default());
    look(&Linux::default());
    look(&Namespace::default());
    look(&Device::default());
    look(&NetDevice::default());
    look(&IntelRdt::default());
    look(&MemoryPolicy::default());
    look(&Personality::default());
    look(&TimeOffset::default());
    look(&Resources::default());
    look(&DeviceRule::default());
    look(&Memory::default());
    look(&Cpu::default());
    look(&Pids::default());
    look(&BlockIo::default());
    look(&WeightDevice::default());
    look(&ThrottleDevice::default());
    look(&HugepageLimit::default());
    look(&Network::default());
    look(&InterfacePriority::default());
    look(&Rdma::default());
    look(&Seccomp::default());
    look(&SyscallRule::default());
    look(&ArgRule::default());
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn what_a_runtime_reports_comes_back() {
    let state = r#"{"ociVersion":"1.3.0","id":"c","status":"running","pid":7,"bundle":"/b","annotations":{"a":"b"}}"#;
    round_trip::<State>(state.as_bytes());
    let process = format!(
        r#"{{"ociVersion":"1.3.0","fds":["seccompFd"],"pid":8,"metadata":"m","state":{state}}}"#
    );
    round_trip::<ContainerProcessState>(process.as_bytes());
    let features = round_trip::<Features>(
        br#"{"ociVersionMin":"1.0.0","ociVersionMax":"1.3.0","hooks":["prestart"],
        "mountOptions":["ro"],"linux":{"namespaces":["pid"],"capabilities":["CAP_KILL"],
        "cgroup":{"v1":false,"v2":true,"systemd":true,"systemdUser":true,"rdma":true},
        "seccomp":{"enabled":true,"actions":["SCMP_ACT_LOG"],"operators":["SCMP_CMP_NE"],
        "archs":["SCMP_ARCH_X32"],"knownFlags":["SECCOMP_FILTER_FLAG_LOG"],
        "supportedFlags":["SECCOMP_FILTER_FLAG_TSYNC"]},"apparmor":{"enabled":false},
        "selinux":{},"intelRdt":{"enabled":true,"schemata":true,"monitoring":true},
        "memoryPolicy":{"modes":["MPOL_BIND"],"flags":["MPOL_F_STATIC_NODES"]},
        "mountExtensions":{"idmap":{"enabled":true}},"netDevices":{"enabled":true}},
        "annotations":{"a":"b"},"potentiallyUnsafeConfigAnnotations":["x."]}"#,
    );
    assert_eq!(features.linux.unwrap().apparmor, Some(Switch { enabled: Some(false) }));
}
