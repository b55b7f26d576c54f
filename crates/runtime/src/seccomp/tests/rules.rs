//! Single rules of the language, by example.

use super::*;
use model::compare;
use oci::runtime::Operator;
use random::OPERATORS;

const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const LOG: u32 = 0x7ffc_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

const READ: u32 = 0;
const WRITE: u32 = 1;
const SOCKET: u32 = 41;
/// io_uring_setup: above every number of the profiles here.
const NEW: u32 = 425;

/// A profile from the JSON of `syscalls` and of further members.
fn profile(syscalls: &str, members: &str) -> Seccomp {
    let default = r#","defaultAction":"SCMP_ACT_ERRNO""#;
    let default = if members.contains("defaultAction") { "" } else { default };
    let text = format!(r#"{{"syscalls":[{syscalls}]{members}{default}}}"#);
    oci::json::read(text.as_bytes()).unwrap()
}

fn rule(names: &str, action: &str, args: &str) -> String {
    let names = names.replace(' ', r#"",""#);
    format!(r#"{{"names":["{names}"],"action":"SCMP_ACT_{action}","args":[{args}]}}"#)
}

fn arg(index: u32, op: &str, value: u64) -> String {
    format!(r#"{{"index":{index},"op":"SCMP_CMP_{op}","value":{value}}}"#)
}

fn on(arch: Arch, number: u32, args: [u64; 6]) -> Data {
    Data { arch: audit_arch(arch), number, args }
}

#[track_caller]
fn check(profile: &Seccomp, cases: &[(Data, u32)]) {
    let program = compile(profile, Arch::X86_64).unwrap();
    verify(&program.instructions);
    for (data, expected) in cases {
        let value = run(&program.instructions, data).value;
        assert!(value == *expected, "{value:#x}, not {expected:#x} for {data:x?}");
    }
}

#[track_caller]
fn check_error(profile: &Seccomp, expected: &str) {
    assert_eq!(compile(profile, Arch::X86_64).unwrap_err().to_string(), expected);
}

#[track_caller]
fn check_warnings(profile: &Seccomp, expected: &[&str]) {
    assert_eq!(compile(profile, Arch::X86_64).unwrap().warnings, expected);
}

#[test]
fn operators_compare_64_bits_and_32_on_narrow_architectures() {
    const EDGES: [u64; 12] = [
        0,
        1,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0000_0001,
        0x1_ffff_ffff,
        0x8000_0000_0000_0000,
        u64::MAX - 1,
        u64::MAX,
    ];
    for (op, value) in OPERATORS.iter().flat_map(|op| EDGES.map(|value| (*op, value))) {
        for value_two in if op == Operator::MaskedEqual { &EDGES[..] } else { &[7][..] } {
            let args = vec![ArgRule { index: 5, value, value_two: *value_two, op }];
            let mut profile = profile("", r#","architectures":["SCMP_ARCH_X86"]"#);
            let (names, action) = (vec!["close".to_string()], Action::Allow);
            profile.syscalls = vec![SyscallRule { names, action, errno_ret: None, args }];
            let program = compile(&profile, Arch::X86_64).unwrap();
            for found in EDGES {
                for (arch, number, word) in
                    [(Arch::X86_64, 3, u64::MAX), (Arch::X86, 6, u32::MAX.into())]
                {
                    let mask = word & if op == Operator::MaskedEqual { value } else { u64::MAX };
                    let operand =
                        mask & if op == Operator::MaskedEqual { *value_two } else { value };
                    let holds = compare(op, found & word, mask, operand);
                    let data = on(arch, number, [0, 0, 0, 0, 0, found]);
                    let got = run(&program.instructions, &data).value;
                    let expected = if holds { ALLOW } else { EPERM };
                    assert_eq!(
                        got, expected,
                        "{arch:?} {found:#x} {op:?} {value:#x} {value_two:#x}"
                    );
                }
            }
        }
    }
}

#[test]
fn rule_without_conditions_beats_rules_with_some() {
    let conditional = rule("write", "KILL_PROCESS", &arg(0, "EQ", 1));
    for syscalls in [
        [conditional.clone(), rule("write", "ALLOW", "")].join(","),
        [rule("write", "ALLOW", ""), conditional].join(","),
        // The first one counts.
        [rule("write", "ALLOW", ""), rule("write", "LOG", "")].join(","),
    ] {
        check(&profile(&syscalls, ""), &[(on(Arch::X86_64, WRITE, [1; 6]), ALLOW)]);
    }
}

#[test]
fn conditions_of_a_rule_hold_together_unless_an_argument_repeats() {
    let both = [arg(0, "EQ", 1), arg(2, "EQ", 3)].join(",");
    check(
        &profile(&rule("write", "ALLOW", &both), ""),
        &[
            (on(Arch::X86_64, WRITE, [1, 0, 3, 0, 0, 0]), ALLOW),
            (on(Arch::X86_64, WRITE, [1, 0, 0, 0, 0, 0]), EPERM),
            (on(Arch::X86_64, WRITE, [0, 0, 3, 0, 0, 0]), EPERM),
        ],
    );
    let repeated = [arg(0, "EQ", 1), arg(0, "EQ", 2), arg(2, "EQ", 3)].join(",");
    check(
        &profile(&rule("write", "ALLOW", &repeated), ""),
        &[
            (on(Arch::X86_64, WRITE, [1, 0, 0, 0, 0, 0]), ALLOW),
            (on(Arch::X86_64, WRITE, [2, 0, 0, 0, 0, 0]), ALLOW),
            (on(Arch::X86_64, WRITE, [0, 0, 3, 0, 0, 0]), ALLOW),
            (on(Arch::X86_64, WRITE, [0, 0, 0, 0, 0, 0]), EPERM),
        ],
    );
}

#[test]
fn narrower_conditions_come_first_where_actions_differ() {
    let rules = [
        rule("write", "TRAP", &arg(0, "GT", 10)),
        rule("write", "LOG", &arg(0, "GT", 20)),
        rule("write", "ALLOW", &arg(0, "EQ", 30)),
        rule("write", "KILL_PROCESS", &arg(1, "EQ", 1)),
    ];
    let first = |value| on(Arch::X86_64, WRITE, [value, 0, 0, 0, 0, 0]);
    check(
        &profile(&rules.join(","), ""),
        &[
            (first(10), EPERM),
            (first(11), 0x0003_0000),
            (first(21), LOG),
            (first(30), ALLOW),
            (first(1 << 32), LOG),
            (on(Arch::X86_64, WRITE, [30, 1, 0, 0, 0, 0]), KILL_PROCESS),
        ],
    );
}

#[test]
fn rule_that_repeats_the_default_does_not_count() {
    // Were it not skipped, it would shadow the second rule.
    let same = r#"{"names":["write"],"action":"SCMP_ACT_ERRNO","errnoRet":1}"#;
    let rules = format!("{same},{}", rule("write", "ALLOW", ""));
    check(&profile(&rules, ""), &[(on(Arch::X86_64, WRITE, [0; 6]), ALLOW)]);
    let other = same.replace(":1}", ":2}");
    let rules = format!("{other},{}", rule("write", "ALLOW", ""));
    check(&profile(&rules, ""), &[(on(Arch::X86_64, WRITE, [0; 6]), 0x0005_0002)]);
}

#[test]
fn actions_have_the_kernels_values() {
    for (action, errno, expected) in [
        ("KILL", "", 0),
        ("KILL_THREAD", "", 0),
        ("KILL_PROCESS", "", KILL_PROCESS),
        ("TRAP", "", 0x0003_0000),
        ("ERRNO", r#","errnoRet":2"#, 0x0005_0002),
        ("TRACE", "", 0x7ff0_0001),
        ("TRACE", r#","errnoRet":65535"#, 0x7ff0_ffff),
        ("LOG", "", LOG),
        ("ALLOW", "", ALLOW),
        ("NOTIFY", "", 0x7fc0_0000),
    ] {
        let rule = format!(r#"{{"names":["read"],"action":"SCMP_ACT_{action}"{errno}}}"#);
        let profile = profile(&rule, r#","listenerPath":"/run/agent""#);
        check(&profile, &[(on(Arch::X86_64, READ, [0; 6]), expected)]);
    }
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let rules = rule("read write socket", "ALLOW", "");
    let newer = |members: &str, expected| {
        check(
            &profile(&rules, members),
            &[(on(Arch::X86_64, SOCKET, [0; 6]), ALLOW), (on(Arch::X86_64, NEW, [0; 6]), expected)],
        );
    };
    newer("", ENOSYS);
    newer(r#","defaultErrnoRet":2"#, ENOSYS);
    newer(r#","defaultAction":"SCMP_ACT_KILL""#, ENOSYS);
    newer(r#","defaultAction":"SCMP_ACT_LOG""#, LOG);
    newer(r#","defaultAction":"SCMP_ACT_TRACE""#, 0x7ff0_0001);
    // A skipped rule shows what its author knew.
    let all = format!("{rules},{}", rule("openat2", "ERRNO", ""));
    check(&profile(&all, ""), &[(on(Arch::X86_64, NEW, [0; 6]), EPERM)]);
    // Multiplexed calls do not count on x86: 359 is socket.
    let x86 = profile(&rule("socket", "ALLOW", ""), r#","architectures":["SCMP_ARCH_X86"]"#);
    check(&x86, &[(on(Arch::X86, 359, [0; 6]), ALLOW), (on(Arch::X86, 4, [0; 6]), EPERM)]);
    let x86 = profile(&rules, r#","architectures":["SCMP_ARCH_X86"]"#);
    check(&x86, &[(on(Arch::X86, 359, [0; 6]), ENOSYS), (on(Arch::X86, 4, [0; 6]), ALLOW)]);
}

#[test]
fn unlisted_architectures_and_x32_are_killed() {
    let bit = arch::X32_BIT;
    let rules = rule("write", "ALLOW", "");
    check(
        &profile(&rules, ""),
        &[
            (on(Arch::X86_64, WRITE, [0; 6]), ALLOW),
            (on(Arch::X86_64, WRITE | bit, [0; 6]), 0),
            (on(Arch::X86, 4, [0; 6]), 0),
            (on(Arch::Aarch64, 64, [0; 6]), 0),
            // What a tracer leaves behind.
            (on(Arch::X86_64, u32::MAX, [0; 6]), EPERM),
        ],
    );
    check(
        &profile(&rules, r#","architectures":["SCMP_ARCH_X32","SCMP_ARCH_AARCH64"]"#),
        &[
            (on(Arch::X86_64, WRITE, [0; 6]), ALLOW),
            (on(Arch::X86_64, WRITE | bit, [0; 6]), ALLOW),
            (on(Arch::X86_64, NEW | bit, [0; 6]), ENOSYS),
            (on(Arch::Aarch64, 64, [0; 6]), ALLOW),
            (on(Arch::X86, 4, [0; 6]), 0),
        ],
    );
}

#[test]
fn socketcall_is_decided_by_its_call_number() {
    let rules = [
        rule("socket", "ALLOW", &arg(0, "NE", 38)),
        rule("connect", "LOG", ""),
        rule("shmget", "ALLOW", ""),
        rule("read write accept4 openat2", "TRAP", ""),
    ];
    let call = |number, call| on(Arch::X86, number, [call, 0, 0, 0, 0, 0]);
    check(
        &profile(&rules.join(","), r#","architectures":["SCMP_ARCH_X86"]"#),
        &[
            // The address family is in memory: blocked as a call of its own only.
            (call(102, 1), ALLOW),
            (call(359, 38), EPERM),
            (call(359, 2), ALLOW),
            (call(102, 3), LOG),
            (call(362, 0), LOG),
            (call(102, 18), 0x0003_0000),
            (call(102, 2), EPERM),
            (call(117, 23), ALLOW),
            (call(117, 24), EPERM),
        ],
    );
}

#[test]
fn errors_name_the_field() {
    let listener = r#","listenerPath":"/run/agent""#;
    check_error(
        &profile(&rule("read", "ALLOW", &format!("{},{}", arg(0, "EQ", 1), arg(7, "EQ", 1))), ""),
        "linux.seccomp.syscalls[0].args[1].index: 7 is not an argument number (0-5)",
    );
    check_error(
        &profile(&[rule("read", "ALLOW", ""), rule("close ", "ALLOW", "")].join(","), ""),
        "linux.seccomp.syscalls[1].names[1]: a system call has a name",
    );
    check_error(
        &profile("", r#","defaultAction":"SCMP_ACT_NOTIFY""#),
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default: the runtime could not \
         hand the listener over",
    );
    check_error(
        &profile(&rule("read write", "NOTIFY", ""), listener),
        "linux.seccomp.syscalls[0].names[1]: SCMP_ACT_NOTIFY cannot be used for the write syscall: \
         with the filter in force the runtime still has to write the listener's number to its parent",
    );
    check_error(
        &profile(&rule("read", "NOTIFY", ""), ""),
        "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs the socket of an agent",
    );
    let rules = [
        rule("read", "ALLOW", &arg(0, "EQ", 1)),
        rule("close", "ALLOW", ""),
        rule("read", "LOG", &arg(0, "EQ", 1)),
    ];
    check_error(
        &profile(&rules.join(","), ""),
        "linux.seccomp.syscalls[2]: contradicts an earlier rule for read: another action for the \
         same arguments on SCMP_ARCH_X86_64",
    );
    let error = compile(&profile("", ""), Arch::Sh).unwrap_err();
    assert_eq!(
        error.to_string(),
        "linux.seccomp: no system call table for this machine (SCMP_ARCH_SH)"
    );
}

#[test]
fn programs_that_the_kernel_would_refuse_are_errors() {
    let values = |count| {
        let args: Vec<_> = (0..count).map(|value| arg(0, "EQ", value << 32)).collect();
        profile(&rule("read", "ALLOW", &args.join(",")), "")
    };
    compile(&values(1_000), Arch::X86_64).unwrap();
    check_error(
        &values(1_025),
        "linux.seccomp.syscalls: more than the 4096 instructions of a filter are needed",
    );
    check_error(
        &values(4_097),
        "linux.seccomp.syscalls[0]: more conditions than a filter can hold on SCMP_ARCH_X86_64",
    );
}

#[test]
fn parts_without_effect_are_reported() {
    let rules = r#"{"names":["read","no_such_call"],"action":"SCMP_ACT_ALLOW","errnoRet":2}"#;
    check_warnings(
        &profile(
            rules,
            r#","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_SH"],"listenerPath":"/run/agent",
               "defaultErrnoRet":65537,"flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#,
        ),
        &[
            "linux.seccomp.defaultErrnoRet: only the low 16 bits of 65537 count",
            "linux.seccomp.architectures[1]: no system call table for SCMP_ARCH_SH, programs of \
             this architecture are killed",
            "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_ALLOW has no error number",
            "linux.seccomp.syscalls[0].names[1]: unknown system call \"no_such_call\"",
            "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV has no effect without \
             SCMP_ACT_NOTIFY",
            "linux.seccomp.listenerPath: not used, no rule has the action SCMP_ACT_NOTIFY",
        ],
    );
    let unknown: Vec<_> = (0..40).map(|at| format!("call_{at}")).collect();
    let warnings = compile(&profile(&rule(&unknown.join(" "), "ALLOW", ""), ""), Arch::X86_64)
        .unwrap()
        .warnings;
    assert_eq!(warnings.len(), 33);
    assert_eq!(warnings[32], "linux.seccomp: 8 more like these");
}

#[test]
fn flags_are_the_kernels() {
    for (members, expected) in [
        ("", 4),
        (r#","flags":["SECCOMP_FILTER_FLAG_TSYNC"]"#, 0),
        (r#","flags":["SECCOMP_FILTER_FLAG_LOG"]"#, 2),
        (r#","flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW"]"#, 6),
        (r#","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#, 0),
    ] {
        let program = compile(&profile(&rule("read", "ALLOW", ""), members), Arch::X86_64).unwrap();
        assert_eq!((program.flags, program.notify), (expected, false), "{members}");
    }
    let members =
        r#","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"listenerPath":"/run/agent""#;
    // For an unknown call as well: runc asks for a listener then.
    for name in ["read", "no_such_call"] {
        let program = compile(&profile(&rule(name, "NOTIFY", ""), members), Arch::X86_64).unwrap();
        assert_eq!((program.flags, program.notify), (8 | 32, true));
    }
}
