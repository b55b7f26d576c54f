//! The system call instruction.

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("Tare runs on x86-64 Linux; another architecture needs its entry in sys::arch");

use crate::errno::{Errno, Result};
use core::arch::asm;

/// Makes a system call. Arguments are registers: what they mean, and whether the kernel writes
/// through them, is the caller's to know.
///
/// # Safety
/// Every pointer among the arguments must be valid for what system call `nr` does with it.
#[inline]
pub(crate) unsafe fn syscall(nr: u32, args: [usize; 6]) -> Result<usize> {
    let value: isize;
    // SAFETY: the `syscall` instruction clobbers rcx and r11 and returns in rax; memory is not
    // marked as untouched, so what the kernel writes through pointers is seen. The pointers'
    // validity is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr as isize => value,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    // The kernel returns -4095..=-1 for errors (include/linux/err.h).
    if (-4095..0).contains(&value) { Err(Errno(-value as i32)) } else { Ok(value as usize) }
}

/// Ends the process by a signal that the kernel forces upon it.
pub(crate) fn trap() -> ! {
    // SAFETY: the instruction is defined to be illegal; nothing behind it is executed. The signal
    // can neither be blocked nor ignored, not even by the first process of a pid namespace.
    unsafe { asm!("ud2", options(noreturn, nomem, nostack)) }
}

/// The arguments, and zero for those that are not given.
#[inline]
pub(crate) fn registers<const N: usize>(given: [usize; N]) -> [usize; 6] {
    core::array::from_fn(|index| given.get(index).copied().unwrap_or(0))
}

/// `call!(__NR_x, a, b)`: a system call whose arguments are cast to registers.
macro_rules! call {
    ($nr:ident $(, $arg:expr)* $(,)?) => {{
        $crate::arch::syscall(
            linux_raw_sys::general::$nr,
            $crate::arch::registers([$( $arg as usize ),*]),
        )
    }};
}
pub(crate) use call;
