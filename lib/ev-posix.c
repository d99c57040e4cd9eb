/* ev-posix.c - ev.h by poll, with a pipe to wake.
 *
 * There is no one fd for the host to sleep on: pr_ev_fd() says -ENOTSUP. */
#include "fds.h"
#include "os.h"
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct ev {
	struct watch wake;
	int wake_wr;
	struct pollfd *fds; /* fds[i] is watched by of[i] */
	struct watch **of;
	size_t n, cap;
	size_t i; /* those before it were handed out, or are not ready */
};

static int woken(struct prong *p, struct watch *w, struct fired *f)
{
	char buf[64];
	(void)p;
	while (read(w->fd, buf, sizeof buf) > 0)
		;
	*f = (struct fired){ .kind = FIRED_WAKE };
	return 1;
}

int pr_ev_open(struct ev **out)
{
	struct ev *ev = calloc(1, sizeof *ev);
	int fd[2] = { -1, -1 };
	if (!ev)
		return -ENOMEM;
	int e = pr_pipe(fd);
	ev->wake = (struct watch){ .fd = pr_fd_mark(fd[0]), .fire = woken };
	ev->wake_wr = pr_fd_mark(fd[1]);
	if (e == 0) {
		bool ok = fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0 &&
		          fcntl(fd[1], F_SETFL, O_NONBLOCK) == 0;
		e = ok ? pr_ev_watch(ev, &ev->wake, PRONG_READ) : -errno;
	}
	if (e == 0)
		*out = ev;
	else
		pr_ev_close(ev);
	return e;
}

void pr_ev_close(struct ev *ev)
{
	if (!ev)
		return;
	pr_fd_close(&ev->wake.fd);
	pr_fd_close(&ev->wake_wr);
	free(ev->fds);
	free(ev->of);
	free(ev);
}

static int grow(struct ev *ev)
{
	size_t cap = ev->cap ? ev->cap * 2 : 16;
	struct pollfd *fds = realloc(ev->fds, cap * sizeof *fds);
	if (!fds)
		return -ENOMEM;
	ev->fds = fds;
	struct watch **of = realloc(ev->of, cap * sizeof *of);
	if (!of)
		return -ENOMEM;
	ev->of = of;
	ev->cap = cap;
	return 0;
}

/* As epoll has it: what never blocks cannot be waited for. */
static int check(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return -errno;
	return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? -EPERM : 0;
}

static short events(unsigned on)
{
	return (short)((on & PRONG_READ ? POLLIN : 0) | (on & PRONG_WRITE ? POLLOUT : 0));
}

static int add(struct ev *ev, struct watch *w, unsigned on)
{
	int e = check(w->fd);
	if (e == 0 && ev->n == ev->cap)
		e = grow(ev);
	if (e != 0)
		return e;
	w->place = ev->n++;
	ev->of[w->place] = w;
	ev->fds[w->place] = (struct pollfd){ .fd = w->fd, .events = events(on) };
	w->on = on;
	return 0;
}

/* The last one takes its place; if it was to be handed out still, the next poll tells. */
static int del(struct ev *ev, struct watch *w)
{
	size_t last = --ev->n;
	w->on = 0;
	ev->of[w->place] = ev->of[last];
	ev->fds[w->place] = ev->fds[last];
	ev->of[w->place]->place = w->place;
	return 0;
}

int pr_ev_watch(struct ev *ev, struct watch *w, unsigned on)
{
	if (!on)
		return w->on ? del(ev, w) : -ENOENT;
	if (!w->on)
		return add(ev, w, on);
	ev->fds[w->place].events = events(on);
	w->on = on;
	return 0;
}

void pr_ev_end(struct ev *ev, struct watch *w)
{
	if (w->fd < 0)
		return;
	if (w->on)
		pr_ev_watch(ev, w, 0);
	pr_fd_close(&w->fd);
}

static size_t next(struct ev *ev)
{
	while (ev->i < ev->n && !ev->fds[ev->i].revents)
		ev->i++;
	return ev->i;
}

int pr_ev_sleep(struct ev *ev, int timeout_ms)
{
	if (next(ev) < ev->n)
		return 1;
	ev->i = 0;
	int n = poll(ev->fds, (nfds_t)ev->n, timeout_ms);
	if (n >= 0)
		return n;
	for (size_t i = 0; i < ev->n; i++)
		ev->fds[i].revents = 0;
	return errno == EINTR || errno == EAGAIN ? 0 : -errno;
}

struct watch *pr_ev_next(struct ev *ev)
{
	for (size_t i; (i = next(ev)) < ev->n;) {
		struct watch *w = ev->of[i];
		short r = ev->fds[i].revents;
		ev->fds[i].revents = 0;
		w->ready = r & (POLLERR | POLLHUP | POLLNVAL)
		                   ? w->on
		                   : (r & POLLIN ? PRONG_READ : 0u) |
		                             (r & POLLOUT ? PRONG_WRITE : 0u);
		w->ready &= w->on; /* which may have changed since */
		if (w->ready)
			return w;
	}
	return NULL;
}

int pr_ev_wake(struct ev *ev)
{
	return write(ev->wake_wr, "", 1) < 0 && errno != EAGAIN ? -errno : 0;
}

int pr_ev_fd(struct ev *ev)
{
	(void)ev;
	return -ENOTSUP;
}

void pr_ev_deadline(struct ev *ev, int64_t at)
{
	(void)ev, (void)at;
}
