/* deny.c - run a command under a kernel that lacks things, by a seccomp filter.
 * usage: deny WHAT=ERRNO... -- COMMAND WORDS...   (errno as a number)
 * WHAT is a row of the table below; status 125 if there is no seccomp here. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned call;
	int arg; /* -1: whatever the arguments */
	unsigned mask, value; /* else only if (arg & mask) == value */
} rows[] = {
	{ "clone-pidfd", SYS_clone, 0, CLONE_PIDFD, CLONE_PIDFD },
	{ "clone-vm", SYS_clone, 0, CLONE_VM | CLONE_VFORK, CLONE_VM | CLONE_VFORK },
	{ "pidfd_open", SYS_pidfd_open, -1, 0, 0 },
	{ "pidfd_send_signal", SYS_pidfd_send_signal, -1, 0, 0 },
	{ "waitid-pidfd", SYS_waitid, 0, ~0u, 3 },
	{ "close_range", SYS_close_range, -1, 0, 0 },
	{ "tmpfile", SYS_openat, 2, O_TMPFILE, O_TMPFILE },
	{ "lease", SYS_fcntl, 1, ~0u, 1024 },
	{ "pwritev2", SYS_pwritev2, -1, 0, 0 },
	{ "splice", SYS_splice, -1, 0, 0 },
	{ "sendfile", SYS_sendfile, -1, 0, 0 },
	{ "copy_file_range", SYS_copy_file_range, -1, 0, 0 },
	{ "memfd_create", SYS_memfd_create, -1, 0, 0 },
};
enum { ROWS = sizeof rows / sizeof *rows };

static struct sock_filter prog[8 * ROWS];
static unsigned short n;

static void op(unsigned short code, unsigned k, unsigned char jt, unsigned char jf)
{
	prog[n++] = (struct sock_filter){ code, jt, jf, k };
}

static unsigned arg_at(int i)
{
	return (unsigned)offsetof(struct seccomp_data, args) + 8u * (unsigned)i; /* low half */
}

/* Each row stands alone: load the number, skip the rest of the row if it is another's. */
static void deny(unsigned row, unsigned error)
{
	const unsigned char rest = rows[row].arg < 0 ? 1 : 4;
	op(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	op(BPF_JMP | BPF_JEQ | BPF_K, rows[row].call, 0, rest);
	if (rows[row].arg >= 0) {
		op(BPF_LD | BPF_W | BPF_ABS, arg_at(rows[row].arg), 0, 0);
		op(BPF_ALU | BPF_AND | BPF_K, rows[row].mask, 0, 0);
		op(BPF_JMP | BPF_JEQ | BPF_K, rows[row].value, 0, 1);
	}
	op(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error, 0, 0);
}

static int add(const char *what)
{
	const char *eq = strchr(what, '=');
	for (unsigned i = 0; eq && i < ROWS; i++)
		if (strlen(rows[i].name) == (size_t)(eq - what) &&
		    !strncmp(rows[i].name, what, (size_t)(eq - what))) {
			deny(i, (unsigned)atoi(eq + 1));
			return 0;
		}
	fprintf(stderr, "deny: what is %s?\n", what);
	return -1;
}

int main(int argc, char **argv)
{
	int i = 1;
	for (; i < argc && strcmp(argv[i], "--"); i++)
		if (add(argv[i]) != 0)
			return 126;
	if (i + 1 >= argc)
		return 126;
	op(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	struct sock_fprog p = { .len = n, .filter = prog };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) != 0) {
		perror("deny: seccomp");
		return 125;
	}
	execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 127;
}
