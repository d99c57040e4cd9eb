/* run.c - the loop: source -> pool -> sink, with job log, progress and halting.
 *
 * Owns the tasks of a run.  Blocks only in prong_wait(); everything it waits for (jobs,
 * input, signals, the guardian's death) is one fd there. */
#include "run-impl.h"

#include "jobs.h"
#include "pipe.h"
#include "terminal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { LOOK_MS = 10 };
static const double jobs_look = 0.1; /* seconds between two looks at -j FILE */

void run_hide_progress(struct run *r)
{
	if (r->progress)
		progress_hide(r->progress);
}

void run_make_way(struct run *r)
{
	run_hide_progress(r);
	if (r->latest && latest_lives(r->latest) && isatty(STDERR_FILENO))
		latest_break(r->latest);
}

/* ---- ending early ---- */

void run_end_all(struct run *r)
{
	r->no_more = true;
	if (r->ended)
		return;
	r->ended = true;
	prong_stop(r->pool, 0);
}

void run_fail(struct run *r, const char *what)
{
	if (what && !r->failure) {
		run_make_way(r);
		warn("%s", what);
	}
	r->failure = 255;
	run_end_all(r);
}

void run_check_sink(struct run *r, int e)
{
	if (e == 0 || r->failure)
		return;
	run_fail(r, e == -EPIPE || e == -EINTR ? NULL : sink_error(r->sink));
}

/* ---- the loop ---- */

static void show_live(struct run *r, struct task *t, int stream, const char *data, size_t len)
{
	t->in_line[stream - 1] = len ? data[len - 1] != '\n' : t->in_line[stream - 1];
	run_hide_progress(r);
	if (!r->latest || (stream == 2 && !latest_lives(r->latest)))
		run_check_sink(r, sink_data(r->sink, t->nth, t->tag, stream, data, len));
	else if (latest_data(r->latest, t->nth, t->tag, data, len) != 0)
		run_fail(r, "cannot write to the terminal");
}

void run_end_lines(struct run *r, struct task *t)
{
	for (int stream = 1; stream <= 2; stream++)
		if (t->in_line[stream - 1])
			show_live(r, t, stream, "\n", 1);
}

static void live_output(struct run *r, const struct prong_event *ev)
{
	struct task *t = ev->tag;
	t->sent[ev->stream - 1] += (int64_t)ev->len;
	if (task_squeezes(r->cfg, t, ev->stream - 1)) {
		done_squeeze(r, t, ev);
		return;
	}
	done_keep(r, t, ev);
	show_live(r, t, ev->stream, ev->data, ev->len);
}

void run_handle(struct run *r, const struct prong_event *ev)
{
	if (ev->type == PRONG_DONE)
		done_job(r, ev->tag, ev->result);
	else if (ev->type == PRONG_OUTPUT)
		live_output(r, ev);
	else if (ev->type == PRONG_STARTED)
		pipe_started(ev->tag);
	else if (ev->type == PRONG_READY)
		run_ready(r, ev->tag);
}

/* --timeout N%: also for those that run already. */
static double check_times(struct run *r, double now)
{
	double limit = r->cfg->timeout.n / 100 * median_get(&r->times), next = -1;
	if (!r->cfg->timeout.percent || r->times.n < MEDIAN_MIN)
		return -1;
	for (struct task *t = r->running.head; t; t = t->next) {
		double left = t->started + limit - now;
		if (left <= 0 && !r->ended && !t->evicted)
			t->timed_out = prong_stop(r->pool, t->id) == 0 || t->timed_out;
		else if (left > 0 && (next < 0 || left < next))
			next = left;
	}
	return next;
}

static void look_at_jobs_file(struct run *r, double now)
{
	int n = 0;
	if (now >= r->next_jobs_look && jobs_changed(r->cfg, &n))
		prong_resize(r->pool, (unsigned)n);
	r->next_jobs_look = now + jobs_look;
}

static void sooner(double *wait, double other)
{
	if (other >= 0 && (*wait < 0 || other < *wait))
		*wait = other;
}

/* Everything that goes by the clock; returns milliseconds until it wants another look. */
static int clockwork(struct run *r)
{
	double wait = -1, now;
	bool file = r->cfg->jobs && jobs_is_file(r->cfg->jobs);
	if (!r->db && !r->progress && !r->cfg->timeout.percent && !file && r->delay <= 0 &&
	    !r->gate.used && r->cfg->block_timeout <= 0)
		return -1;
	now = timing_now();
	sooner(&wait, check_times(r, now));
	if (r->pipe)
		sooner(&wait, pipe_wait(r->pipe, now));
	sooner(&wait, gate_tick(r, now));
	if (r->db)
		sooner(&wait, 1); /* its transaction ends */
	if (file) {
		look_at_jobs_file(r, now);
		sooner(&wait, jobs_look);
	}
	if (r->progress) {
		struct progress_state s = run_state(r);
		progress_update(r->progress, &s);
		sooner(&wait, progress_next(r->progress, now));
	}
	if (r->delay > 0 && !r->no_more && r->next_start > now)
		sooner(&wait, r->next_start - now);
	return wait < 0 ? -1 : (int)ceil(wait * 1000);
}

static bool over(const struct run *r)
{
	if (r->running.head || (r->ended && prong_ending(r->pool)))
		return false;
	return r->no_more || (r->input_over && !r->again.head && !r->ready.head);
}

void run_loop(struct run *r)
{
	const struct prong_event *ev;
	for (;;) {
		if (r->pipe)
			pipe_turn(r);
		feed_fill(r);
		if (over(r))
			return;
		run_check_sink(r, sink_flush(r->sink));
		if (r->db && database_flush(r->db, false) != 0)
			run_fail(r, NULL);
		int ms = clockwork(r);
		if (r->wants_total && !r->input_over && !r->input_watched && feed_look_ahead(r))
			ms = 0;
		if (r->ended && (ms < 0 || ms > LOOK_MS)) /* the last ending gives no event */
			ms = LOOK_MS;
		int e = prong_wait(r->pool, &ev, ms);
		if (e == 1)
			run_handle(r, ev);
		else if (e < 0 && e != -ECHILD)
			run_fail(r, prong_strerror(e));
	}
}

bool run_wants_summary(const struct run *r)
{
	return r->cfg->summary == WHEN_ALWAYS ||
	       (r->cfg->summary == WHEN_AUTO && isatty(STDERR_FILENO));
}

static void last_words(struct run *r)
{
	run_check_sink(r, sink_flush(r->sink));
	if (r->progress) {
		struct progress_state s = run_state(r);
		progress_end(r->progress, &s);
	}
	if (run_wants_summary(r) && !r->signal)
		summary_print(r->summary, STDERR_FILENO, r->finished);
}

/* --open-tty: the jobs are in our process group, which gets the terminal. */
static void run_jobs(struct run *r)
{
	if (r->cfg->open_tty)
		terminal_take(r->host);
	if (r->cfg->sql)
		run_sql_jobs(r);
	else
		run_loop(r);
	done_check_room_at_last(r);
	if (r->db && !r->failure && database_complete(r->db) != 0)
		run_fail(r, NULL);
	if (r->cfg->open_tty)
		terminal_give(r->host);
}

void run_all(const struct config *cfg, const struct host *host, struct inputs *in,
             struct outcome *out)
{
	struct run r = { .cfg = cfg, .host = host, .in = in };
	int jobs = jobs_count(cfg);
	*out = (struct outcome){ .status = 255 };
	if (jobs > 0)
		jobs = pipe_jobs(cfg, in, jobs);
	if (jobs <= 0 || !run_set_up(&r, (unsigned)jobs)) {
		out->signal = r.signal;
		run_tear_down(&r);
		return;
	}
	if (cfg->dry_run)
		run_dry(&r, (unsigned)jobs);
	else
		run_jobs(&r);
	last_words(&r);
	out->status = r.failure ? r.failure : tally_status(&r.tally);
	out->signal = r.signal;
	out->swept = r.ended;
	run_tear_down(&r);
}
