/* guardian.c - the process the user started watches over the one that runs the jobs.
 *
 * Owns the pair of sockets between them; the kernel tells the runner by a signal as well.  The
 * guardian forwards signals, mirrors the runner's end, and after an end that was not normal kills
 * everything that is left. */
#include "guardian.h"
#include "sem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const int forwarded[] = { SIGHUP,  SIGINT,   SIGQUIT, SIGTERM, SIGUSR1,
	                         SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT };

/* All we listen to, except what was ignored when prong began (nohup, & in a script). */
static sigset_t listened(void)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++) {
		struct sigaction sa;
		if (sigaction(forwarded[i], NULL, &sa) == 0 && sa.sa_handler != SIG_IGN)
			sigaddset(&set, forwarded[i]);
	}
	return set;
}

void die_by(int sig)
{
	struct rlimit none = { 0, 0 };
	sigset_t only;
	setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, sig);
	kill(getpid(), sig);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	_exit(128 + sig);
}

/* ---- the guardian ---- */

struct watch {
	pid_t runner;
	int fd, signals, tty_out; /* tty_out: feeds the runner's standard input; -1 */
	char typed[4096];         /* what it has not taken yet */
	size_t at, have;
	bool released;
};

static void runner_ended(const struct watch *w, int status)
{
	char c;
	bool released = w->released || (recv(w->fd, &c, 1, MSG_DONTWAIT) == 1 && c == 'R');
	if (!released) {
		sweep_descendants(0);
		sem_release();
	}
	if (WIFSIGNALED(status))
		die_by(WTERMSIG(status));
	_exit(WEXITSTATUS(status));
}

/* One question for all, the adopted too: of two, the second may get the runner's end. */
static void check_runner(const struct watch *w)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;)
		if (pid == w->runner)
			runner_ended(w, status);
}

/* The runner says 'S': it has stopped its jobs, now we stop, as the shell expects. */
static void heed(struct watch *w)
{
	char c;
	ssize_t n = recv(w->fd, &c, 1, MSG_DONTWAIT);
	if (n == 0)
		w->fd = -1;
	if (n != 1)
		return;
	if (c == 'R')
		w->released = true;
	if (c == 'S') {
		raise(SIGSTOP);
		kill(w->runner, SIGCONT);
	}
}

static void pass_signals(const struct watch *w)
{
	struct signalfd_siginfo si;
	while (read(w->signals, &si, sizeof si) == (ssize_t)sizeof si) {
		if (si.ssi_signo == SIGCHLD)
			check_runner(w);
		else
			kill(w->runner, (int)si.ssi_signo);
	}
}

/* Never waits: a runner that reads no more for now must not keep us from signals. */
static void pump(struct watch *w)
{
	bool read_on = w->at == w->have;
	ssize_t n = read_on ? read(STDIN_FILENO, w->typed, sizeof w->typed)
	                    : write(w->tty_out, w->typed + w->at, w->have - w->at);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(w->tty_out);
		w->tty_out = -1;
	} else if (read_on) {
		w->at = 0;
		w->have = (size_t)n;
	} else {
		w->at += (size_t)n;
	}
}

static void guard(struct watch *w)
{
	for (;;) {
		struct pollfd p[] = { { w->signals, POLLIN, 0 }, { w->fd, POLLIN, 0 },
			              { w->tty_out >= 0 ? STDIN_FILENO : -1, POLLIN, 0 } };
		if (w->at < w->have)
			p[2] = (struct pollfd){ w->tty_out, POLLOUT, 0 };
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			_exit(255);
		if (p[1].revents)
			heed(w);
		if (p[0].revents)
			pass_signals(w);
		if (p[2].revents)
			pump(w);
	}
}

static void be_guardian(struct watch *w, sigset_t set)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (w->tty_out < 0)
		dup2(null, STDIN_FILENO); /* the ends of the user's pipes belong to the runner */
	dup2(null, STDOUT_FILENO);
	check_runner(w);
	guard(w);
}

/* ---- the runner ---- */

static pid_t guardian, runner; /* for the handler */

/* Sent by the kernel when the guardian dies: whatever the runner waits for then, a reader
 * that does not read, a terminal, or SIGCONT, its jobs must not live on. */
static void guardian_died(int sig)
{
	int e = errno;
	(void)sig;
	if (getpid() == runner && getppid() != guardian) {
		sweep_descendants(0);
		_exit(128 + SIGKILL);
	}
	errno = e; /* sent by somebody else */
}

static void outlive_nobody(const struct guard *g)
{
	struct sigaction sa = { .sa_handler = guardian_died, .sa_flags = SA_RESTART };
	sigset_t only;
	guardian = g->guardian;
	runner = getpid();
	sigemptyset(&only);
	sigaddset(&only, SIGRTMAX);
	sigaction(SIGRTMAX, &sa, NULL);
	prctl(PR_SET_PDEATHSIG, SIGRTMAX); /* died before: their socket says so */
	sigprocmask(SIG_UNBLOCK, &only, NULL);
}

static void be_runner(struct guard *g, int fd, int stdin_fd)
{
	setpgid(0, 0);
	prctl(PR_SET_NAME, "prong-run");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (stdin_fd >= 0) {
		dup2(stdin_fd, STDIN_FILENO);
		close(stdin_fd);
	}
	g->fd = fd;
}

int guard_signals(struct guard *g)
{
	sigset_t set = listened(), more;
	(void)g;
	sigdelset(&set, SIGCONT);
	more = set;
	sigaddset(&more, SIGPIPE); /* a write then says EPIPE */
	sigaddset(&more, SIGTTOU); /* the status line, tcsetpgrp for --tty */
	sigprocmask(SIG_BLOCK, &more, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void guard_stop(struct guard *g)
{
	char c = 'S';
	sigset_t cont, old;
	sigemptyset(&cont);
	sigaddset(&cont, SIGCONT);
	sigprocmask(SIG_BLOCK, &cont, &old);
	int sig = 0;
	if (send(g->fd, &c, 1, MSG_NOSIGNAL) == 1)
		sigwait(&cont, &sig); /* the guardian sends it when it goes on itself */
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void guard_release(struct guard *g)
{
	char c = 'R';
	if (send(g->fd, &c, 1, MSG_NOSIGNAL) < 0)
		return; /* no guardian left to tell */
}

/* The user's mask and ours, in one step: nothing may slip in between. */
static void set_mask(const sigset_t *user, const sigset_t *ours)
{
	sigset_t both;
	sigorset(&both, user, ours);
	sigaddset(&both, SIGCHLD);
	sigprocmask(SIG_SETMASK, &both, NULL);
}

int guard_start(struct guard *g, bool pump_stdin)
{
	sigset_t set = listened(), heard = set, all;
	int pair[2], tty[2] = { -1, -1 };
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &g->user_mask);
	g->guardian = getpid();
	g->pgrp = getpgrp();
	g->shell = getppid();
	sigaddset(&heard, SIGCHLD);
	int signals = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
	    (pump_stdin && pipe2(tty, O_CLOEXEC) != 0))
		return -errno;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		struct watch w = { .runner = pid, .fd = pair[0], .signals = signals,
			           .tty_out = tty[1] };
		setpgid(pid, pid);
		close(pair[1]);
		if (tty[0] >= 0) {
			close(tty[0]);
			fcntl(tty[1], F_SETFL, O_NONBLOCK);
		}
		set_mask(&g->user_mask, &set);
		be_guardian(&w, set);
	}
	close(signals);
	close(pair[0]);
	if (tty[1] >= 0)
		close(tty[1]);
	be_runner(g, pair[1], tty[0]);
	sigdelset(&set, SIGCONT);
	set_mask(&g->user_mask, &set);
	outlive_nobody(g);
	return 0;
}
