//! `bench-stopwatch IDLE_MS PROGRAM [ARG...]`: waits, runs a program, and prints what it took:
//! `WALL_NS CPU_US PEAK_KIB STATUS`.
//!
//! CPU is user and system time of the program and of every descendant that was waited for. The
//! stopwatch is small because a process that is forked inherits the peak memory of its parent.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use sys::{BorrowedFd, CStrings, CWD, fs, process, time, wait};

rt::entry!(main);

fn main(arguments: rt::Arguments) -> i32 {
    let number = |bytes: &[u8]| core::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    let (Some(idle_ms), [_, _, command @ ..]) =
        (arguments.args.get(1).and_then(|text| number(text)), &arguments.args[..])
    else {
        return 2;
    };
    let (Ok(args), Ok(env), Some(program)) =
        (CStrings::new(command), CStrings::new(&arguments.env), command.first())
    else {
        return 2;
    };
    // A container that stays must not keep the reader of the result waiting.
    let Ok(result) = fs::duplicate(BorrowedFd::from_raw(1), 3) else { return 3 };
    let Ok(null) = fs::open_at(CWD, "/dev/null", fs::O_RDWR, 0) else { return 3 };
    if (0..2).any(|standard| fs::duplicate_to(&null, standard).is_err()) {
        return 3;
    }
    if idle_ms > 0 {
        time::sleep_ms(idle_ms);
    }
    let start = time::monotonic_ns();
    let child = match process::fork(process::Clone::default()) {
        Ok(Some(child)) => child,
        Ok(None) => {
            process::exec(program, &args, &env);
            process::exit(127)
        }
        Err(_) => return 3,
    };
    let Ok((exit, usage)) = wait::child_usage(child.pid) else { return 3 };
    let wall = time::monotonic_ns() - start;
    let line = format!("{wall} {} {} {}\n", usage.cpu_us, usage.peak_kib, exit.shell_code());
    fs::write_all(&result, line.as_bytes()).map_or(3, |()| 0)
}
