/* engine-worker.c - tasks for standing workers: hand them out ahead, collect what is done,
 * and when a worker dies charge one task for it and hand on the rest.
 *
 * A task handed out is in jobs[n % cells] of its worker, n from `reaped` to `given`.  The
 * channel (channel.h) says which of them is done, running, or not begun. */
#include "crew-private.h"

#include <errno.h>
#include <limits.h>

enum {
	AHEAD_NS = 2000000,    /* what is handed out ahead should take about so long */
	CHECK_NS = 2000000,    /* how often workers with a queue are looked at unasked */
	TYPICAL_MAX = 4000000, /* for the first */
	FAILED_MAX = 3,        /* workers that cannot begin, before tasks pay for it */
	GRAIN_NS = 500,        /* of times: about_now() of worker.c */
	SMALL_NS = 2000,       /* a task for whose end to wait awake */
	MORE_AFTER = 4, LESS_AFTER = 16, /* looks that say so: pace() */
	WORTH_TELLING = 4096,  /* bytes of a result whose room is given back at once */
	PAYLOADS_MAX = 64 * 1024 * 1024 /* kept for reuse */
};

static void drained(struct prong *p, struct worker *w);

static size_t round16(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

/* ---- taking back ---- */

/* With nothing in it a FIFO begins at 0 again: where pr_fifo_place() puts the next block. */
static void restart(struct fifo *q)
{
	if (q->head == q->tail)
		q->head = q->tail = 0;
}

static void forget_payload(struct worker *w)
{
	w->in.head = w->in.tail;
	for (uint32_t n = w->reaped; n != w->given; n++)
		if (w->in_end[n % w->ch->cells] != NO_PAYLOAD)
			w->in.head = w->in_end[n % w->ch->cells];
	restart(&w->in);
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
		drained(p, w);
	p->hungry |= any;
	return any;
}

/* ---- handing out ---- */

static bool tasks_wait(const struct prong *p)
{
	return p->waiting.head && p->waiting.head->worker;
}

static bool grown(const struct worker *w)
{
	return atomic_load_explicit(&w->ch->grown, memory_order_relaxed);
}

static bool may_take(const struct prong *p, const struct worker *w)
{
	return !w->gone && !w->retiring && !w->why && !w->blocked && !w->full && !grown(w) &&
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

/* How many workers to feed at a time: see pace(). */
static unsigned places(const struct prong *p)
{
	const struct crew *c = p->crew;
	return c->typical && c->typical <= SMALL_NS ? c->fed : UINT_MAX;
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
	size_t n = round16(j->task_len), *end = &w->in_end[c - w->ch->cell];
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
	while (n < room && tasks_wait(p) && (e = give_one(p, w)) == 0)
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

static int unstartable(struct prong *p, int error, int step, struct fired *f)
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

static void feed_more(struct prong *p)
{
	struct crew *c = p->crew;
	c->fed = 2 * c->fed < p->limit ? 2 * c->fed : p->limit;
	p->hungry = true;
}

/* The host can feed many workers of long tasks, but only some of small ones: the others would take
 * turns being woken, which costs more than they do.  So one fewer is fed if mostly they have done
 * all they had whenever the host looks, and twice as many if mostly it has to wait. */
static void pace(struct prong *p, int more)
{
	struct crew *c = p->crew;
	c->pace = p->nwaiting ? c->pace + more : 0;
	if (c->pace > -LESS_AFTER && c->pace < MORE_AFTER)
		return;
	c->pace = 0;
	if (more < 0 && c->fed > 1)
		c->fed--;
	else if (more > 0 && c->fed < p->limit)
		feed_more(p);
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

static void stand_down(struct prong *p, struct worker *w)
{
	if (!w->slot)
		return;
	pr_slot_give(p, w->slot);
	w->slot = NULL;
	p->hungry = true;
}

static int feed(struct prong *p, struct fired *f)
{
	struct crew *c = p->crew;
	p->hungry = false;
	p->enough = 0;
	while (tasks_wait(p)) {
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
			return unstartable(p, -e, PRONG_STEP_FORK, f);
		e = give(p, w, max);
		if (e != 0 && !pr_inflight(w))
			stand_down(p, w);
		if (e != 0 && pr_out_of_resources(e) && pr_hold(p)) {
			p->hungry = false; /* not before the pause is over */
			return 0;
		}
		if (e != 0)
			return unstartable(p, -e, PRONG_STEP_CAPTURE, f);
	}
	return 0;
}

/* ---- collecting ---- */

/* It has done all that it was given. */
static void drained(struct prong *p, struct worker *w)
{
	w->blocked = false;
	w->in.head = w->in.tail = 0;
	if (w->in.r.size > PAYLOADS_MAX)
		pr_region_trim(&w->in.r);
	if ((p->opt.recycle_tasks && w->tasks >= p->opt.recycle_tasks) ||
	    grown(w))
		pr_worker_retire(w);
	stand_down(p, w); /* the next task may be given to another, or there is none */
	if (p->crew->surplus)
		pr_crew_resized(p);
}

/* One that was kept from its CPU does not make all of them long; one of GRAIN_NS may be as short as
 * the worker's clock goes.  Never 0 again: the shift rounds down, to no less than the smaller. */
static void learn(struct crew *c, int64_t ns)
{
	int64_t most = c->typical ? 8 * (c->typical > GRAIN_NS ? c->typical : GRAIN_NS) : TYPICAL_MAX;
	ns = ns < 1 ? 1 : ns > most ? most : ns;
	c->typical = c->typical ? c->typical + ((ns - c->typical) >> 3) : ns;
}

static void free_payload(struct worker *w)
{
	size_t end = w->in_end[w->reaped & (w->ch->cells - 1)];
	if (end == NO_PAYLOAD)
		return;
	w->in.tail = end;
	restart(&w->in);
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
	bool small = c->typical <= SMALL_NS;
	learn(c, rp->end - rp->start);
	p->hungry |= small && c->typical > SMALL_NS; /* there are more places() now */
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
		drained(p, w);
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
		pace(p, -1);
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
	stand_down(p, w);
	unlink_worker(c, w);
	pr_worker_free(p, w);
	p->hungry = true;
	if (j || began || !tasks_wait(p))
		return j != NULL;
	/* It was of no use.  Another one may be; but not for ever. */
	if (++c->failed < FAILED_MAX)
		return 0;
	if (step) /* on its way there */
		return unstartable(p, error, step, f);
	return unstartable(p, init ? init : EIO, PRONG_STEP_INIT, f);
}

static int collect(struct prong *p, struct fired *f)
{
	struct crew *c = p->crew;
	struct worker *w = c->cursor && c->cursor->next ? c->cursor->next : c->workers, *first = w;
	while (w) { /* from the one behind the last, so that each has its turn */
		if (look(p, w))
			return (p->hungry && feed(p, f)) || reap(p, w, f);
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
	if (p->hungry && feed(p, f))
		return 1;
	if (collect(p, f))
		return 1;
	pace(p, 1);
	return p->hungry ? feed(p, f) : 0;
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
	if (!c->queued || c->typical > SMALL_NS)
		return false;
	if (unfed)
		c->patience.lull = 0;
	if (may_look && pr_watch(&c->patience, any_news, p))
		return true;
	if (unfed)
		feed_more(p);
	return unfed;
}

bool pr_crew_arm(struct prong *p)
{
	struct crew *c = p->crew;
	bool queues = false;
	if (p->hungry && tasks_wait(p) && !p->hold)
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
