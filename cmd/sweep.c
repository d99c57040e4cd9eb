/* sweep.c - kill every descendant of this process; find the leftovers of killed runs. */
#include "guardian.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20000 }; /* something that cannot be killed must not keep us for ever */

static ssize_t slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = -1;
	while (fd >= 0 && have + 1 < size && (n = read(fd, buf + have, size - 1 - have)) > 0)
		have += (size_t)n;
	if (fd >= 0)
		close(fd);
	buf[have] = '\0';
	return fd >= 0 ? (ssize_t)have : -1;
}

/* Children first found, first killed: a killed parent hands its own to us (we are their
 * subreaper), so that a few rounds see the whole tree. */
static int kill_children(pid_t pid, pid_t keep, int depth)
{
	char path[64], buf[65536];
	int found = 0;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	ssize_t n = slurp(path, buf, sizeof buf);
	if (n <= 0)
		return 0;
	if (n == (ssize_t)sizeof buf - 1) /* the last number may be half of one: next time */
		strrchr(buf, ' ')[0] = '\0';
	for (char *p = buf, *end; (pid = (pid_t)strtol(p, &end, 10)) > 0; p = end) {
		if (pid == keep)
			continue;
		found++;
		kill(pid, SIGKILL);
		if (depth < 3)
			found += kill_children(pid, keep, depth + 1);
	}
	return found;
}

void sweep_descendants(pid_t keep)
{
	const struct timespec nap = { 0, 500000 };
	for (int i = 0; i < ROUNDS; i++) {
		int status;
		if (!kill_children(getpid(), keep, 0))
			return;
		while (waitpid(-1, &status, WNOHANG | __WALL) > 0)
			;
		if (i > 20)
			nanosleep(&nap, NULL);
	}
}

/* ---- marks ---- */

enum { LOOKS = 20 }; /* at all processes, for what forks meanwhile */

/* In clock ticks since boot; 0: there is no such process. */
static unsigned long long start_time(pid_t pid)
{
	char path[64], buf[1024];
	unsigned long long t = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	char *p = slurp(path, buf, sizeof buf) > 0 ? strrchr(buf, ')') : NULL;
	if (p && strlen(p) > 2 && strchr("ZX", p[2]))
		return 0; /* dead, and nobody collects it */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		t = strtoull(p, NULL, 10);
	return t;
}

const char *run_mark(void)
{
	static char mark[4096];
	const char *outer = getenv("PRONG_JOB");
	if (outer && strlen(outer) > 3000)
		outer = NULL;
	snprintf(mark, sizeof mark, "%s%s%d.%llu", outer ? outer : "", outer ? "/" : "",
	         (int)getpid(), start_time(getpid()));
	return mark;
}

/* The innermost run of a mark "pid.start.seq/pid.start.seq": is its runner still there? */
static bool run_is_over(const char *mark)
{
	const char *last = strrchr(mark, '/');
	int pid;
	unsigned long long start;
	if (sscanf(last ? last + 1 : mark, "%d.%llu.", &pid, &start) != 2)
		return false;
	return start_time(pid) != start;
}

static bool is_orphan(pid_t pid, char *environ_buf, size_t size)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	ssize_t n = slurp(path, environ_buf, size);
	for (char *p = environ_buf; n > 0 && p < environ_buf + n; p += strlen(p) + 1)
		if (!strncmp(p, "PRONG_JOB=", 10))
			return run_is_over(p + 10);
	return false;
}

static int sweep_once(bool verbose)
{
	static char buf[1 << 20];
	int killed = 0;
	DIR *d = opendir("/proc");
	if (!d)
		return -errno;
	for (struct dirent *de; (de = readdir(d));) {
		pid_t pid = (pid_t)atoi(de->d_name);
		if (pid <= 1 || pid == getpid() || !is_orphan(pid, buf, sizeof buf) ||
		    kill(pid, SIGKILL) != 0)
			continue;
		killed++;
		if (verbose)
			printf("prong: killed %d, left over from a run that is gone\n", (int)pid);
	}
	closedir(d);
	return killed;
}

int sweep_orphans(bool verbose)
{
	int killed = 0, now;
	const struct timespec nap = { 0, 10000000 };
	for (int i = 0; i < LOOKS && (now = sweep_once(verbose)) != 0; i++) {
		if (now < 0)
			return now;
		killed += now; /* look again: they may have forked meanwhile */
		nanosleep(&nap, NULL); /* the dead are to be gone by then */
	}
	return killed;
}
