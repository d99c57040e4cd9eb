/* gate.c - see gate.h.  Looks at the machine at most every MEM_AGE seconds, sends signals to
 * jobs by the pool. */
#include "gate.h"

#include "jobs.h"
#include "limit.h"
#include "pressure.h"
#include "run-impl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const double mem_age = 0.02, look_every = 0.1, act_every = 0.5, swap_every = 1,
                    tell_after = 5;

int gate_init(struct run *r)
{
	const struct config *c = r->cfg;
	r->gate.used = c->memfree > 0 || c->memsuspend > 0 || c->load || c->noswap || c->limit;
	if (c->limit && !(r->gate.limit = limit_new(c->limit, r->host->shell.path)))
		return -1;
	return 0;
}

void gate_free(struct run *r)
{
	limit_free(r->gate.limit);
}

static double available(struct gate *g, double now)
{
	if (g->mem_at == 0 || now - g->mem_at > mem_age) {
		g->mem = memory_available();
		g->mem_at = now;
	}
	return g->mem;
}

/* "0" means 0.01, so that nothing else may run; else as -j, with fractions. */
static double max_load(const struct config *cfg)
{
	char *end;
	double n = strtod(cfg->load, &end);
	if (end != cfg->load && !*end && !strchr("+-", *cfg->load))
		return n == 0 ? 0.01 : n;
	return jobs_parse(cfg->load, cpus_wanted(cfg));
}

/* Both in and out since the last sample: the first one takes a second. */
static bool swapping(struct gate *g, double now)
{
	double in, out;
	if (g->swap_at > 0 && now - g->swap_at < swap_every)
		return g->swapping || !g->sampled;
	pages_swapped(&in, &out);
	if (g->swap_at > 0) {
		g->swapping = in > g->swap_in && out > g->swap_out;
		g->sampled = true;
	}
	g->swap_in = in;
	g->swap_out = out;
	g->swap_at = now;
	return g->swapping || !g->sampled;
}

static struct task *oldest(struct run *r, bool suspended)
{
	struct task *t = r->running.head;
	while (t && t->suspended != suspended)
		t = t->next;
	return t;
}

static struct task *youngest_active(struct run *r)
{
	struct task *t = r->running.tail;
	while (t && (t->suspended || t->evicted))
		t = t->prev;
	return t;
}

/* --limit: 2 means that it is far above, and the youngest ends for good. */
static const char *closed_by_limit(struct run *r, double now)
{
	enum limit_says says = limit_ask(r->gate.limit, now);
	struct task *t = youngest_active(r);
	if (says == LIMIT_KILL && t)
		prong_stop(r->pool, t->id);
	if (says == LIMIT_BROKEN)
		run_fail(r, "--limit: that command cannot be run; name one that can, or 'load 4', 'mem 1G'");
	return says == LIMIT_GO ? NULL : "--limit says no";
}

static const char *closed_by(struct run *r, double now)
{
	const struct config *c = r->cfg;
	struct gate *g = &r->gate;
	if (c->memfree > 0 && available(g, now) < c->memfree)
		return "--memfree: too little memory is free";
	if (c->memsuspend > 0 && r->running.head &&
	    (oldest(r, true) || available(g, now) < 2 * c->memsuspend))
		return "--memsuspend: too little memory is free";
	if (c->load && processes_running() >= max_load(c))
		return "--load: too many processes are running";
	if (c->noswap && swapping(g, now))
		return "--noswap: the machine is swapping";
	if (g->limit) /* the last one: it is asked once for each start */
		return closed_by_limit(r, now);
	return NULL;
}

/* Somebody should know why nothing happens. */
static void tell(struct run *r, const char *why, double now)
{
	struct gate *g = &r->gate;
	if (r->running.head || g->shut_since == 0)
		g->shut_since = now;
	if (g->told || now - g->shut_since < tell_after)
		return;
	g->told = true;
	run_make_way(r);
	warn("waiting to start jobs: %s", why);
}

bool gate_open(struct run *r)
{
	if (!r->gate.used)
		return true;
	double now = timing_now();
	const char *why = closed_by(r, now);
	r->gate.shut = why != NULL;
	if (why)
		tell(r, why, now);
	else
		r->gate.shut_since = 0;
	return !why;
}

/* --memfree: below half of it, the youngest ends and is run again later.  Without --retries
 * that may happen often, so the last one is left alone. */
static void evict(struct run *r, double now)
{
	struct gate *g = &r->gate;
	struct task *t = youngest_active(r);
	bool alone = r->running.head == r->running.tail && r->cfg->retries == 1;
	if (!t || alone || available(g, now) >= r->cfg->memfree / 2)
		return;
	t->evicted = true;
	prong_stop(r->pool, t->id);
	g->acted = now;
}

static void suspend(struct run *r, struct task *t)
{
	t->suspended = true;
	prong_signal(r->pool, t->id, SIGSTOP);
}

static void resume(struct run *r, struct task *t)
{
	t->suspended = false;
	prong_signal(r->pool, t->id, SIGCONT);
}

/* --memsuspend: below it only the oldest goes on, below twice as much one less each time. */
static void squeeze(struct run *r, double now)
{
	struct gate *g = &r->gate;
	double mem = available(g, now), size = r->cfg->memsuspend;
	struct task *first = oldest(r, false), *t;
	if (!first && (first = oldest(r, true)))
		resume(r, first);
	if (mem < size) {
		while ((t = youngest_active(r)) && t != first)
			suspend(r, t);
	} else if (mem < 2 * size) {
		if ((t = youngest_active(r)) && t != first)
			suspend(r, t);
	} else if ((t = oldest(r, true))) {
		resume(r, t);
	}
	g->acted = now;
}

double gate_tick(struct run *r, double now)
{
	const struct config *c = r->cfg;
	struct gate *g = &r->gate;
	if (!g->used || r->ended)
		return -1;
	bool memory = (c->memfree > 0 || c->memsuspend > 0) && r->running.head;
	bool rested = now - g->acted >= act_every;
	if (c->memfree > 0 && rested)
		evict(r, now);
	if (c->memsuspend > 0 && r->running.head && (rested || !oldest(r, false)))
		squeeze(r, now);
	return memory || g->shut ? look_every : -1;
}

void gate_suspend_again(struct run *r)
{
	for (struct task *t = r->running.head; t; t = t->next)
		if (t->suspended)
			prong_signal(r->pool, t->id, SIGSTOP);
}
