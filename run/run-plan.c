/* run-plan.c - what a run does instead of starting its jobs: show them, or put them into a
 * database for others. */
#include "run-impl.h"

#include <stdlib.h>

/* What --dry-run and --shell-quote print for a task. */
static const char *shown(struct run *r, struct task *t, struct buf *text)
{
	buf_clear(text);
	buf_str(text, builder_command(&r->b, t));
	for (unsigned i = 0; i < r->cfg->shell_quote; i++) {
		char *plain = text->s;
		*text = (struct buf){ 0 };
		quote_shell(text, plain, r->cfg->quoting);
		free(plain);
	}
	return text->s;
}

/* --dry-run needs no pool: slots are dealt in turn. */
void run_dry(struct run *r, unsigned jobs)
{
	struct task *t;
	struct buf text = { 0 };
	for (;;) {
		while (!r->no_more && (t = feed_next(r))) {
			t->slot = (unsigned)((t->seq - 1) % jobs) + 1;
			if (feed_skips(r, t))
				continue;
			builder_tag(&r->b, t);
			struct output o = { .seq = t->nth, .tag = t->tag,
				            .head = shown(r, t, &text),
				            .fd = { -1, -1 } };
			run_check_sink(r, sink_done(r->sink, &o));
			task_free(t);
		}
		const struct prong_event *ev;
		if (r->input_over || r->no_more)
			break;
		run_check_sink(r, sink_flush(r->sink));
		if (prong_wait(r->pool, &ev, -1) == 1)
			run_handle(r, ev);
	}
	buf_free(&text);
}

/* --sqlmaster: every job becomes a row, none is run. */
static void put_jobs(struct run *r)
{
	struct task *t;
	int64_t last = database_last(r->db); /* the table may be one that is added to */
	if (last < 0)
		run_fail(r, NULL);
	for (;;) {
		while (!r->no_more && (t = feed_next(r))) {
			t->seq += (uint64_t)last;
			if (database_put(r->db, t, builder_command(&r->b, t)) != 0)
				run_fail(r, NULL);
			task_free(t);
		}
		const struct prong_event *ev;
		if (r->input_over || r->no_more)
			break;
		if (prong_wait(r->pool, &ev, -1) == 1)
			run_handle(r, ev);
	}
	if (!r->failure && database_complete(r->db) != 0)
		run_fail(r, NULL);
}

/* --wait: until workers have ended all of them. */
static void wait_for_workers(struct run *r)
{
	const struct prong_event *ev;
	int64_t open = 1;
	while (!r->no_more && (open = database_open_rows(r->db)) > 0)
		if (prong_wait(r->pool, &ev, 500) == 1)
			run_handle(r, ev);
	if (open < 0)
		run_fail(r, NULL);
}

void run_sql_jobs(struct run *r)
{
	if (r->cfg->sql_master)
		put_jobs(r);
	if (r->cfg->sql_worker && !r->no_more) {
		r->taking = true;
		r->input_over = false;
		r->seq = 0;
		run_loop(r);
	}
	if (r->cfg->sem_wait && !r->cfg->sql_worker)
		wait_for_workers(r);
}
