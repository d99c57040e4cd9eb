/* host.c - the host's side of a pool's sleep: one fd, fds it watches, calls to wake it. */
#include "pool.h"

#include <errno.h>
#include <stdlib.h>

struct host_watch {
	struct host_watch *next;
	struct watch w; /* of: the host's tag */
};

static int fire(struct prong *p, struct watch *w, struct fired *f)
{
	(void)p;
	*f = (struct fired){ .kind = FIRED_HOST, .watch = w };
	return 1;
}

static int add(struct prong *p, int fd, unsigned on, void *tag)
{
	struct host_watch *h = malloc(sizeof *h);
	if (!h)
		return -ENOMEM;
	*h = (struct host_watch){ .w = { .fd = fd, .fire = fire, .of = tag } };
	int e = pr_ev_watch(p->ev, &h->w, on);
	if (e != 0) {
		free(h);
		return e;
	}
	h->next = p->hosts;
	p->hosts = h;
	return 0;
}

static int change(struct prong *p, struct host_watch **at, unsigned on, void *tag)
{
	struct host_watch *h = *at;
	int e = pr_ev_watch(p->ev, &h->w, on);
	if (on && e == 0)
		h->w.of = tag;
	if (on)
		return e;
	*at = h->next;
	free(h);
	return e;
}

int prong_watch(struct prong *p, int fd, int on, void *tag)
{
	int e = pr_usable(p);
	if (e != 0)
		return e;
	struct host_watch **at = &p->hosts;
	if (!p->ev)
		return -ENOTSUP;
	if (on & ~(PRONG_READ | PRONG_WRITE))
		return -EINVAL;
	while (*at && (*at)->w.fd != fd)
		at = &(*at)->next;
	if (*at)
		return change(p, at, (unsigned)on, tag);
	return on ? add(p, fd, (unsigned)on, tag) : -ENOENT;
}

void pr_hosts_free(struct prong *p)
{
	for (struct host_watch *h; (h = p->hosts); free(h))
		p->hosts = h->next;
}

/* The host sleeps on our fd: our deadlines must show there. */
int prong_fd(const struct prong *pool)
{
	struct prong *p = (struct prong *)(uintptr_t)pool;
	int e = pr_usable(p), fd = e ? e : p->ev ? pr_ev_fd(p->ev) : -ENOTSUP;
	if (fd >= 0)
		pr_ev_deadline(p->ev, pr_deadline(p));
	return fd;
}

int prong_wake(struct prong *p)
{
	int e = pr_usable(p);
	return e ? e : p->ev ? pr_ev_wake(p->ev) : -ENOTSUP;
}
