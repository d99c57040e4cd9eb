/* proc.h - a child process as a value: spawn, peek, reap, signal.  Private. */
#ifndef LIB_PROC_H
#define LIB_PROC_H

#include "os.h"

#include <prong.h>
#include <stdbool.h>

/* Everything the child does between clone and exec, decided beforehand: it only makes
 * system calls, and shares the parent's memory meanwhile. */
struct plan {
	const char *path; /* NULL: a function */
	char *const *argv;
	char *const *envp;
	const char *cwd;
	int in, out, err; /* fds to dup; -1: leave what is there */
	bool merge;       /* err is a dup of out */
	const int *pass_fds;
	unsigned npass_fds;
	unsigned flags;   /* PRONG_NEW_SESSION, SAME_GROUP, FOREGROUND, KEEP_FDS */
	bool reset_handlers;
	int nice, tty_fd;
	sigset_t mask;    /* to restore just before exec */
	/* A function: path is NULL.  Its environ becomes envp; our marked fds are closed but
	 * these; it reports a failed set-up in *report, since the parent does not wait for it.
	 * NULL: the child comes back from pr_spawn(), with 0. */
	int (*fn)(void *arg, int result_fd);
	void *arg;
	int result_fd;
	const int *keep;
	int nkeep;
	volatile int *report; /* step and errno, in shared memory; may be NULL */
	bool deathsig;
	pid_t (*fork)(void *);
	void *fork_arg;
	/* out: */
	volatile int step, error; /* where and why the child failed; 0: it did not */
	volatile bool ran;        /* false: memory is not shared (an emulator) */
};

/* One of the three standard streams, whose fd sits in the place of another. */
static inline bool pr_misplaced(int fd, int to)
{
	return fd >= 0 && fd <= 2 && fd != to;
}

/* proc-child.c: the steps and the exec, as a function for clone(); never returns. */
int pr_child_exec(void *plan);
/* By fork(), for functions too.  The pid, or -errno; plan->step is set if the child failed:
 * then it is still to be reaped. */
PR_NEAR pid_t pr_child_fork(struct plan *pl);

/* Start it.  Returns the pid (0: this is the child of a plan without fn) and sets *pidfd (-1: there are none here), or -errno with
 * plan->step set.  stack: top of a 64 KiB stack that nobody else uses meanwhile. */
pid_t pr_spawn(struct plan *pl, void *stack_top, int *pidfd);

/* The same for a command, but the child goes its way to exec beside us, in our memory: *pl and
 * all that it points to must stay as they are, the stack unused, until *way is 0 (or the
 * child is reaped).  Only then is plan->step known: the child ended if it is set.
 * -ENOTSUP: not here, or not yet known to work (pr_spawn() finds out); or not this plan. */
pid_t pr_spawn_apart(struct plan *pl, void *stack_top, int *way, int *pidfd);

/* Has it ended?  1: *r's how, status, core, usage are set; 0: it runs; how is PRONG_LOST if
 * somebody else reaped it.  keep: leave the zombie. */
int pr_peek(pid_t pid, int pidfd, bool keep, struct prong_result *r);
/* A descriptor that is readable when children without a pidfd may have ended; read all of
 * it, then look.  -ENOTSUP: they can only be looked at by the clock. */
int pr_exits_open(void);
void pr_exits_close(int fd); /* -1 is allowed */
int pr_exits_tick(void);     /* look every so many milliseconds, in any case */

/* Signal the group of a child of ours that is not reaped; if it has not made its group yet,
 * itself. 0 or -errno. */
int pr_kill_group(pid_t pid, int sig);

void pr_reap(pid_t pid); /* a zombie known to be ours; blocks if it still runs */

#endif
