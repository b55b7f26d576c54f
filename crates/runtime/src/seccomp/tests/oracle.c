/*
 * Asks the libseccomp of this machine. One command a line on standard input, one line of answer:
 *   V                                     version
 *   N <arch token> <name>                 number
 *   I <default action> <optimize level>   new filter, of the native architecture
 *   A <arch token>                        adds an architecture
 *   R <action> <name> <n> (<index> <operator> <a> <b>)*n
 *   X                                     "ok <program in hex>" or the first error since I
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static scmp_filter_ctx filter;
static char error[64];

static void note(const char *what, int rc)
{
	if (rc != 0 && error[0] == 0)
		snprintf(error, sizeof error, "%s %d", what, rc);
}

static void export(void)
{
	FILE *file = tmpfile();
	int byte;

	note("export", file ? seccomp_export_bpf(filter, fileno(file)) : -1);
	if (error[0]) {
		printf("error %s\n", error);
	} else {
		printf("ok ");
		rewind(file);
		while ((byte = fgetc(file)) != EOF)
			printf("%02x", byte);
		printf("\n");
	}
	if (file)
		fclose(file);
	seccomp_release(filter);
	filter = NULL;
}

static void rule(void)
{
	struct scmp_arg_cmp args[6];
	char name[64];
	uint32_t action;
	unsigned count, at, op;
	int rc;

	if (scanf("%" SCNu32 " %63s %u", &action, name, &count) != 3 || count > 6)
		exit(2);
	for (at = 0; at < count; at++) {
		if (scanf("%u %u %" SCNu64 " %" SCNu64, &args[at].arg, &op, &args[at].datum_a,
			  &args[at].datum_b) != 4)
			exit(2);
		args[at].op = op;
	}
	rc = seccomp_syscall_resolve_name(name);
	if (rc != __NR_SCMP_ERROR)
		note("rule", seccomp_rule_add_array(filter, action, rc, count, args));
}

int main(void)
{
	char command[2], name[64];
	uint32_t value, level;
	int rc;

	while (scanf("%1s", command) == 1) {
		switch (command[0]) {
		case 'V':
			printf("%u.%u.%u\n", seccomp_version()->major, seccomp_version()->minor,
			       seccomp_version()->micro);
			break;
		case 'N':
			if (scanf("%" SCNu32 " %63s", &value, name) != 2)
				exit(2);
			printf("%d\n", seccomp_syscall_resolve_name_arch(value, name));
			break;
		case 'I':
			if (scanf("%" SCNu32 " %" SCNu32, &value, &level) != 2)
				exit(2);
			error[0] = 0;
			filter = seccomp_init(value);
			if (!filter)
				exit(3);
			note("optimize", seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, level));
			break;
		case 'A':
			if (scanf("%" SCNu32, &value) != 1)
				exit(2);
			rc = seccomp_arch_add(filter, value);
			note("arch", rc == -17 ? 0 : rc);
			break;
		case 'R':
			rule();
			break;
		case 'X':
			export();
			break;
		default:
			exit(2);
		}
	}
	return 0;
}
