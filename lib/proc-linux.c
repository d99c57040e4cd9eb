/* proc-linux.c - start children by clone(VM|VFORK|PIDFD) and collect them by pidfd.
 *
 * Between clone and exec the child shares our memory and stack page; it makes only system
 * calls, with every signal blocked, and leaves step and errno in the plan if it fails.
 * Where clone is refused (old kernels, emulators, valgrind: PRONG_SPAWN=fork) and for
 * functions, it is a fork and an error pipe. */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
enum { KERNEL_NSIG_BYTES = 8 };

/* What this kernel can do, learned once by trying; a race only tries twice. */
static struct {
	bool asked, no_clone, no_pidfd_wait;
} caps;

/* ---- in the child ---- */

static int fail(struct plan *pl, int step)
{
	pl->step = step;
	pl->error = errno ? errno : EINVAL;
	return -1;
}

/* glibc's sigprocmask would leave its two own signals open. */
static void set_mask(const void *mask)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, NULL, KERNEL_NSIG_BYTES);
}

/* A handler must not run here, in memory that is not ours. */
static void reset_handlers(void)
{
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction sa;
		if (sigaction(sig, NULL, &sa) != 0 || sa.sa_handler == SIG_IGN ||
		    sa.sa_handler == SIG_DFL)
			continue;
		sa = (struct sigaction){ .sa_handler = SIG_DFL };
		sigaction(sig, &sa, NULL);
	}
}

static int place_fd(const struct plan_fd *from, int to)
{
	int fd = from->fd;
	if (from->open) {
		fd = open(from->open, O_WRONLY | O_APPEND | O_CLOEXEC);
		if (fd < 0 || fd == to)
			return fd < 0 ? -1 : fcntl(fd, F_SETFD, 0);
	}
	if (fd < 0)
		return 0;
	if (fd == to)
		return fcntl(fd, F_SETFD, 0);
	if (dup2(fd, to) < 0)
		return -1;
	return from->open ? close(fd) : 0;
}

static int set_stdio(struct plan *pl)
{
	if (place_fd(&pl->in, 0))
		return fail(pl, PRONG_STEP_STDIN);
	/* stderr first where it comes from our old stdout */
	if (pl->err.fd == 1 && place_fd(&pl->err, 2))
		return fail(pl, PRONG_STEP_STDERR);
	if (place_fd(&pl->out, 1))
		return fail(pl, PRONG_STEP_STDOUT);
	if (pl->merge ? dup2(1, 2) < 0 : pl->err.fd != 1 && place_fd(&pl->err, 2))
		return fail(pl, PRONG_STEP_STDERR);
	return 0;
}

static int set_group(struct plan *pl)
{
	if (pl->flags & PRONG_SAME_GROUP)
		return 0;
	if ((pl->flags & PRONG_NEW_SESSION) ? setsid() < 0 : setpgid(0, 0) != 0)
		return fail(pl, PRONG_STEP_GROUP);
	if ((pl->flags & PRONG_FOREGROUND) && tcsetpgrp(pl->tty_fd, getpid()) != 0)
		return fail(pl, PRONG_STEP_TTY);
	return 0;
}

static int set_fds(struct plan *pl)
{
	if (!(pl->flags & PRONG_KEEP_FDS) &&
	    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) != 0) {
		for (int fd = 3, max = (int)sysconf(_SC_OPEN_MAX); fd < max; fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	for (unsigned i = 0; i < pl->npass_fds; i++)
		fcntl(pl->pass_fds[i], F_SETFD, 0);
	return 0;
}

static int set_nice(struct plan *pl)
{
	if (!pl->nice)
		return 0;
	errno = 0;
	int now = getpriority(PRIO_PROCESS, 0);
	if (errno || setpriority(PRIO_PROCESS, 0, now + pl->nice) != 0)
		return fail(pl, PRONG_STEP_NICE);
	return 0;
}

static int set_up(struct plan *pl)
{
	pl->ran = true;
	if (pl->reset_handlers)
		reset_handlers();
	if (set_group(pl) || set_stdio(pl) || set_nice(pl))
		return -1;
	if (pl->cwd && chdir(pl->cwd) != 0)
		return fail(pl, PRONG_STEP_CHDIR);
	return pl->path ? set_fds(pl) : 0;
}

static int child_exec(void *arg)
{
	struct plan *pl = arg;
	if (set_up(pl) == 0) {
		set_mask(&pl->mask);
		execve(pl->path, pl->argv, pl->envp);
		fail(pl, PRONG_STEP_EXEC);
	}
	_exit(127);
}

/* ---- the fork way ---- */

static void child_report(struct plan *pl, int fd)
{
	int msg[2] = { pl->step, pl->error };
	if (write(fd, msg, sizeof msg) < 0)
		_exit(126);
	_exit(127);
}

static void child_forked(struct plan *pl, int err_fd)
{
	/* stdin..stderr are about to be replaced: the pipe must not sit there */
	int fd = fcntl(err_fd, F_DUPFD_CLOEXEC, 10);
	pl->reset_handlers = true;
	if (fd < 0 || set_up(pl) != 0)
		child_report(pl, fd < 0 ? err_fd : fd);
	if (pl->path) {
		set_fds(pl);
		set_mask(&pl->mask);
		execve(pl->path, pl->argv, pl->envp);
		fail(pl, PRONG_STEP_EXEC);
		child_report(pl, fd);
	}
	close(fd);
	close(err_fd);
	set_mask(&pl->mask);
	int status = pl->fn(pl->arg, pl->result_fd);
	fflush(NULL);
	_exit(status);
}

static void read_report(struct plan *pl, int fd)
{
	int msg[2];
	ssize_t n;
	do
		n = read(fd, msg, sizeof msg);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof msg) {
		pl->step = msg[0];
		pl->error = msg[1];
	}
}

static pid_t spawn_fork(struct plan *pl, int *pidfd)
{
	int fd[2];
	pl->step = PRONG_STEP_FORK;
	if (pipe2(fd, O_CLOEXEC) != 0)
		return -errno;
	if (!pl->path)
		fflush(NULL); /* or the child prints our buffers again */
	pid_t pid = pl->fork ? pl->fork(pl->fork_arg) : fork();
	if (pid == 0) {
		close(fd[0]);
		child_forked(pl, fd[1]);
	}
	int err = errno;
	close(fd[1]);
	if (pid > 0) {
		pl->step = PRONG_STEP_NONE;
		read_report(pl, fd[0]);
		*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	}
	close(fd[0]);
	return pid > 0 ? pid : -err;
}

static pid_t spawn_clone(struct plan *pl, void *stack_top, int *pidfd)
{
	pid_t pid = clone(child_exec, stack_top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
	                  pl, pidfd);
	if (pid < 0)
		return -errno;
	if (!pl->ran)
		caps.no_clone = true; /* memory is not shared here: errors would be lost */
	return pid;
}

static bool refused(pid_t r)
{
	return r == -EINVAL || r == -ENOSYS || r == -EPERM;
}

pid_t pr_spawn(struct plan *pl, void *stack_top, int *pidfd)
{
	uint64_t all = ~UINT64_C(0), old;
	if (!caps.asked) {
		const char *how = getenv("PRONG_SPAWN");
		caps.no_clone = how && !strcmp(how, "fork");
		caps.asked = true;
	}
	*pidfd = -1;
	pl->step = pl->error = 0;
	pl->ran = false;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, KERNEL_NSIG_BYTES);
	pid_t pid = -ENOSYS;
	if (pl->path && !caps.no_clone) {
		pid = spawn_clone(pl, stack_top, pidfd);
		caps.no_clone |= refused(pid);
	}
	if (!pl->path || refused(pid))
		pid = spawn_fork(pl, pidfd);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, KERNEL_NSIG_BYTES);
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

void pr_reap(pid_t pid)
{
	siginfo_t si;
	while (waitid(P_PID, (id_t)pid, &si, WEXITED) != 0 && errno == EINTR)
		;
}
