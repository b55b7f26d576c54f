//! From the kernel's entry to `main`.

use alloc::vec::Vec;
use core::arch::global_asm;
use core::ffi::CStr;

// The kernel enters with the stack pointer at argc. The stack is aligned and handed over; a zero
// frame pointer ends backtraces. `__ehdr_start` and `_DYNAMIC` are the linker's names for the
// program's own load address and dynamic section; they are taken relative to the instruction
// pointer, because nothing is relocated yet.
global_asm!(
    ".globl _start",
    ".hidden _DYNAMIC",
    ".hidden __ehdr_start",
    "_start:",
    "xor ebp, ebp",
    "mov r12, rsp",
    "and rsp, -16",
    "lea rdi, [rip + __ehdr_start]",
    "lea rsi, [rip + _DYNAMIC]",
    "call {relocate}",
    "mov rdi, r12",
    "call tare_main",
    "ud2",
    relocate = sym relocate,
);

const DT_NULL: usize = 0;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_RELRSZ: usize = 35;
const DT_RELR: usize = 36;
const R_X86_64_RELATIVE: usize = 8;

/// Applies the relocations of a static position-independent program: all are "load address plus
/// addend". Most are in the packed form (`-z pack-relative-relocs`), whose addends stand in the
/// places themselves: an even entry is the address of a place, an odd one a map of the 63 words
/// behind the last place. It must not use anything that itself needs a relocation.
///
/// # Safety
/// To be called once, by `_start`, with the program's load address and dynamic section.
unsafe extern "C" fn relocate(base: usize, dynamic: *const [usize; 2]) {
    let (mut table, mut bytes) = (0usize, 0usize);
    let (mut packed, mut packed_bytes) = (0usize, 0usize);
    let mut entry = dynamic;
    // SAFETY: the dynamic section is an array of pairs that ends with DT_NULL; the tables it
    // names lie in the program's image, and each entry's targets in its writable segment.
    unsafe {
        while (*entry)[0] != DT_NULL {
            match (*entry)[0] {
                DT_RELA => table = base + (*entry)[1],
                DT_RELASZ => bytes = (*entry)[1],
                DT_RELR => packed = base + (*entry)[1],
                DT_RELRSZ => packed_bytes = (*entry)[1],
                _ => {}
            }
            entry = entry.add(1);
        }
        let mut relocation = table as *const [usize; 3];
        let end = (table + bytes) as *const [usize; 3];
        while relocation < end {
            let [offset, info, addend] = *relocation;
            if info & 0xffff_ffff == R_X86_64_RELATIVE {
                *((base + offset) as *mut usize) = base + addend;
            }
            relocation = relocation.add(1);
        }
        let mut entry = packed as *const usize;
        let end = (packed + packed_bytes) as *const usize;
        let mut place = base as *mut usize;
        while entry < end {
            let mut map = *entry;
            if map & 1 == 0 {
                place = (base + map) as *mut usize;
                *place += base;
                place = place.add(1);
            } else {
                map &= !1;
                while map != 0 {
                    *place.add(map.trailing_zeros() as usize - 1) += base;
                    map &= map - 1;
                }
                place = place.add(63);
            }
            entry = entry.add(1);
        }
    }
}

/// The program's arguments and environment, as the kernel laid them out.
pub struct Arguments {
    /// `argv`, the program's name included.
    pub args: Vec<&'static [u8]>,
    /// `NAME=value` strings.
    pub env: Vec<&'static [u8]>,
}

/// Reads the arguments from the initial stack.
///
/// # Safety
/// `stack` must be the process's initial stack pointer.
#[doc(hidden)]
pub unsafe fn begin(stack: *const usize) -> Arguments {
    // SAFETY: `entry!` passes the initial stack of the process: argc, then argc pointers, NULL,
    // then the environment's pointers, NULL; all live as long as the process.
    unsafe {
        let count = *stack;
        let args = strings(stack.add(1));
        let env = strings(stack.add(count + 2));
        Arguments { args, env }
    }
}

/// # Safety
/// `pointers` must be a NULL-terminated array of C strings that live for ever.
unsafe fn strings(mut pointers: *const usize) -> Vec<&'static [u8]> {
    let mut strings = Vec::new();
    // SAFETY: the caller's promise.
    unsafe {
        while *pointers != 0 {
            strings.push(CStr::from_ptr(*pointers as *const _).to_bytes());
            pointers = pointers.add(1);
        }
    }
    strings
}
