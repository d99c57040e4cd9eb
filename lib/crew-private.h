/* crew-private.h - what crew-feed.c (hand out, take back), engine-worker.c (collect, bury), crew.c
 * (the whole crew) and worker-proc.c (fork and end one) share.  Private. */
#ifndef LIB_CREW_PRIVATE_H
#define LIB_CREW_PRIVATE_H

#include "channel.h"
#include "crew.h"
#include "local.h"

#include <string.h>

struct worker {
	struct worker *next;
	pid_t pid;
	struct watch exit; /* the pidfd; -1 where there is none */
	struct watch sock;
	struct channel *ch;
	struct fifo in;      /* payloads */
	struct region out;   /* replies */
	struct job **jobs;   /* by cell */
	size_t *in_end;      /* by cell: where its payload ends, or NO_PAYLOAD */
	uint32_t given, reaped; /* tasks handed out; whose results were */
	uint32_t seen;       /* tasks done, when last looked: the word is the worker's line */
	uint32_t published;  /* what `freed` says */
	unsigned tasks;      /* handed out and not taken back, ever */
	struct slot *slot;   /* NULL: it stands by */
	bool blocked;        /* no room for the next payload before it has done all */
	bool full;           /* all its cells hold tasks or results */
	bool stuck;          /* on a task that takes long: nothing is queued behind it */
	bool retiring;       /* told to quit */
	bool gone;           /* reaped; cert says how */
	int why;             /* PRONG_TIMEDOUT, PRONG_CANCELLED: being ended because of ... */
	uint32_t why_task;   /* ... this one */
	char *termseq;
	const char *termseq_at;
	struct timer ending, deadline;
	struct prong_result cert;
};

#define NO_PAYLOAD SIZE_MAX

struct crew {
	struct worker *workers;
	struct worker *last;   /* whose result was handed out last */
	size_t last_len;       /* how long it is */
	struct worker *cursor; /* whose results are looked at first */
	int64_t typical;       /* a task's time, smoothed; 0: not known yet */
	unsigned half;         /* a worker with no more than so many is fed again */
	unsigned fed;          /* workers fed at a time, if tasks are small */
	int pace;              /* looks that say: more of them (above 0), or fewer */
	bool surplus;          /* more workers than slots, all at work when that was looked at */
	unsigned window, queued; /* queued: handed out and not reaped, of all workers */
	unsigned failed;       /* workers in a row that ended before they were ready */
	int failure;           /* why the last one did */
	int64_t wall;          /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	struct patience patience;
	struct timer check;
	struct env env;
	struct prong_result result; /* of a task that was done */
	struct prong_result other;  /* of one that was not */
};

static inline uint32_t pr_inflight(const struct worker *w)
{
	return w->given - w->reaped;
}

/* ---- what a worker does just now ---- */

static inline struct job **pr_job_at(struct worker *w, uint32_t n)
{
	return &w->jobs[n & (w->ch->cells - 1)];
}

static inline uint32_t pr_done(struct worker *w)
{
	return atomic_load(&w->ch->done); /* after `armed` was set, in pr_crew_arm() */
}

/* The task it runs, or NULL. */
static inline struct job *pr_running(struct worker *w, uint32_t *n)
{
	uint64_t g = atomic_load(&w->ch->gate);
	*n = pr_done(w);
	/* done after gate: it may have gone on, then it is not task *n that runs */
	return pr_gate_next(g) == *n + 1 ? *pr_job_at(w, *n) : NULL;
}

/* As far as we have seen. */
static inline uint32_t pr_unfinished(const struct worker *w)
{
	return w->given - w->seen;
}

/* Whose end is nearer than a sleep is long. */
static inline bool pr_tasks_small(const struct crew *c)
{
	const int64_t small_ns = 2000;
	return c->typical && c->typical <= small_ns;
}

static inline bool pr_tasks_wait(const struct prong *p)
{
	return p->waiting.head && p->waiting.head->worker;
}

static inline bool pr_grown(const struct worker *w)
{
	return atomic_load_explicit(&w->ch->grown, memory_order_relaxed);
}

/* crew-feed.c */
int pr_crew_feed(struct prong *p, struct fired *f); /* 1: *f is a task that could not be started */
bool pr_take_back(struct prong *p, struct worker *w); /* what it has not begun; any? */
void pr_crew_pace(struct prong *p, int more); /* a look that says: feed more (1) or fewer (-1) */
void pr_crew_feed_more(struct prong *p);
int pr_unstartable(struct prong *p, int error, int step, struct fired *f); /* the queue's head */

/* engine-worker.c */
void pr_stand_down(struct prong *p, struct worker *w); /* its slot is free */
void pr_worker_drained(struct prong *p, struct worker *w); /* it has done all it was given */
void pr_crew_check(struct prong *p, struct timer *t);

/* crew.c */
void pr_crew_deadline(struct prong *p, struct timer *t); /* of a worker */

/* worker-proc.c */
int pr_worker_new(struct prong *p, struct worker **out); /* 0 or -errno */
void pr_worker_free(struct prong *p, struct worker *w);
void pr_worker_look(struct prong *p, struct worker *w); /* reap it if it is dead */
void pr_worker_wake(struct worker *w);
void pr_worker_force(struct worker *w); /* a byte, in any case */
void pr_worker_retire(struct worker *w);
void pr_worker_end(struct prong *p, struct worker *w, const char *termseq);

#endif
