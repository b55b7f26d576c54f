/* Everything that a container can open: devices, and files of /proc and /sys. */
#include "attack.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void try_device(const char *dir, int kind, int major, int minor) {
    /* Opening a watchdog starts it: 10:130, should a protection fail. */
    if (kind == S_IFCHR && major == 10 && minor == 130) return;
    char path[256];
    snprintf(path, sizeof path, "%s/node", dir);
    unlink(path);
    if (mknod(path, kind | 0600, makedev(major, minor)) != 0) {
        printf("mknod %c %d:%d %d\n", kind == S_IFCHR ? 'c' : 'b', major, minor, errno);
        return;
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0) close(fd);
    if (error != EPERM) printf("open %c %d:%d\n", kind == S_IFCHR ? 'c' : 'b', major, minor);
    unlink(path);
}

/* devices DIR [MAJOR...]: makes and opens nodes of every major number, or of those given, and
 * prints those that are not forbidden. Without a driver, opening fails for another reason. */
int devices(int argc, char **argv) {
    enum { MAJORS = 4096, MINORS = 256 };
    if (argc < 1) return 2;
    if (argc > 1) {
        for (int i = 1; i < argc; i++) {
            try_device(argv[0], S_IFCHR, atoi(argv[i]), 0);
            try_device(argv[0], S_IFBLK, atoi(argv[i]), 0);
        }
        return 0;
    }
    for (int major = 0; major < MAJORS; major++) {
        /* Memory, terminals and the miscellaneous ones share a major each. */
        int wide = major == 1 || major == 4 || major == 5 || major == 10;
        for (int minor = 0; minor < (wide ? MINORS : 2); minor++)
            try_device(argv[0], S_IFCHR, major, minor);
        try_device(argv[0], S_IFBLK, major, 0);
        try_device(argv[0], S_IFBLK, major, 1);
    }
    return 0;
}

static volatile sig_atomic_t alarms;
static void on_alarm(int signal) { (void)signal, alarms++; }

/* Reads a little of a file; the alarm ends what would wait for ever. */
static void read_one(const char *path) {
    char buffer[4096];
    alarm(1);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) {
        alarm(0);
        return;
    }
    ssize_t length = read(fd, buffer, sizeof buffer);
    alarm(0);
    close(fd);
    if (length > 0) printf("r %s\n", path);
}

static void walk_dir(const char *path, int depth) {
    enum { DEPTH = 24 };
    DIR *dir = depth < DEPTH ? opendir(path) : 0;
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));) {
        char below[4096];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        /* Processes: the container's own. */
        if (strcmp(path, "/proc") == 0 && e->d_name[0] >= '0' && e->d_name[0] <= '9') continue;
        if (snprintf(below, sizeof below, "%s/%s", path, e->d_name) >= (int)sizeof below) continue;
        struct stat stat;
        if (lstat(below, &stat) != 0) continue;
        if (S_ISDIR(stat.st_mode)) walk_dir(below, depth + 1);
        if (!S_ISREG(stat.st_mode)) continue;
        read_one(below);
        /* Opening some for writing would do something to the machine. */
        if (faccessat(AT_FDCWD, below, W_OK, AT_EACCESS) == 0) printf("w %s\n", below);
    }
    closedir(dir);
}

/* walk DIR...: prints every file below that gives at least one byte (r) or may be written (w). */
int walk(int argc, char **argv) {
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, 0);
    for (int i = 0; i < argc; i++) walk_dir(argv[i], 0);
    printf("interrupted %d\n", (int)alarms);
    return 0;
}
