/* crew.c - the standing workers of a pool as a whole, and ending what one of them runs.
 *
 * Handing out is crew-feed.c's, collecting engine-worker.c's, one worker's process worker-proc.c's. */
#include "crew-private.h"
#include "os.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

enum { PARTING_MS = 1000 }; /* for worker_exit at prong_close() */

/* ---- opening ---- */

int pr_crew_open(struct prong *p)
{
	struct timespec mono, real;
	if (p->crew)
		return 0;
	if (!p->ev)
		return -ENOTSUP;
	struct crew *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &real);
	c->wall = (real.tv_sec - mono.tv_sec) * INT64_C(1000000000) + real.tv_nsec - mono.tv_nsec;
	c->window = p->opt.window ? p->opt.window : PR_WINDOW;
	c->fed = p->limit;
	c->patience.none = pr_cpus() < 2;
	c->check.fire = pr_crew_check;
	c->result = (struct prong_result){ .out.fd = -1, .err.fd = -1, .res.fd = -1 };
	p->crew = c;
	return 0;
}

/* ---- stopping ---- */

/* Nothing is queued behind it any more, so that nothing else can be hit. */
static bool stop_running(struct prong *p, struct worker *w, int64_t id, int why)
{
	uint32_t n;
	pr_take_back(p, w);
	struct job *j = pr_running(w, &n);
	if (!j || w->why || w->gone || (id && j->id != id))
		return false;
	w->why = why;
	w->why_task = n;
	pr_worker_end(p, w, j->termseq ? j->termseq : p->termseq);
	return true;
}

static bool has(struct worker *w, int64_t id)
{
	for (uint32_t n = w->reaped; n != w->given; n++)
		if (!id || (*pr_job_at(w, n))->id == id)
			return true;
	return false;
}

bool pr_crew_stop(struct prong *p, int64_t id)
{
	bool any = false;
	for (struct worker *w = p->crew->workers; w; w = w->next) {
		if (!has(w, id))
			continue;
		stop_running(p, w, id, PRONG_CANCELLED);
		any |= has(w, id); /* it runs, or is done already */
	}
	return any;
}

/* A task's time runs from its own start. */
void pr_crew_deadline(struct prong *p, struct timer *t)
{
	struct worker *w = container_of(t, struct worker, deadline);
	int64_t now = p->ops->now(p), at = PR_NEVER, since = atomic_load(&w->ch->since);
	uint32_t r;
	struct job *j = pr_running(w, &r);
	for (uint32_t n = w->reaped; n != w->given && !w->gone; n++) {
		int64_t ms = (*pr_job_at(w, n))->timeout_ms;
		int64_t end = (j && n == r ? since : now) + ms * PR_MS;
		if (ms && j && end <= now) /* only what runs can be over */
			stop_running(p, w, j->id, PRONG_TIMEDOUT);
		else if (ms && end < at)
			at = end;
		if (w->why)
			return;
	}
	if (at != PR_NEVER)
		pr_timer_set(&p->timers, t, at);
}

static bool runs(struct worker *w, int64_t id)
{
	uint32_t n;
	struct job *j = w->gone ? NULL : pr_running(w, &n);
	return j && (!id || j->id == id);
}

int pr_crew_signal(struct prong *p, int64_t id, int sig, int otherwise)
{
	for (struct worker *w = p->crew->workers; w; w = w->next) {
		if (!runs(w, id))
			continue;
		pr_take_back(p, w); /* as in stop_running(): nothing else can be hit */
		if (!runs(w, id))
			continue;
		otherwise = pr_kill_group(w->pid, sig);
		if (otherwise == 0 && sig)
			w->cert.sent = sig;
	}
	return otherwise;
}

/* ---- the whole crew ---- */

static unsigned count(const struct crew *c)
{
	unsigned n = 0;
	for (struct worker *w = c->workers; w; w = w->next)
		n += !w->gone && !w->retiring;
	return n;
}

void pr_crew_resized(struct prong *p)
{
	if (!p->crew)
		return;
	unsigned n = count(p->crew);
	p->crew->fed = p->limit;
	for (struct worker *w = p->crew->workers; w && n > p->limit; w = w->next)
		if (!w->slot && !w->gone && !w->retiring) {
			pr_worker_retire(w);
			n--;
		}
	p->crew->surplus = n > p->limit; /* looked at again when one has done all it has */
	p->hungry = true;
}

bool pr_crew_owns(const struct prong *p, pid_t pid)
{
	if (p->crew)
		for (struct worker *w = p->crew->workers; w; w = w->next)
			if (!w->gone && w->pid == pid)
				return true;
	return false;
}

unsigned pr_crew_room(const struct prong *p)
{
	size_t window = p->opt.window ? p->opt.window : PR_WINDOW;
	size_t want = 2 * window * p->limit;
	size_t have = p->nwaiting + (p->crew ? p->crew->queued : 0);
	return have < want ? (unsigned)(want - have) : 0;
}

static void part(struct worker *w)
{
	if (!w->gone && pr_inflight(w))
		pr_kill_group(w->pid, SIGKILL);
	else if (!w->gone && !w->retiring)
		pr_worker_retire(w);
}

static bool all_gone(struct prong *p)
{
	bool all = true;
	for (struct worker *w = p->crew->workers; w; w = w->next) {
		pr_worker_look(p, w);
		all &= w->gone;
	}
	return all;
}

/* Those at rest may run worker_exit; those at work are killed. */
static void disband(struct prong *p)
{
	int64_t until = pr_now() + PARTING_MS * PR_MS;
	for (struct worker *w = p->crew->workers; w; w = w->next)
		part(w);
	while (!all_gone(p) && pr_now() < until)
		poll(NULL, 0, 1);
	for (struct worker *w = p->crew->workers; w; w = w->next)
		if (!w->gone) {
			pr_kill_group(w->pid, SIGKILL);
			pr_reap(w->pid);
		}
}

void pr_crew_close(struct prong *p)
{
	struct crew *c = p->crew;
	if (!c)
		return;
	if (*p->alive)
		disband(p);
	for (struct worker *w; (w = c->workers);) {
		for (uint32_t n = w->reaped; n != w->given; n++)
			pr_job_free(p, *pr_job_at(w, n));
		c->workers = w->next;
		pr_worker_free(p, w);
	}
	pr_timer_cancel(&p->timers, &c->check);
	pr_env_free(&c->env);
	free(c);
	p->crew = NULL;
}
