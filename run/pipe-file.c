/* pipe-file.c - --cat and --fifo: the block has a name, which is the value of its job.
 *
 * A fifo is given to whoever opens it.  We hold its writing end from the start, so that the
 * opening does not wait, and inotify tells of it; only then something is written. */
#include "pipe-impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static const int tag_inotify;

static int make_fifo(char *path)
{
	int fd = mkostemp(path, O_CLOEXEC); /* a name that nobody has */
	if (fd < 0)
		return -errno;
	close(fd);
	return unlink(path) == 0 && mkfifo(path, 0600) == 0 ? 0 : -errno;
}

static int make_file(char *path)
{
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int pipe_file_new(struct run *r, struct task *t)
{
	const struct config *cfg = r->cfg;
	char path[PATH_MAX];
	if (t->file || (!cfg->cat && !cfg->fifo))
		return 0;
	snprintf(path, sizeof path, "%s/parXXXXXX", r->pipe->dir);
	int e = cfg->fifo ? make_fifo(path) : make_file(path);
	if (e != 0) {
		warn("%s: cannot make '%s': %s; name another place with --tmpdir",
		     cfg->fifo ? "--fifo" : "--cat", path, prong_strerror(e));
		return -1;
	}
	t->file = xstrdup(path);
	if (t->n)
		t->v[0] = t->file;
	t->bytes = 0;
	return 0;
}

static int fill_cat(struct task *t)
{
	int fd = open(t->file, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int e = load_write(t->load, fd);
	if (close(fd) != 0 && e == 0)
		e = -errno;
	return e;
}

static int watch_fifo(struct run *r, struct task *t)
{
	struct pipe *p = r->pipe;
	if (p->inotify < 0) {
		p->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		int e = p->inotify < 0 ? -errno
		                       : prong_watch(r->pool, p->inotify, PRONG_READ,
		                                     (void *)(uintptr_t)&tag_inotify);
		if (e != 0)
			return e;
	}
	t->fifo_watch = inotify_add_watch(p->inotify, t->file, IN_OPEN);
	return t->fifo_watch < 0 ? -errno : 0;
}

static int fill_fifo(struct run *r, struct task *t)
{
	struct load *l = t->load;
	if (l->wfd >= 0)
		return 0; /* made for a start that did not happen */
	if (access(t->file, F_OK) != 0 && mkfifo(t->file, 0600) != 0)
		return -errno;
	int in = open(t->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	l->pool = r->pool;
	l->wfd = open(t->file, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	int e = in < 0 || l->wfd < 0 ? -errno : watch_fifo(r, t);
	if (in >= 0)
		close(in);
	return e;
}

int pipe_file_fill(struct run *r, struct task *t)
{
	return r->cfg->fifo ? fill_fifo(r, t) : fill_cat(t);
}

static void opened(struct run *r, int wd)
{
	for (struct task *t = r->running.head; t; t = t->next)
		if (t->fifo_watch == wd && t->load)
			load_feed(t->load);
}

bool pipe_fifo_opened(struct run *r, const void *tag)
{
	char text[4096] __attribute__((aligned(8)));
	ssize_t n;
	if (tag != &tag_inotify)
		return false;
	while ((n = read(r->pipe->inotify, text, sizeof text)) > 0)
		for (char *at = text; at < text + n;) {
			const struct inotify_event *ev = (const void *)at;
			if (ev->mask & IN_OPEN)
				opened(r, ev->wd);
			at += sizeof *ev + ev->len;
		}
	return true;
}
