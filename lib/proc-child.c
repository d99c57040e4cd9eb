/* proc-child.c - what a child does between fork and exec, and the way by fork().
 *
 * The steps make system calls only: after clone(CLONE_VM) the memory is the parent's, and
 * in a host with threads other locks may be held.  On the way to the exec of a plan that may
 * start apart (proc.h) they leave errno alone, which is the parent's too.  The way by fork
 * reports through a pipe; it is for functions, and for where nothing faster can be had. */
#include "fds.h"
#include "os.h"
#include "proc.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#ifdef __GLIBC__
#include <stdio_ext.h>
#endif
#include <sys/resource.h>
#include <stdint.h>
#include <unistd.h>

extern char **environ;

/* The step failed if r is below 0: -errno. */
static int took(struct plan *pl, int step, long r)
{
	if (r >= 0)
		return 0;
	pl->step = step;
	pl->error = (int)-r;
	return -1;
}

/* A handler must not run here, in memory that is not ours. */
#if PR_RAW
/* By the kernel's struct, of which the handler is the first word: libc's call would set errno
 * for the signals it keeps to itself. */
static void reset_handler(int sig)
{
	const long size = 8; /* of the kernel's signal set */
	unsigned long sa[8] = { 0 }, none[8] = { 0 };
	if (pr_raw(SYS_rt_sigaction, sig, 0, (long)sa, size) == 0 &&
	    sa[0] != (unsigned long)SIG_IGN && sa[0] != (unsigned long)SIG_DFL)
		pr_raw(SYS_rt_sigaction, sig, (long)none, 0, size);
}
#else
static void reset_handler(int sig)
{
	struct sigaction sa;
	if (sigaction(sig, NULL, &sa) != 0 || sa.sa_handler == SIG_IGN || sa.sa_handler == SIG_DFL)
		return;
	sa = (struct sigaction){ .sa_handler = SIG_DFL };
	sigaction(sig, &sa, NULL);
}
#endif

static void reset_handlers(void)
{
	for (int sig = 1; sig < NSIG; sig++)
		reset_handler(sig);
}

static long place_fd(int fd, int to)
{
	if (fd < 0)
		return 0;
	return fd == to ? PR_CALL(fcntl, fcntl(fd, F_SETFD, 0), fd, F_SETFD, 0, 0)
	                : PR_CALL(dup3, dup2(fd, to), fd, to, 0, 0);
}

static long aside(int fd)
{
#if PR_RAW
	return pr_raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3, 0);
#else
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return r < 0 ? -(long)errno : r;
#endif
}

/* Nobody is placed on what another still has to come from. */
static int set_stdio(struct plan *pl)
{
	_Static_assert(PRONG_STEP_STDOUT == PRONG_STEP_STDIN + 1 &&
	               PRONG_STEP_STDERR == PRONG_STEP_STDIN + 2, "a table would be a page to fault in");
	long from[] = { pl->in, pl->out, pl->merge ? -1 : pl->err };
	bool moved[3];
	for (int i = 0; i < 3; i++) {
		moved[i] = pr_misplaced((int)from[i], i);
		if (moved[i] && took(pl, PRONG_STEP_STDIN + i, from[i] = aside((int)from[i])))
			return -1;
	}
	for (int i = 0; i < 3; i++) {
		if (took(pl, PRONG_STEP_STDIN + i, place_fd((int)from[i], i)))
			return -1;
		if (moved[i])
			(void)PR_CALL(close, close((int)from[i]), from[i], 0, 0, 0);
	}
	return pl->merge ? took(pl, PRONG_STEP_STDERR, place_fd(1, 2)) : 0;
}

static int set_group(struct plan *pl)
{
	if (pl->flags & PRONG_SAME_GROUP)
		return 0;
	long r = (pl->flags & PRONG_NEW_SESSION) ? PR_CALL(setsid, setsid(), 0, 0, 0, 0)
	                                         : PR_CALL(setpgid, setpgid(0, 0), 0, 0, 0, 0);
	if (took(pl, PRONG_STEP_GROUP, r))
		return -1;
	if ((pl->flags & PRONG_FOREGROUND) && tcsetpgrp(pl->tty_fd, getpid()) != 0)
		return took(pl, PRONG_STEP_TTY, -(long)errno);
	return 0;
}

static int set_dir(struct plan *pl)
{
	return pl->cwd ? took(pl, PRONG_STEP_CHDIR, PR_CALL(chdir, chdir(pl->cwd), pl->cwd, 0, 0, 0))
	               : 0;
}

static int set_fds(struct plan *pl)
{
	if (!(pl->flags & PRONG_KEEP_FDS))
		pr_close_on_exec_from(3);
	for (unsigned i = 0; i < pl->npass_fds; i++)
		(void)PR_CALL(fcntl, fcntl(pl->pass_fds[i], F_SETFD, 0), pl->pass_fds[i], F_SETFD, 0, 0);
	return 0;
}

static int set_nice(struct plan *pl)
{
	if (!pl->nice)
		return 0;
	const int all = 40; /* from the highest to the lowest: more is no sum to be made */
	int more = pl->nice > all ? all : pl->nice < -all ? -all : pl->nice;
	errno = 0;
	int now = getpriority(PRIO_PROCESS, 0);
	if (errno || setpriority(PRIO_PROCESS, 0, now + more) != 0)
		return took(pl, PRONG_STEP_NICE, -(long)errno);
	return 0;
}

PR_NEAR static int set_up(struct plan *pl)
{
	if (pl->reset_handlers)
		reset_handlers();
	if (set_group(pl) || set_stdio(pl) || set_nice(pl) || set_dir(pl))
		return -1;
	return pl->path ? set_fds(pl) : 0;
}

static void exec(struct plan *pl)
{
	pr_sigmask(&pl->mask, NULL);
	took(pl, PRONG_STEP_EXEC, PR_CALL(execve, execve(pl->path, pl->argv, pl->envp), pl->path,
	                                  pl->argv, pl->envp, 0));
}

/* On a stack that ASan does not know; it would say so in the job's name. */
__attribute__((no_sanitize_address)) int pr_child_exec(void *plan)
{
	struct plan *pl = plan;
	pl->ran = true; /* a forked function has no use for it, and a page to fault in */
	if (set_up(pl) == 0)
		exec(pl);
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
	exec(pl);
	child_report(pl, fd);
}

/* ---- functions ---- */

/* fflush(NULL) waits for each stream's lock, which a thread that waits for input has, and writes
 * to pages that a fork has made read-only.  glibc exports its list of streams, since 2.2 and in no
 * header: those that hold output are flushed.  A child that finds none has touched no page of its
 * code. */
#ifdef __GLIBC__
extern FILE *_IO_list_all __attribute__((weak));
void _IO_list_lock(void) __attribute__((weak));
void _IO_list_unlock(void) __attribute__((weak));
extern char __libc_single_threaded __attribute__((weak));

static bool pending(FILE *f)
{
	return f->_mode > 0 ? __fpending(f) > 0 : f->_IO_write_ptr > f->_IO_write_base;
}

static bool flush_pending(void)
{
	if (!&_IO_list_all || !_IO_list_lock || !_IO_list_unlock)
		return false;
	bool alone = &__libc_single_threaded && __libc_single_threaded;
	if (!alone)
		_IO_list_lock();
	for (FILE *f = _IO_list_all; f; f = f->_chain)
		if (pending(f))
			fflush(f);
	if (!alone)
		_IO_list_unlock();
	return true;
}
#else
static bool flush_pending(void)
{
	return false;
}
#endif

/* Or the child prints our buffers again.  Elsewhere only a thread that reads stdin is expected. */
static void flush_all(void)
{
	if (flush_pending())
		return;
	if (ftrylockfile(stdin) == 0) {
		fflush(NULL);
		funlockfile(stdin);
	} else {
		fflush(stdout);
		fflush(stderr);
	}
}

int pr_kill_group(pid_t pid, int sig)
{
	if (kill(-pid, sig) == 0 || (errno == ESRCH && kill(pid, sig) == 0))
		return 0;
	return -errno;
}

PR_NEAR static void child_function(struct plan *pl, pid_t host)
{
	if (pl->result_fd >= 0 && pl->result_fd <= 2) /* where the streams are put */
		pl->result_fd = (int)aside(pl->result_fd);
	if (set_up(pl) != 0) {
		if (pl->report) {
			pl->report[0] = pl->step;
			pl->report[1] = pl->error;
		}
		_exit(127);
	}
	pr_fds_close(pl->keep, pl->nkeep);
	if (pl->envp)
		environ = (char **)(uintptr_t)pl->envp;
	if (pl->deathsig) {
		pr_deathsig(SIGKILL);
		if (getppid() != host)
			_exit(127); /* it was quicker */
	}
	pr_sigmask(&pl->mask, NULL);
	if (!pl->fn)
		return;
	int status = pl->fn(pl->arg, pl->result_fd);
	if (!flush_pending())
		fflush(NULL);
	_exit(status);
}

static pid_t fork_function(struct plan *pl)
{
	pid_t host = pl->deathsig ? getpid() : 0;
	flush_all();
	pid_t pid = pl->fork ? pl->fork(pl->fork_arg) : fork();
	if (pid == 0)
		child_function(pl, host);
	return pid < 0 ? -(errno ? errno : EAGAIN) : pid;
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

pid_t pr_child_fork(struct plan *pl)
{
	int fd[2], e;
	if (!pl->path)
		return fork_function(pl);
	e = pr_pipe(fd);
	pl->step = PRONG_STEP_FORK;
	if (e != 0)
		return e;
	/* A function forked by another thread at this moment would keep us waiting. */
	pr_fd_mark(fd[1]);
	pid_t pid = fork();
	if (pid == 0) {
		close(fd[0]);
		child_forked(pl, fd[1]);
	}
	e = pid < 0 ? -errno : 0;
	pr_fd_close(&fd[1]);
	if (pid > 0) {
		pl->step = PRONG_STEP_NONE;
		read_report(pl, fd[0]);
	}
	close(fd[0]);
	return e ? e : pid;
}
