//! Runs a filter the way the kernel does.

use crate::seccomp::Instruction;

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) arch: u32,
    pub(super) number: u32,
    pub(super) args: [u64; 6],
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) value: u32,
    pub(super) steps: usize,
    /// Whether the kernel's cache of allowed calls (`seccomp_is_const_allow`) can follow the run.
    pub(super) constant: bool,
}

/// Panics where the kernel would refuse the program.
pub(super) fn run(program: &[Instruction], data: &Data) -> Run {
    let (mut accumulator, mut at, mut steps, mut constant) = (0_u32, 0, 0, true);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        steps += 1;
        at += 1;
        let test = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => {
                accumulator = word(data, k);
                constant &= k <= 4;
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += test(accumulator == k),
            0x25 => at += test(accumulator > k),
            0x35 => at += test(accumulator >= k),
            0x45 => at += test(accumulator & k != 0),
            0x06 => return Run { value: k, steps, constant },
            _ => panic!("no instruction of ours: {code:#x}"),
        }
    }
}

fn word(data: &Data, offset: u32) -> u32 {
    match offset {
        0 => data.number,
        4 => data.arch,
        16..64 if offset.is_multiple_of(4) => {
            let argument = data.args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
        }
        _ => panic!("no field at {offset}"),
    }
}

/// Checks what the kernel checks when it takes a program.
pub(super) fn verify(program: &[Instruction]) {
    assert!((1..=4096).contains(&program.len()));
    for (at, instruction) in program.iter().enumerate() {
        let reach = match instruction.code {
            0x05 => instruction.k as usize,
            0x15 | 0x25 | 0x35 | 0x45 => instruction.jt.max(instruction.jf) as usize,
            0x06 => continue,
            _ => 0,
        };
        assert!(at + 1 + reach < program.len(), "instruction {at} leaves the program");
    }
}
