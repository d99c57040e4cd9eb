/* guard.c - no worker outlives its parent, nor does what the worker started.
 *
 * PR_SET_PDEATHSIG follows the thread that forked, not the process.  So the parent holds the
 * only write end of a pipe; each worker opens the read end anew and has the kernel send it a
 * signal (F_SETSIG, F_SETOWN) when that end is closed, however the parent ended.  Its handler
 * ends all below the worker, and its group.  It costs no process, no thread, no polling. */
#include "ext.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#define GONE (SIGRTMAX - 1)

static int pipe_fd[2] = { -1, -1 };
static int armed = -1; /* what we hang on, for those the template forks */

/* In any child, also one of os.fork(): it must not keep the parent's pipe from closing. */
static void in_child(void)
{
	if (pipe_fd[1] >= 0)
		close(pipe_fd[1]);
	pipe_fd[1] = -1;
}

int guard_open(void)
{
	static bool registered;
	if (!registered && pthread_atfork(NULL, NULL, in_child) != 0)
		return -ENOMEM;
	registered = true;
	if (pipe_fd[1] >= 0)
		return 0;
	if (pipe_fd[0] >= 0)
		close(pipe_fd[0]); /* our own parent's, in a child that was no worker */
	pipe_fd[0] = -1;
	return pipe2(pipe_fd, O_CLOEXEC) == 0 ? 0 : -errno;
}

static int let_in(int sig)
{
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, sig);
	return pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

void guard_arm(void)
{
	char path[40];
	int from = pipe_fd[0] >= 0 ? pipe_fd[0] : armed;
	snprintf(path, sizeof path, "/proc/self/fd/%d", from);
	int fd = from >= 0 ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	if (from >= 0)
		close(from);
	pipe_fd[0] = armed = -1;
	struct sigaction sa = { .sa_handler = sweep_and_die };
	sigfillset(&sa.sa_mask);
	prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
	if (fd < 0 || sigaction(GONE, &sa, NULL) != 0 || let_in(GONE) != 0 ||
	    fcntl(fd, F_SETOWN, getpid()) != 0 || fcntl(fd, F_SETSIG, GONE) != 0 ||
	    fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) != 0) {
		if (fd >= 0)
			close(fd);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* no /proc: the next best */
		return;
	}
	armed = fd;
	char c;
	if (read(fd, &c, 1) == 0) /* it was gone before we were armed */
		_exit(1);
}
