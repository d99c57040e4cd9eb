/* sweep.c - end all that a worker has started, wherever it went.
 *
 * A process that made a session of its own is in no group we could name.  But workers are
 * subreapers: whoever loses its parent below a worker becomes the worker's own child.  So
 * ending its children until it has none ends them all.  System calls only: it also runs in a
 * worker's signal handler, when the parent is gone (guard.c). */
#include "ext.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 500, NAP_NS = 500000 };

struct dirent64 {
	uint64_t ino;
	int64_t off;
	unsigned short len;
	unsigned char type;
	char name[];
};

static void nap(void)
{
	struct timespec ts = { .tv_nsec = NAP_NS };
	nanosleep(&ts, NULL);
}

static char *append(char *at, const char *s)
{
	while (*s)
		*at++ = *s++;
	*at = '\0';
	return at;
}

static pid_t number(const char *s)
{
	pid_t n = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	return n;
}

/* What /proc/NAME/WHAT begins with; its length, or -1. */
static ssize_t read_file(const char *dir, const char *name, const char *what, char *buf, size_t size)
{
	char path[128];
	append(append(append(append(path, dir), name), "/"), what);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

/* A living child of parent? */
static bool is_child(const char *name, pid_t parent)
{
	char buf[512];
	if (read_file("/proc/", name, "stat", buf, sizeof buf) <= 0)
		return false;
	char *rest = strrchr(buf, ')'); /* ") S 123 ..." */
	return rest && rest[1] && rest[2] != 'Z' && rest[2] != 'X' && number(rest + 4) == parent;
}

/* How many did each() say yes to?  -1: there is no such directory. */
static int each_in(const char *dir, bool (*each)(const char *dir, const char *name, pid_t pid), pid_t pid)
{
	_Alignas(struct dirent64) char buf[4096];
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	if (fd < 0)
		return -1;
	for (long got; (got = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0;)
		for (long at = 0; at < got;) {
			struct dirent64 *d = (void *)(buf + at);
			at += d->len;
			if (number(d->name))
				n += each(dir, d->name, pid);
		}
	close(fd);
	return n;
}

static bool kill_child(const char *dir, const char *name, pid_t parent)
{
	(void)dir;
	return is_child(name, parent) && kill(number(name), SIGKILL) == 0;
}

static bool has_children(const char *dir, const char *name, pid_t pid)
{
	char buf[32];
	(void)pid;
	return read_file(dir, name, "children", buf, sizeof buf) != 0; /* unknown counts as yes */
}

/* Before a worker is killed: it stands still, and its children go first. */
void sweep_worker(pid_t pid)
{
	char dir[64], digits[24];
	char *d = digits + sizeof digits - 1;
	*d = '\0';
	for (pid_t n = pid; n > 0; n /= 10)
		*--d = (char)('0' + n % 10);
	append(append(append(dir, "/proc/"), d), "/task/");
	if (each_in(dir, has_children, pid) <= 0)
		return;
	kill(pid, SIGSTOP);
	for (int i = 0; i < ROUNDS && each_in("/proc", kill_child, pid) > 0; i++)
		nap();
}

/* In a worker whose parent is gone. */
void sweep_and_die(int sig)
{
	(void)sig;
	for (int i = 0; i < ROUNDS && each_in("/proc", kill_child, getpid()) > 0; i++)
		nap();
	kill(-getpgrp(), SIGKILL);
	_exit(1);
}
