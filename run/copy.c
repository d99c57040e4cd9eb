/* copy.c - moves n bytes from fd to fd by the cheapest call that is safe.
 *
 * Owns nothing.  Bytes for a pipe or socket are never lent (sendfile, splice): the reader
 * would see what is written over the pages later, when the file they came from is reused. */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BLOCK = 128 << 10 };

/* Wait until fd takes more, or until the patience ends. */
static int wait_writable(const struct target *t)
{
	const struct sink_patience *p = t->patience;
	struct pollfd fds[] = {
		{ .fd = t->fd, .events = POLLOUT },
		{ .fd = p ? p->fd : -1, .events = POLLIN },
	};
	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	if (p && !fds[0].revents && fds[1].revents && !p->go_on(p->arg))
		return -EINTR;
	return 0;
}

static ssize_t write_nowait(int fd, const struct iovec *v)
{
#ifdef RWF_NOWAIT
	return pwritev2(fd, v, 1, -1, RWF_NOWAIT);
#else
	(void)fd, (void)v;
	errno = ENOSYS;
	return -1;
#endif
}

/* A write that takes what fits now: by RWF_NOWAIT, or by no more than a pipe that is
 * writable surely takes. */
static ssize_t write_now(const struct target *t, const void *data, size_t len)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	ssize_t n = write_nowait(t->fd, &v);
	if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
		return n;
	int e = wait_writable(t);
	if (e != 0) {
		errno = -e;
		return -1;
	}
	struct pollfd p = { .fd = t->fd, .events = POLLOUT };
	if (poll(&p, 1, 0) != 1) { /* only go_on() was called */
		errno = EAGAIN;
		return -1;
	}
	return write(t->fd, data, len < PIPE_BUF ? len : PIPE_BUF);
}

int write_full(const struct target *t, const void *data, size_t len)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = t->patience ? write_now(t, p, len) : write(t->fd, p, len);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		int e = errno == EAGAIN ? wait_writable(t) : -errno;
		if (e != 0 && (e != -EINTR || t->patience))
			return e;
	}
	return 0;
}

int pread_full(int fd, void *data, size_t len, int64_t off)
{
	char *p = data;
	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)off);
		if (n == 0)
			return -ENODATA;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			off += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int pwrite_full(int fd, const void *data, size_t len, int64_t off)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			off += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static ssize_t by_range(int to, int from, off_t *off, size_t len)
{
	return copy_file_range(from, off, to, NULL, len, 0);
}

/* Inside the kernel, file to file.  Stops at the first refusal, whatever it is: the plain
 * way goes on from there and meets the real error, if it is one. */
static void copy_inside(int from, int64_t *off, int64_t *len, int to)
{
	ssize_t (*const ways[])(int, int, off_t *, size_t) = { by_range, sendfile };
	struct stat st;
	int flags = fcntl(to, F_GETFL);
	if (flags < 0 || (flags & O_APPEND) || fstat(to, &st) != 0 || !S_ISREG(st.st_mode))
		return;
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		while (*len > 0) {
			size_t want = *len > 1 << 30 ? (size_t)1 << 30 : (size_t)*len;
			off_t at = (off_t)*off;
			ssize_t n = ways[i](to, from, &at, want);
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				break;
			*off += n;
			*len -= n;
		}
	}
}

int copy_to(int from, int64_t off, int64_t len, const struct target *t)
{
	char block[BLOCK];
	copy_inside(from, &off, &len, t->fd);
	while (len > 0) {
		size_t n = len < BLOCK ? (size_t)len : (size_t)BLOCK;
		int e = pread_full(from, block, n, off);
		if (e == 0)
			e = write_full(t, block, n);
		if (e != 0)
			return e;
		off += (int64_t)n;
		len -= (int64_t)n;
	}
	return 0;
}

int copy_range(int from, int64_t off, int64_t len, int to)
{
	struct target t = { .fd = to };
	return copy_to(from, off, len, &t);
}
