//! Device rules of cgroup v2: an eBPF program that is asked about every `mknod` and `open`.
//!
//! The program has the meaning of the v1 device cgroup in the same state: an access is allowed by
//! an exception that covers all of it, and denied by one that covers any part of it (as the
//! kernel's `match_exception` and `match_exception_partial` have it. runc 1.5's program denies
//! only what an exception covers wholly, so that "deny w" does not keep anyone from opening for
//! reading and writing).

use super::devices::{ALL_ACCESS, Access, DeviceKind, Match, Rules};
use super::tree::Dir;
use crate::error::{Attempt, Result};
use alloc::format;
use alloc::vec::Vec;
use sys::bpf::{self, Instruction};
use sys::{Errno, Fd};

/// The verifier gives up with `EAGAIN` when a signal comes; as many tries as cilium/ebpf has.
const LOAD_TRIES: u32 = 30;

/// Registers: the verdict, the context (`struct bpf_cgroup_dev_ctx`) whose register later holds a
/// copy, then type, access, major and minor of the request.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const COPY: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Instruction codes (include/uapi/linux/bpf.h).
mod code {
    pub(super) const LOAD_WORD: u8 = 0x61;
    pub(super) const AND_32: u8 = 0x54;
    pub(super) const SHIFT_RIGHT_32: u8 = 0x74;
    pub(super) const MOVE_32: u8 = 0xb4;
    pub(super) const MOVE_32_REGISTER: u8 = 0xbc;
    pub(super) const JUMP_IF_EQUAL: u8 = 0x15;
    pub(super) const JUMP_UNLESS_EQUAL: u8 = 0x55;
    pub(super) const JUMP_UNLESS_EQUAL_REGISTER: u8 = 0x5d;
    pub(super) const EXIT: u8 = 0x95;
    pub(super) const JUMPS: [u8; 3] =
        [JUMP_IF_EQUAL, JUMP_UNLESS_EQUAL, JUMP_UNLESS_EQUAL_REGISTER];
}

fn insn(code: u8, target: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: target | source << 4, offset, immediate }
}

/// The program for `rules`. A verdict of 1 allows.
pub(super) fn program(rules: &Rules) -> Vec<Instruction> {
    let mut program = alloc::vec![
        // access_type: the device's type in the lower half, the access in the upper.
        insn(code::LOAD_WORD, KIND, CONTEXT, 0, 0),
        insn(code::AND_32, KIND, 0, 0, 0xffff),
        insn(code::LOAD_WORD, ACCESS, CONTEXT, 0, 0),
        insn(code::SHIFT_RIGHT_32, ACCESS, 0, 0, 16),
        insn(code::LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        insn(code::LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for (which, &access) in &rules.exceptions {
        program.extend(exception(which, access, !rules.default_allow));
    }
    program.extend(verdict(rules.default_allow));
    program
}

/// Gives the verdict `allow` if the request matches, and goes on behind it otherwise.
fn exception(which: &Match, access: Access, allow: bool) -> Vec<Instruction> {
    // BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR.
    let kind = match which.kind {
        DeviceKind::Block => 1,
        DeviceKind::Char => 2,
    };
    let mut block = alloc::vec![insn(code::JUMP_UNLESS_EQUAL, KIND, 0, 0, kind)];
    if access != ALL_ACCESS {
        block.push(insn(code::MOVE_32_REGISTER, COPY, ACCESS, 0, 0));
        block.push(insn(code::AND_32, COPY, 0, 0, i32::from(access)));
        block.push(match allow {
            true => insn(code::JUMP_UNLESS_EQUAL_REGISTER, COPY, ACCESS, 0, 0),
            false => insn(code::JUMP_IF_EQUAL, COPY, 0, 0, 0),
        });
    }
    // Comparisons sign-extend: a number above 2^31 matches nothing, and no device has one.
    for (register, number) in [(MAJOR, which.major), (MINOR, which.minor)] {
        let compare = |number| insn(code::JUMP_UNLESS_EQUAL, register, 0, 0, number as i32);
        block.extend(number.map(compare));
    }
    block.extend(verdict(allow));
    let length = block.len();
    for (index, instruction) in block.iter_mut().enumerate() {
        if code::JUMPS.contains(&instruction.code) {
            instruction.offset = (length - index - 1) as i16;
        }
    }
    block
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [insn(code::MOVE_32, VERDICT, 0, 0, i32::from(allow)), insn(code::EXIT, 0, 0, 0, 0)]
}

/// Attaches the program to a cgroup, in the place of what it had. `fresh`: the cgroup was just
/// made and has none. There is no moment without rules.
pub(super) fn attach(dir: &Dir, rules: &Rules, fresh: bool) -> Result<()> {
    let what = |step: &str| format!("{step} the device program of {}", dir.path());
    let old = match fresh {
        true => Vec::new(),
        false => bpf::device_programs(dir).attempt(|| what("looking for"))?,
    };
    let new = load(&program(rules)).attempt(|| what("loading"))?;
    if let [only] = old.as_slice() {
        match bpf::attach_device_program(dir, &new, Some(only)) {
            // Linux before 5.6 cannot replace.
            Err(Errno::EINVAL) => {}
            result => return result.attempt(|| what("replacing")),
        }
    }
    bpf::attach_device_program(dir, &new, None).attempt(|| what("attaching"))?;
    for program in &old {
        bpf::detach_device_program(dir, program).attempt(|| what("detaching"))?;
    }
    Ok(())
}

fn load(program: &[Instruction]) -> sys::Result<Fd> {
    const RLIMIT_MEMLOCK: u32 = 8;
    let load = || {
        let mut tries = 1;
        loop {
            match bpf::load_device_program(program, "tare_devices") {
                Err(Errno::EAGAIN) if tries < LOAD_TRIES => tries += 1,
                result => return result,
            }
        }
    };
    match load() {
        // Linux before 5.11 counts programs as locked memory.
        Err(Errno::EPERM) => {
            let (soft, hard) = sys::sched::limit(RLIMIT_MEMLOCK)?;
            let raised = sys::sched::set_limit(RLIMIT_MEMLOCK, u64::MAX, u64::MAX);
            raised.map_err(|_| Errno::EPERM)?;
            let result = load();
            // The container's process must not inherit the change.
            sys::sched::set_limit(RLIMIT_MEMLOCK, soft, hard)?;
            result
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::super::devices::tests::rules;
    use super::super::devices::{MKNOD, READ, WRITE, default_device_rules};
    use super::*;

    /// Runs a program as the kernel does.
    fn run(program: &[Instruction], kind: DeviceKind, access: Access, device: [u32; 2]) -> bool {
        let kind = if kind == DeviceKind::Block { 1 } else { 2 };
        let context = [u32::from(access) << 16 | kind, device[0], device[1]];
        let mut registers = [0u64; 11];
        let mut at = 0usize;
        #[allow(clippy::explicit_counter_loop, reason = "jumps change the counter")]
        for _ in 0..100_000 {
            let i = program[at];
            let (target, source) = ((i.registers & 15) as usize, (i.registers >> 4) as usize);
            let immediate = i64::from(i.immediate) as u64;
            let low = registers[target] as u32;
            at += 1;
            let mut jump = |condition: bool| {
                if condition {
                    at = (at as i64 + i64::from(i.offset)) as usize;
                }
            };
            match i.code {
                code::LOAD_WORD => {
                    assert_eq!(source, 1, "not the context");
                    registers[target] = u64::from(context[i.offset as usize / 4]);
                }
                code::AND_32 => registers[target] = u64::from(low & i.immediate as u32),
                code::SHIFT_RIGHT_32 => registers[target] = u64::from(low >> i.immediate),
                code::MOVE_32 => registers[target] = u64::from(i.immediate as u32),
                code::MOVE_32_REGISTER => registers[target] = u64::from(registers[source] as u32),
                code::JUMP_IF_EQUAL => jump(registers[target] == immediate),
                code::JUMP_UNLESS_EQUAL => jump(registers[target] != immediate),
                code::JUMP_UNLESS_EQUAL_REGISTER => jump(registers[target] != registers[source]),
                code::EXIT => return registers[0] != 0,
                other => panic!("instruction {other:#x}"),
            }
        }
        panic!("no end");
    }

    /// The kernel's v1 check (security/device_cgroup.c).
    fn v1_allows(rules: &Rules, kind: DeviceKind, access: Access, device: [u32; 2]) -> bool {
        let number = |which: Option<u32>, number| which.is_none_or(|which| which == number);
        let matches = |which: &Match| {
            which.kind == kind && number(which.major, device[0]) && number(which.minor, device[1])
        };
        let mut matching = rules.exceptions.iter().filter(|(which, _)| matches(which));
        match rules.default_allow {
            false => matching.any(|(_, &granted)| access & !granted == 0),
            true => !matching.any(|(_, &denied)| access & denied != 0),
        }
    }

    const LISTS: [&[&str]; 8] = [
        &[],
        &["+a"],
        &["+c 1:3 r", "+c 1:* w", "+b *:3 m", "+c *:* m"],
        &["+a", "-c 1:3 w", "-b 8:* rwm", "-c *:5 m"],
        &["+b 8:0 rwm", "+b 8:1 rw", "+c 8:0 rm", "+b 8:0"],
        &["+c 4294967295:4294967295 rwm", "+c 2147483648:3 rwm"],
        &["+a", "-b *:* w"],
        &["+c 0:0 rwm", "+b *:* rwm"],
    ];

    #[test]
    fn programs_mean_what_v1_means() {
        let defaults = Rules::parse(&default_device_rules()).unwrap();
        let lists = LISTS.iter().map(|list| Rules::parse(&rules(list)).unwrap());
        for state in lists.chain([defaults]) {
            let program = program(&state);
            for kind in [DeviceKind::Block, DeviceKind::Char] {
                for access in [MKNOD, READ, WRITE, READ | WRITE, ALL_ACCESS] {
                    for major in [0, 1, 5, 8, 10, 136, 4095] {
                        for minor in [0, 1, 2, 3, 5, 7, 200, 0xfffff] {
                            let device = [major, minor];
                            let expected = v1_allows(&state, kind, access, device);
                            let actual = run(&program, kind, access, device);
                            assert_eq!(actual, expected, "{state:?}: {kind:?} {device:?} {access}");
                        }
                    }
                }
            }
        }
    }

    /// R14: every major number against the table of what a container may open by default.
    #[test]
    fn r14_the_default_program_allows_only_the_table() {
        const OPEN: [(u32, Option<u32>); 9] = [
            (1, Some(3)),
            (1, Some(5)),
            (1, Some(7)),
            (1, Some(8)),
            (1, Some(9)),
            (5, Some(0)),
            (5, Some(2)),
            (10, Some(200)),
            (136, None),
        ];
        const MAJORS: u32 = 1 << 12;
        let check = |rules: &Rules| {
            let program = program(rules);
            let mut wrong = 0;
            for (kind, major) in [DeviceKind::Block, DeviceKind::Char]
                .iter()
                .flat_map(|kind| (0..MAJORS).map(move |major| (*kind, major)))
            {
                let listed = |minor| {
                    kind == DeviceKind::Char
                        && OPEN.iter().any(|&(a, b)| a == major && b.is_none_or(|b| b == minor))
                };
                for minor in (0..12).chain([200, 255, 0xfffff]) {
                    for access in [READ, WRITE, READ | WRITE] {
                        let open = run(&program, kind, access, [major, minor]);
                        wrong += usize::from(open != listed(minor));
                    }
                    wrong += usize::from(!run(&program, kind, MKNOD, [major, minor]));
                }
            }
            wrong
        };
        assert_eq!(check(&Rules::parse(&default_device_rules()).unwrap()), 0);
        // The control: one device more is seen.
        let mut more = rules(&["+b 8:1 r"]);
        more.extend(default_device_rules());
        assert_eq!(check(&Rules::parse(&more).unwrap()), 1);
    }

    #[test]
    fn the_verifier_takes_the_programs() {
        for list in LISTS {
            let state = Rules::parse(&rules(list)).unwrap();
            match load(&program(&state)) {
                Ok(_) => {}
                Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES) => {
                    let test = "the_verifier_takes_the_programs";
                    super::super::tests::skip(test, "bpf(2) is not permitted");
                    return;
                }
                Err(errno) => panic!("{list:?}: {errno}"),
            }
        }
    }
}
