/* feed.c - from input to started jobs: retries first, then what was read ahead, then input. */
#include "run-impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_AHEAD = 4096 }; /* records at a time, so that jobs are not kept waiting */

/* A record became a task; NULL: {uniq} or {choose_k} skips it.  A skipped job counts as a
 * failed one, as under GNU parallel. */
static struct task *numbered(struct run *r, const struct args *a)
{
	r->seq++;
	if (!template_skips(r->b.command, a))
		return task_new(a, r->seq);
	r->tally.failed++;
	run_check_sink(r, sink_skip(r->sink, r->seq));
	return NULL;
}

static void input_ended(struct run *r, int e)
{
	r->input_over = true;
	r->b.total = r->tally.total = (int64_t)r->seq;
	if (e == 0)
		return;
	if (e != -E2BIG)
		warn("%s: %s", inputs_name(r->in), prong_strerror(e));
	run_fail(r, NULL);
}

/* 1 and *t (or NULL: skipped), 0: over, -EAGAIN: not yet. */
static int read_one(struct run *r, struct task **t)
{
	struct args a;
	int e = pack_next(r->pack, &a);
	*t = NULL;
	if (e == 1)
		*t = numbered(r, &a);
	else if (e != -EAGAIN)
		input_ended(r, e);
	return e == 1 || e == -EAGAIN ? e : 0;
}

bool feed_look_ahead(struct run *r)
{
	struct task *t;
	int e = 1;
	if (r->no_more)
		return false;
	for (int n = 0; n < LOOK_AHEAD && !r->input_over && (e = read_one(r, &t)) == 1; n++)
		if (t)
			task_add(&r->ready, t);
	if (e == -EAGAIN)
		run_watch_input(r, true);
	return !r->input_over && e == 1;
}

struct task *feed_next(struct run *r)
{
	struct task *t = r->again.head;
	int e = 1;
	if (t) {
		task_del(&r->again, t);
		return t;
	}
	while (template_uses_total(r->b.command) && r->b.total < 0)
		if (!feed_look_ahead(r) && !r->input_over)
			return NULL;
	if ((t = r->ready.head)) {
		task_del(&r->ready, t);
		return t;
	}
	while (!t && !r->input_over && !r->no_more && e == 1)
		e = read_one(r, &t);
	if (e == -EAGAIN)
		run_watch_input(r, true);
	return t;
}

static void say_command(struct run *r, struct task *t)
{
	run_hide_progress(r);
	sink_flush(r->sink);
	dprintf(STDERR_FILENO, "%s\n", builder_command(&r->b, t));
}

/* -v with lines as they come: the command is the job's first line. */
static void say_head(struct run *r, struct task *t)
{
	const char *text = builder_command(&r->b, t);
	run_check_sink(r, sink_data(r->sink, t->seq, t->tag, 1, text, strlen(text)));
	run_check_sink(r, sink_data(r->sink, t->seq, t->tag, 1, "\n", 1));
}

static void start_task(struct run *r, struct task *t)
{
	t->slot = prong_next_slot(r->pool);
	if (builder_prepare(&r->b, t) != 0) {
		run_fail(r, NULL);
		task_free(t);
		return;
	}
	if (r->cfg->verbose)
		say_command(r, t);
	t->id = builder_submit(&r->b, r->pool, t);
	if (t->id < 0) {
		warn("job %llu: %s", (unsigned long long)t->seq, prong_strerror((int)t->id));
		run_fail(r, NULL);
		task_free(t);
		return;
	}
	if (r->cfg->verbose_stdout && r->cfg->output == OUTPUT_LINE)
		say_head(r, t);
	t->started = timing_now();
	r->started += t->tries == 0;
	task_add(&r->running, t);
	if (r->delay > 0)
		r->next_start = t->started + r->delay;
}

void feed_fill(struct run *r)
{
	struct task *t;
	while (!r->no_more && prong_room(r->pool) &&
	       !(r->delay > 0 && timing_now() < r->next_start) && (t = feed_next(r))) {
		if (!gate_open(r)) {
			task_push(&r->ready, t);
			return;
		}
		start_task(r, t);
	}
}
