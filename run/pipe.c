/* pipe.c - cuts the input into blocks, one for each job.
 *
 * What fits into the window (1 MiB) is cut there and given to a job whole; longer ones are
 * dealt with in pipe-live.c. */
#include "pipe-impl.h"

#include "dirs.h"
#include "regex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_DEFAULT = 1 << 20 };

/* ---- setting up ---- */

static bool streams(const struct config *cfg)
{
	return cfg->round_robin || cfg->bin || cfg->shard || cfg->tee;
}

bool pipe_wanted(const struct config *cfg)
{
	return cfg->pipe;
}

bool pipe_uses_stdin(const struct config *cfg)
{
	bool other = false;
	for (size_t i = 0; i < cfg->ninputs; i++) {
		if (cfg->inputs[i].kind == INPUT_FILE && !strcmp(cfg->inputs[i].path, "-"))
			return true;
		other |= cfg->inputs[i].kind == INPUT_FILE;
	}
	return !other && !cfg->pipe_part;
}

static const char *misfit(const struct config *cfg)
{
	int kinds = cfg->round_robin + cfg->tee + (cfg->bin != NULL) + (cfg->shard != NULL);
	if (!cfg->ncommand)
		return "--pipe needs a command that reads the blocks";
	if (cfg->cat && cfg->fifo)
		return "--cat and --fifo do not go together: the data is in one file";
	if (cfg->pipe_part && (cfg->max_args >= 0 || cfg->max_lines >= 0))
		return "--pipe-part does not count records: use --pipe with -N or -L, or"
		       " --recend with --block";
	if (cfg->block < 0 && !cfg->pipe_part)
		return "--block: only --pipe-part knows the size beforehand; write a size,"
		       " or use --pipe-part -a FILE";
	if (kinds > 1)
		return "only one of --round-robin, --bin, --shard and --tee can be used";
	if (kinds && (cfg->cat || cfg->fifo))
		return "--cat and --fifo do not go with --round-robin, --bin, --shard and --tee";
	if (kinds && cfg->retries != 1)
		return "--retries does not go with --round-robin, --bin, --shard and --tee:"
		       " their input cannot be given twice";
	return NULL;
}

int pipe_check(const struct config *cfg)
{
	const char *why = misfit(cfg);
	if (why)
		warn("%s", why);
	return why ? -1 : 0;
}

int pipe_inputs(struct inputs **in, const struct config *cfg)
{
	static struct config args;
	args = *cfg;
	args.header = args.csv = args.skip_first = args.no_run_if_empty = false;
	args.colsep = args.eof_str = NULL;
	args.ninputs = 0;
	args.inputs = xrealloc(NULL, (cfg->ninputs + 1) * sizeof *args.inputs);
	for (size_t i = 0; i < cfg->ninputs; i++)
		if (cfg->inputs[i].kind == INPUT_ARGS)
			args.inputs[args.ninputs++] = cfg->inputs[i];
	if (!args.ninputs)
		args.inputs[args.ninputs++] = (struct input_spec){ .kind = INPUT_ARGS };
	return inputs_open(in, &args);
}

static bool set_up(struct pipe *p)
{
	const struct config *cfg = p->cfg;
	if (pipe_open_data(p) != 0)
		return false;
	const char *h = cfg->header_is;
	if (h && strcmp(h, ":") != 0 && h[strspn(h, "0123456789")] &&
	    !(p->header_re = regex_lines(h, "--header")))
		return false;
	return (cfg->group_by && !p->streaming) || (p->cutter = cutter_new(cfg, &p->header));
}

/* How many jobs --tee has. */
static int64_t rows(const struct inputs *in)
{
	int64_t n = inputs_total(in);
	return n < 1 ? 1 : n;
}

int pipe_jobs(const struct config *cfg, const struct inputs *in, int jobs)
{
	int64_t n = cfg->tee ? rows(in) : 0;
	if (n <= jobs || cfg->dry_run)
		return jobs;
	if (!cfg->jobs)
		return (int)n;
	warn("--tee: all %lld jobs must run at once, but -j allows %d; write -j%lld",
	     (long long)n, jobs, (long long)n);
	return 0;
}

struct pipe *pipe_new(struct run *r)
{
	struct pipe *p = memset(xrealloc(NULL, sizeof *p), 0, sizeof *p);
	p->cfg = r->cfg;
	p->inotify = -1;
	p->dir = tmpdir_of(r->cfg);
	p->streaming = streams(r->cfg);
	p->block = r->cfg->block > 0 ? (int64_t)r->cfg->block : BLOCK_DEFAULT;
	buf_clear(&p->win);
	p->rows = (size_t)rows(r->in);
	if (set_up(p))
		return p;
	pipe_free(p);
	return NULL;
}

void pipe_free(struct pipe *p)
{
	if (!p)
		return;
	if (p->live && !p->streaming) {
		p->live->held = false;
		if (p->live->jobless || p->waiting)
			load_free(p->live);
		if (p->waiting)
			p->waiting->load = NULL;
	}
	if (p->waiting)
		task_free(p->waiting);
	for (size_t i = 0; i < p->nloads; i++)
		load_free(p->loads[i]);
	spares_free(&p->spares);
	pipe_close_data(p);
	cutter_free(p->cutter);
	regex_free(p->header_re);
	key_free(p->key);
	buf_free(&p->header);
	buf_free(&p->win);
	buf_free(&p->strip);
	if (p->inotify >= 0)
		close(p->inotify);
	free(p->loads);
	free(p);
}

int pipe_fd(const struct pipe *p)
{
	return p->cur < p->n ? p->v[p->cur].fd : -1;
}

const char *pipe_name(const struct pipe *p)
{
	return p->v[p->cur < p->n ? p->cur : p->n - 1].name;
}

bool pipe_knows_total(const struct pipe *p)
{
	return p->cutter && p->cur < p->n && pipe_by_range(p);
}

/* ---- one block ---- */

void pipe_head(struct pipe *p, struct load *l)
{
	buf_add(&l->head, p->header.s, p->header.len);
}

bool pipe_values(struct run *r, struct args *a)
{
	static char nothing[] = "", *none[] = { nothing };
	bool any = inputs_next(r->in, a) == 1;
	if (!any)
		*a = (struct args){ .v = none, .n = r->cfg->cat || r->cfg->fifo };
	return any;
}

struct task *pipe_task(struct run *r, struct load *l)
{
	struct args a;
	pipe_values(r, &a);
	struct task *t = task_new(&a, ++r->seq);
	t->load = l;
	return t;
}

/* The first n bytes of the window belong to `to`: large pieces go with the buffer. */
void pipe_give(struct pipe *p, struct buf *to, size_t n)
{
	size_t have = pipe_have(p);
	if (p->cfg->rrs) {
		cutter_strip(p->cutter, pipe_window(p), n, to);
	} else if (!to->len && !p->at && n > 4096 && n > have / 2) {
		struct buf rest = { 0 };
		buf_clear(&rest);
		buf_add(&rest, p->win.s + n, have - n);
		buf_free(to);
		*to = p->win;
		to->len = n;
		p->win = rest;
		p->since = 0;
		return;
	} else {
		buf_add(to, pipe_window(p), n);
	}
	pipe_took(p, n);
}

static bool blank(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\r\n\v\f", s[i]) || !s[i])
			return false;
	return true;
}

/* With --rrs nothing may be left: no job then, as under GNU parallel. */
static bool only_separators(struct pipe *p, size_t n)
{
	if (!p->cfg->rrs)
		return false;
	buf_clear(&p->strip);
	cutter_strip(p->cutter, pipe_window(p), n, &p->strip);
	return p->strip.len == 0;
}

/* The window's first n bytes are a block; *t stays NULL if it is skipped. */
static void take_block(struct run *r, size_t n, struct task **t)
{
	struct pipe *p = r->pipe;
	if ((r->cfg->no_run_if_empty && blank(pipe_window(p), n)) || only_separators(p, n)) {
		pipe_took(p, n);
	} else {
		struct load *l = load_new();
		pipe_head(p, l);
		pipe_give(p, &l->head, n);
		*t = pipe_task(r, l);
	}
	cutter_cut(p->cutter, n);
}

void pipe_grow(struct run *r)
{
	struct pipe *p = r->pipe;
	int64_t was = p->block;
	p->block = was * 13 / 10 + 1;
	if (p->grown)
		return;
	p->grown = true;
	run_make_way(r);
	warn("a record is longer than --block %lld: using more; a larger --block is faster",
	     (long long)was);
}

/* Is the time for this block over? */
static bool late(struct pipe *p)
{
	if (p->cfg->block_timeout <= 0 || !pipe_have(p))
		return false;
	if (p->since <= 0)
		p->since = timing_now();
	return timing_now() - p->since >= p->cfg->block_timeout;
}

double pipe_wait(const struct pipe *p, double now)
{
	double left = p->since + p->cfg->block_timeout - now;
	return p->cfg->block_timeout <= 0 || p->since <= 0 ? -1 : left > 0.01 ? left : 0.01;
}

/* ---- the next job ---- */

/* Where the block at the window's beginning ends. 1; 0: the file is over; PIPE_LONG: not in the
 * window; -errno. */
int pipe_find(struct run *r, size_t *end)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	bool counts = cutter_counts(p->cutter);
	for (;;) {
		bool large = !counts && p->block > PIPE_WINDOW;
		size_t limit = counts ? PIPE_WINDOW : large ? PIPE_EDGE : (size_t)p->block;
		size_t have = pipe_have(p), cut = 0;
		bool over = d->eof && (counts || have <= limit); /* else more is there: behind a header */
		if (!counts && have > limit)
			have = limit;
		if (have && (counts || over || (have >= limit && !large)))
			cut = cutter_scan(p->cutter, pipe_window(p), have, over);
		if (over && !have)
			return 0;
		if (over && !(cut && (counts || cutter_whole(p->cutter))))
			cut = have;
		else if (!cut && late(p))
			cut = cutter_late(p->cutter, pipe_window(p), have);
		*end = cut;
		if (cut)
			return 1;
		if (have >= limit && (counts || large))
			return PIPE_LONG;
		if (have >= limit) {
			pipe_grow(r);
			continue;
		}
		int e = pipe_read(p, limit);
		if (e < 0)
			return e;
	}
}

/* 1: a block (or one was skipped), 0: the file is over, -errno. */
static int next_block(struct run *r, struct task **t)
{
	size_t end;
	int e = pipe_find(r, &end);
	if (e > 0 && cutter_failed(r->pipe->cutter))
		return -ECANCELED;
	if (e == 1)
		take_block(r, end, t);
	else if (e == PIPE_LONG)
		pipe_live_begin(r, t);
	return e < 0 ? e : e > 0;
}

static int next_range(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	int64_t from, to;
	int e = pipe_range(r, &from, &to);
	if (cutter_failed(p->cutter))
		return -ECANCELED;
	if (e != 0 || from == to)
		return e;
	struct load *l = load_new();
	pipe_head(p, l);
	l->fd = d->fd;
	l->from = from;
	l->len = to - from;
	*t = pipe_task(r, l);
	return 1;
}

int pipe_begin_data(struct run *r)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	int e = pipe_read_header(p);
	if (e == 1 && r->cfg->pipe_part && !d->sized) {
		d->sized = true;
		p->block = pipe_part_block(p, r->b.slots);
	}
	if (e == 1 && !p->cutter && !(p->cutter = cutter_new(r->cfg, &p->header)))
		return -ECANCELED;
	return e;
}

int pipe_next(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	*t = NULL;
	if (p->streaming)
		return pipe_stream_next(r, t);
	for (;;) {
		int e = pipe_live_on(r, t);
		if (e != 1 || *t)
			return e;
		if (!pipe_data(p))
			return 0;
		e = pipe_begin_data(r);
		if (e == 1)
			e = pipe_by_range(p) ? next_range(r, t) : next_block(r, t);
		if (e != 0 && (e != 1 || *t || !p->live))
			return e;
		if (e == 0)
			pipe_next_data(p);
	}
}

/* While every slot is taken: have the next block at hand when one is free. */
static int read_ahead(struct run *r)
{
	struct pipe *p = r->pipe;
	const struct data *d = pipe_data(p);
	size_t most = p->block < PIPE_EDGE ? (size_t)p->block : PIPE_EDGE;
	int e = 1;
	if (r->no_more || !d || d->regular || !p->header_done || prong_room(r->pool))
		return -EBUSY;
	while (e == 1 && !d->eof && pipe_have(p) < most)
		e = pipe_read(p, most);
	return e == -EAGAIN ? e : -EBUSY; /* an error comes again when it is due */
}

void pipe_turn(struct run *r)
{
	struct pipe *p = r->pipe;
	struct task *t = NULL;
	int e = -EBUSY;
	if (p->streaming)
		e = pipe_stream_turn(r);
	else if (p->live && !p->waiting)
		e = pipe_live_on(r, &t);
	else if (!p->live)
		e = read_ahead(r);
	if (e == -EAGAIN)
		run_watch_input(r, true);
	if (e >= 0 || e == -EAGAIN || e == -EBUSY)
		return;
	if (e != -ECANCELED)
		warn("%s: %s", pipe_name(p), prong_strerror(e));
	run_fail(r, NULL);
}

/* ---- one job ---- */

int pipe_start(struct run *r, struct task *t)
{
	if (!t->load)
		return 0;
	if (r->cfg->cat || r->cfg->fifo)
		return pipe_file_fill(r, t);
	int e = load_attach(t->load, r->pool);
	t->in = (struct prong_stdio){ .how = PRONG_FD, .fd = t->load->rfd };
	return e;
}

void pipe_started(struct task *t)
{
	if (t->load)
		load_started(t->load);
}

bool pipe_again(struct task *t)
{
	return !t->load || load_rewind(t->load);
}

void pipe_check_end(struct run *r, struct task *t)
{
	if (!t->load || !t->load->error || r->failure)
		return;
	run_make_way(r);
	warn("job %llu got only a part of its input: %s", (unsigned long long)t->seq,
	     t->load->error);
	run_fail(r, NULL);
}

void pipe_ready(struct run *r, void *tag)
{
	if (!pipe_fifo_opened(r, tag))
		load_feed(tag);
}

int64_t pipe_sent(const struct task *t)
{
	return t->load ? load_size(t->load) : 0;
}
