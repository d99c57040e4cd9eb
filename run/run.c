/* run.c - the loop: source -> pool -> sink, with job log, progress and halting.
 *
 * Owns the tasks of a run.  Blocks only in prong_wait(); everything it waits for (jobs,
 * input, signals, the guardian's death) is one fd there. */
#include "run-impl.h"

#include "dirs.h"
#include "jobs.h"
#include "pipe.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { LOOK_MS = 10 };
static const double jobs_look = 0.1; /* seconds between two looks at -j FILE */

static const int tag_signal, tag_death, tag_input; /* addresses name the watched fds */

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

void run_watch_input(struct run *r, bool on)
{
	if (r->input_watched == on)
		return;
	int fd = r->pipe ? pipe_fd(r->pipe) : inputs_fd(r->in);
	if (on && fd < 0)
		return;
	int e = prong_watch(r->pool, fd, on, (void *)(uintptr_t)&tag_input);
	if (on && e < 0)
		return; /* a file that is always ready never says "not yet" */
	r->input_watched = on;
}

/* ---- signals ---- */

static void list_running(struct run *r)
{
	run_make_way(r);
	for (struct task *t = r->running.head; t; t = t->next)
		dprintf(STDERR_FILENO, "prong: running: job %llu: %s\n",
		        (unsigned long long)t->seq, builder_command(&r->b, t));
}

static struct progress_state state_of(const struct run *r)
{
	int64_t total = r->tally.total < 0 && r->cfg->total_jobs ? r->cfg->total_jobs
	                                                           : r->tally.total;
	return (struct progress_state){ .done = r->finished, .failed = r->tally.failed,
		                        .started = r->started, .total = total,
		                        .running = prong_running(r->pool),
		                        .now = timing_now() };
}

static void say_progress(struct run *r)
{
	struct progress_state s = state_of(r);
	run_make_way(r);
	dprintf(STDERR_FILENO, "prong: %llu done, %llu failed, %u running",
	        (unsigned long long)s.done, (unsigned long long)s.failed, s.running);
	if (s.total >= 0)
		dprintf(STDERR_FILENO, ", %lld in all", (long long)s.total);
	dprintf(STDERR_FILENO, "\n");
}

/* SIGUSR2 turns the status line on and off. */
static void toggle_progress(struct run *r)
{
	struct progress_state s = state_of(r);
	if (r->progress) {
		progress_end(r->progress, &s);
		r->progress = NULL;
		return;
	}
	r->cfg_shown = *r->cfg;
	r->cfg_shown.progress = true;
	r->progress = progress_new(&r->cfg_shown, STDERR_FILENO, r->host->pgrp);
}

static void stop_and_go(struct run *r)
{
	run_hide_progress(r);
	prong_signal(r->pool, 0, SIGSTOP);
	if (r->cfg->open_tty)
		terminal_give(r->host);
	r->host->stop(r->host->arg);
	if (r->cfg->open_tty)
		terminal_take(r->host);
	prong_signal(r->pool, 0, SIGCONT);
	gate_suspend_again(r);
}

static void one_signal(struct run *r, int sig)
{
	switch (sig) {
	case SIGHUP:
		r->no_more = true;
		break;
	case SIGUSR1:
		list_running(r);
		break;
	case SIGUSR2:
		say_progress(r);
		toggle_progress(r);
		break;
	case SIGWINCH:
		if (r->progress)
			progress_resize(r->progress);
		break;
	case SIGTSTP:
		stop_and_go(r);
		break;
	case SIGINT:
	case SIGQUIT:
	case SIGTERM:
		if (r->signal) /* asked twice: no more patience */
			r->host->sweep(r->host->arg);
		r->signal = sig;
		run_end_all(r);
		break;
	default:
		break;
	}
}

static void read_signals(struct run *r)
{
	struct signalfd_siginfo si;
	while (read(r->host->signal_fd, &si, sizeof si) == (ssize_t)sizeof si)
		one_signal(r, (int)si.ssi_signo);
}

static void guardian_died(struct run *r)
{
	r->host->sweep(r->host->arg);
	_exit(128 + SIGKILL);
}

static void ready(struct run *r, const void *tag)
{
	if (tag == &tag_signal)
		read_signals(r);
	else if (tag == &tag_death)
		guardian_died(r);
	else if (tag == &tag_input)
		run_watch_input(r, false);
	else
		pipe_ready(r, (void *)(uintptr_t)tag);
}

/* ---- the loop ---- */

static void live_output(struct run *r, const struct prong_event *ev)
{
	struct task *t = ev->tag;
	t->sent[ev->stream - 1] += (int64_t)ev->len;
	if (task_squeezes(r->cfg, t, ev->stream - 1)) {
		done_squeeze(r, t, ev);
		return;
	}
	done_keep(r, t, ev);
	run_hide_progress(r);
	if (r->latest && (ev->stream == 1 || latest_lives(r->latest))) {
		if (latest_data(r->latest, t->nth, t->tag, ev->data, ev->len) != 0)
			run_fail(r, "cannot write to the terminal");
		return;
	}
	run_check_sink(r, sink_data(r->sink, t->nth, t->tag, ev->stream, ev->data, ev->len));
}

static void handle(struct run *r, const struct prong_event *ev)
{
	if (ev->type == PRONG_DONE)
		done_job(r, ev->tag, ev->result);
	else if (ev->type == PRONG_OUTPUT)
		live_output(r, ev);
	else if (ev->type == PRONG_STARTED)
		pipe_started(ev->tag);
	else if (ev->type == PRONG_READY)
		ready(r, ev->tag);
}

/* --timeout N%: also for those that run already. */
static double check_times(struct run *r, double now)
{
	double limit = r->cfg->timeout.n / 100 * median_get(&r->times), next = -1;
	if (!r->cfg->timeout.percent || r->times.n < MEDIAN_MIN)
		return -1;
	for (struct task *t = r->running.head; t; t = t->next) {
		double left = t->started + limit - now;
		if (left <= 0)
			prong_stop(r->pool, t->id);
		else if (next < 0 || left < next)
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
		struct progress_state s = state_of(r);
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

static void loop(struct run *r)
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
			handle(r, ev);
		else if (e < 0 && e != -ECHILD)
			run_fail(r, prong_strerror(e));
	}
}

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
static void dry_run(struct run *r, unsigned jobs)
{
	struct task *t;
	struct buf text = { 0 };
	for (;;) {
		while (!r->no_more && (t = feed_next(r))) {
			t->slot = (unsigned)((t->seq - 1) % jobs) + 1;
			if (feed_skips(r, t))
				continue;
			builder_prepare(&r->b, t);
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
			handle(r, ev);
	}
	buf_free(&text);
}

/* --sqlmaster: every job becomes a row, none is run. */
static void put_jobs(struct run *r)
{
	struct task *t;
	for (;;) {
		while (!r->no_more && (t = feed_next(r))) {
			if (database_put(r->db, t, builder_command(&r->b, t)) != 0)
				run_fail(r, NULL);
			task_free(t);
		}
		const struct prong_event *ev;
		if (r->input_over || r->no_more)
			break;
		if (prong_wait(r->pool, &ev, -1) == 1)
			handle(r, ev);
	}
	if (database_flush(r->db, true) != 0)
		run_fail(r, NULL);
}

/* --wait: until workers have ended all of them. */
static void wait_for_workers(struct run *r)
{
	const struct prong_event *ev;
	int64_t open = 1;
	while (!r->no_more && (open = database_open_rows(r->db)) > 0)
		if (prong_wait(r->pool, &ev, 500) == 1)
			handle(r, ev);
	if (open < 0)
		run_fail(r, NULL);
}

static void sql_jobs(struct run *r)
{
	if (r->cfg->sql_master)
		put_jobs(r);
	if (r->cfg->sql_worker && !r->no_more) {
		r->taking = true;
		r->input_over = false;
		r->seq = 0;
		loop(r);
	}
	if (r->cfg->sem_wait && !r->cfg->sql_worker)
		wait_for_workers(r);
}

/* ---- setting up and ending ---- */

static int open_pool(struct run *r, unsigned jobs)
{
	const struct config *cfg = r->cfg;
	bool by_pipe = cfg->capture && !strcmp(cfg->capture, "pipe");
	struct prong_options o = {
		.size = sizeof o, .jobs = jobs, .tmpdir = cfg->tmpdir, .termseq = cfg->termseq,
		.sigmask = r->host->job_mask, .spare = squeezer_pool(r->squeezer),
		.flags = PRONG_REAP_STRAYS | PRONG_NO_HANDLERS |
		         (by_pipe ? PRONG_CAPTURE_PIPE : 0u),
	};
	int e = prong_open(&r->pool, &o);
	if (e == 0 && r->host->signal_fd >= 0)
		e = prong_watch(r->pool, r->host->signal_fd, 1, (void *)(uintptr_t)&tag_signal);
	if (e == 0 && r->host->death_fd >= 0)
		e = prong_watch(r->pool, r->host->death_fd, 1, (void *)(uintptr_t)&tag_death);
	if (e == -EINVAL && cfg->termseq)
		warn("--termseq: '%s' is not understood; write SIGNAL,MILLISECONDS,...: TERM,200,KILL,25",
		     cfg->termseq);
	else if (e != 0)
		warn("cannot begin: %s", prong_strerror(e));
	return e;
}

/* A reader that never reads must not keep us from heeding signals. */
bool run_go_on(void *arg)
{
	struct run *r = arg;
	read_signals(r);
	return !r->ended;
}

/* Better said once, now, than by every job. */
static bool tmpdir_usable(const struct config *cfg)
{
	const char *dir = tmpdir_of(cfg);
	if (cfg->output == OUTPUT_UNGROUP || cfg->dry_run || access(dir, W_OK | X_OK) == 0)
		return true;
	warn("cannot keep output in '%s' (%s); name a directory with --tmpdir", dir,
	     strerror(errno));
	return false;
}

/* A table is written by the sink: so it has the order of --keep-order. */
static bool open_sink(struct run *r)
{
	struct config plain = *r->cfg;
	if (results_kind(&plain) != RESULTS_TABLE || plain.dry_run) {
		r->sink = sink_new(&plain, STDOUT_FILENO, STDERR_FILENO);
		return true;
	}
	plain.color = plain.color_failed = false;
	plain.output = OUTPUT_GROUP;
	r->table = table_new(r->cfg, inputs_header(r->in)); /* which keeps it */
	if (r->table) {
		r->sink = sink_new(&plain, table_fd(r->table), STDERR_FILENO);
		sink_name(r->sink, table_name(r->table));
	}
	return r->table != NULL;
}

static int expand(void *arg, int fd, int (*give)(void *to, const char *p, size_t n), void *to)
{
	return squeeze_expand(arg, fd, give, to);
}

/* Two streams for each job, and one that is read again. */
static bool open_squeezer(struct run *r, unsigned jobs)
{
	struct sink_patience p = { r->host->signal_fd, run_go_on, r };
	r->squeezer = squeezer_new(r->cfg, r->host, 2 * jobs + 2, &p);
	if (r->squeezer) {
		struct sink_expander x = { expand, r->squeezer };
		sink_unpack(r->sink, &x);
	}
	return r->squeezer != NULL;
}

static bool open_database(struct run *r)
{
	const struct config *cfg = r->cfg;
	const struct names *names = inputs_header(r->in);
	bool results = results_kind(cfg) == RESULTS_DATABASE;
	if (cfg->sql)
		r->db = database_url(cfg->sql, cfg->sql_master, names);
	else if (results)
		r->db = database_results(cfg, names);
	return r->db || (!cfg->sql && !results);
}

static bool set_up(struct run *r, unsigned jobs)
{
	const struct config *cfg = r->cfg;
	r->tally = (struct tally){ .halt = cfg->halt, .total = -1, .status = -1 };
	if (!open_sink(r))
		return false;
	r->summary = summary_new();
	r->progress = progress_new(cfg, STDERR_FILENO, r->host->pgrp);
	r->oom = oom_count();
	r->delay = cfg->delay;
	if (gate_init(r) != 0 || !r->sink || !tmpdir_usable(cfg) || builder_init(&r->b, cfg, r->host, inputs_header(r->in)) != 0)
		return false;
	if (r->host->signal_fd >= 0) {
		struct sink_patience p = { r->host->signal_fd, run_go_on, r };
		sink_be_patient(r->sink, &p);
	}
	r->b.slots = jobs;
	r->pack = pack_new(cfg, r->in, r->b.command, jobs);
	r->b.total = r->tally.total = pack_total(r->pack);
	if (pipe_wanted(cfg)) {
		r->b.total = r->tally.total = -1;
		if (!(r->pipe = pipe_new(r)))
			return false;
	}
	if (cfg->total_jobs)
		r->b.total = cfg->total_jobs; /* nothing has to be read to know it */
	if (cfg->resume == RESUME_MISSING || cfg->resume == RESUME_FAILED)
		r->tally.total = -1; /* what was done before does not count */
	r->wants_total = r->tally.total < 0 &&
	                 (((cfg->bar || cfg->eta) && !cfg->total_jobs) || (cfg->halt.when && cfg->halt.limit.percent)) &&
	                 (!r->pipe || pipe_knows_total(r->pipe));
	if (results_kind(cfg) == RESULTS_FILES && !cfg->dry_run &&
	    !(r->results = results_new(cfg, inputs_header(r->in))))
		return false;
	if (cfg->compress && cfg->output != OUTPUT_LINE && !cfg->dry_run && !open_squeezer(r, jobs))
		return false;
	if (cfg->latest && !cfg->dry_run)
		r->latest = latest_new(cfg, STDOUT_FILENO);
	if (!cfg->dry_run && !open_database(r))
		return false;
	if (cfg->ntemplates && !cfg->dry_run && !(r->fill = fill_new(cfg, inputs_header(r->in))))
		return false;
	if (cfg->joblog && !cfg->dry_run && !(r->log = joblog_open(cfg->joblog, cfg->resume != RESUME_NO)))
		return false;
	return open_pool(r, jobs) == 0;
}

static void tear_down(struct run *r)
{
	struct task_list *lists[] = { &r->running, &r->again, &r->ready };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		for (struct task *t; (t = lists[i]->head); task_free(t)) {
			task_del(lists[i], t);
			done_squeezed_free(r, t);
		}
	prong_close(r->pool);
	squeezer_free(r->squeezer);
	if (r->log)
		joblog_close(r->log);
	results_free(r->results);
	table_free(r->table);
	(void)database_close(r->db);
	latest_free(r->latest);
	fill_free(r->fill);
	if (r->sink)
		sink_free(r->sink);
	if (r->summary)
		summary_free(r->summary);
	pack_free(r->pack);
	pipe_free(r->pipe);
	perl_free(r->cfg->perl);
	gate_free(r);
	builder_free(&r->b);
	median_free(&r->times);
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
		struct progress_state s = state_of(r);
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
		sql_jobs(r);
	else
		loop(r);
	done_check_room_at_last(r);
	if (r->db && database_flush(r->db, true) != 0)
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
	if (jobs <= 0 || !set_up(&r, (unsigned)jobs)) {
		tear_down(&r);
		return;
	}
	if (cfg->dry_run)
		dry_run(&r, (unsigned)jobs);
	else
		run_jobs(&r);
	last_words(&r);
	out->status = r.failure ? r.failure : tally_status(&r.tally);
	out->signal = r.signal;
	out->swept = r.ended;
	tear_down(&r);
}
