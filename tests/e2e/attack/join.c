/* A process that enters a container as exec did before CVE-2016-9962: with the container's
 * rights, visible to it, and still running the host's program with the host's descriptors. It is
 * the unprotected variant that shows what the attacks can do. */
#include "attack.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Time that a joiner spends inside before it executes the program: about what a runtime takes. */
enum { INSIDE_US = 500 };

static void enter(int pidfd, int users, int hide) {
    int host = open("/etc", O_PATH | O_CLOEXEC);
    if (host < 0) exit(10);
    int all = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;
    if (setns(pidfd, all | (users ? CLONE_NEWUSER : 0)) != 0) exit(11);
    if (users && (setgid(0) != 0 || setuid(0) != 0)) exit(12);
    /* No more rights than the container has, or the kernel itself would keep it away. */
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof none);
    if (syscall(SYS_capset, &header, none) != 0) exit(13);
    if (prctl(PR_SET_DUMPABLE, !hide, 0, 0, 0) != 0) exit(14);
    usleep(INSIDE_US);
    execl("/bin/true", "true", (char *)0);
    exit(15);
}

/* join PID TIMES [users] [hide] */
int join(int argc, char **argv) {
    if (argc < 2) return 2;
    int users = 0, hide = 0;
    for (int i = 2; i < argc; i++) {
        users |= strcmp(argv[i], "users") == 0;
        hide |= strcmp(argv[i], "hide") == 0;
    }
    int pidfd = syscall(SYS_pidfd_open, atoi(argv[0]), 0);
    if (pidfd < 0 || setns(pidfd, CLONE_NEWPID) != 0) return 3;
    for (int i = 0; i < atoi(argv[1]); i++) {
        int status, child = fork();
        if (child == 0) enter(pidfd, users, hide);
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "join: status %d\n", WEXITSTATUS(status));
            return 4;
        }
    }
    return 0;
}
