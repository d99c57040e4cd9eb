/* limit.c - see limit.h.  Runs the command beside the jobs; reads /proc. */
#include "limit.h"

#include "buf.h"
#include "pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PATIENCE_MS = 50 };          /* most commands answer within it */
static const double again = 1;      /* seconds after a "no" */

struct limit {
	const char *command, *shell;
	enum { BY_COMMAND, BY_IO, BY_LOAD, BY_MEM } by;
	double n;           /* of the predefined ones */
	pid_t pid;          /* 0: the command does not run */
	int fd;             /* its answer */
	double next_ask;
	enum limit_says last;
	double io_ms, io_at; /* the busiest disk at the last sample */
	double io_busy;      /* percent */
};

/* ---- "io N": the part of the time in which a disk was busy ---- */

/* Milliseconds for which the busiest disk has been busy since boot. */
static double disk_ms(void)
{
	char line[512];
	double most = 0;
	FILE *f = fopen("/proc/diskstats", "re");
	while (f && fgets(line, sizeof line, f)) {
		double ms;
		if (sscanf(line, "%*u %*u %*s %*u %*u %*u %*u %*u %*u %*u %*u %*u %lf", &ms) == 1 &&
		    ms > most)
			most = ms;
	}
	if (f)
		fclose(f);
	return most;
}

/* The first sample says nothing yet. */
static bool disk_busy(struct limit *l, double now)
{
	if (l->io_at == 0 || now - l->io_at >= 1) {
		double ms = disk_ms();
		l->io_busy = l->io_at > 0 ? (ms - l->io_ms) / (now - l->io_at) / 10 : 0;
		l->io_ms = ms;
		l->io_at = now;
	}
	return l->io_busy >= l->n;
}

/* ---- setting up ---- */

static double bytes(const char *s)
{
	static const char units[] = "kKmMgGtTpP";
	static const double factors[] = { 1e3, 0x1p10, 1e6, 0x1p20, 1e9, 0x1p30, 1e12, 0x1p40, 1e15, 0x1p50 };
	char *end;
	double n = strtod(s, &end);
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (end == s || n < 0 || (*end && (!unit || end[1])))
		return -1;
	return unit ? n * factors[unit - units] : n;
}

struct limit *limit_new(const char *spec, const char *shell)
{
	static const char *const names[] = { "io ", "load ", "mem " };
	struct limit *l = memset(xrealloc(NULL, sizeof *l), 0, sizeof *l);
	l->command = spec;
	l->shell = shell;
	l->fd = -1;
	for (int i = 0; i < 3; i++)
		if (!strncmp(spec, names[i], strlen(names[i]))) {
			l->by = BY_IO + i;
			l->n = bytes(spec + strlen(names[i]));
		}
	if (l->n >= 0)
		return l;
	warn("--limit: '%s' is not understood; write 'io 50', 'load 4', 'mem 1G', or a command", spec);
	free(l);
	return NULL;
}

/* ---- the command ---- */

/* Its status comes by a pipe, not by wait(): the pool reaps adopted orphans, and might reap it. */
static int start(struct limit *l)
{
	char *argv[] = { "sh", "-c", "\"$0\" -c \"$1\" >&2 </dev/null; echo $?",
		         (char *)(uintptr_t)l->shell, (char *)(uintptr_t)l->command, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none;
	int p[2];
	if (pipe2(p, O_CLOEXEC) != 0)
		return -errno;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, p[1], STDOUT_FILENO);
	int e = posix_spawn(&l->pid, "/bin/sh", &fa, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	close(p[1]);
	l->fd = p[0];
	if (e != 0)
		l->pid = 0;
	return -e;
}

static void forget(struct limit *l)
{
	if (l->pid)
		waitpid(l->pid, NULL, 0);
	if (l->fd >= 0)
		close(l->fd);
	l->pid = 0;
	l->fd = -1;
}

static enum limit_says answer(struct limit *l)
{
	struct pollfd p = { l->fd, POLLIN, 0 };
	char text[16] = "";
	if (poll(&p, 1, PATIENCE_MS) <= 0)
		return LIMIT_ASKING;
	ssize_t n = read(l->fd, text, sizeof text - 1);
	forget(l);
	int status = n > 0 ? atoi(text) : 1;
	if (status == 126 || status == 127)
		return LIMIT_BROKEN; /* the shell has said why */
	return status == 0 ? LIMIT_GO : status == 2 ? LIMIT_KILL : LIMIT_WAIT;
}

enum limit_says limit_ask(struct limit *l, double now)
{
	if (!l->pid && now < l->next_ask)
		return l->last == LIMIT_KILL ? LIMIT_WAIT : l->last;
	if (l->by == BY_IO)
		l->last = disk_busy(l, now) ? LIMIT_WAIT : LIMIT_GO;
	else if (l->by == BY_LOAD)
		l->last = processes_running() >= l->n ? LIMIT_WAIT : LIMIT_GO;
	else if (l->by == BY_MEM)
		l->last = memory_available() < l->n ? LIMIT_WAIT : LIMIT_GO;
	else
		l->last = l->pid || start(l) == 0 ? answer(l) : LIMIT_WAIT;
	if (l->last == LIMIT_WAIT || l->last == LIMIT_KILL)
		l->next_ask = now + again;
	return l->last;
}

void limit_free(struct limit *l)
{
	if (l && l->pid)
		kill(-l->pid, SIGKILL);
	if (l)
		forget(l);
	free(l);
}
