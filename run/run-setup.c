/* run-setup.c - opens and closes everything that a run has. */
#include "run-impl.h"

#include "dirs.h"
#include "pipe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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
	if (e == 0)
		e = run_watch_host(r);
	if (e == -EINVAL && cfg->termseq)
		warn("--termseq: '%s' is not understood; write SIGNAL,MILLISECONDS,...: TERM,200,KILL,25",
		     cfg->termseq);
	else if (e != 0)
		warn("cannot begin: %s", prong_strerror(e));
	return e;
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
	struct sink_patience p = { r->host->signal_fd, run_go_on, r };
	if (cfg->sql)
		r->db = database_url(cfg->sql, cfg->sql_master, names, &p);
	else if (results)
		r->db = database_results(cfg, names, &p);
	return r->db || (!cfg->sql && !results);
}

/* What the tasks are made of. */
static bool open_input(struct run *r, unsigned jobs)
{
	const struct config *cfg = r->cfg;
	if (builder_init(&r->b, cfg, r->host, inputs_header(r->in)) != 0)
		return false;
	r->b.slots = jobs;
	r->pack = pack_new(cfg, r->in, r->b.command, jobs);
	r->b.total = r->tally.total = pack_total(r->pack);
	if (!pipe_wanted(cfg))
		return true;
	r->b.total = r->tally.total = -1;
	r->pipe = pipe_new(r);
	return r->pipe != NULL;
}

static void settle_total(struct run *r)
{
	const struct config *cfg = r->cfg;
	bool shown = (cfg->bar || cfg->eta) && !cfg->total_jobs;
	if (cfg->total_jobs)
		r->b.total = cfg->total_jobs; /* nothing has to be read to know it */
	if (cfg->resume == RESUME_MISSING || cfg->resume == RESUME_FAILED)
		r->tally.total = -1; /* what was done before does not count */
	r->wants_total = r->tally.total < 0 &&
	                 (shown || (cfg->halt.when && cfg->halt.limit.percent)) &&
	                 (!r->pipe || pipe_knows_total(r->pipe));
}

/* Where output goes beside standard output; nowhere under --dry-run. */
static bool open_outputs(struct run *r)
{
	const struct config *cfg = r->cfg;
	const struct names *names = inputs_header(r->in);
	if (results_kind(cfg) == RESULTS_FILES && !(r->results = results_new(cfg, names)))
		return false;
	if (cfg->latest)
		r->latest = latest_new(cfg, STDOUT_FILENO);
	if (!open_database(r))
		return false;
	if (cfg->ntemplates && !(r->fill = fill_new(cfg, names)))
		return false;
	if (cfg->joblog)
		r->log = joblog_open(cfg->joblog, cfg->resume != RESUME_NO);
	return r->log || !cfg->joblog;
}

bool run_set_up(struct run *r, unsigned jobs)
{
	const struct config *cfg = r->cfg;
	r->tally = (struct tally){ .halt = cfg->halt, .total = -1, .status = -1 };
	if (!open_sink(r))
		return false;
	r->summary = summary_new();
	r->progress = progress_new(cfg, STDERR_FILENO, r->host->pgrp);
	r->oom = oom_count();
	r->delay = cfg->delay;
	if (gate_init(r) != 0 || !r->sink || !tmpdir_usable(cfg))
		return false;
	if (r->host->signal_fd >= 0) {
		struct sink_patience p = { r->host->signal_fd, run_go_on, r };
		sink_be_patient(r->sink, &p);
	}
	if (!open_input(r, jobs))
		return false;
	settle_total(r);
	if (cfg->compress && cfg->output != OUTPUT_LINE && !cfg->dry_run && !open_squeezer(r, jobs))
		return false;
	/* The pool first: the others may wait, and heed signals, which end its jobs. */
	return open_pool(r, jobs) == 0 && (cfg->dry_run || open_outputs(r));
}

void run_tear_down(struct run *r)
{
	struct task_list *lists[] = { &r->running, &r->again, &r->ready };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		for (struct task *t; (t = lists[i]->head); feed_give_up(r, t)) {
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
