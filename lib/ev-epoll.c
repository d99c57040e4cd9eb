/* ev-epoll.c - ev.h by epoll, with an eventfd to wake and a timerfd for the host's sleep.
 *
 * A watch is taken out of the set before its fd is closed: if a forked copy of this process
 * holds the same open file, closing alone would leave it in the set, always ready.  One that
 * is watched once and was ready need not be: it is mute. */
#include "fds.h"
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { BATCH = 64 };

struct ev {
	int ep;
	struct watch wake, alarm; /* eventfd; timerfd, made when pr_ev_fd() is asked */
	int64_t armed;
	struct epoll_event batch[BATCH];
	int n, i;
};

static void eat(int fd)
{
	uint64_t n;
	while (read(fd, &n, sizeof n) < 0 && errno == EINTR)
		;
}

static int woken(struct prong *p, struct watch *w, struct fired *f)
{
	(void)p;
	eat(w->fd);
	*f = (struct fired){ .kind = FIRED_WAKE };
	return 1;
}

static int alarm_over(struct prong *p, struct watch *w, struct fired *f)
{
	(void)f;
	eat(w->fd);
	p->ev->armed = PR_NEVER;
	return 0;
}

int pr_ev_open(struct ev **out)
{
	struct ev *ev = calloc(1, sizeof *ev);
	if (!ev)
		return -ENOMEM;
	ev->armed = PR_NEVER;
	ev->alarm.fd = -1;
	ev->ep = pr_fd_mark(epoll_create1(EPOLL_CLOEXEC));
	int e = ev->ep < 0 ? -errno : 0;
	int fd = e == 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	ev->wake = (struct watch){ .fd = pr_fd_mark(fd), .fire = woken };
	if (e == 0)
		e = fd < 0 ? -errno : pr_ev_watch(ev, &ev->wake, PRONG_READ);
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
	pr_fd_close(&ev->alarm.fd);
	pr_fd_close(&ev->ep);
	free(ev);
}

static void forget(struct ev *ev, const struct watch *w)
{
	for (int i = ev->i; i < ev->n; i++)
		if (ev->batch[i].data.ptr == w)
			ev->batch[i].data.ptr = NULL;
}

int pr_ev_watch(struct ev *ev, struct watch *w, unsigned on)
{
	struct epoll_event e = { .data.ptr = w };
	if (on & PRONG_READ)
		e.events |= EPOLLIN;
	if (on & PRONG_WRITE)
		e.events |= EPOLLOUT;
	if (on & PR_ONCE)
		e.events |= EPOLLONESHOT;
	if (!on)
		forget(ev, w);
	int op = !on ? EPOLL_CTL_DEL : w->on ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int r = epoll_ctl(ev->ep, op, w->fd, &e);
	if (r != 0 && op == EPOLL_CTL_MOD && errno == ENOENT) /* closed and opened anew */
		r = epoll_ctl(ev->ep, EPOLL_CTL_ADD, w->fd, &e);
	else if (r != 0 && op == EPOLL_CTL_ADD && errno == EEXIST) /* once, and now again */
		r = epoll_ctl(ev->ep, EPOLL_CTL_MOD, w->fd, &e);
	if (r == 0 || !on)
		w->on = on;
	return r == 0 ? 0 : -errno;
}

void pr_ev_end(struct ev *ev, struct watch *w)
{
	if (w->fd < 0)
		return;
	if (w->on)
		pr_ev_watch(ev, w, 0);
	pr_fd_close(&w->fd);
}

int pr_ev_sleep(struct ev *ev, int timeout_ms)
{
	if (ev->i < ev->n)
		return ev->n - ev->i;
	ev->i = ev->n = 0;
	int n = epoll_wait(ev->ep, ev->batch, BATCH, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	ev->n = n;
	return n;
}

struct watch *pr_ev_next(struct ev *ev)
{
	while (ev->i < ev->n) {
		const struct epoll_event *e = &ev->batch[ev->i++];
		struct watch *w = e->data.ptr;
		if (!w)
			continue;
		w->ready = e->events & (EPOLLERR | EPOLLHUP)
		                   ? w->on
		                   : (e->events & EPOLLIN ? PRONG_READ : 0u) |
		                             (e->events & EPOLLOUT ? PRONG_WRITE : 0u);
		w->ready &= w->on; /* which may have changed since */
		if (!w->ready)
			continue;
		if (w->on & PR_ONCE)
			w->on = 0;
		return w;
	}
	return NULL;
}

int pr_ev_wake(struct ev *ev)
{
	uint64_t one = 1;
	return write(ev->wake.fd, &one, sizeof one) < 0 && errno != EAGAIN ? -errno : 0;
}

int pr_ev_fd(struct ev *ev)
{
	if (ev->alarm.fd < 0) {
		int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (fd < 0)
			return -errno;
		ev->alarm = (struct watch){ .fd = pr_fd_mark(fd), .fire = alarm_over };
		int e = pr_ev_watch(ev, &ev->alarm, PRONG_READ);
		if (e != 0) {
			pr_fd_close(&ev->alarm.fd);
			return e;
		}
	}
	return ev->ep;
}

void pr_ev_deadline(struct ev *ev, int64_t at)
{
	if (ev->alarm.fd < 0 || at == ev->armed)
		return;
	struct itimerspec its = { 0 };
	if (at != PR_NEVER) {
		int64_t ns = at > 0 ? at : 1;
		its.it_value.tv_sec = ns / INT64_C(1000000000);
		its.it_value.tv_nsec = ns % INT64_C(1000000000);
	}
	timerfd_settime(ev->alarm.fd, TFD_TIMER_ABSTIME, &its, NULL);
	ev->armed = at;
}
