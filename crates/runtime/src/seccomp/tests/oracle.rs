//! The libseccomp of this machine, as a program that is compiled for the test.

use super::machine::Data;
use super::model::{self, Model};
use crate::seccomp::Instruction;
use crate::seccomp::tables::Name;
use oci::runtime::{Arch, Operator, Seccomp};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Compiler flags for another libseccomp than the system's: `-I/x/include /x/lib/libseccomp.a`.
const FLAGS: &str = "TARE_TEST_LIBSECCOMP";

pub(super) struct Oracle {
    folder: PathBuf,
    pub(super) version: String,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Oracle {
    /// The error says what is missing on this machine.
    pub(super) fn build(test: &str) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("tare-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let mut oracle = Self { folder, version: String::new() };
        let source = oracle.folder.join("oracle.c");
        std::fs::write(&source, include_str!("oracle.c")).map_err(|error| error.to_string())?;
        let flags = std::env::var(FLAGS).unwrap_or_else(|_| "-lseccomp".to_string());
        let done = Command::new("cc")
            .arg("-o")
            .arg(oracle.folder.join("oracle"))
            .arg(source)
            .args(flags.split_whitespace())
            .output()
            .map_err(|error| format!("cc: {error}"))?;
        if !done.status.success() {
            let text = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(format!("cc and libseccomp-dev: {}", text.lines().next().unwrap_or("")));
        }
        oracle.version = oracle.ask("V\n").concat();
        Ok(oracle)
    }

    /// Sends commands, returns the lines of the answer.
    pub(super) fn ask(&self, commands: &str) -> Vec<String> {
        let input = self.folder.join("input");
        std::fs::File::create(&input).unwrap().write_all(commands.as_bytes()).unwrap();
        let done = Command::new(self.folder.join("oracle"))
            .stdin(std::fs::File::open(&input).unwrap())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(done.status.success(), "{:?}", done.status);
        String::from_utf8(done.stdout).unwrap().lines().map(String::from).collect()
    }

    /// Those of `names` whose numbers this library knows as we do.
    pub(super) fn common(&self, names: &[&str], archs: &[Arch]) -> Vec<String> {
        let mut commands = String::new();
        for name in names {
            for &arch in archs {
                writeln!(commands, "N {} {name}", token(arch)).unwrap();
            }
        }
        let answers = self.ask(&commands);
        let same = |name: &str, answers: &[String]| {
            let Some(name) = Name::find(name) else { return false };
            answers.iter().zip(archs).all(|(answer, &arch)| {
                let theirs: i32 = answer.parse().unwrap();
                // -1: unknown. Below: no such call on this architecture, or multiplexed.
                match u32::try_from(theirs) {
                    Ok(theirs) => model::number(name, arch) == Some(theirs),
                    Err(_) if theirs == -1 => false,
                    Err(_) => {
                        model::number(name, arch).is_none()
                            || arch == Arch::X86 && name.multiplexed().is_some()
                    }
                }
            })
        };
        names
            .iter()
            .zip(answers.chunks(archs.len()))
            .filter(|(name, answers)| same(name, answers))
            .map(|(name, _)| name.to_string())
            .collect()
    }

    /// libseccomp's programs for profiles, made the way runc does it.
    pub(super) fn compile(&self, profiles: &[Seccomp]) -> Vec<Result<Vec<Instruction>, String>> {
        let commands: String = profiles.iter().map(commands).collect();
        let answers = self.ask(&commands);
        assert_eq!(answers.len(), profiles.len());
        answers
            .iter()
            .map(|line| line.strip_prefix("ok ").map(decode).ok_or_else(|| line.clone()))
            .collect()
    }
}

/// What runc calls libseccomp with.
fn commands(profile: &Seccomp) -> String {
    let default = model::value(profile.default_action, profile.default_errno_ret);
    // runc asks for the tree (level 2) from 33 rules on. Here it is always the tree: the linear form
    // of libseccomp up to 2.6.1 does not load the number for a further architecture whose first
    // call does not exist there. Without rules the tree of 2.5 is broken instead.
    let mut text = format!("I {default} {}\n", if profile.syscalls.is_empty() { 1 } else { 2 });
    for &arch in &profile.architectures {
        writeln!(text, "A {}", token(arch)).unwrap();
    }
    for rule in &profile.syscalls {
        let action = model::value(rule.action, rule.errno_ret);
        if action == default {
            continue;
        }
        for name in &rule.names {
            for args in model::alternatives(rule) {
                write!(text, "R {action} {name} {}", args.len()).unwrap();
                for arg in args {
                    let op = operator(arg.op);
                    write!(text, " {} {op} {} {}", arg.index, arg.value, arg.value_two).unwrap();
                }
                text.push('\n');
            }
        }
    }
    text + "X\n"
}

/// `SCMP_ARCH_*` of seccomp.h.
fn token(arch: Arch) -> u32 {
    match arch {
        Arch::X32 => 0x4000_003e,
        _ => crate::seccomp::audit_arch(arch),
    }
}

/// `enum scmp_compare` of seccomp.h.
fn operator(op: Operator) -> u32 {
    match op {
        Operator::NotEqual => 1,
        Operator::Less => 2,
        Operator::LessOrEqual => 3,
        Operator::Equal => 4,
        Operator::GreaterOrEqual => 5,
        Operator::Greater => 6,
        Operator::MaskedEqual => 7,
    }
}

fn decode(hex: &str) -> Vec<Instruction> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    bytes
        .chunks(8)
        .map(|raw| Instruction {
            code: u16::from_ne_bytes([raw[0], raw[1]]),
            jt: raw[2],
            jf: raw[3],
            k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
        })
        .collect()
}

/// What runc with libseccomp returns for a call.
pub(super) fn expected(model: &Model, theirs: &[Instruction], data: &Data) -> u32 {
    if model.is_newer(data) {
        return model::NOT_IMPLEMENTED;
    }
    super::machine::run(theirs, data).value
}
