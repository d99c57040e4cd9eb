/* crew-feed.c - hand tasks out to standing workers, ahead of what they do, and take them back. */
#include "crew-private.h"

#include <errno.h>
#include <limits.h>

enum {
	AHEAD_NS = 2000000, /* what is handed out ahead should take about so long */
	MORE_AFTER = 4, LESS_AFTER = 16 /* looks that say so: pr_crew_pace() */
};

/* ---- taking back ---- */

static void forget_payload(struct worker *w)
{
	w->in.head = w->in.tail;
	for (uint32_t n = w->reaped; n != w->given; n++)
		if (w->in_end[n % w->ch->cells] != NO_PAYLOAD)
			w->in.head = w->in_end[n % w->ch->cells];
	pr_fifo_restart(&w->in);
}

/* What it has not begun waits again, in the old order. */
bool pr_take_back(struct prong *p, struct worker *w)
{
	uint64_t g = atomic_load(&w->ch->gate);
	uint32_t next;
	do
		next = pr_gate_next(g);
	while (!atomic_compare_exchange_weak(&w->ch->gate, &g, pr_gate(next, next)));
	bool any = w->given != next;
	while (w->given != next) {
		pr_wait_again(p, *pr_job_at(w, --w->given));
		w->tasks--;
		p->crew->queued--;
	}
	w->full &= !any;
	if (any)
		forget_payload(w);
	if (any && !pr_inflight(w) && !w->gone)
		pr_worker_drained(p, w);
	p->hungry |= any;
	return any;
}

/* ---- handing out ---- */

static bool may_take(const struct prong *p, const struct worker *w)
{
	return !w->gone && !w->retiring && !w->why && !w->blocked && !w->full && !pr_grown(w) &&
	       !(p->opt.recycle_tasks && w->tasks >= p->opt.recycle_tasks);
}

/* How many tasks a worker may have: an even share of what there is, and not more than takes
 * a moment, lest some wait behind long ones. */
static unsigned depth(const struct prong *p)
{
	const struct crew *c = p->crew;
	size_t all = p->nwaiting;
	for (const struct worker *w = c->workers; w; w = w->next)
		all += pr_unfinished(w);
	size_t share = (all + p->limit - 1) / p->limit;
	int64_t ahead = c->typical ? 1 + AHEAD_NS / c->typical : 1;
	if (share > (size_t)ahead)
		share = (size_t)ahead;
	return share < 1 ? 1 : share > c->window ? c->window : (unsigned)share;
}

static struct worker *stand_by(const struct prong *p)
{
	for (struct worker *w = p->crew->workers; w; w = w->next)
		if (!w->slot && may_take(p, w))
			return w;
	return NULL;
}

/* Unless it is stuck or on its way out: another has its place then. */
static bool at_work(const struct worker *w)
{
	return w->slot && !w->gone && !w->retiring && !w->why && !w->stuck;
}

/* How many workers to feed at a time: see pr_crew_pace(). */
static unsigned places(const struct prong *p)
{
	return pr_tasks_small(p->crew) ? p->crew->fed : UINT_MAX;
}

/* The busy one with the shortest queue, if half of that is done. */
static struct worker *least_busy(const struct prong *p, unsigned max)
{
	struct worker *best = NULL;
	unsigned left = places(p);
	if (p->running > p->limit)
		return NULL;
	for (struct worker *w = p->crew->workers; w && left; w = w->next) {
		if (!at_work(w))
			continue;
		left--;
		if (may_take(p, w) && pr_unfinished(w) <= max / 2 &&
		    (!best || pr_unfinished(w) < pr_unfinished(best)))
			best = w;
	}
	return best;
}

static int payload(struct worker *w, const struct job *j, struct cell *c)
{
	size_t n = pr_round16(j->task_len), *end = &w->in_end[c - w->ch->cell];
	c->off = c->len = 0;
	*end = NO_PAYLOAD;
	if (!n)
		return 0;
	int64_t at = pr_fifo_place(&w->in, n);
	if (at < 0 && pr_inflight(w)) {
		w->blocked = true;
		return -ENOBUFS;
	}
	if (at < 0) {
		w->in.head = w->in.tail = 0;
		int e = pr_region_grow(&w->in.r, n > SIZE_MAX / 8 ? n : n * 2);
		if (e != 0)
			return e;
		at = 0;
	}
	memcpy(w->in.r.base + at, j->task, j->task_len);
	c->off = (uint64_t)at;
	c->len = j->task_len;
	w->in.head = *end = (size_t)at + n;
	return 0;
}

static int watch_time(struct prong *p, struct worker *w, const struct job *j)
{
	if (!j->timeout_ms)
		return 0;
	int64_t at = p->ops->now(p) + j->timeout_ms * PR_MS;
	w->deadline.fire = pr_crew_deadline;
	return w->deadline.pos && at >= w->deadline.at ? 0
	                                               : pr_timer_set(&p->timers, &w->deadline, at);
}

/* The head of the queue, into the cell behind its last one. */
static int give_one(struct prong *p, struct worker *w)
{
	struct job *j = p->waiting.head;
	struct cell *c = pr_cell(w->ch, w->given);
	int e = watch_time(p, w, j);
	if (e == 0)
		e = payload(w, j, c);
	if (e != 0)
		return e;
	pr_next_waiting(p);
	c->work = j->work;
	c->arg = j->arg;
	c->id = j->id;
	c->attempt = j->attempt;
	c->slot = w->slot->number;
	*pr_job_at(w, w->given++) = j;
	return 0;
}

static uint32_t room_of(const struct prong *p, const struct worker *w, unsigned max)
{
	uint32_t room = max > pr_unfinished(w) ? max - pr_unfinished(w) : 0;
	uint32_t cells = w->ch->cells - pr_inflight(w);
	uint32_t life = p->opt.recycle_tasks - w->tasks;
	if (room > cells)
		room = cells;
	return p->opt.recycle_tasks && room > life ? life : room;
}

static int give(struct prong *p, struct worker *w, unsigned max)
{
	uint32_t n = 0, room = room_of(p, w, max);
	int e = 0;
	while (n < room && pr_tasks_wait(p) && (e = give_one(p, w)) == 0)
		n++;
	w->full = pr_inflight(w) == w->ch->cells;
	if (n) {
		w->tasks += n;
		p->crew->queued += n;
		atomic_fetch_add(&w->ch->gate, pr_gate(n, 0));
		pr_worker_wake(w);
	}
	return e == -ENOBUFS ? 0 : e;
}

int pr_unstartable(struct prong *p, int error, int step, struct fired *f)
{
	struct crew *c = p->crew;
	struct job *j = pr_next_waiting(p);
	c->other = (struct prong_result){ .how = PRONG_NOTSTARTED, .status = error, .step = step,
		                           .attempt = j->attempt,
		                           .out.fd = -1, .err.fd = -1, .res.fd = -1 };
	*f = (struct fired){ .kind = FIRED_TASK, .job = j, .result = &c->other };
	p->hungry = true;
	return 1;
}

void pr_crew_feed_more(struct prong *p)
{
	struct crew *c = p->crew;
	c->fed = 2 * c->fed < p->limit ? 2 * c->fed : p->limit;
	p->hungry = true;
}

/* The host can feed many workers of long tasks, but only some of small ones: the others would take
 * turns being woken, which costs more than they do.  So one fewer is fed if mostly they have done
 * all they had whenever the host looks, and twice as many if mostly it has to wait. */
void pr_crew_pace(struct prong *p, int more)
{
	struct crew *c = p->crew;
	c->pace = p->nwaiting ? c->pace + more : 0;
	if (c->pace > -LESS_AFTER && c->pace < MORE_AFTER)
		return;
	c->pace = 0;
	if (more < 0 && c->fed > 1)
		c->fed--;
	else if (more > 0 && c->fed < p->limit)
		pr_crew_feed_more(p);
}

static bool another(const struct prong *p)
{
	unsigned n = 0;
	for (const struct worker *w = p->crew->workers; w; w = w->next)
		n += at_work(w);
	return p->running < p->limit && p->free && n < places(p);
}

/* A worker for the head of the queue; NULL: not now. */
static struct worker *choose(struct prong *p, unsigned max, int *error)
{
	struct worker *w;
	*error = 0;
	if (another(p)) {
		w = stand_by(p);
		if (!w && !p->hold)
			*error = pr_worker_new(p, &w);
		if (w) {
			w->slot = pr_slot_take(p);
			return w;
		}
	}
	return least_busy(p, max);
}

int pr_crew_feed(struct prong *p, struct fired *f)
{
	struct crew *c = p->crew;
	p->hungry = false;
	p->enough = 0;
	while (pr_tasks_wait(p)) {
		unsigned max = depth(p);
		c->half = max / 2;
		int e;
		struct worker *w = choose(p, max, &e);
		if (!w && e == 0) {
			p->enough = 2 * p->nwaiting; /* a longer queue may be handed out deeper */
			return 0;
		}
		if (!w && pr_out_of_resources(e) && pr_hold(p))
			return 0;
		if (!w)
			return pr_unstartable(p, -e, PRONG_STEP_FORK, f);
		e = give(p, w, max);
		if (e != 0 && !pr_inflight(w))
			pr_stand_down(p, w);
		if (e != 0 && pr_out_of_resources(e) && pr_hold(p)) {
			p->hungry = false; /* not before the pause is over */
			return 0;
		}
		if (e != 0)
			return pr_unstartable(p, -e, PRONG_STEP_CAPTURE, f);
	}
	return 0;
}
