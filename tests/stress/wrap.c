/* wrap.c - see wrap.h. */
#include "wrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

const struct wrapped_call wrapped_calls[WRAPPED_N] = {
#define X(n, e1, e2) { .name = #n, .error = { e1, e2 } },
	WRAPPED(X)
#undef X
#define R(n, e1, e2) { .name = "raw_" #n, .error = { e1, e2 }, .raw = true },
	RAW(R)
#undef R
};

static struct trap {
	_Atomic int call, error;
	_Atomic unsigned k, more, seen;
	_Atomic int hit;
} *trap;

void wrap_open(void)
{
	trap = mmap(NULL, sizeof *trap, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (trap == MAP_FAILED)
		abort();
	wrap_disarm();
}

void wrap_arm(int call, int error, unsigned k, unsigned more)
{
	trap->error = error;
	trap->k = k;
	trap->more = more;
	trap->seen = 0;
	trap->hit = 0;
	trap->call = call;
}

void wrap_disarm(void)
{
	trap->call = -1;
}

int wrap_hit(void)
{
	return trap->hit;
}

unsigned wrap_seen(void)
{
	return trap->seen;
}

/* On the stack of a vfork's child too: no memory of its own. */
__attribute__((no_sanitize_address)) static int counts_out(int call)
{
	if (!trap || trap->call != call)
		return 0;
	unsigned n = atomic_fetch_add(&trap->seen, 1) + 1;
	if (n < trap->k || n - trap->k > trap->more)
		return 0;
	trap->hit = 1;
	return trap->error;
}

__attribute__((no_sanitize_address)) static int trips(int call)
{
	int e = counts_out(call);
	if (e)
		errno = e;
	return e;
}

#if PR_RAW
/* In a child beside us: errno is not its own. */
__attribute__((no_sanitize_address)) long pr_raw_fault(long nr)
{
	switch (nr) {
#define R(name, e1, e2)                                                                    \
	case SYS_##name:                                                                   \
		return -counts_out(W_raw_##name);
		RAW(R)
#undef R
	}
	return 0;
}
#endif

#define WRAP(ret, bad, name, params, args)                                                 \
	ret __real_##name params;                                                          \
	ret __wrap_##name params;                                                          \
	__attribute__((no_sanitize_address)) ret __wrap_##name params                      \
	{                                                                                  \
		int e_ = trips(W_##name);                                                  \
		(void)e_;                                                                  \
		return e_ ? (bad) : __real_##name args;                                    \
	}

WRAP(void *, NULL, malloc, (size_t n), (n))
WRAP(void *, NULL, calloc, (size_t n, size_t m), (n, m))
WRAP(void *, NULL, realloc, (void *p, size_t n), (p, n))
WRAP(char *, NULL, strdup, (const char *s), (s))
WRAP(void *, MAP_FAILED, mmap64, (void *a, size_t n, int p, int f, int fd, off_t o),
     (a, n, p, f, fd, o))
WRAP(pid_t, -1, fork, (void), ())
WRAP(int, -1, socketpair, (int d, int t, int p, int *sv), (d, t, p, sv))
WRAP(int, -1, pipe2, (int *fd, int f), (fd, f))
WRAP(int, -1, memfd_create, (const char *n, unsigned f), (n, f))
WRAP(int, -1, mkostemp64, (char *t, int f), (t, f))
WRAP(int, -1, ftruncate64, (int fd, off_t n), (fd, n))
WRAP(int, e_, posix_fallocate64, (int fd, off_t o, off_t n), (fd, o, n))
WRAP(int, -1, fstat64, (int fd, struct stat *st), (fd, st))
WRAP(int, -1, stat64, (const char *p, struct stat *st), (p, st))
WRAP(off_t, -1, lseek64, (int fd, off_t o, int w), (fd, o, w))
WRAP(int, -1, access, (const char *p, int m), (p, m))
WRAP(ssize_t, -1, read, (int fd, void *b, size_t n), (fd, b, n))
WRAP(ssize_t, -1, write, (int fd, const void *b, size_t n), (fd, b, n))
WRAP(ssize_t, -1, pread64, (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(ssize_t, -1, pwrite64, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(ssize_t, -1, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f))
WRAP(ssize_t, -1, recv, (int fd, void *b, size_t n, int f), (fd, b, n, f))
WRAP(int, -1, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms))
WRAP(int, -1, dup2, (int a, int b), (a, b))
WRAP(pid_t, -1, setsid, (void), ())
WRAP(int, -1, setpgid, (pid_t p, pid_t g), (p, g))
WRAP(int, -1, setpriority, (__priority_which_t w, id_t i, int n), (w, i, n))
WRAP(int, -1, getpriority, (__priority_which_t w, id_t i), (w, i))
WRAP(int, -1, chdir, (const char *p), (p))
WRAP(int, -1, execve, (const char *p, char *const *a, char *const *e), (p, a, e))
WRAP(int, -1, epoll_create1, (int f), (f))
WRAP(int, -1, epoll_ctl, (int ep, int op, int fd, struct epoll_event *e), (ep, op, fd, e))
WRAP(int, -1, epoll_wait, (int ep, struct epoll_event *e, int n, int ms), (ep, e, n, ms))
WRAP(int, -1, eventfd, (unsigned n, int f), (n, f))
WRAP(int, -1, timerfd_create, (clockid_t c, int f), (c, f))
WRAP(int, -1, timerfd_settime,
     (int fd, int f, const struct itimerspec *n, struct itimerspec *o), (fd, f, n, o))
WRAP(DIR *, NULL, opendir, (const char *p), (p))
WRAP(int, -1, madvise, (void *a, size_t n, int how), (a, n, how))
WRAP(int, -1, waitid, (idtype_t t, id_t i, siginfo_t *s, int o), (t, i, s, o))
WRAP(pid_t, -1, wait4, (pid_t p, int *s, int o, struct rusage *r), (p, s, o, r))
WRAP(pid_t, -1, waitpid, (pid_t p, int *s, int o), (p, s, o))
WRAP(int, -1, sigaction, (int s, const struct sigaction *n, struct sigaction *o), (s, n, o))
WRAP(int, e_, posix_spawn,
     (pid_t *p, const char *f, const posix_spawn_file_actions_t *fa,
      const posix_spawnattr_t *at, char *const *a, char *const *e),
     (p, f, fa, at, a, e))
WRAP(int, e_, posix_spawn_file_actions_init, (posix_spawn_file_actions_t *fa), (fa))
WRAP(int, e_, posix_spawnattr_init, (posix_spawnattr_t *at), (at))
WRAP(int, e_, posix_spawn_file_actions_adddup2,
     (posix_spawn_file_actions_t *fa, int a, int b), (fa, a, b))
WRAP(ssize_t, -1, getrandom, (void *b, size_t n, unsigned f), (b, n, f))
WRAP(int, -1, sched_getaffinity, (pid_t p, size_t n, cpu_set_t *s), (p, n, s))
WRAP(long, -1, sysconf, (int what), (what))

/* ---- those with a variable list ---- */

#define NEXT(ap) va_arg(ap, long)
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return trips(W_open64) ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	return trips(W_openat64) ? -1 : __real_openat64(dir, path, flags);
}

int __real_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, ...);
__attribute__((no_sanitize_address)) int __wrap_fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	va_start(ap, cmd);
	long arg = NEXT(ap);
	va_end(ap);
	return trips(W_fcntl64) ? -1 : __real_fcntl64(fd, cmd, arg);
}

int __real_ioctl(int fd, unsigned long cmd, ...);
int __wrap_ioctl(int fd, unsigned long cmd, ...);
int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
	va_list ap;
	va_start(ap, cmd);
	long arg = NEXT(ap);
	va_end(ap);
	return trips(W_ioctl) ? -1 : __real_ioctl(fd, cmd, arg);
}

int __real_prctl(int op, ...);
int __wrap_prctl(int op, ...);
int __wrap_prctl(int op, ...)
{
	va_list ap;
	va_start(ap, op);
	long arg = NEXT(ap);
	va_end(ap);
	return trips(W_prctl) ? -1 : __real_prctl(op, arg);
}

int __real_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int __wrap_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
/* All that may follow: the kernel writes to the last, where CHILD_CLEARTID is asked for. */
int __wrap_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	va_list ap;
	va_start(ap, arg);
	void *parent_tid = va_arg(ap, void *), *tls = va_arg(ap, void *), *tid = va_arg(ap, void *);
	va_end(ap);
	return trips(W_clone) ? -1 : __real_clone(fn, stack, flags, arg, parent_tid, tls, tid);
}

/* Those that cannot fail are let through. */
long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);
__attribute__((no_sanitize_address)) long __wrap_syscall(long nr, ...)
{
	va_list ap;
	va_start(ap, nr);
	long a = NEXT(ap), b = NEXT(ap), c = NEXT(ap), d = NEXT(ap), e = NEXT(ap);
	va_end(ap);
	bool old = trap && trap->error == ENOSYS; /* an old kernel has none by pidfd */
	bool may = nr != SYS_rt_sigprocmask && (nr != SYS_waitid || (old && a == P_PIDFD));
	if (may && trips(W_syscall))
		return -1;
	return __real_syscall(nr, a, b, c, d, e);
}
