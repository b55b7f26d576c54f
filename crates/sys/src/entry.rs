//! The entry of a program with libc that has to be started again from a sealed copy of itself.
//!
//! libc takes longer to start (0.4 ms on a virtual machine, nearly all of it in CPUID traps) than the kernel takes to
//! execute the program once more. A verb that enters containers is therefore recognised, and the program sealed,
//! before libc has begun: `tare_entry` is what the kernel enters, and it goes on to libc's `_start` in any case that
//! is not as usual. `runtime::seal` does the same again with all fallbacks, and finds nothing left to be done.
//!
//! Nothing is relocated yet, and there is no heap: these are registers and system calls.

/// The words that are looked for, each with a zero behind it.
macro_rules! words {
    () => {
        "run\\0exec\\0start\\0restart\\0container\\0"
    };
}

/// The verbs whose process, or one that it makes, gets into a container.
pub fn entering() -> impl Iterator<Item = &'static str> {
    words!().split_terminator("\\0")
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".section .text.tare_entry, \"ax\", @progbits",
    ".globl tare_entry",
    ".hidden _start",
    "tare_entry:",
    // What libc is to find as it was; at the stack pointer are the number of arguments and the arguments.
    "mov r14, rdx",
    "mov r15, rsp",
    // Is one of the arguments one of the words?
    "lea rbx, [rsp + 16]",
    "2:",
    "mov rsi, [rbx]",
    "test rsi, rsi",
    "jz 9f",
    "add rbx, 8",
    "lea rdi, [rip + 12f]",
    "3:",
    "mov rcx, rsi",
    "4:",
    "mov al, [rdi]",
    "cmp al, [rcx]",
    "jne 5f",
    "inc rdi",
    "inc rcx",
    "test al, al",
    "jnz 4b",
    "jmp 6f",
    "5:",
    "mov al, [rdi]",
    "inc rdi",
    "test al, al",
    "jnz 5b",
    "cmp byte ptr [rdi], 0",
    "jne 3b",
    "jmp 2b",
    // geteuid: another caller's file is protected by its owner.
    "6:",
    "mov eax, 107",
    "syscall",
    "test eax, eax",
    "jnz 9f",
    // openat(AT_FDCWD, "/proc/self/exe", O_PATH | O_CLOEXEC)
    "mov eax, 257",
    "mov edi, -100",
    "lea rsi, [rip + 13f]",
    "mov edx, 0x280000",
    "xor r10d, r10d",
    "syscall",
    "test eax, eax",
    "js 9f",
    "mov r12d, eax",
    // fstatfs: f_flags has ST_RDONLY where the program is sealed already.
    "sub rsp, 128",
    "mov eax, 138",
    "mov edi, r12d",
    "mov rsi, rsp",
    "syscall",
    "test eax, eax",
    "jnz 8f",
    "test byte ptr [rsp + 80], 1",
    "jnz 8f",
    // open_tree(file, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
    "mov eax, 428",
    "mov edi, r12d",
    "lea rsi, [rip + 14f]",
    "mov edx, 0x81001",
    "syscall",
    "test eax, eax",
    "js 8f",
    "mov r13d, eax",
    // mount_setattr(clone, "", AT_EMPTY_PATH, {MOUNT_ATTR_RDONLY, 0, 0, 0}, 32)
    "xor eax, eax",
    "mov qword ptr [rsp], 1",
    "mov [rsp + 8], rax",
    "mov [rsp + 16], rax",
    "mov [rsp + 24], rax",
    "mov eax, 442",
    "mov edi, r13d",
    "lea rsi, [rip + 14f]",
    "mov edx, 0x1000",
    "mov r10, rsp",
    "mov r8d, 32",
    "syscall",
    "test eax, eax",
    "jnz 7f",
    // execveat(clone, "", arguments, environment, AT_EMPTY_PATH)
    "mov eax, 322",
    "mov edi, r13d",
    "lea rsi, [rip + 14f]",
    "lea rdx, [r15 + 8]",
    "mov rcx, [r15]",
    "lea r10, [r15 + 8 * rcx + 16]",
    "mov r8d, 0x1000",
    "syscall",
    // It returns only where it has failed: close, and go on.
    "7:",
    "mov eax, 3",
    "mov edi, r13d",
    "syscall",
    "8:",
    "mov eax, 3",
    "mov edi, r12d",
    "syscall",
    "9:",
    "mov rsp, r15",
    "mov rdx, r14",
    "jmp _start",
    "12:",
    concat!(".asciz \"", words!(), "\""),
    "13:",
    ".asciz \"/proc/self/exe\"",
    "14:",
    ".byte 0",
    ".text",
);

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_taken_apart() {
        let words: Vec<&str> = super::entering().collect();
        assert_eq!(words, ["run", "exec", "start", "restart", "container"]);
    }
}
