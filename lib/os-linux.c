/* os-linux.c - os.h with Linux calls. */
#include "os.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif
enum { KERNEL_NSIG_BYTES = 8, FUTEX_WAIT = 0, FUTEX_WAKE = 1 }; /* musl has no linux/futex.h */

unsigned pr_cpus(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? (unsigned)n : 1;
}

int pr_alive_new(unsigned char **alive)
{
	long page = sysconf(_SC_PAGESIZE);
	void *m = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	               -1, 0);
	if (m == MAP_FAILED)
		return -errno;
	if (madvise(m, (size_t)page, MADV_WIPEONFORK) != 0) { /* Linux < 4.14, emulators */
		munmap(m, (size_t)page);
		return pr_alive_atfork(alive);
	}
	*alive = m;
	**alive = 1;
	return 0;
}

/* A page, or the process's byte, which stays. */
void pr_alive_free(unsigned char *alive)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (alive && (uintptr_t)alive % page == 0)
		munmap(alive, page);
}

int pr_pipe(int fd[2])
{
	return pipe2(fd, O_CLOEXEC) == 0 ? 0 : -errno;
}

int pr_nap(_Atomic uint32_t *word, uint32_t value, int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };
	return syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0) == 0 ? 0 : -errno;
}

void pr_rouse(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int by_name(const char *dir)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/prongXXXXXX", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		return -ENAMETOOLONG;
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

/* Which file systems lack O_TMPFILE is not worth remembering: they are few and slow. */
int pr_nameless(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	return access(dir, F_OK) != 0 ? -errno : by_name(dir);
}

int pr_memory_file(const char *dir)
{
	int fd = memfd_create("prong", MFD_CLOEXEC);
	return fd >= 0 ? fd : errno == ENOSYS || errno == EPERM ? pr_nameless(dir) : -errno;
}

void pr_deathsig(int sig)
{
	prctl(PR_SET_PDEATHSIG, sig);
}

int pr_reopener(void)
{
	return open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int pr_open_again(int reopener, int fd, int flags)
{
	char digits[12] = "", *name = digits + 11; /* printf() writes a page more of the stack */
	do
		*--name = (char)('0' + fd % 10);
	while (fd /= 10);
	return reopener >= 0 ? openat(reopener, name, flags | O_CLOEXEC) : -1;
}

int pr_unshared(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
		return fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
	return errno == EAGAIN ? 0 : -ENOTSUP;
}

/* glibc's sigprocmask would leave its two own signals open. */
void pr_sigmask(const sigset_t *set, sigset_t *old)
{
	(void)PR_CALL(rt_sigprocmask,
	              syscall(SYS_rt_sigprocmask, SIG_SETMASK, set, old, KERNEL_NSIG_BYTES),
	              SIG_SETMASK, set, old, KERNEL_NSIG_BYTES);
}

void pr_close_range(int first, int end)
{
	if (end - first > 1 && PR_CALL(close_range, syscall(SYS_close_range, first, end - 1, 0),
	                               first, end - 1, 0, 0) == 0)
		return;
	for (; first < end; first++) /* Linux < 5.9 */
		(void)PR_CALL(close, close(first), first, 0, 0, 0);
}

void pr_close_on_exec_from(int first)
{
	if (PR_CALL(close_range,
	            syscall(SYS_close_range, (unsigned)first, ~0u, CLOSE_RANGE_CLOEXEC),
	            first, ~0u, CLOSE_RANGE_CLOEXEC, 0) == 0)
		return;
	for (int fd = first, max = (int)sysconf(_SC_OPEN_MAX); fd < max; fd++)
		(void)PR_CALL(fcntl, fcntl(fd, F_SETFD, FD_CLOEXEC), fd, F_SETFD, FD_CLOEXEC, 0);
}
