/* proc-linux.c - start children by clone(VM|VFORK|PIDFD) and collect them by pidfd.
 *
 * Between clone and exec the child shares our memory and stack page; it makes only system
 * calls, with every signal blocked, and leaves step and errno in the plan if it fails.
 * Without VFORK it does so beside us ("apart"): a kernel's exec copies the arguments and
 * takes down an address space, and this process need not stand still meanwhile.  The kernel
 * says by a word in memory (CHILD_CLEARTID) when the child has left ours.
 * Where clone is refused (old kernels, emulators), memory turns out not to be shared
 * (valgrind), or PRONG_SPAWN=fork asks for it, and for functions, it is a fork and an error
 * pipe. */
#include "os.h"
#include "proc.h"
#include "raw.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* What this kernel can do, learned once by trying; a race only tries twice. */
static struct {
	bool asked, no_clone, no_pidfd_wait;
	bool shares; /* a child did leave its traces in our memory */
	bool no_apart;
} caps;

/* A sanitizer's tables know one thread where there would be two. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static bool refused(pid_t r)
{
	return r == -EINVAL || r == -ENOSYS || r == -EPERM;
}

static pid_t spawn_clone(struct plan *pl, void *stack_top, int *pidfd)
{
	pid_t pid = clone(pr_child_exec, stack_top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
	                  pl, pidfd);
	if (pid < 0) {
		pid = -errno;
		caps.no_clone |= refused(pid);
		return pid;
	}
	if (!pl->ran)
		caps.no_clone = true; /* memory is not shared here: errors would be lost */
	caps.shares = !caps.no_clone;
	return pid;
}

static pid_t spawn_fork(struct plan *pl, int *pidfd)
{
	pid_t pid = pr_child_fork(pl);
	if (pid > 0)
		*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return pid;
}

/* Signals are blocked meanwhile, lest a handler of the host runs in the child. */
static pid_t spawn_blocked(struct plan *pl, void *stack_top, int *pidfd)
{
	sigset_t all, old;
	pid_t pid = -ENOSYS;
	memset(&all, 0xff, sizeof all); /* sigfillset leaves out glibc's own */
	pr_sigmask(&all, &old);
	if (pl->path && !caps.no_clone)
		pid = spawn_clone(pl, stack_top, pidfd);
	if (refused(pid))
		pid = spawn_fork(pl, pidfd);
	pr_sigmask(pid == 0 ? &pl->mask : &old, NULL);
	return pid;
}

/* Before Linux 5.16 who dumps core takes with it all that share its memory: a child quit on
 * its way would be our end. */
static bool dumps_alone(void)
{
	struct utsname u;
	int major, minor;
	return uname(&u) == 0 && sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 16));
}

/* $PRONG_SPAWN: "fork", or "vfork" lest anything runs in our memory beside us. */
static void ask_how(void)
{
	const char *how = getenv("PRONG_SPAWN");
	caps.no_clone = how && !strcmp(how, "fork");
	caps.no_apart = !PR_RAW || SANITIZED || (how && !strcmp(how, "vfork")) ||
	                !dumps_alone();
	caps.asked = true;
}

/* What the child does with libc's calls would set our errno. */
static bool apart_ok(const struct plan *pl)
{
	return caps.shares && !caps.no_apart && pl->path && !pl->nice &&
	       !(pl->flags & PRONG_FOREGROUND);
}

pid_t pr_spawn_apart(struct plan *pl, void *stack_top, int *way, int *pidfd)
{
	const int flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD;
	sigset_t all, old;
	if (!apart_ok(pl))
		return -ENOTSUP;
	*pidfd = -1;
	*way = 1;
	pl->step = pl->error = 0;
	memset(&all, 0xff, sizeof all);
	if (pl->reset_handlers)
		pr_sigmask(&all, &old);
	pid_t pid = clone(pr_child_exec, stack_top, flags, pl, pidfd, NULL, way);
	int e = errno;
	if (pl->reset_handlers)
		pr_sigmask(&old, NULL);
	if (pid > 0)
		return pid;
	*way = 0;
	caps.no_apart |= refused(-e);
	return refused(-e) ? -ENOTSUP : -e;
}

pid_t pr_spawn(struct plan *pl, void *stack_top, int *pidfd)
{
	pid_t pid = -ENOSYS;
	if (!caps.asked)
		ask_how();
	*pidfd = -1;
	pl->step = pl->error = 0;
	pl->ran = false;
	/* No handlers: nothing to block, but for the SIGTTOU of taking the terminal, which would
	 * stop the child and us with it. */
	if (pl->path && !pl->reset_handlers && !(pl->flags & PRONG_FOREGROUND) && !caps.no_clone)
		pid = spawn_clone(pl, stack_top, pidfd);
	if (refused(pid))
		pid = spawn_blocked(pl, stack_top, pidfd);
	if (pid < 0 && !pl->step)
		pl->step = PRONG_STEP_FORK;
	if (pid > 0 && pl->step) { /* it failed on the way: nothing of it may stay */
		pr_reap(pid);
		if (*pidfd >= 0)
			close(*pidfd);
		*pidfd = -1;
		pid = -pl->error;
	}
	return pid;
}

/* ---- collecting ---- */

/* libc's waitid hides the fifth argument, the resource usage. */
static int wait_for(pid_t pid, int pidfd, siginfo_t *si, int options, struct rusage *ru)
{
	si->si_pid = 0;
	if (pidfd >= 0 && !caps.no_pidfd_wait) {
		if (syscall(SYS_waitid, P_PIDFD, pidfd, si, options, ru) == 0)
			return 0;
		if (errno != EINVAL && errno != ENOSYS)
			return -errno;
		caps.no_pidfd_wait = true;
	}
	return syscall(SYS_waitid, P_PID, pid, si, options, ru) == 0 ? 0 : -errno;
}

int pr_peek(pid_t pid, int pidfd, bool keep, struct prong_result *r)
{
	siginfo_t si;
	int e, options = WEXITED | WNOHANG | (keep ? WNOWAIT : 0);
	do
		e = wait_for(pid, pidfd, &si, options, &r->usage);
	while (e == -EINTR);
	if (e == 0 && si.si_pid == 0)
		return 0;
	if (e < 0) {
		r->how = PRONG_LOST;
		r->status = 0;
		return 1;
	}
	r->how = si.si_code == CLD_EXITED ? PRONG_EXITED : PRONG_SIGNALED;
	r->core = si.si_code == CLD_DUMPED;
	r->status = si.si_status;
	return 1;
}

int pr_exits_open(void)
{
	return -ENOTSUP;
}

int pr_exits_tick(void)
{
	return 5;
}

void pr_exits_close(int fd)
{
	(void)fd;
}

void pr_reap(pid_t pid)
{
	siginfo_t si;
	while (waitid(P_PID, (id_t)pid, &si, WEXITED) != 0 && errno == EINTR)
		;
}
