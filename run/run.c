/* run.c - the loop: source -> pool -> sink, with job log, progress and halting.
 *
 * Owns the tasks of a run.  Blocks only in prong_wait(); everything it waits for (jobs,
 * input, signals, the guardian's death) is one fd there. */
#include "run.h"

#include "halt.h"
#include "jobs.h"
#include "joblog.h"
#include "progress.h"
#include "sink.h"
#include "task.h"
#include "timing.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { LOOK_MS = 10 };
enum { FREE_BLOCKS_MIN = 16 }; /* fewer: a write of a job may just have failed */

struct run {
	const struct config *cfg;
	const struct host *host;
	struct inputs *in;
	struct builder b;
	struct prong *pool;
	struct sink *sink;
	struct joblog *log;
	struct progress *progress;
	struct summary *summary;
	struct tally tally;
	struct median times;      /* for --timeout N% */
	struct task_list running, again, ready; /* ready: read ahead for {##} */
	uint64_t seq, finished;
	double next_start;        /* --delay */
	double next_jobs_look;    /* -j FILE */
	bool no_more;             /* start nothing new */
	bool input_over, input_watched;
	bool ended;               /* everything was told to stop */
	int signal;               /* the signal that ends the run */
	int failure;              /* exit status of an error of ours, 255 */
	int64_t oom;
};

static const int tag_signal, tag_death, tag_input; /* addresses name the watched fds */

/* ---- ending early ---- */

static void end_all(struct run *r)
{
	r->no_more = true;
	if (r->ended)
		return;
	r->ended = true;
	prong_stop(r->pool, 0);
}

/* Something of ours failed: say it once, end everything. */
static void fail(struct run *r, const char *what)
{
	if (what && !r->failure) {
		if (r->progress)
			progress_hide(r->progress);
		warn("%s", what);
	}
	r->failure = 255;
	end_all(r);
}

static void check_sink(struct run *r, int e)
{
	if (e == 0 || r->failure)
		return;
	fail(r, e == -EPIPE || e == -EINTR ? NULL : sink_error(r->sink));
}

/* ---- starting ---- */

static bool read_ahead(struct run *r)
{
	struct args a;
	int e;
	while ((e = inputs_next(r->in, &a)) == 1)
		task_add(&r->ready, task_new(&a, ++r->seq));
	if (e == -EAGAIN)
		return false;
	r->input_over = true;
	r->b.total = r->tally.total = (int64_t)r->seq;
	if (e < 0)
		fail(r, NULL), warn("%s: %s", inputs_name(r->in), prong_strerror(e));
	return true;
}

static void watch_input(struct run *r, bool on)
{
	if (r->input_watched == on)
		return;
	int e = prong_watch(r->pool, inputs_fd(r->in), on, (void *)(uintptr_t)&tag_input);
	if (on && e < 0)
		return; /* a file that is always ready never says "not yet" */
	r->input_watched = on;
}

/* The next task to start, or NULL: none now. */
static struct task *next_task(struct run *r)
{
	struct task *t = r->again.head;
	struct args a;
	if (t) {
		task_del(&r->again, t);
		return t;
	}
	if (template_uses_total(r->b.command) && r->b.total < 0 && !read_ahead(r)) {
		watch_input(r, true);
		return NULL;
	}
	if ((t = r->ready.head)) {
		task_del(&r->ready, t);
		return t;
	}
	if (r->input_over)
		return NULL;
	int e = inputs_next(r->in, &a);
	if (e == 1)
		return task_new(&a, ++r->seq);
	if (e == -EAGAIN) {
		watch_input(r, true);
		return NULL;
	}
	r->input_over = true;
	r->tally.total = (int64_t)r->seq;
	if (e < 0) {
		warn("%s: %s", inputs_name(r->in), prong_strerror(e));
		fail(r, NULL);
	}
	return NULL;
}

static void say_command(struct run *r, struct task *t)
{
	if (r->progress)
		progress_hide(r->progress);
	sink_flush(r->sink);
	dprintf(STDERR_FILENO, "%s\n", builder_command(&r->b, t));
}

/* -v with lines as they come: the command is the job's first line. */
static void say_head(struct run *r, struct task *t)
{
	const char *text = builder_command(&r->b, t);
	check_sink(r, sink_data(r->sink, t->seq, t->tag, 1, text, strlen(text)));
	check_sink(r, sink_data(r->sink, t->seq, t->tag, 1, "\n", 1));
}

static void start_task(struct run *r, struct task *t)
{
	t->slot = prong_next_slot(r->pool);
	if (builder_prepare(&r->b, t) != 0) {
		fail(r, NULL);
		task_free(t);
		return;
	}
	if (r->cfg->verbose)
		say_command(r, t);
	t->id = builder_submit(&r->b, r->pool, t);
	if (t->id < 0) {
		warn("job %llu: %s", (unsigned long long)t->seq, prong_strerror((int)t->id));
		fail(r, NULL);
		task_free(t);
		return;
	}
	if (r->cfg->verbose_stdout && r->cfg->output == OUTPUT_LINE)
		say_head(r, t);
	t->started = timing_now();
	task_add(&r->running, t);
	if (r->cfg->delay > 0)
		r->next_start = t->started + r->cfg->delay;
}

static void fill(struct run *r)
{
	struct task *t;
	while (!r->no_more && prong_room(r->pool) &&
	       !(r->cfg->delay > 0 && timing_now() < r->next_start) && (t = next_task(r)))
		start_task(r, t);
}

/* ---- finished jobs ---- */

static bool wants_retry(const struct run *r, const struct task *t, const struct prong_result *res)
{
	if (r->no_more || res->how == PRONG_CANCELLED || job_status(res) == 0)
		return false;
	return r->cfg->retries == 0 || t->tries < r->cfg->retries;
}

/* A write that failed for lack of room left no trace but this. */
static void check_room(struct run *r, const struct prong_captured *c)
{
	struct statfs st;
	if (c->fd < 0 || fstatfs(c->fd, &st) != 0 || st.f_blocks == 0 ||
	    st.f_bfree >= FREE_BLOCKS_MIN)
		return;
	fail(r, "no room left where job output is kept: output may be cut short;"
	        " free some, or name another place with --tmpdir");
}

static void last_line(const struct prong_captured *c, char *buf, size_t size)
{
	size_t want = size - 1;
	int64_t at = c->len > (int64_t)want ? c->len - (int64_t)want : 0;
	ssize_t n = c->fd >= 0 ? pread(c->fd, buf, want, at) : 0;
	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == '\r'))
		n--;
	buf[n > 0 ? n : 0] = '\0';
	char *nl = strrchr(buf, '\n');
	if (nl)
		memmove(buf, nl + 1, strlen(nl));
}

static void note_failure(struct run *r, struct task *t, const struct prong_result *res)
{
	char line[512];
	int64_t oom = res->how == PRONG_SIGNALED ? oom_count() : r->oom;
	last_line(&res->err, line, sizeof line);
	summary_add(r->summary, t->seq, builder_command(&r->b, t), res, oom > r->oom,
	            *line ? line : NULL);
	r->oom = oom;
}

static void print_output(struct run *r, struct task *t, const struct prong_result *res)
{
	struct output o = { .seq = t->seq, .tag = t->tag, .fd = { res->out.fd, res->err.fd },
		            .len = { res->out.len, res->err.len } };
	char *head = NULL;
	if (r->cfg->verbose_stdout && r->cfg->output != OUTPUT_LINE)
		o.head = head = xstrdup(builder_command(&r->b, t));
	if (r->progress)
		progress_hide(r->progress);
	check_sink(r, sink_done(r->sink, &o));
	free(head);
}

static void not_started(struct run *r, struct task *t, const struct prong_result *res)
{
	if (r->progress)
		progress_hide(r->progress);
	warn("job %llu: cannot start: %s: %s", (unsigned long long)t->seq,
	     prong_step_name(res->step), prong_strerror(res->status));
}

static void count(struct run *r, struct task *t, const struct prong_result *res)
{
	if (res->how == PRONG_CANCELLED && r->ended)
		return; /* our doing, not the job's */
	r->finished++;
	if (job_status(res) != 0 && !r->signal)
		note_failure(r, t, res);
	if (tally_add(&r->tally, res)) {
		if (r->cfg->halt.when == HALT_NOW)
			end_all(r);
		r->no_more = true;
	}
}

/* Direct exec failed: the shell gives the same failure its own words and status. */
static bool by_shell_instead(struct run *r, struct task *t, const struct prong_result *res)
{
	if (res->how != PRONG_NOTSTARTED || res->step != PRONG_STEP_EXEC || !r->b.direct ||
	    t->by_shell || r->ended)
		return false;
	t->by_shell = true;
	task_del(&r->running, t);
	t->id = builder_submit(&r->b, r->pool, t);
	if (t->id < 0)
		return false;
	task_add(&r->running, t);
	return true;
}

static void job_done(struct run *r, struct task *t, const struct prong_result *res)
{
	if (by_shell_instead(r, t, res))
		return;
	task_del(&r->running, t);
	t->tries++;
	check_room(r, &res->out);
	if (wants_retry(r, t, res)) {
		t->by_shell = false;
		free(t->tag);
		t->tag = NULL;
		task_push(&r->again, t);
		return;
	}
	if (r->cfg->timeout.percent && job_status(res) == 0)
		median_add(&r->times, timing_now() - t->started);
	if (res->how == PRONG_NOTSTARTED)
		not_started(r, t, res);
	if (r->log && res->pid) {
		if (!strcmp(r->cfg->joblog, "-"))
			check_sink(r, sink_flush(r->sink));
		int64_t received = res->out.fd >= 0 ? res->out.len : t->sent[0];
		int e = joblog_add(r->log, t->seq, builder_command(&r->b, t), res, 0, received);
		if (e < 0)
			fail(r, "--joblog: cannot write: the job log is incomplete");
	}
	print_output(r, t, res);
	count(r, t, res);
	task_free(t);
}

/* ---- signals ---- */

static void list_running(struct run *r)
{
	if (r->progress)
		progress_hide(r->progress);
	for (struct task *t = r->running.head; t; t = t->next)
		dprintf(STDERR_FILENO, "prong: running: job %llu: %s\n",
		        (unsigned long long)t->seq, builder_command(&r->b, t));
}

static struct progress_state state_of(const struct run *r)
{
	int64_t total = r->tally.total >= 0 ? r->tally.total : inputs_total(r->in);
	return (struct progress_state){ .done = r->finished, .failed = r->tally.failed,
		                        .started = r->seq, .total = total,
		                        .running = prong_running(r->pool),
		                        .now = timing_now() };
}

static void say_progress(struct run *r)
{
	struct progress_state s = state_of(r);
	if (r->progress)
		progress_hide(r->progress);
	dprintf(STDERR_FILENO, "prong: %llu done, %llu failed, %u running",
	        (unsigned long long)s.done, (unsigned long long)s.failed, s.running);
	if (s.total >= 0)
		dprintf(STDERR_FILENO, ", %lld in all", (long long)s.total);
	dprintf(STDERR_FILENO, "\n");
}

static void stop_and_go(struct run *r)
{
	if (r->progress)
		progress_hide(r->progress);
	prong_signal(r->pool, 0, SIGSTOP);
	r->host->stop(r->host->arg);
	prong_signal(r->pool, 0, SIGCONT);
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
		end_all(r);
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
	else
		watch_input(r, false);
}

/* ---- the loop ---- */

static void live_output(struct run *r, const struct prong_event *ev)
{
	struct task *t = ev->tag;
	t->sent[ev->stream - 1] += (int64_t)ev->len;
	if (r->progress)
		progress_hide(r->progress);
	check_sink(r, sink_data(r->sink, t->seq, t->tag, ev->stream, ev->data, ev->len));
}

static void handle(struct run *r, const struct prong_event *ev)
{
	if (ev->type == PRONG_DONE)
		job_done(r, ev->tag, ev->result);
	else if (ev->type == PRONG_OUTPUT)
		live_output(r, ev);
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
	if (now >= r->next_jobs_look && jobs_changed(r->cfg->jobs, &n))
		prong_resize(r->pool, (unsigned)n);
	r->next_jobs_look = now + 1;
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
	if (!r->progress && !r->cfg->timeout.percent && !file && r->cfg->delay <= 0)
		return -1;
	now = timing_now();
	sooner(&wait, check_times(r, now));
	if (file) {
		look_at_jobs_file(r, now);
		sooner(&wait, 1);
	}
	if (r->progress) {
		struct progress_state s = state_of(r);
		progress_update(r->progress, &s);
		sooner(&wait, progress_next(r->progress, now));
	}
	if (r->cfg->delay > 0 && !r->no_more && r->next_start > now)
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
		fill(r);
		if (over(r))
			return;
		check_sink(r, sink_flush(r->sink));
		int ms = clockwork(r);
		if (r->ended && (ms < 0 || ms > LOOK_MS)) /* the last ending gives no event */
			ms = LOOK_MS;
		int e = prong_wait(r->pool, &ev, ms);
		if (e == 1)
			handle(r, ev);
		else if (e < 0 && e != -ECHILD)
			fail(r, prong_strerror(e));
	}
}

/* --dry-run needs no pool: slots are dealt in turn. */
static void dry_run(struct run *r, unsigned jobs)
{
	struct task *t;
	for (;;) {
		while (!r->no_more && (t = next_task(r))) {
			t->slot = (unsigned)((t->seq - 1) % jobs) + 1;
			builder_prepare(&r->b, t);
			struct output o = { .seq = t->seq, .tag = t->tag,
				            .head = builder_command(&r->b, t),
				            .fd = { -1, -1 } };
			check_sink(r, sink_done(r->sink, &o));
			task_free(t);
		}
		const struct prong_event *ev;
		if (r->input_over || r->no_more)
			return;
		check_sink(r, sink_flush(r->sink));
		if (prong_wait(r->pool, &ev, -1) == 1)
			handle(r, ev);
	}
}

/* ---- setting up and ending ---- */

static int open_pool(struct run *r, unsigned jobs)
{
	const struct config *cfg = r->cfg;
	bool by_pipe = cfg->capture && !strcmp(cfg->capture, "pipe");
	struct prong_options o = {
		.size = sizeof o, .jobs = jobs, .tmpdir = cfg->tmpdir, .termseq = cfg->termseq,
		.sigmask = r->host->job_mask,
		.flags = PRONG_REAP_STRAYS | PRONG_NO_HANDLERS |
		         (by_pipe ? PRONG_CAPTURE_PIPE : 0u),
	};
	int e = prong_open(&r->pool, &o);
	if (e == 0 && r->host->signal_fd >= 0)
		e = prong_watch(r->pool, r->host->signal_fd, 1, (void *)(uintptr_t)&tag_signal);
	if (e == 0 && r->host->death_fd >= 0)
		e = prong_watch(r->pool, r->host->death_fd, 1, (void *)(uintptr_t)&tag_death);
	if (e != 0)
		warn("cannot begin: %s", prong_strerror(e));
	return e;
}

/* A reader that never reads must not keep us from heeding signals. */
static bool go_on(void *arg)
{
	struct run *r = arg;
	read_signals(r);
	return !r->ended;
}

/* Better said once, now, than by every job. */
static bool tmpdir_usable(const struct config *cfg)
{
	const char *env = getenv("TMPDIR");
	const char *dir = cfg->tmpdir ? cfg->tmpdir : env && *env ? env : "/tmp";
	if (cfg->output == OUTPUT_UNGROUP || cfg->dry_run || access(dir, W_OK | X_OK) == 0)
		return true;
	warn("cannot keep output in '%s' (%s); name a directory with --tmpdir", dir,
	     strerror(errno));
	return false;
}

static bool set_up(struct run *r, unsigned jobs)
{
	const struct config *cfg = r->cfg;
	r->tally = (struct tally){ .halt = cfg->halt, .total = inputs_total(r->in), .status = -1 };
	r->sink = sink_new(cfg, STDOUT_FILENO, STDERR_FILENO);
	r->summary = summary_new();
	r->progress = progress_new(cfg, STDERR_FILENO, r->host->pgrp);
	r->oom = oom_count();
	if (!r->sink || !tmpdir_usable(cfg) || builder_init(&r->b, cfg, r->host) != 0)
		return false;
	if (r->host->signal_fd >= 0) {
		struct sink_patience p = { r->host->signal_fd, go_on, r };
		sink_be_patient(r->sink, &p);
	}
	r->b.total = r->tally.total;
	if (cfg->joblog && !cfg->dry_run && !(r->log = joblog_open(cfg->joblog)))
		return false;
	return open_pool(r, jobs) == 0;
}

static void tear_down(struct run *r)
{
	struct task_list *lists[] = { &r->running, &r->again, &r->ready };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		for (struct task *t; (t = lists[i]->head); task_free(t))
			task_del(lists[i], t);
	prong_close(r->pool);
	if (r->log)
		joblog_close(r->log);
	if (r->sink)
		sink_free(r->sink);
	if (r->summary)
		summary_free(r->summary);
	builder_free(&r->b);
	median_free(&r->times);
}

static void last_words(struct run *r)
{
	bool wanted = r->cfg->summary == WHEN_ALWAYS ||
	              (r->cfg->summary == WHEN_AUTO && isatty(STDERR_FILENO));
	check_sink(r, sink_flush(r->sink));
	if (r->progress) {
		struct progress_state s = state_of(r);
		progress_end(r->progress, &s);
	}
	if (wanted && !r->signal)
		summary_print(r->summary, STDERR_FILENO, r->finished);
}

void run_all(const struct config *cfg, const struct host *host, struct inputs *in,
             struct outcome *out)
{
	struct run r = { .cfg = cfg, .host = host, .in = in };
	int jobs = jobs_count(cfg);
	*out = (struct outcome){ .status = 255 };
	if (jobs <= 0 || !set_up(&r, (unsigned)jobs)) {
		tear_down(&r);
		return;
	}
	if (cfg->dry_run)
		dry_run(&r, (unsigned)jobs);
	else
		loop(&r);
	last_words(&r);
	out->status = r.failure ? r.failure : tally_status(&r.tally);
	out->signal = r.signal;
	out->swept = r.ended;
	tear_down(&r);
}
