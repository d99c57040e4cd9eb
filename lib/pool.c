/* pool.c - the queue, the slots, prong_submit() and prong_wait(): read this first.
 *
 * Owns jobs from submit until the wait after their last event, and all slots.  Starts and
 * collects nothing itself: that is the engine's.  Never blocks outside engine->wait(). */
#include "crew.h"
#include "engine.h"
#include "fds.h"
#include "os.h"
#include "proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	HOLD_MS = 20, HOLD_MAX_MS = 1000, /* pauses after EAGAIN and the like */
	HOLDS_MAX = 12 /* so often with nothing running (7 s): then it will not get better */
};

/* ---- opening and closing ---- */

static bool forked(const struct prong *p)
{
	return !*p->alive;
}

static struct slot *slot_new(unsigned number)
{
	struct slot *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->number = number;
	s->exit.fd = -1;
	for (int i = 0; i < NSTREAMS; i++)
		s->st[i].file.fd = s->st[i].file.own = s->st[i].pipe.fd = -1;
	return s;
}

/* Limit and storage change together. */
static int grow(struct prong *p, unsigned jobs)
{
	struct slot **v = realloc(p->slots, jobs * sizeof *v);
	if (!v)
		return -ENOMEM;
	p->slots = v;
	unsigned had = p->nslots;
	while (p->nslots < jobs && (v[p->nslots] = slot_new(p->nslots + 1)))
		p->nslots++;
	for (unsigned n = p->nslots; n > had; n--) { /* lowest number first out */
		v[n - 1]->next_free = p->free;
		p->free = n;
	}
	return p->nslots < jobs ? -ENOMEM : 0;
}

static int copy_options(struct prong *p, const struct prong_options *o)
{
	const unsigned known = PRONG_REAP_STRAYS | PRONG_NO_HANDLERS | PRONG_CAPTURE_PIPE |
	                       PRONG_DEATHSIG;
	if (o && (o->size < offsetof(struct prong_options, fork) || o->size > sizeof *o))
		return -EINVAL;
	if (o)
		memcpy(&p->opt, o, o->size);
	const char *tmp = p->opt.tmpdir ? p->opt.tmpdir : getenv("TMPDIR");
	const char *seq = p->opt.termseq ? p->opt.termseq : "TERM,200,TERM,100,TERM,50,KILL,25";
	if (p->opt.window > PR_WINDOW_MAX || p->opt.flags & ~known || pr_termseq_check(seq) != 0)
		return -EINVAL;
	p->tmpdir = strdup(tmp && *tmp ? tmp : "/tmp");
	p->termseq = strdup(seq);
	p->seed = p->opt.seed ? p->opt.seed : pr_seed_random();
	if (p->opt.sigmask)
		p->sigmask = *p->opt.sigmask;
	return p->tmpdir && p->termseq ? 0 : -ENOMEM;
}

int pr_open_engine(struct prong **out, const struct prong_options *o,
                   const struct engine_ops *ops, void *ctx)
{
	struct prong *p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->engine = ctx;
	int e = copy_options(p, o);
	if (e == 0)
		e = pr_alive_new(&p->alive);
	if (e == 0) {
		p->limit = p->opt.jobs ? p->opt.jobs : pr_cpus();
		e = grow(p, p->limit);
	}
	if (e == 0 && (e = ops->open(p)) == 0)
		p->ops = ops;
	if (e != 0) {
		prong_close(p);
		return e;
	}
	*out = p;
	return 0;
}

int prong_open(struct prong **pool, const struct prong_options *options)
{
	return pool ? pr_open_engine(pool, options, &pr_engine_local, NULL) : -EINVAL;
}

static void free_list(struct job_list *l)
{
	for (struct job *j = l->head, *next; j; j = next) {
		next = j->next;
		free(j);
	}
}

void prong_close(struct prong *p)
{
	if (!p)
		return;
	pr_crew_close(p);
	if (p->ops)
		p->ops->close(p);
	for (unsigned i = 0; i < p->nslots; i++) {
		pr_report_free(p->slots[i]->report);
		if (p->slots[i]->job)
			free(p->slots[i]->job);
		free(p->slots[i]);
	}
	pr_hosts_free(p);
	free_list(&p->waiting);
	free_list(&p->resting);
	free_list(&p->cancelled);
	free(p->last_job);
	free(p->reply);
	free(p->slots);
	free(p->timers.heap);
	free(p->tmpdir);
	free(p->termseq);
	pr_alive_free(p->alive);
	free(p);
}

/* ---- what the host may ask and change ---- */

int64_t prong_submit(struct prong *p, const struct prong_spec *spec)
{
	struct job *j;
	if (forked(p))
		return -EPERM;
	int e = pr_job_new(&j, spec, false);
	if (e != 0)
		return e;
	if (j->worker && (e = pr_crew_open(p)) != 0) {
		free(j);
		return e;
	}
	j->id = ++p->next_id;
	j->seed = pr_seed(p->seed, j->id);
	pr_list_add(&p->waiting, j);
	p->nwaiting++;
	p->hungry = true;
	return j->id;
}

int prong_resize(struct prong *p, unsigned jobs)
{
	if (forked(p))
		return -EPERM;
	if (!jobs)
		return -EINVAL;
	int e = jobs > p->nslots ? grow(p, jobs) : 0;
	if (e == 0) {
		p->limit = jobs;
		pr_crew_resized(p);
	}
	return e;
}

unsigned prong_room(const struct prong *p)
{
	if (forked(p))
		return 0;
	size_t used = p->running + p->nwaiting;
	return used < p->limit ? (unsigned)(p->limit - used) : 0;
}

/* The slot of the last event is free again at the next wait, and then first in line. */
unsigned prong_next_slot(const struct prong *p)
{
	size_t skip = p->nwaiting;
	if (!prong_room(p))
		return 0;
	if (p->last_slot && skip-- == 0)
		return p->last_slot->number;
	unsigned s = p->free;
	for (; s && skip; skip--)
		s = p->slots[s - 1]->next_free;
	return s;
}

unsigned prong_running(const struct prong *p)
{
	return forked(p) ? 0 : p->running;
}

unsigned prong_ending(const struct prong *p)
{
	return forked(p) ? 0 : p->nendings;
}

int prong_take(struct prong *p, int stream)
{
	struct slot *s = p->last_slot;
	if (forked(p))
		return -EPERM;
	if (!s || stream < 1 || stream > NSTREAMS)
		return -EINVAL;
	int fd = s->st[stream - 1].file.fd;
	pr_fd_unmark(fd);
	s->st[stream - 1].file.fd = -1;
	return fd >= 0 ? fd : -EINVAL;
}

/* ---- the life of a job ---- */

static int event(struct prong *p, int type, struct job *j, const struct prong_result *r,
                 unsigned slot)
{
	p->event = (struct prong_event){ .type = type, .slot = slot, .id = j ? j->id : 0,
		                         .tag = j ? j->spec.tag : NULL, .result = r };
	return 1;
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
		s->next_free = p->free;
		p->free = s->number;
	}
	free(p->last_job);
	p->last_job = NULL;
}

static void rest_over(struct prong *p, struct timer *t)
{
	struct job *j = (struct job *)((char *)t - offsetof(struct job, rest));
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
	int64_t until = p->ops->now(p) + j->spec.backoff_ms * PR_MS;
	if (pr_timer_set(&p->timers, &j->rest, until) != 0)
		rest_over(p, &j->rest); /* no memory for a pause: none then */
}

static void deadline(struct prong *p, struct timer *t)
{
	struct slot *s = (struct slot *)((char *)t - offsetof(struct slot, deadline));
	pr_slot_stop(p, s, PRONG_TIMEDOUT);
}

/* A try is over: DONE or RETRY. */
static int judge(struct prong *p, struct job *j, const struct prong_result *r, unsigned slot)
{
	p->hold = 0;
	if (pr_policy(&j->spec, r) == VERDICT_RETRY) {
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
	if (s->why && r->how != PRONG_NOTSTARTED) {
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
	s->next_free = p->free;
	p->free = s->number;
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
	int64_t ms = s->job->spec.timeout_ms;
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
	if (forked(p))
		return -EPERM;
	int e = pr_job_new(&j, spec ? spec : &none, true);
	if (e != 0)
		return e;
	retire(p); /* its slot may be the one that is free */
	if (j->spec.tries > 1 || p->waiting.head || !p->free || p->running >= p->limit) {
		e = j->spec.tries > 1 ? -EINVAL : -EAGAIN;
		free(j);
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
		free(leave_slot(p, s));
		return e;
	}
	began(p, s);
	return j->id;
}

/* ---- stopping ---- */

void pr_slot_stop(struct prong *p, struct slot *s, int why)
{
	if (s->job->state == JOB_STOPPING)
		return;
	s->why = why;
	s->job->state = JOB_STOPPING;
	if (p->ops->stop(p, s) != 0)
		p->ops->signal(p, s, SIGKILL);
}

static void cancel_queued(struct prong *p, struct job_list *l, size_t *n, struct job *j)
{
	pr_timer_cancel(&p->timers, &j->rest);
	pr_list_del(l, j);
	--*n;
	pr_list_add(&p->cancelled, j);
	p->ncancelled++;
}

static struct job *find(struct job_list *l, int64_t id)
{
	struct job *j = l->head;
	while (j && id && j->id != id)
		j = j->next;
	return j;
}

static struct slot *next_slot(const struct prong *p, unsigned *i, int64_t id)
{
	while (*i < p->nslots) {
		struct slot *s = p->slots[(*i)++];
		if (s->job && !s->exited && (!id || s->job->id == id))
			return s;
	}
	return NULL;
}

int prong_stop(struct prong *p, int64_t id)
{
	struct job *j;
	struct slot *s;
	bool any = !id;
	if (forked(p))
		return -EPERM;
	if (p->crew)
		any |= pr_crew_stop(p, id); /* what it takes back waits again */
	for (; (j = find(&p->waiting, id)); any = true)
		cancel_queued(p, &p->waiting, &p->nwaiting, j);
	for (; (j = find(&p->resting, id)); any = true)
		cancel_queued(p, &p->resting, &p->nresting, j);
	for (unsigned i = 0; (s = next_slot(p, &i, id)); any = true)
		pr_slot_stop(p, s, PRONG_CANCELLED);
	return any ? 0 : -ESRCH;
}

int prong_signal(struct prong *p, int64_t id, int sig)
{
	struct slot *s;
	int e = id ? -ESRCH : 0;
	if (forked(p))
		return -EPERM;
	if (sig < 0 || sig >= NSIG)
		return -EINVAL;
	for (unsigned i = 0; (s = next_slot(p, &i, id));) {
		e = p->ops->signal(p, s, sig);
		if (e == 0 && sig)
			s->result.sent = sig;
	}
	return p->crew ? pr_crew_signal(p, id, sig, e) : e;
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

unsigned prong_task_room(const struct prong *p)
{
	return forked(p) ? 0 : pr_crew_room(p);
}

int64_t pr_deadline(const struct prong *p)
{
	int64_t next = pr_timer_next(&p->timers);
	return p->hold && p->hold < next ? p->hold : next;
}

static int turn(struct prong *p, int64_t until)
{
	for (;;) {
		struct fired f = { .kind = FIRED_NOTHING };
		run_timers(p);
		if (p->cancelled.head)
			return cancelled_event(p);
		if (p->crew && pr_crew_turn(p, &f))
			return fired_event(p, &f);
		if (may_start(p)) {
			if (start(p))
				return 1;
			continue;
		}
		if (idle(p))
			return -ECHILD;
		if (p->crew && !pr_crew_arm(p))
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
	if (forked(p))
		return -EPERM;
	retire(p);
	int64_t until = timeout_ms < 0    ? PR_NEVER
	                : timeout_ms == 0 ? 0
	                                  : p->ops->now(p) + timeout_ms * PR_MS;
	int r = turn(p, until);
	if (r == 1)
		*ev = &p->event;
	return r;
}
