/* wrap.h - every call that libprong makes of the system, so that the k-th of a kind fails.
 *
 * The linker hands libprong's calls to us (--wrap).  What counts them lies in memory that all
 * forked children share: so the k-th is the k-th of host, workers and functions together. */
#ifndef TESTS_WRAP_H
#define TESTS_WRAP_H

#include "raw.h"

#include <stdbool.h>

/* name, and what it fails with. */
#define WRAPPED(X)                                                                         \
	X(malloc, ENOMEM, 0) X(calloc, ENOMEM, 0) X(realloc, ENOMEM, 0) X(strdup, ENOMEM, 0) \
	X(mmap64, ENOMEM, 0) X(fork, EAGAIN, ENOMEM) X(clone, EAGAIN, ENOSYS)              \
	X(socketpair, EMFILE, ENFILE) X(open64, EMFILE, ENOSPC) X(openat64, EMFILE, EACCES) \
	X(pipe2, EMFILE, ENFILE) X(memfd_create, EMFILE, ENOSYS) X(mkostemp64, EMFILE, ENOSPC) \
	X(ftruncate64, EIO, EINTR) X(posix_fallocate64, ENOSPC, EINTR) X(fstat64, EIO, ENOMEM) \
	X(stat64, EIO, ENOMEM) X(lseek64, EIO, 0) X(access, EIO, 0)      \
	X(read, EINTR, 0) X(write, EINTR, ENOSPC) X(pread64, EINTR, EIO)                 \
	X(pwrite64, EINTR, ENOSPC) X(send, ENOBUFS, 0) X(recv, EINTR, ENOMEM)           \
	X(poll, EINTR, ENOMEM) X(fcntl64, EINVAL, EMFILE) X(ioctl, EIO, 0) X(dup2, EMFILE, EINTR) \
	X(setsid, EPERM, 0) X(setpgid, EPERM, 0) X(setpriority, EACCES, 0)                 \
	X(getpriority, EPERM, 0) X(chdir, EIO, 0) X(execve, ENOMEM, E2BIG)                 \
	X(epoll_create1, EMFILE, ENOMEM) X(epoll_ctl, ENOMEM, ENOSPC)                      \
	X(epoll_wait, EINTR, 0) X(eventfd, EMFILE, ENOMEM) X(timerfd_create, EMFILE, ENOMEM) \
	X(timerfd_settime, EINVAL, 0) X(opendir, EMFILE, ENOMEM) X(madvise, EINVAL, 0)     \
	X(waitid, EINTR, 0) X(syscall, ENOSYS, EMFILE) X(wait4, EINTR, 0)                  \
	X(waitpid, EINTR, 0) X(sigaction, EINVAL, 0) X(posix_spawn, EAGAIN, ENOMEM)        \
	X(posix_spawn_file_actions_init, ENOMEM, 0) X(posix_spawnattr_init, ENOMEM, 0)     \
	X(posix_spawn_file_actions_adddup2, ENOMEM, 0) X(prctl, EINVAL, 0)                 \
	X(getrandom, EAGAIN, 0) X(sched_getaffinity, EINVAL, 0) X(sysconf, EINVAL, 0)

/* What children call past libc on their way (lib/raw.h, which asks us under PR_FAULTS). */
#if PR_RAW
#define RAW(R)                                                                             \
	R(setsid, EPERM, 0) R(setpgid, EPERM, ESRCH) R(dup3, EMFILE, EBADF)                \
	R(fcntl, EBADF, 0) R(chdir, EIO, ENOMEM) R(close_range, ENOSYS, EMFILE)            \
	R(execve, EACCES, ENOENT) R(rt_sigaction, EINVAL, 0)
#else
#define RAW(R)
#endif

enum wrapped {
#define X(name, e1, e2) W_##name,
	WRAPPED(X)
#undef X
#define R(name, e1, e2) W_raw_##name,
	RAW(R)
#undef R
	WRAPPED_N
};

extern const struct wrapped_call {
	const char *name;
	int error[2];
	bool raw;
} wrapped_calls[WRAPPED_N];

/* From now on the k-th call of this kind fails, and `more` after it; 0: none does. */
void wrap_open(void); /* once, before any fork */
void wrap_arm(int call, int error, unsigned k, unsigned more);
void wrap_disarm(void);
int wrap_hit(void);       /* it did fail */
unsigned wrap_seen(void); /* how many there were */

#endif
