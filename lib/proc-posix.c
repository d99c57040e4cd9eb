/* proc-posix.c - start children by posix_spawn where it can do all of the plan, else by
 * fork; hear of their ends by SIGCHLD; collect them by waitpid on their own numbers.
 *
 * posix_spawn cannot: change the directory, the nice value or the terminal's group, move aside
 * a stream's fd that has the number of another (and,
 * where POSIX_SPAWN_SETSID is missing, begin a session), nor, where it has no addclosefrom,
 * close descriptors whose numbers nobody knows.  Those plans fork.
 *
 * The one signal handler of the library is here.  While a pool is open it stands in front of
 * the host's own SIGCHLD handler, which it calls; an ignored SIGCHLD is left ignored.  If the
 * host replaces it, or blocks the signal, ends are noticed by the clock. */
#include "fds.h"
#include "os.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- starting ---- */

static bool spawnable(const struct plan *pl)
{
	unsigned cannot = PRONG_FOREGROUND;
#ifndef POSIX_SPAWN_SETSID
	cannot |= PRONG_NEW_SESSION;
#endif
#ifdef HAVE_POSIX_SPAWN_FILE_ACTIONS_ADDCLOSEFROM_NP
	bool can_close = true;
#else
	bool can_close = false;
#endif
	if (pr_misplaced(pl->in, 0) || pr_misplaced(pl->out, 1) || pr_misplaced(pl->err, 2))
		return false;
	return pl->path && (can_close || (pl->flags & PRONG_KEEP_FDS)) && !pl->npass_fds &&
	       !pl->cwd && !pl->nice && !(pl->flags & cannot);
}

static int set_attr(posix_spawnattr_t *attr, const struct plan *pl)
{
	short flags = POSIX_SPAWN_SETSIGMASK;
	posix_spawnattr_setsigmask(attr, &pl->mask);
#ifdef POSIX_SPAWN_SETSID
	if (pl->flags & PRONG_NEW_SESSION)
		flags |= POSIX_SPAWN_SETSID;
	else
#endif
	if (!(pl->flags & PRONG_SAME_GROUP)) {
		flags |= POSIX_SPAWN_SETPGROUP;
		posix_spawnattr_setpgroup(attr, 0);
	}
	return posix_spawnattr_setflags(attr, flags);
}

/* Whose number it has already, it must not be closed by exec; a dup to itself would not
 * help everywhere. */
static int place(posix_spawn_file_actions_t *fa, int fd, int to, struct plan *pl, int step)
{
	int flags = fd >= 0 ? fcntl(fd, F_GETFD) : 0, e = 0;
	if (flags < 0)
		e = errno;
	else if (fd == to)
		e = flags & FD_CLOEXEC ? EINVAL : 0;
	else if (fd >= 0)
		e = posix_spawn_file_actions_adddup2(fa, fd, to);
	if (e != 0)
		pl->step = step;
	return e;
}

static int set_actions(posix_spawn_file_actions_t *fa, struct plan *pl)
{
	int e = place(fa, pl->in, 0, pl, PRONG_STEP_STDIN);
	if (e == 0)
		e = place(fa, pl->out, 1, pl, PRONG_STEP_STDOUT);
	if (e == 0 && pl->merge)
		e = posix_spawn_file_actions_adddup2(fa, 1, 2);
	else if (e == 0)
		e = place(fa, pl->err, 2, pl, PRONG_STEP_STDERR);
#ifdef HAVE_POSIX_SPAWN_FILE_ACTIONS_ADDCLOSEFROM_NP
	if (e == 0 && !(pl->flags & PRONG_KEEP_FDS))
		e = posix_spawn_file_actions_addclosefrom_np(fa, 3);
#endif
	return e;
}

/* It tells what failed, not where: the steps before exec are checked beforehand. */
static pid_t spawn(struct plan *pl)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	pid_t pid = -1;
	int e = posix_spawn_file_actions_init(&fa);
	if (e != 0)
		return -e;
	e = posix_spawnattr_init(&attr);
	if (e != 0) {
		posix_spawn_file_actions_destroy(&fa);
		return -e;
	}
	e = set_actions(&fa, pl);
	if (e == 0)
		e = set_attr(&attr, pl);
	if (e == 0) {
		e = posix_spawn(&pid, pl->path, &fa, &attr, pl->argv, pl->envp);
		if (e != 0)
			pl->step = e == EAGAIN || e == ENOMEM ? PRONG_STEP_FORK : PRONG_STEP_EXEC;
	}
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return e == 0 ? pid : -e;
}

pid_t pr_spawn(struct plan *pl, void *stack_top, int *pidfd)
{
	sigset_t all, old;
	(void)stack_top;
	*pidfd = -1;
	pl->step = pl->error = 0;
	pid_t pid = -EINVAL;
	if (spawnable(pl))
		pid = spawn(pl);
	if (pid == -EINVAL) { /* a plan or a system that posix_spawn is not for */
		pl->step = 0;
		sigfillset(&all);
		pr_sigmask(&all, &old);
		pid = pr_child_fork(pl);
		pr_sigmask(pid == 0 ? &pl->mask : &old, NULL);
	}
	if (pid < 0 && !pl->step)
		pl->step = PRONG_STEP_FORK;
	if (pid > 0 && pl->step) { /* it failed on the way: nothing of it may stay */
		pr_reap(pid);
		pid = -pl->error;
	}
	return pid;
}

pid_t pr_spawn_apart(struct plan *pl, void *stack_top, int *way, int *pidfd)
{
	(void)pl;
	(void)stack_top;
	(void)way;
	(void)pidfd;
	return -ENOTSUP;
}

/* ---- SIGCHLD ---- */

/* One for each pool that was ever open at the same time; used again, never freed, so that
 * the handler can walk them without a lock. */
struct listener {
	struct listener *next;
	_Atomic int fd; /* write end; -1: free */
	int rd;
	_Atomic pid_t pid;
};

static _Atomic(struct listener *) listeners;
static atomic_int inside; /* handlers that may hold a listener's fd */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned open_count;
static struct sigaction hosts; /* what the handler stands in front of */

/* A handler of the host's that was set after ours may call ours, as ours calls it. */
static _Thread_local volatile sig_atomic_t nested __attribute__((tls_model("initial-exec")));

static void call_host(int sig, siginfo_t *si, void *ctx)
{
	if (hosts.sa_flags & SA_SIGINFO)
		hosts.sa_sigaction(sig, si, ctx);
	else if (hosts.sa_handler != SIG_DFL && hosts.sa_handler != SIG_IGN)
		hosts.sa_handler(sig);
}

static void on_sigchld(int sig, siginfo_t *si, void *ctx)
{
	int err = errno;
	pid_t me = getpid(); /* a forked copy must not write into its parent's pipes */
	atomic_fetch_add(&inside, 1);
	for (struct listener *l = atomic_load(&listeners); l; l = l->next) {
		int fd = atomic_load(&l->fd);
		if (fd >= 0 && atomic_load(&l->pid) == me && write(fd, "", 1) < 0)
			continue; /* full: it is readable anyway */
	}
	atomic_fetch_sub(&inside, 1);
	errno = err;
	if (!nested) {
		nested = 1;
		call_host(sig, si, ctx);
		nested = 0;
	}
}

enum { HEARD_MS = 100, UNHEARD_MS = 5 };

static bool is_ours(const struct sigaction *sa)
{
	return (sa->sa_flags & SA_SIGINFO) && sa->sa_sigaction == on_sigchld;
}

/* Keeps the host's flags and mask, as far as they do not lose a child's end. */
static void handler_on(void)
{
	struct sigaction now, ours;
	if (sigaction(SIGCHLD, NULL, &now) != 0 || is_ours(&now))
		return;
	bool none = !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL;
	if (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_IGN)
		return;
	hosts = now;
	ours = now;
	if (none) {
		ours.sa_flags = SA_RESTART | SA_NOCLDSTOP;
		sigemptyset(&ours.sa_mask);
	}
	ours.sa_flags = (ours.sa_flags & ~SA_RESETHAND) | SA_SIGINFO;
	ours.sa_sigaction = on_sigchld;
	sigaction(SIGCHLD, &ours, NULL);
}

static void handler_off(void)
{
	struct sigaction now;
	if (sigaction(SIGCHLD, NULL, &now) == 0 && is_ours(&now))
		sigaction(SIGCHLD, &hosts, NULL);
}

static struct listener *listener_get(void)
{
	struct listener *l = atomic_load(&listeners);
	while (l && atomic_load(&l->fd) >= 0)
		l = l->next;
	if (!l && (l = malloc(sizeof *l))) {
		atomic_init(&l->fd, -1);
		l->next = atomic_load(&listeners);
		atomic_store(&listeners, l);
	}
	return l;
}

int pr_exits_open(void)
{
	int fd[2], e = pr_pipe(fd);
	if (e != 0)
		return e;
	pr_fd_mark(fd[0]);
	pr_fd_mark(fd[1]);
	bool ok = fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0 &&
	          fcntl(fd[1], F_SETFL, O_NONBLOCK) == 0;
	pthread_mutex_lock(&lock);
	struct listener *l = ok ? listener_get() : NULL;
	if (l) {
		l->rd = fd[0];
		atomic_store(&l->pid, getpid());
		atomic_store(&l->fd, fd[1]);
		open_count++;
		handler_on();
	}
	pthread_mutex_unlock(&lock);
	if (l)
		return fd[0];
	pr_fd_close(&fd[0]);
	pr_fd_close(&fd[1]);
	return ok ? -ENOMEM : -EINVAL;
}

int pr_exits_tick(void)
{
	struct sigaction now;
	sigset_t blocked;
	bool heard = sigaction(SIGCHLD, NULL, &now) == 0 && is_ours(&now) &&
	             pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0 &&
	             !sigismember(&blocked, SIGCHLD);
	return heard ? HEARD_MS : UNHEARD_MS;
}

void pr_exits_close(int rd)
{
	if (rd < 0)
		return;
	pthread_mutex_lock(&lock);
	struct listener *l = atomic_load(&listeners);
	while (l && (atomic_load(&l->fd) < 0 || l->rd != rd))
		l = l->next;
	int fd = l ? atomic_exchange(&l->fd, -1) : -1;
	while (atomic_load(&inside)) /* a handler in another thread may be about to write */
		sched_yield();
	if (l && --open_count == 0)
		handler_off();
	pthread_mutex_unlock(&lock);
	pr_fd_close(&fd);
	pr_fd_close(&rd);
}

/* ---- collecting ---- */

static void set_result(struct prong_result *r, int status)
{
	bool exited = WIFEXITED(status);
	r->how = exited ? PRONG_EXITED : PRONG_SIGNALED;
	r->status = exited ? WEXITSTATUS(status) : WTERMSIG(status);
#ifdef WCOREDUMP
	r->core = !exited && WCOREDUMP(status);
#endif
}

/* Leaving the zombie means leaving its resource usage. */
static int look(pid_t pid, struct prong_result *r)
{
	siginfo_t si = { 0 };
	if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) != 0)
		return -errno;
	if (si.si_pid == 0)
		return 0;
	r->how = si.si_code == CLD_EXITED ? PRONG_EXITED : PRONG_SIGNALED;
	r->core = si.si_code == CLD_DUMPED;
	r->status = si.si_status;
	return 1;
}

static int collect(pid_t pid, struct prong_result *r)
{
	int status;
	pid_t got = wait4(pid, &status, WNOHANG, &r->usage);
	if (got > 0)
		set_result(r, status);
	return got < 0 ? -errno : got > 0;
}

int pr_peek(pid_t pid, int pidfd, bool keep, struct prong_result *r)
{
	int e;
	(void)pidfd;
	do
		e = keep ? look(pid, r) : collect(pid, r);
	while (e == -EINTR);
	if (e < 0) {
		r->how = PRONG_LOST;
		r->status = 0;
	}
	return e != 0;
}

void pr_reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
