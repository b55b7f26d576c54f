/* What a hostile process in a container tries, one verb a file. Results are lines on standard
 * output; every verb is also run where the protection is missing, so that it is known to work. */
#ifndef ATTACK_H
#define ATTACK_H

int peek(int argc, char **argv);
int overwrite(int argc, char **argv);
int join(int argc, char **argv);
int calls(int argc, char **argv);
int filter(int argc, char **argv);
int devices(int argc, char **argv);
int walk(int argc, char **argv);
int tell(int argc, char **argv);

/* Whether the file of this name has appeared: the sign to stop. */
int stopped(const char *path);
/* A newer process than `*last` that can be seen in /proc, which is the last then, or 0. */
int newcomer(int *last);

#endif
