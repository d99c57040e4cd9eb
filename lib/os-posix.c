/* os-posix.c - os.h with what POSIX has. */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

unsigned pr_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? (unsigned)n : 1;
}

int pr_alive_new(unsigned char **alive)
{
	return pr_alive_atfork(alive);
}

void pr_alive_free(unsigned char *alive)
{
	(void)alive; /* the process's, not the pool's */
}

int pr_pipe(int fd[2])
{
#ifdef HAVE_PIPE2
	return pipe2(fd, O_CLOEXEC) == 0 ? 0 : -errno;
#else
	if (pipe(fd) != 0) /* a fork of another thread may slip in between: older systems */
		return -errno;
	fcntl(fd[0], F_SETFD, FD_CLOEXEC);
	fcntl(fd[1], F_SETFD, FD_CLOEXEC);
	return 0;
#endif
}

int pr_nap(_Atomic uint32_t *word, uint32_t value, int ms)
{
	(void)word, (void)value, (void)ms;
	return -ENOTSUP;
}

void pr_rouse(_Atomic uint32_t *word)
{
	(void)word;
}

int pr_nameless(const char *dir)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/prongXXXXXX", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		return -ENAMETOOLONG;
#ifdef HAVE_MKOSTEMP
	int fd = mkostemp(path, O_CLOEXEC);
#else
	int fd = mkstemp(path);
#endif
	if (fd < 0)
		return -errno;
	unlink(path);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

int pr_memory_file(const char *dir)
{
	return pr_nameless(dir);
}

void pr_deathsig(int sig)
{
	(void)sig;
}

int pr_reopener(void)
{
	return -1;
}

int pr_open_again(int reopener, int fd, int flags)
{
	(void)flags;
	(void)reopener;
	(void)fd;
	return -1;
}

int pr_unshared(int fd)
{
	(void)fd;
	return -ENOTSUP;
}

void pr_sigmask(const sigset_t *set, sigset_t *old)
{
	pthread_sigmask(SIG_SETMASK, set, old);
}

void pr_close_range(int first, int end)
{
	while (first < end)
		close(first++);
}

void pr_close_on_exec_from(int first)
{
	for (int fd = first, max = (int)sysconf(_SC_OPEN_MAX); fd < max; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}
