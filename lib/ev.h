/* ev.h - what a pool sleeps on: descriptors, one deadline, calls to wake.  Private.
 *
 * One file implements it per system: ev-epoll.c, ev-posix.c.  Nothing above knows which. */
#ifndef LIB_EV_H
#define LIB_EV_H

#include <prong.h>

struct ev;
struct prong;
struct fired;

/* A descriptor somebody waits for.  Zeroed but for fd = -1 it is watched by nobody; its
 * memory may go as soon as it is not watched any more. */
struct watch {
	int fd;
	unsigned on;    /* PRONG_READ | PRONG_WRITE: watched for; 0: not watched */
	unsigned ready; /* set before fire(): which of them; an error or hang-up is all of them */
	/* 1: *f was set, 0: nothing to tell the pool. */
	int (*fire)(struct prong *p, struct watch *w, struct fired *f);
	size_t place;   /* the implementation's own */
	void *of;       /* whose it is: a slot, the host's tag, ... */
};

int pr_ev_open(struct ev **ev); /* 0 or -errno */
void pr_ev_close(struct ev *ev); /* NULL is allowed; closes no watched fd */

/* Besides PRONG_READ and PRONG_WRITE: not watched any more once it was ready, until it is
 * asked for again.  Where others hold the same open file too, it may stay in the system's
 * set, but says nothing from there. */
enum { PR_ONCE = 1u << 8 };

/* Watch w->fd for `on` from now on, level triggered; 0 stops it.  0 or -errno (-EPERM: a
 * file that is always ready). */
int pr_ev_watch(struct ev *ev, struct watch *w, unsigned on);

/* Stop watching and close(w->fd); fd = -1.  Nothing if it is -1 already. */
void pr_ev_end(struct ev *ev, struct watch *w);

/* Sleep until something is ready, or timeout_ms (-1: no limit).  How many are, 0 for none
 * or a signal, -errno.  If some of the last time are left, they come first. */
int pr_ev_sleep(struct ev *ev, int timeout_ms);

/* The next of those that are ready, with w->ready set; NULL: no more. */
struct watch *pr_ev_next(struct ev *ev);

/* Make pr_ev_sleep() return, with a watch whose fire() says FIRED_WAKE.  Any thread, any
 * signal handler. */
int pr_ev_wake(struct ev *ev);

/* One fd, readable when pr_ev_sleep() would return at once or the deadline is over;
 * -ENOTSUP where there is no such thing. */
int pr_ev_fd(struct ev *ev);

/* When the pool has something to do by the clock (CLOCK_MONOTONIC nanoseconds, PR_NEVER),
 * for pr_ev_fd(); ignored before it was called. */
void pr_ev_deadline(struct ev *ev, int64_t at);

#endif
