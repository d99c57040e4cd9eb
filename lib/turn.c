/* turn.c - the life of a job, and prong_wait(): what happens next in a pool.
 *
 * Starts and collects nothing itself: that is the engine's.  Never blocks outside
 * engine->wait(). */
#include "crew.h"

#include <errno.h>
#include <stdlib.h>

enum {
	TURNS = 16, /* of prong_wait() with standing workers, between looks at all the rest */
	HUNTED_MS = 10, /* between looks whether what is left of the last try has been ended */
	HOLD_MS = 20, HOLD_MAX_MS = 1000, /* pauses after EAGAIN and the like */
	HOLDS_MAX = 12 /* so often with nothing running (7 s): then it will not get better */
};

/* ---- the life of a job ---- */

static int event(struct prong *p, int type, struct job *j, const struct prong_result *r,
                 unsigned slot)
{
	p->event = (struct prong_event){ .type = type, .slot = slot, .id = j ? j->id : 0,
		                         .tag = j ? j->tag : NULL, .result = r };
	return 1;
}

/* Lowest number first out: so none is above the limit for longer than a job that had it before a
 * prong_resize(). */
static void set_free(struct prong *p, struct slot *s)
{
	unsigned *at = &p->free;
	while (*at && *at < s->number)
		at = &p->slots[*at - 1]->next_free;
	s->next_free = *at;
	*at = s->number;
}

/* The event handed out last is over: its slot is free, its job gone. */
static void retire(struct prong *p)
{
	struct slot *s = p->last_slot;
	p->last_slot = NULL;
	if (p->crew)
		pr_crew_consumed(p);
	if (s) {
		p->ops->release(p, s);
		p->hungry = true;
		set_free(p, s);
	}
	pr_job_free(p, p->last_job);
	p->last_job = NULL;
}

/* What ends the rest of the last try goes by the mark, which the next one has as well. */
static bool hunted(const struct prong *p, const struct job *j)
{
	return !j->worker && j->spec.mark && pr_ending_marked(p, j->spec.mark);
}

static void rest_over(struct prong *p, struct timer *t)
{
	struct job *j = container_of(t, struct job, rest);
	if (hunted(p, j) &&
	    pr_timer_set(&p->timers, t, p->ops->now(p) + HUNTED_MS * PR_MS) == 0)
		return;
	pr_list_del(&p->resting, j);
	p->nresting--;
	j->state = JOB_WAITING;
	pr_list_push(&p->waiting, j);
	p->nwaiting++;
	p->hungry = true;
}

static void rest(struct prong *p, struct job *j)
{
	j->state = JOB_RESTING;
	j->slot = NULL;
	pr_list_add(&p->resting, j);
	p->nresting++;
	j->rest.fire = rest_over;
	int64_t until = p->ops->now(p) + j->backoff_ms * PR_MS;
	if (pr_timer_set(&p->timers, &j->rest, until) != 0)
		rest_over(p, &j->rest); /* no memory for a pause: none then */
}

static void deadline(struct prong *p, struct timer *t)
{
	struct slot *s = container_of(t, struct slot, deadline);
	pr_slot_stop(p, s, PRONG_TIMEDOUT);
}

/* A try is over: DONE or RETRY. */
static int judge(struct prong *p, struct job *j, const struct prong_result *r, unsigned slot)
{
	p->hold = 0;
	if (pr_policy(j->tries, r) == VERDICT_RETRY) {
		event(p, PRONG_RETRY, j, r, slot);
		rest(p, j);
		return 1;
	}
	j->state = JOB_DONE;
	p->last_job = j;
	return event(p, PRONG_DONE, j, r, slot);
}

/* The slot is not needed any more either. */
static int conclude(struct prong *p, struct slot *s)
{
	struct job *j = s->job;
	struct prong_result *r = &s->result;
	pr_timer_cancel(&p->timers, &s->deadline);
	bool short_of = r->how == PRONG_LOST && r->status; /* an errno, and the worse news */
	if (s->why && r->how != PRONG_NOTSTARTED && !short_of) {
		if (r->how == PRONG_EXITED)
			r->status = 0;
		r->how = s->why;
	}
	s->job = NULL;
	p->last_slot = s;
	p->running--;
	return judge(p, j, r, s->number);
}

static int exited(struct prong *p, const struct fired *f)
{
	struct prong_result *r = &f->slot->result;
	r->end_ns = r->start_ns + (p->ops->now(p) - f->slot->start_mono);
	conclude(p, f->slot);
	p->event.data = f->data;
	p->event.len = f->len;
	return 1;
}

static int task_over(struct prong *p, const struct fired *f)
{
	judge(p, f->job, f->result, f->slot ? f->slot->number : 0);
	p->event.data = f->data;
	p->event.len = f->len;
	return 1;
}

void pr_slot_give(struct prong *p, struct slot *s)
{
	set_free(p, s);
	p->running--;
	p->hungry = true;
}

struct slot *pr_slot_take(struct prong *p)
{
	if (!p->free || p->running >= p->limit)
		return NULL;
	struct slot *s = p->slots[p->free - 1];
	p->free = s->next_free;
	p->running++;
	return s;
}

static struct job *leave_slot(struct prong *p, struct slot *s)
{
	struct job *j = s->job;
	s->job = NULL;
	pr_slot_give(p, s);
	j->slot = NULL;
	return j;
}

/* The system has no process or memory to spare: not the job's fault.  Wait until something
 * ends; if nothing runs, try again after a pause that grows.  false: it will not get better. */
bool pr_hold(struct prong *p)
{
	int64_t pause = (int64_t)HOLD_MS << (p->holds < 6 ? p->holds : 6);
	if (!p->running && p->holds >= HOLDS_MAX)
		return false;
	p->holds++;
	p->hold = p->ops->now(p) + (pause < HOLD_MAX_MS ? pause : HOLD_MAX_MS) * PR_MS;
	return true;
}

void pr_wait_again(struct prong *p, struct job *j)
{
	j->slot = NULL;
	j->attempt--;
	j->state = JOB_WAITING;
	pr_list_push(&p->waiting, j);
	p->nwaiting++;
	p->hungry = true;
}

bool pr_out_of_resources(int e)
{
	return e == -EAGAIN || e == -EMFILE || e == -ENFILE || e == -ENOMEM;
}

struct job *pr_next_waiting(struct prong *p)
{
	struct job *j = p->waiting.head;
	pr_list_del(&p->waiting, j);
	p->nwaiting--;
	j->attempt++;
	j->state = JOB_RUNNING;
	return j;
}

static struct slot *take_slot(struct prong *p, struct job *j)
{
	struct slot *s = pr_slot_take(p);
	j->slot = s;
	s->job = j;
	s->why = 0;
	s->exited = false;
	s->result = (struct prong_result){ .attempt = j->attempt,
		                           .out.fd = -1, .err.fd = -1, .res.fd = -1 };
	return s;
}

static void began(struct prong *p, struct slot *s)
{
	int64_t ms = s->job->timeout_ms;
	p->holds = 0;
	s->start_mono = p->ops->now(p);
	s->deadline.fire = deadline;
	if (ms && pr_timer_set(&p->timers, &s->deadline, s->start_mono + ms * PR_MS) != 0)
		pr_slot_stop(p, s, PRONG_CANCELLED); /* better than unbounded */
}

/* 1: an event; 0: nothing to tell, it waits again. */
static int unstarted(struct prong *p, struct slot *s, int e)
{
	bool again = pr_out_of_resources(e) && s->job->state != JOB_STOPPING;
	if (again && (p->running > 1 || p->holds < HOLDS_MAX)) {
		pr_timer_cancel(&p->timers, &s->deadline);
		pr_wait_again(p, leave_slot(p, s));
		pr_hold(p);
		return 0;
	}
	s->result.how = PRONG_NOTSTARTED;
	s->result.status = -e;
	return conclude(p, s);
}

/* 1: an event; 0: nothing to tell. */
static int start(struct prong *p)
{
	struct job *j = pr_next_waiting(p);
	struct slot *s = take_slot(p, j);
	int e = p->ops->start(p, s);
	if (e != 0)
		return unstarted(p, s, e);
	began(p, s);
	p->hungry = true; /* tasks behind it are at the head now */
	return event(p, PRONG_STARTED, j, &s->result, s->number);
}

static bool may_start(const struct prong *p)
{
	return p->waiting.head && !p->waiting.head->worker && p->free &&
	       p->running < p->limit && !p->hold;
}

int64_t prong_fork(struct prong *p, const struct prong_spec *spec)
{
	struct job *j;
	struct prong_spec none = { .size = sizeof none };
	int e = pr_usable(p);
	if (e == 0)
		e = pr_job_new(p, &j, spec ? spec : &none, true);
	if (e != 0)
		return e;
	retire(p); /* its slot may be the one that is free */
	if (j->tries > 1 || p->waiting.head || !p->free || p->running >= p->limit) {
		e = j->tries > 1 ? -EINVAL : -EAGAIN;
		pr_job_free(p, j);
		return e;
	}
	j->spec.out.how = j->spec.out.how ? j->spec.out.how : PRONG_INHERIT;
	j->spec.err.how = j->spec.err.how ? j->spec.err.how : PRONG_INHERIT;
	j->id = ++p->next_id;
	j->attempt = 1;
	j->state = JOB_RUNNING;
	struct slot *s = take_slot(p, j);
	e = p->ops->start(p, s);
	if (e == PR_IN_CHILD)
		return 0;
	if (e != 0) {
		pr_job_free(p, leave_slot(p, s));
		return e;
	}
	began(p, s);
	return j->id;
}

/* ---- waiting ---- */

static int cancelled_event(struct prong *p)
{
	struct job *j = p->cancelled.head;
	pr_list_del(&p->cancelled, j);
	p->ncancelled--;
	p->result = (struct prong_result){ .how = PRONG_CANCELLED, .attempt = j->attempt,
		                           .out.fd = -1, .err.fd = -1, .res.fd = -1 };
	p->last_job = j;
	return event(p, PRONG_DONE, j, &p->result, 0);
}

static void run_timers(struct prong *p)
{
	if (pr_timer_next(&p->timers) == PR_NEVER && !p->hold)
		return;
	int64_t now = p->ops->now(p);
	if (p->hold && p->hold <= now) {
		p->hold = 0;
		p->hungry = true;
	}
	while (pr_timer_next(&p->timers) <= now) {
		struct timer *t = p->timers.heap[0];
		pr_timer_cancel(&p->timers, t);
		t->fire(p, t);
	}
}

static int fired_event(struct prong *p, const struct fired *f)
{
	switch (f->kind) {
	case FIRED_EXIT:
		return exited(p, f);
	case FIRED_TASK:
		return task_over(p, f);
	case FIRED_UNSTARTED:
		return unstarted(p, f->slot, f->error);
	case FIRED_OUTPUT:
		event(p, PRONG_OUTPUT, f->slot->job, NULL, f->slot->number);
		p->event.stream = f->stream + 1;
		p->event.data = f->data;
		p->event.len = f->len;
		return 1;
	case FIRED_WAKE:
		return event(p, PRONG_WOKEN, NULL, NULL, 0);
	case FIRED_HOST:
		event(p, PRONG_READY, NULL, NULL, 0);
		p->event.id = f->watch->fd;
		p->event.tag = f->watch->of;
		p->event.ready = f->watch->ready;
		return 1;
	case FIRED_NOTHING:
		break;
	}
	return 0;
}

static bool idle(const struct prong *p)
{
	return !p->running && !p->nwaiting && !p->nresting && !p->nendings && !p->hosts;
}

int64_t pr_deadline(const struct prong *p)
{
	int64_t next = pr_timer_next(&p->timers);
	return p->hold && p->hold < next ? p->hold : next;
}

/* A stream of small tasks must not keep us from hearing of anything else. */
static int look_up(struct prong *p, struct fired *f)
{
	if (!p->crew || ++p->turns % TURNS)
		return 0;
	int r = p->ops->wait(p, 0, f);
	return r > 0 ? fired_event(p, f) : r;
}

/* A wake is told, and an alarm that is over must not leave the host's fd readable.  0: there
 * may be more of them. */
static int no_more(struct prong *p, struct fired *f)
{
	if (p->crew)
		pr_crew_idle(p);
	int r = p->ops->wait(p, 0, f);
	if (r > 0)
		return fired_event(p, f);
	return r < 0 ? r : -ECHILD;
}

static int turn(struct prong *p, int64_t until)
{
	for (;;) {
		struct fired f = { .kind = FIRED_NOTHING };
		run_timers(p);
		if (p->cancelled.head)
			return cancelled_event(p);
		int up = look_up(p, &f);
		if (up != 0)
			return up;
		if (p->crew && pr_crew_turn(p, &f))
			return fired_event(p, &f);
		if (may_start(p)) {
			if (start(p))
				return 1;
			continue;
		}
		if (idle(p)) {
			int r = no_more(p, &f);
			if (r != 0)
				return r;
			continue;
		}
		if (p->crew && (pr_crew_watch(p, until != 0) || !pr_crew_arm(p)))
			continue;
		int64_t next = pr_deadline(p);
		int r = p->ops->wait(p, next < until ? next : until, &f);
		if (r < 0)
			return r;
		if (r > 0 && fired_event(p, &f))
			return 1;
		if (r == 0 && until != PR_NEVER && p->ops->now(p) >= until)
			return 0;
	}
}

int prong_wait(struct prong *p, const struct prong_event **ev, int timeout_ms)
{
	struct fired f;
	int r = pr_usable(p);
	if (r != 0 || !ev)
		return r ? r : -EINVAL;
	retire(p);
	if (p->crew && !p->hungry && !p->cancelled.head && pr_crew_next(p, &f)) {
		*ev = &p->event;
		return task_over(p, &f);
	}
	int64_t until = timeout_ms < 0    ? PR_NEVER
	                : timeout_ms == 0 ? 0
	                                  : p->ops->now(p) + timeout_ms * PR_MS;
	r = turn(p, until);
	if (r == 1)
		*ev = &p->event;
	return r;
}
