/* feed.c - from input to started jobs: retries first, then what was read ahead, then input. */
#include "run-impl.h"

#include "copy.h"
#include "pipe.h"
#include "resume.h"
#include "terminal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_AHEAD = 4096 }; /* records at a time, so that jobs are not kept waiting */
enum { ASK_AHEAD_MAX = 256 };
enum { LOOK_AT_SIGNALS = 256 }; /* records between two looks */

/* --resume: is this one in the job log, or among the results? */
static bool done_before(struct run *r, struct task *t)
{
	const struct config *cfg = r->cfg;
	bool by_tree = cfg->resume == RESUME_MISSING && !cfg->joblog && r->results;
	if (by_tree ? !results_there(r->results, &r->b, t) : !resume_done(cfg->resumed, t->seq))
		return false;
	r->resumed++;
	run_check_sink(r, sink_skip(r->sink, t->nth));
	task_free(t);
	return true;
}

static void skipped(struct run *r, uint64_t seq)
{
	r->tally.failed++;
	run_check_sink(r, sink_skip(r->sink, seq));
}

void feed_give_up(struct run *r, struct task *t)
{
	if (r->taking && database_release(r->db, t, DATABASE_READY) != 0)
		r->failure = 255; /* said already */
	task_free(t);
}

/* Not run: it counts as failed, as under GNU parallel, and is logged as such, so that
 * --resume-failed asks again. */
static void decline(struct run *r, struct task *t)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	struct prong_result res = { .how = PRONG_EXITED, .status = -2, .start_ns = ns, .end_ns = ns };
	if (r->log && joblog_add(r->log, t->seq, builder_command(&r->b, t), &res, 0, 0) < 0)
		run_fail(r, "--joblog: cannot write: the job log is incomplete");
	if (r->taking && database_release(r->db, t, DATABASE_DECLINED) != 0)
		run_fail(r, NULL);
	skipped(r, t->nth);
	task_free(t);
}

/* A record, or a row with a number of its own, became a task; NULL: {uniq} or {choose_k} skips it. */
static struct task *numbered(struct run *r, const struct args *a, uint64_t seq, int64_t row)
{
	struct task *t = task_new(a, ++r->seq);
	bool skip = template_skips(r->b.command, a);
	t->seq = seq ? seq : resume_number(r->cfg->resumed, r->seq);
	t->row = row;
	if (done_before(r, t))
		return NULL;
	if (!skip)
		return t;
	decline(r, t);
	return NULL;
}

static void input_ended(struct run *r, int e)
{
	r->input_over = true;
	if (!r->cfg->total_jobs)
		r->b.total = (int64_t)r->seq;
	r->tally.total = (int64_t)(r->seq - r->resumed);
	if (e == 0)
		return;
	if (e != -E2BIG && e != -ECANCELED)
		warn("cannot read %s: %s", r->pipe ? pipe_name(r->pipe) : inputs_name(r->in), prong_strerror(e));
	run_fail(r, NULL);
}

static int read_block(struct run *r, struct task **t)
{
	int e = pipe_next(r, t);
	if (!*t)
		return e;
	(*t)->seq = resume_number(r->cfg->resumed, r->seq);
	if (done_before(r, *t))
		*t = NULL;
	return e;
}

/* --sqlworker: the next job of the database that nobody has taken. */
static int take_one(struct run *r, struct task **t)
{
	struct args a;
	uint64_t seq = 0;
	int64_t row = 0;
	int e = database_take(r->db, &a, &seq, &row);
	if (e == 1)
		*t = numbered(r, &a, seq, row);
	if (e <= 0)
		input_ended(r, 0);
	if (e < 0)
		run_fail(r, NULL);
	return e == 1;
}

/* Much input may be read before the run waits again: by --filter, for {##}, for --sqlmaster. */
static bool heeds_signals(struct run *r)
{
	return ++r->reads % LOOK_AT_SIGNALS || run_go_on(r);
}

/* 1 and *t (or NULL: skipped), 0: over, -EAGAIN: not yet, -EBUSY: nor before a job has read. */
static int read_one(struct run *r, struct task **t)
{
	struct args a;
	*t = NULL;
	if (!heeds_signals(r))
		return 0;
	if (r->taking)
		return take_one(r, t);
	int e = r->pipe ? read_block(r, t) : pack_next(r->pack, &a);
	if (e == 1 && !r->pipe)
		*t = numbered(r, &a, 0, 0);
	else if (e != 1 && e != -EAGAIN && e != -EBUSY)
		input_ended(r, e);
	return e == 1 || e == -EAGAIN || e == -EBUSY ? e : 0;
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

static bool needs_total(const struct run *r)
{
	return template_uses_total(r->b.command) || perl_wants_total(r->cfg->perl);
}

/* Ask perl about the tasks at the head of the queue, more of them each time. */
static void ask_ahead(struct run *r)
{
	struct task *v[ASK_AHEAD_MAX], *t = r->ready.head;
	size_t n = 0;
	for (; t && n < r->ask_ahead; t = t->next)
		v[n++] = t;
	for (size_t i = 0; i < n; i++)
		task_del(&r->ready, v[i]);
	if (builder_ask_perl(&r->b, v, n) != 0)
		run_fail(r, NULL);
	for (size_t i = 0; i < n; i++)
		if (perl_skips(v[i]->perl)) {
			decline(r, v[i]);
			v[i] = NULL;
		}
	while (n-- > 0)
		if (v[n])
			task_push(&r->ready, v[n]);
	r->ask_ahead = r->ask_ahead * 2 > ASK_AHEAD_MAX ? ASK_AHEAD_MAX : r->ask_ahead * 2;
	if (r->taking)
		r->ask_ahead = 1; /* what others could run is not held */
}

/* The head of the queue with what perl says about it; what there is to read at once is asked
 * for together. */
static void fill_ready(struct run *r)
{
	struct task *t;
	int e = 1;
	r->ask_ahead = r->ask_ahead && !r->pipe ? r->ask_ahead : 1;
	while (!r->ready.head && e == 1 && !r->no_more) {
		for (size_t n = 0; n < r->ask_ahead && !r->input_over && e == 1; n++)
			if ((e = read_one(r, &t)) == 1 && t)
				task_add(&r->ready, t);
		if (r->input_over)
			e = 0;
		if (r->ready.head)
			ask_ahead(r);
	}
	if (e == -EAGAIN && !r->ready.head)
		run_watch_input(r, true);
}

/* Is perl asked before a job has its slot? */
static bool asks_ahead(const struct run *r)
{
	return perl_used(r->cfg->perl) && !perl_wants_slot(r->cfg->perl);
}

bool feed_skips(struct run *r, struct task *t)
{
	if (t->perl || !perl_used(r->cfg->perl))
		return false;
	if (builder_ask_perl(&r->b, &t, 1) != 0)
		run_fail(r, NULL);
	if (!perl_skips(t->perl))
		return false;
	decline(r, t);
	return true;
}

struct task *feed_next(struct run *r)
{
	struct task *t = r->again.head;
	int e = 1;
	if (t) {
		task_del(&r->again, t);
		return t;
	}
	while (needs_total(r) && r->b.total < 0 && (!r->pipe || pipe_knows_total(r->pipe)))
		if (!feed_look_ahead(r) && !r->input_over)
			return NULL;
	if (asks_ahead(r)) {
		while (r->ready.head && !r->ready.head->perl && !r->no_more)
			ask_ahead(r);
		fill_ready(r);
		if (r->no_more)
			return NULL;
	}
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
	run_make_way(r);
	sink_flush(r->sink);
	dprintf(STDERR_FILENO, "%s\n", builder_command(&r->b, t));
}

/* -v with lines as they come: the command is the job's first line. */
static void say_head(struct run *r, struct task *t)
{
	const char *text = builder_command(&r->b, t);
	run_check_sink(r, sink_data(r->sink, t->nth, t->tag, 1, text, strlen(text)));
	run_check_sink(r, sink_data(r->sink, t->nth, t->tag, 1, "\n", 1));
}

/* -v with output in files: so is the command. */
static void keep_head(struct run *r, struct task *t)
{
	struct target to = { .fd = t->kept->fd[0] };
	const char *text = builder_command(&r->b, t);
	int e = write_full(&to, text, strlen(text));
	if (e == 0)
		e = write_full(&to, "\n", 1);
	if (e != 0)
		run_fail(r, "cannot write into a file for output");
}

/* --interactive: false if the task is dealt with. */
static bool agreed(struct run *r, struct task *t)
{
	run_hide_progress(r);
	run_check_sink(r, sink_flush(r->sink));
	enum answer a = ask(r->host, builder_command(&r->b, t), run_go_on, r);
	if (r->cfg->open_tty)
		terminal_take(r->host);
	if (a == ANSWER_YES)
		return true;
	if (a == ANSWER_NO) {
		decline(r, t);
		return false;
	}
	if (!r->ended)
		run_fail(r, "--interactive: there is no terminal to ask on any more");
	feed_give_up(r, t);
	return false;
}

static void start_task(struct run *r, struct task *t)
{
	t->slot = prong_next_slot(r->pool);
	if (feed_skips(r, t))
		return;
	if (r->failure) { /* perl's: said already */
		feed_give_up(r, t);
		return;
	}
	if (r->cfg->interactive && t->tries == 0 && !agreed(r, t))
		return;
	if ((r->pipe && pipe_file_new(r, t) != 0) || builder_prepare(&r->b, t) != 0 ||
	    (r->results && results_begin(r->results, &r->b, t) != 0) ||
	    (r->fill && fill_write(r->fill, &r->b, t) != 0)) {
		run_fail(r, NULL);
		feed_give_up(r, t);
		return;
	}
	if (r->table)
		table_first(r->table, t->n);
	if (t->kept && r->cfg->verbose_stdout && r->cfg->output != OUTPUT_LINE)
		keep_head(r, t);
	if (r->cfg->verbose)
		say_command(r, t);
	int e = r->pipe ? pipe_start(r, t) : 0;
	t->id = e == 0 ? builder_submit(&r->b, r->pool, t) : e;
	if (t->id < 0) {
		warn("job %llu: %s", (unsigned long long)t->seq, prong_strerror((int)t->id));
		run_fail(r, NULL);
		feed_give_up(r, t);
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

/* While --delay is waited for: is there anything left to wait for? */
static void see_the_end(struct run *r)
{
	struct task *t;
	if (r->again.head || r->ready.head || r->input_over || r->no_more || r->taking || r->pipe)
		return; /* a row or a block is better left to others */
	if ((t = feed_next(r)))
		task_push(&r->ready, t);
}

void feed_fill(struct run *r)
{
	struct task *t;
	while (!r->no_more && prong_room(r->pool)) {
		if (r->delay > 0 && timing_now() < r->next_start) {
			see_the_end(r);
			return;
		}
		if (!(t = feed_next(r)))
			return;
		if (!gate_open(r)) {
			task_push(&r->ready, t);
			return;
		}
		start_task(r, t);
	}
}
