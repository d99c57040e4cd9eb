/* ring.c - byte rings in shared memory, futexes, pauses.  Calls nothing of Python. */
#include "ext.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int ring_file(size_t size)
{
	int fd = memfd_create("prong-ring", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size) == 0)
		return fd < 0 ? -errno : fd;
	int e = -errno;
	close(fd);
	return e;
}

int ring_map_file(struct ring *r, size_t size, int fd)
{
	r->size = size;
	r->data = NULL;
	unsigned char *p = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int how = MAP_SHARED | MAP_FIXED, rw = PROT_READ | PROT_WRITE;
	int e = 0;
	if (p == MAP_FAILED || mmap(p, size, rw, how, fd, 0) == MAP_FAILED ||
	    mmap(p + size, size, rw, how, fd, 0) == MAP_FAILED)
		e = -errno;
	if (e != 0 && p != MAP_FAILED)
		munmap(p, 2 * size);
	if (e == 0)
		r->data = p;
	return e;
}

int ring_map(struct ring *r, size_t size)
{
	int fd = ring_file(size);
	if (fd < 0)
		return fd;
	int e = ring_map_file(r, size, fd);
	close(fd);
	return e;
}

void ring_unmap(struct ring *r)
{
	if (r->data)
		munmap(r->data, 2 * r->size);
	r->data = NULL;
}

int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void sleep_on(_Atomic uint32_t *word, uint32_t seen, int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	syscall(SYS_futex, word, FUTEX_WAIT, seen, ns < 0 ? NULL : &ts, NULL, 0);
}

void wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}
