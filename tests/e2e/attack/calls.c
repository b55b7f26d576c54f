/* Ways around a system call filter, and reading a filter back. */
#include "attack.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long i386(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static long native(long number, long a, long b, long c) {
    long result = syscall(number, a, b, c);
    return result < 0 ? -errno : result;
}

/* A terminal of the container's own to push a character into. */
static long push(unsigned long request) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || unlockpt(master) != 0) return -ENODEV;
    setsid();
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR);
    if (slave < 0) return -ENODEV;
    return native(SYS_ioctl, slave, request, (long)"x");
}

static long probe(int index) {
    switch (index) {
    case 0: return native(SYS_clone3, 0, 0, 0);
    case 1: return native(SYS_io_uring_setup, 0, 0, 0);
    case 2: return native(0x40000000 | SYS_getppid, 0, 0, 0);
    case 3: return i386(64 /* getppid */, 0, 0, 0);
    case 4: return i386(102 /* socketcall */, 1 /* socket */, 0, 0);
    case 5: return push(TIOCSTI);
    /* Only the lower half of the request counts for the kernel. */
    case 6: return push(TIOCSTI | 1ul << 32);
    case 7: return native(SYS_socket, 38 /* AF_ALG */, 5, 0);
    case 8: return native(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */, 0, 0);
    /* A number that no kernel has. */
    case 9: return native(4000, 0, 0, 0);
    default: return native(SYS_getppid, 0, 0, 0);
    }
}

/* calls: each probe in a process of its own, which the filter may kill. */
int calls(int argc, char **argv) {
    (void)argc, (void)argv;
    static const char *const names[] = {"clone3", "io_uring_setup", "x32", "i386", "i386-socketcall",
                                        "tiocsti", "tiocsti-high", "af_alg", "unshare-user",
                                        "unknown", "getppid"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        int pipes[2], status;
        if (pipe(pipes) != 0) return 3;
        int child = fork();
        if (child == 0) {
            long result = probe(i);
            _exit(write(pipes[1], &result, sizeof result) != sizeof result);
        }
        long result = 0;
        close(pipes[1]);
        ssize_t got = read(pipes[0], &result, sizeof result);
        close(pipes[0]);
        waitpid(child, &status, 0);
        if (got == sizeof result) printf("%s %s %ld\n", names[i], result < 0 ? "error" : "ok", result < 0 ? -result : 0);
        else printf("%s signal %d\n", names[i], WTERMSIG(status));
    }
    return 0;
}

/* filter PID: the newest filter of a process, as bytes. */
int filter(int argc, char **argv) {
    enum { LIMIT = 4096 };
    static struct sock_filter code[LIMIT];
    if (argc < 1) return 2;
    int pid = atoi(argv[0]), status;
    if (ptrace(PTRACE_ATTACH, pid, 0, 0) != 0 || waitpid(pid, &status, __WALL) != pid) return 3;
    long count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, code);
    ptrace(PTRACE_DETACH, pid, 0, 0);
    if (count < 0) return 4;
    return fwrite(code, sizeof *code, count, stdout) != (size_t)count;
}
