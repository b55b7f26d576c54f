//! `watched PROGRAM ARGUMENT...`: executes a program whose every system call, and those of its
//! children, another process decides (`e2e::watch`).
//!
//! The filter asks its listener about every call. The listener is a descriptor of this process,
//! of which the watcher takes a copy; it closes on exec.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use sys::seccomp::Instruction;

/// `BPF_RET | BPF_K` with `SECCOMP_RET_USER_NOTIF`.
const ASK: Instruction = Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fc0_0000 };
const NEW_LISTENER: u32 = 1 << 3;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let env = std::env::vars_os().map(|(name, value)| [name, value].join("=".as_ref()));
    let env: Vec<Vec<u8>> = env.map(|variable| variable.as_bytes().to_vec()).collect();
    let texts: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let error = match (sys::CStrings::new(&texts), sys::CStrings::new(&env), texts.first()) {
        (Ok(args), Ok(env), Some(program)) => match sys::seccomp::install(&[ASK], NEW_LISTENER) {
            // Kept open until exec: without a listener every call would fail.
            Ok(_listener) => sys::process::exec(program, &args, &env),
            Err(errno) => errno,
        },
        _ => sys::Errno::EINVAL,
    };
    let _ = writeln!(std::io::stderr(), "watched: {error}");
    ExitCode::FAILURE
}
