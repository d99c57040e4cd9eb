/* sweep-linux.c - find the processes of a job, wherever they went, and signal them.
 *
 * A process belongs to the job if it is in the leader's group or session, descends from it,
 * or carries its mark in its environment (setsid, double fork).  Only /proc can tell.  Runs
 * when a job is being ended, never in a job's normal life.  The pid of a stray is checked
 * again by way of a pidfd before it is signalled, so that a recycled number is not hit. */
#include "pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct proc {
	pid_t pid, ppid, pgrp, sid;
	unsigned long long start, env[2]; /* env: where its environment begins and ends */
	unsigned flags;
	char state;
	bool mine;
};
struct table {
	struct proc *v;
	size_t n, cap;
};

static ssize_t read_proc(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, buf, size - 1);
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

static bool read_stat(pid_t pid, struct proc *p)
{
	char buf[1024];
	if (read_proc(pid, "stat", buf, sizeof buf) <= 0)
		return false;
	char *rest = strrchr(buf, ')'); /* the name may hold anything */
	int ppid, pgrp, sid;
	*p = (struct proc){ .pid = pid };
	if (!rest || sscanf(rest + 1,
	                    " %c %d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
	                    "%*d %*d %llu %*u %*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u "
	                    "%*u %*u %*d %*d %*u %*u %*u %*u %*d %*u %*u %*u %*u %*u %llu %llu",
	                    &p->state, &ppid, &pgrp, &sid, &p->flags, &p->start, &p->env[0],
	                    &p->env[1]) < 6)
		return false;
	p->ppid = ppid;
	p->pgrp = pgrp;
	p->sid = sid;
	return true;
}

static int add(struct table *t, const struct proc *p)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 256;
		struct proc *v = realloc(t->v, cap * sizeof *v);
		if (!v)
			return -ENOMEM;
		t->v = v;
		t->cap = cap;
	}
	t->v[t->n++] = *p;
	return 0;
}

/* A look that failed for want of descriptors or memory is no proof that nothing is there. */
static int look_failed(int e)
{
	return pr_out_of_resources(-e) ? -e : 0;
}

static int snapshot(struct table *t)
{
	DIR *d = opendir("/proc");
	if (!d)
		return -errno;
	int e = 0;
	for (struct dirent *de; e == 0 && (de = readdir(d));) {
		struct proc p;
		pid_t pid = (pid_t)atoi(de->d_name);
		errno = 0;
		if (pid > 0)
			e = read_stat(pid, &p) ? add(t, &p) : look_failed(errno);
	}
	closedir(d);
	return e;
}

static bool alive(const struct proc *p)
{
	return p->state != 'Z' && p->state != 'X';
}

/* Its environment could be opened, and nothing was there: in the midst of an exec it looks as
 * if there were none. */
static int none_now(pid_t pid)
{
	const unsigned kernel_thread = 0x00200000;
	struct proc p;
	errno = 0;
	if (!read_stat(pid, &p))
		return look_failed(errno);
	if (!alive(&p) || (p.flags & kernel_thread) || (p.env[1] && p.env[0] == p.env[1]))
		return 0;
	return -EAGAIN;
}

/* Strings are told apart by a NUL on both sides; what ends with the buffer is not known yet. */
static bool holds(const char *buf, size_t have, const char *mark, size_t len)
{
	const char *end = buf + have;
	for (const char *at = buf; (at = memmem(at, (size_t)(end - at), mark, len)); at++) {
		if (at + len == end)
			return false;
		if (at > buf && at[-1] == '\0' && (at[len] == '\0' || at[len] == '/'))
			return true;
	}
	return false;
}

/* NAME=VALUE itself, or with /more behind it: a job of a job.  1, 0, or -errno. */
static int carries(pid_t pid, const char *mark)
{
	char path[64], buf[16384] = "";
	size_t len = strlen(mark), have = 1; /* as if a NUL stood before the first */
	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return look_failed(errno);
	bool found = false, any = false;
	for (ssize_t n; !found && (n = read(fd, buf + have, sizeof buf - have - 1)) > 0;) {
		have += (size_t)n;
		any = true;
		found = holds(buf, have, mark, len);
		size_t tail = len + 1 < have ? len + 1 : have; /* it may straddle two reads */
		memmove(buf, buf + have - tail, tail);
		have = tail;
	}
	close(fd);
	buf[have++] = '\0'; /* the last may have been overwritten by its process */
	if (found || holds(buf, have, mark, len))
		return 1;
	return any ? 0 : none_now(pid);
}

static int belongs(const struct proc *p, const struct sweep_target *t,
                    unsigned long long since)
{
	if (p->pid == t->leader)
		return true;
	if (t->group && (p->pgrp == t->leader || (t->session && p->sid == t->leader)))
		return true;
	return t->mark && p->start >= since ? carries(p->pid, t->mark) : 0;
}

/* Breadth first: the vector doubles as the queue, those of ours swapped to the front. */
static void mark_descendants(struct table *t)
{
	size_t front = 0;
	for (size_t done = 0; done <= front; done++) {
		for (size_t i = front; i < t->n; i++) {
			struct proc p = t->v[i];
			if (!p.mine && (done == 0 || p.ppid != t->v[done - 1].pid))
				continue;
			p.mine = true;
			t->v[i] = t->v[front];
			t->v[front++] = p;
		}
	}
	t->n = front; /* the others are of no interest */
}

static void signal_proc(const struct proc *p, int sig)
{
	struct proc now;
	int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (fd < 0) {
		if (errno != ESRCH)
			kill(p->pid, sig);
		return;
	}
	if (read_stat(p->pid, &now) && now.start == p->start &&
	    syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) != 0 && errno == ENOSYS)
		kill(p->pid, sig);
	close(fd);
}

int pr_sweep(const struct sweep_target *target, int sig)
{
	struct table t = { 0 };
	struct proc leader = { 0 };
	int found = snapshot(&t), failed = 0;
	if (found < 0)
		goto out;
	read_stat(target->leader, &leader); /* a zombie has one too; nothing of it is older */
	for (size_t i = 0; i < t.n; i++) {
		int mine = t.v[i].pid != getpid() ? belongs(&t.v[i], target, leader.start) : 0;
		t.v[i].mine = mine > 0;
		if (mine < 0) /* those that are known get their signal even so */
			failed = mine;
	}
	mark_descendants(&t);
	for (size_t i = 0; i < t.n; i++) {
		struct proc *p = &t.v[i];
		if (!alive(p) || p->pid == target->leader)
			continue;
		found++;
		if (sig && (!target->group || p->pgrp != target->leader))
			signal_proc(p, sig);
	}
out:
	free(t.v);
	return failed ? failed : found;
}
