/* guardian.h - the two processes of a run, and what makes sure that nothing survives it.
 *
 * The process the user started becomes the guardian; its child, in a process group of its
 * own, becomes the runner.  Each detects the other's death.  See docs/architecture.md. */
#ifndef CMD_GUARDIAN_H
#define CMD_GUARDIAN_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* What the runner gets to know. */
struct guard {
	pid_t guardian;      /* its pid */
	pid_t pgrp;          /* process group of the guardian (the shell's job) */
	pid_t shell;         /* pid of the process that started prong */
	int fd;              /* POLLHUP/EOF here: the guardian died: end everything at once.
	                        Also carries guardian -> runner bytes, see guard_read(). */
	sigset_t user_mask;  /* signal mask prong was started with: what jobs must get */
};

/* Fork into guardian and runner.  Called once, before any fd or thread is made.
 * pump_stdin: standard input is a terminal that the runner will read arguments from: the
 * guardian reads it (so that job control works) and feeds the runner's fd 0 by a pipe.
 * Returns in the runner only, 0 (guard filled in) or -errno; in the guardian it never
 * returns: it waits, forwards HUP INT QUIT TERM USR1 USR2 WINCH TSTP CONT, and ends as the
 * runner ended (same exit status, or death by the same signal).
 * In the runner all forwarded signals are blocked: read them by signalfd (guard_signals()).
 * Signals that were ignored when prong started stay ignored (nohup). */
int guard_start(struct guard *g, bool pump_stdin);
/* signalfd for the signals above + those sent directly to the runner. */
int guard_signals(struct guard *g);
/* The runner is about to stop for TSTP: jobs are stopped; tell the guardian, stop, and
 * return after CONT. */
void guard_stop(struct guard *g);
/* Normal end: what jobs left in the background may live. Otherwise (abnormal end: not
 * called) the guardian kills every descendant that is left. */
void guard_release(struct guard *g);
/* Kill every descendant of this process that is not `keep` (may be 0), until none is left:
 * bare loop over all of /proc/self/task/TID/children, SIGKILL, reap.  Used by the guardian
 * after an abnormal end, and by the runner when the guardian died or the run was killed. */
void sweep_descendants(pid_t keep);
/* End this process by signal `sig`, as if it had never been caught (default action, no core). */
void die_by(int sig) __attribute__((noreturn));
/* --sweep-orphans: find processes of this user that carry PRONG_JOB=<pid>.<start>... of a runner
 * that no longer exists, kill them, say what was killed; returns the count or -errno. */
int sweep_orphans(bool verbose);
/* "PRONG_JOB" value prefix of this run: "<runner pid>.<start time in clock ticks>", after the
 * outer run's mark and '/', if any. */
const char *run_mark(void);

#endif
