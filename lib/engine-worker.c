/* engine-worker.c - collect what standing workers have done, and when one dies charge one task for
 * it and hand on the rest (crew-feed.c hands out).
 *
 * A task handed out is in jobs[n % cells] of its worker, n from `reaped` to `given`.  The
 * channel (channel.h) says which of them is done, running, or not begun. */
#include "crew-private.h"

#include <errno.h>

enum {
	CHECK_NS = 2000000,    /* how often workers with a queue are looked at unasked */
	TYPICAL_MAX = 4000000, /* for the first */
	FAILED_MAX = 3,        /* workers that cannot begin, before tasks pay for it */
	GRAIN_NS = 500,        /* of times: about_now() of worker.c */
	WORTH_TELLING = 4096,  /* bytes of a result whose room is given back at once */
	PAYLOADS_MAX = 64 * 1024 * 1024 /* kept for reuse */
};

/* ---- collecting ---- */

void pr_stand_down(struct prong *p, struct worker *w)
{
	if (!w->slot)
		return;
	pr_slot_give(p, w->slot);
	w->slot = NULL;
	p->hungry = true;
}

/* It has done all that it was given. */
void pr_worker_drained(struct prong *p, struct worker *w)
{
	w->blocked = false;
	w->in.head = w->in.tail = 0;
	if (w->in.r.size > PAYLOADS_MAX)
		pr_region_trim(&w->in.r);
	if ((p->opt.recycle_tasks && w->tasks >= p->opt.recycle_tasks) ||
	    pr_grown(w))
		pr_worker_retire(w);
	pr_stand_down(p, w); /* the next task may be given to another, or there is none */
	if (p->crew->surplus)
		pr_crew_resized(p);
}

/* One that was kept from its CPU does not make all of them long; one of GRAIN_NS may be as short as
 * the worker's clock goes.  Never 0 again: the shift rounds down, to no less than the smaller. */
static void learn(struct prong *p, int64_t ns)
{
	struct crew *c = p->crew;
	bool small = pr_tasks_small(c);
	int64_t most = c->typical ? 8 * (c->typical > GRAIN_NS ? c->typical : GRAIN_NS) : TYPICAL_MAX;
	ns = ns < 1 ? 1 : ns > most ? most : ns;
	c->typical = c->typical ? c->typical + ((ns - c->typical) >> 3) : ns;
	p->hungry |= small && !pr_tasks_small(c); /* more workers are fed of long ones */
}

static void free_payload(struct worker *w)
{
	size_t end = w->in_end[w->reaped & (w->ch->cells - 1)];
	if (end == NO_PAYLOAD)
		return;
	w->in.tail = end;
	pr_fifo_restart(&w->in);
}

static void find_reply(struct worker *w, const struct cell *rp, struct prong_result *r,
                       struct fired *f)
{
	int e = rp->off > SIZE_MAX - rp->len ? -EPROTO : pr_region_see(&w->out, rp->off + rp->len);
	if (e != 0) { /* no memory, or overwritten by a wild pointer */
		pr_result_lost(r, -e);
		return;
	}
	f->data = w->out.base + rp->off;
	f->len = rp->len;
}

/* The result of its oldest task is there. */
static int reap(struct prong *p, struct worker *w, struct fired *f)
{
	struct crew *c = p->crew;
	struct cell *rp = pr_cell(w->ch, w->reaped);
	struct prong_result *r = &c->result;
	struct job *j = *pr_job_at(w, w->reaped);
	__builtin_prefetch(pr_cell(w->ch, w->reaped + 4)); /* they come from another CPU */
	*f = (struct fired){ .kind = FIRED_TASK, .job = j, .slot = w->slot, .result = r };
	r->how = PRONG_EXITED; /* the other fields never change */
	r->status = (int)rp->status;
	r->sent = 0;
	r->pid = w->pid;
	r->attempt = j->attempt;
	r->start_ns = rp->start + c->wall;
	r->end_ns = rp->end + c->wall;
	if (w->why && w->why_task == w->reaped) { /* it ended while it was being ended */
		r->how = w->why;
		r->status = 0;
		r->sent = w->cert.sent;
	}
	if (rp->len)
		find_reply(w, rp, r, f);
	learn(p, rp->end - rp->start);
	free_payload(w);
	w->reaped++;
	c->queued--;
	c->failed = 0;
	c->last = c->cursor = w;
	c->last_len = f->len;
	if (w->full && pr_inflight(w) <= w->ch->cells / 2) {
		w->full = false;
		p->hungry = true;
	}
	p->holds = 0;
	if (!pr_inflight(w))
		pr_worker_drained(p, w);
	return 1;
}

/* Its results are not needed any more: it has their room back. */
static void publish(struct worker *w)
{
	if (w->published == w->reaped)
		return;
	w->published = w->reaped;
	atomic_store(&w->ch->freed, w->reaped);
	if (atomic_load(&w->ch->wants_room) && atomic_exchange(&w->ch->wants_room, 0))
		pr_worker_force(w);
}

/* Small ones are told of when all that it had done is consumed: look(). */
void pr_crew_consumed(struct prong *p)
{
	struct crew *c = p->crew;
	if (c->last && c->last_len > WORTH_TELLING)
		publish(c->last);
	c->last = NULL;
}

/* The host will not ask for more: what it consumed last is told now. */
void pr_crew_idle(struct prong *p)
{
	for (struct worker *w = p->crew->workers; w; w = w->next)
		if (!pr_inflight(w))
			publish(w);
}

/* Has it done more than what we saw?  Called only when nothing of it is handed out. */
static bool look(struct prong *p, struct worker *w)
{
	if (w->seen != w->reaped)
		return true;
	if (w->reaped == w->given)
		return false;
	publish(w);
	w->seen = pr_done(w);
	if (w->seen == w->reaped)
		return false;
	w->stuck = false;
	if (w->seen == w->given)
		pr_crew_pace(p, -1);
	p->hungry |= p->nwaiting && pr_unfinished(w) <= p->crew->half;
	return true;
}

/* ---- deaths ---- */

static void unlink_worker(struct crew *c, struct worker *w)
{
	struct worker **at = &c->workers;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (c->cursor == w)
		c->cursor = NULL;
}

/* What it ran when it died: that task ended like its worker. */
static void charge(struct prong *p, struct worker *w, struct job *j, struct fired *f)
{
	struct crew *c = p->crew;
	c->other = w->cert;
	c->other.attempt = j->attempt;
	c->other.start_ns = atomic_load(&w->ch->since) + c->wall;
	c->other.end_ns = p->ops->now(p) + c->wall;
	if (w->why && w->why_task == w->reaped) {
		if (c->other.how == PRONG_EXITED)
			c->other.status = 0;
		c->other.how = w->why;
	}
	*f = (struct fired){ .kind = FIRED_TASK, .job = j, .slot = w->slot, .result = &c->other };
	w->reaped++;
	c->queued--;
}

/* It is dead, and the results it left are collected.  1: *f is the task it died of. */
static int bury(struct prong *p, struct worker *w, struct fired *f)
{
	struct crew *c = p->crew;
	uint32_t n;
	struct job *j = pr_running(w, &n);
	bool began = atomic_load(&w->ch->ready);
	int init = atomic_load(&w->ch->init), step = w->ch->report[0], error = w->ch->report[1];
	pr_take_back(p, w);
	if (j)
		charge(p, w, j, f);
	pr_stand_down(p, w);
	unlink_worker(c, w);
	pr_worker_free(p, w);
	p->hungry = true;
	if (j || began || !pr_tasks_wait(p))
		return j != NULL;
	/* It was of no use.  Another one may be; but not for ever. */
	if (++c->failed < FAILED_MAX)
		return 0;
	if (step) /* on its way there */
		return pr_unstartable(p, error, step, f);
	return pr_unstartable(p, init ? init : EIO, PRONG_STEP_INIT, f);
}

static int collect(struct prong *p, struct fired *f)
{
	struct crew *c = p->crew;
	struct worker *w = c->cursor && c->cursor->next ? c->cursor->next : c->workers, *first = w;
	while (w) { /* from the one behind the last, so that each has its turn */
		if (look(p, w))
			return (p->hungry && pr_crew_feed(p, f)) || reap(p, w, f);
		struct worker *next = w->next ? w->next : c->workers;
		if (w->gone) {
			if (bury(p, w, f))
				return 1;
			w = first = c->workers; /* the list changed: from the start */
			continue;
		}
		w = next;
		if (w == first)
			break;
	}
	return 0;
}

bool pr_crew_next(struct prong *p, struct fired *f)
{
	struct worker *w = p->crew->cursor;
	return w && w->seen != w->reaped && reap(p, w, f);
}

int pr_crew_turn(struct prong *p, struct fired *f)
{
	if (p->hungry && pr_crew_feed(p, f))
		return 1;
	if (collect(p, f))
		return 1;
	pr_crew_pace(p, 1);
	return p->hungry ? pr_crew_feed(p, f) : 0;
}

/* ---- sleeping ---- */

static bool any_news(void *pool)
{
	struct prong *p = pool;
	for (struct worker *w = p->crew->workers; w; w = w->next)
		if (look(p, w))
			return true;
	return false;
}

/* While tasks are small the next result is nearer than a sleep is long.  If it is not, or the host
 * is about to do something else, tasks wait for workers and not for the host: more are fed. */
bool pr_crew_watch(struct prong *p, bool may_look)
{
	struct crew *c = p->crew;
	bool unfed = p->nwaiting && c->fed < p->limit;
	if (!c->queued || !pr_tasks_small(c))
		return false;
	if (unfed)
		c->patience.lull = 0;
	if (may_look && pr_watch(&c->patience, any_news, p))
		return true;
	if (unfed)
		pr_crew_feed_more(p);
	return unfed;
}

bool pr_crew_arm(struct prong *p)
{
	struct crew *c = p->crew;
	bool queues = false;
	if (p->hungry && pr_tasks_wait(p) && !p->hold)
		return false;
	for (struct worker *w = c->workers; w; w = w->next) {
		if (!pr_inflight(w)) {
			publish(w);
			continue;
		}
		atomic_store(&w->ch->armed, 1);
		queues |= pr_unfinished(w) > 1 || w->exit.fd < 0;
	}
	for (struct worker *w = c->workers; w; w = w->next)
		if (w->gone || look(p, w))
			return false;
	if (queues && !c->check.pos)
		pr_timer_set(&p->timers, &c->check, p->ops->now(p) + CHECK_NS);
	return true;
}

/* Results that nobody was told of are found by having woken up.  What waits behind a task
 * that takes long is better off with others. */
void pr_crew_check(struct prong *p, struct timer *t)
{
	int64_t now = p->ops->now(p);
	(void)t;
	for (struct worker *w = p->crew->workers; w; w = w->next) {
		uint32_t n;
		if (!w->gone && w->exit.fd < 0)
			pr_worker_look(p, w);
		if (w->gone || !pr_running(w, &n) || w->given - n < 2 ||
		    now - atomic_load(&w->ch->since) < CHECK_NS)
			continue;
		w->stuck = pr_take_back(p, w);
	}
}
