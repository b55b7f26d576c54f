#include "attack.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int stopped(const char *path) { return access(path, F_OK) == 0; }

/* Ids are given in sequence, so the next processes' names are known before they exist. */
int newcomer(int *last) {
    enum { AHEAD = 4, RESYNC = 64 };
    static unsigned turns;
    char path[64];
    for (int pid = *last + 1; pid <= *last + AHEAD; pid++) {
        snprintf(path, sizeof path, "/proc/%d", pid);
        if (access(path, F_OK) == 0) return *last = pid;
    }
    if (++turns % RESYNC == 0) {
        /* Others have run for long: the kernel tells the last id that it gave. */
        int given;
        FILE *file = fopen("/proc/loadavg", "r");
        if (file && fscanf(file, "%*s %*s %*s %*s %d", &given) == 1 && given > *last + 1)
            *last = given - 1;
        if (file) fclose(file);
    }
    return 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } verbs[] = {
        {"peek", peek},     {"overwrite", overwrite}, {"join", join}, {"calls", calls},
        {"filter", filter}, {"devices", devices},     {"walk", walk}, {"tell", tell},
    };
    for (unsigned i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0) return verbs[i].run(argc - 2, argv + 2);
    fprintf(stderr, "attack: no such verb\n");
    return 2;
}
