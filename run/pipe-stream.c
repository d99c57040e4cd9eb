/* pipe-stream.c - jobs that run from the first byte to the last: --round-robin, --bin,
 * --shard, --tee.  A job that is slow holds the reading up, so that memory stays bounded. */
#include "pipe-impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HIGH = 2 << 20 }; /* so much may wait for one job of --bin or --shard */

/* ---- the jobs ---- */

static struct task *new_job(struct run *r, const struct args *a)
{
	struct pipe *p = r->pipe;
	struct load *l = load_new();
	l->open = l->held = l->spent = true;
	p->loads = xrealloc(p->loads, (p->nloads + 1) * sizeof *p->loads);
	p->loads[p->nloads++] = l;
	if (r->cfg->round_robin)
		pipe_head(p, l);
	struct task *t = task_new(a, ++r->seq);
	t->load = l;
	return t;
}

static struct task *next_job(struct run *r)
{
	struct args a;
	pipe_values(r, &a);
	return new_job(r, &a);
}

static bool alive(const struct load *l)
{
	return !l->dead;
}

static bool any_alive(const struct pipe *p)
{
	bool any = !p->nloads;
	for (size_t i = 0; i < p->nloads; i++)
		any |= alive(p->loads[i]);
	return any;
}

/* Nothing more comes. */
static void stop(struct pipe *p)
{
	p->stopped = true;
	for (size_t i = 0; i < p->nloads; i++)
		if (alive(p->loads[i])) {
			p->loads[i]->open = false;
			load_feed(p->loads[i]);
		}
}

static void append(struct load *l, const char *s, size_t n)
{
	if (!alive(l))
		return;
	if (l->head_at == l->head.len) {
		buf_clear(&l->head);
		l->head_at = 0;
	} else if (l->head_at > HIGH) {
		memmove(l->head.s, l->head.s + l->head_at, l->head.len - l->head_at);
		l->head.len -= l->head_at;
		l->head_at = 0;
	}
	buf_add(&l->head, s, n);
}

static void feed_all(struct pipe *p)
{
	for (size_t i = 0; i < p->nloads; i++)
		if (alive(p->loads[i]) && load_pending(p->loads[i]))
			load_feed(p->loads[i]);
}

static bool backed_up(const struct pipe *p, int64_t most)
{
	for (size_t i = 0; i < p->nloads; i++)
		if (alive(p->loads[i]) && load_pending(p->loads[i]) > most)
			return true;
	return false;
}

/* ---- --round-robin ---- */

/* Who gets the next block: with -k strictly in turn, else who is waiting for one. */
static struct load *idle(struct pipe *p)
{
	for (size_t i = 0; i < p->nloads; i++) {
		size_t at = (p->turn + i) % p->nloads;
		struct load *l = p->loads[at];
		if (!alive(l))
			continue;
		if (!load_pending(l)) {
			p->turn = (at + 1) % p->nloads;
			return l;
		}
		if (p->cfg->keep_order)
			return NULL;
	}
	return NULL;
}

static int round_robin(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	struct load *l = NULL;
	size_t end;
	bool more = t && p->nloads < r->b.slots;
	if (!t && p->nloads < r->b.slots && prong_room(r->pool))
		return -EBUSY; /* the next block begins a job */
	if (!more && !(l = idle(p)))
		return -EBUSY;
	int e = pipe_find(r, &end);
	if (e != 1 && e != PIPE_LONG)
		return e;
	if (more) {
		*t = next_job(r);
		l = (*t)->load;
	}
	if (e == PIPE_LONG) {
		pipe_live(p, l);
		return 1;
	}
	if (l->head_at == l->head.len) {
		buf_clear(&l->head);
		l->head_at = 0;
	}
	pipe_give(p, &l->head, end);
	cutter_cut(p->cutter, end);
	load_feed(l);
	return 1;
}

/* ---- --bin and --shard ---- */

static size_t hash(const char *s, size_t n)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static struct load *place(struct pipe *p, const char *line, size_t len, size_t have)
{
	const char *v;
	char number[24] = "";
	size_t n, slots = p->nloads;
	key_get(p->key, line, len, have, &v, &n);
	if (p->cfg->shard)
		return p->loads[hash(v, n) % slots];
	memcpy(number, v, n < sizeof number - 1 ? n : sizeof number - 1);
	long long slot = (strtoll(number, NULL, 10) - 1) % (long long)slots;
	return p->loads[slot < 0 ? slot + (long long)slots : slot];
}

static int long_line(struct pipe *p, size_t n, bool whole)
{
	int e = load_push(p->line, p->dir, pipe_window(p), n);
	pipe_took(p, n);
	if (whole)
		p->line = NULL;
	return e == 0 ? 1 : -ENOSPC;
}

/* 1: a line was dealt with; 0: none is complete. */
static int one_line(struct pipe *p, bool final)
{
	char *s = pipe_window(p);
	size_t have = pipe_have(p);
	char *nl = have ? memchr(s, '\n', have) : NULL;
	size_t n = nl ? (size_t)(nl - s) + 1 : have;
	if (p->line && have)
		return long_line(p, n, nl != NULL);
	if (!have || (!nl && !final && have < PIPE_WINDOW))
		return 0;
	struct load *l = place(p, s, n - (nl != NULL), have);
	if (!nl && !final)
		p->line = l;
	append(l, s, n);
	if (!nl && !final)
		load_feed(l);
	pipe_took(p, n);
	return 1;
}

static int by_key(struct run *r)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	int e = 1;
	if (backed_up(p, HIGH))
		return -EBUSY;
	e = pipe_read(p, PIPE_WINDOW);
	if (e < 0)
		return e;
	while ((e = one_line(p, d->eof)) == 1)
		;
	feed_all(p);
	if (key_failed(p->key))
		return -ECANCELED;
	return e < 0 ? e : d->eof ? 0 : 1;
}

/* ---- --tee ---- */

static int to_all(struct run *r)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	if (backed_up(p, 0))
		return -EBUSY;
	int e = pipe_read(p, PIPE_WINDOW / 4);
	if (e < 0)
		return e;
	for (size_t i = 0; i < p->nloads; i++)
		append(p->loads[i], pipe_window(p), pipe_have(p));
	pipe_took(p, pipe_have(p));
	feed_all(p);
	return d->eof ? 0 : 1;
}

/* All jobs read the same file, each at its own pace. */
static void whole_file(struct pipe *p, struct load *l)
{
	const struct data *d = &p->v[0];
	l->fd = d->fd;
	l->from = d->at;
	l->len = d->end - d->at;
	l->open = false;
}

/* ---- both ---- */

static int step(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	struct task *none = NULL;
	if (p->live) {
		int e = pipe_live_on(r, &none);
		if (e != 1)
			return e;
	}
	if (!pipe_data(p))
		return 0;
	int e = r->cfg->tee ? 1 : pipe_begin_data(r);
	if (e == 1)
		e = r->cfg->tee           ? to_all(r)
		    : r->cfg->round_robin ? round_robin(r, t)
		                          : by_key(r);
	if (e == 0) {
		pipe_next_data(p);
		return 1;
	}
	return e;
}

static int go_on(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	int e = 1;
	if (p->stopped)
		return 0;
	while (e == 1 && !(t && *t) && !r->no_more && any_alive(p))
		e = step(r, t);
	if (e == 0 || r->no_more || !any_alive(p)) {
		stop(p);
		e = t && *t ? 1 : 0;
	}
	if (e == -ENOSPC) {
		run_fail(r, "no room left for a long line where temporary files are kept; free some,"
		            " or name another place with --tmpdir");
		return -ECANCELED;
	}
	return e;
}

/* --tee: a job for each row of values, one if there are none. */
static void tee_job(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	struct args a;
	pipe_values(r, &a);
	*t = new_job(r, &a);
	if (p->n == 1 && p->v[0].regular)
		whole_file(p, (*t)->load);
}

/* All jobs are there from the start, whether there is anything for them or not. */
static int make_jobs(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	if (r->cfg->round_robin || p->complete)
		return 0;
	if (!r->cfg->tee && !p->key) {
		int e = pipe_begin_data(r);
		if (e != 1)
			return e;
		const char *what = r->cfg->bin ? "--bin" : "--shard";
		p->key = key_new(r->cfg, what, r->cfg->bin ? r->cfg->bin : r->cfg->shard, &p->header);
		if (!p->key)
			return -ECANCELED;
	}
	if (r->cfg->tee)
		tee_job(r, t);
	else
		*t = next_job(r);
	p->complete = p->nloads >= (r->cfg->tee ? p->rows : r->b.slots);
	return 1;
}

int pipe_stream_next(struct run *r, struct task **t)
{
	int e = make_jobs(r, t);
	if (e != 0)
		return e;
	return go_on(r, r->cfg->round_robin ? t : NULL);
}

int pipe_stream_turn(struct run *r)
{
	struct pipe *p = r->pipe;
	bool some = r->cfg->round_robin ? p->nloads > 0 : p->complete;
	if (r->no_more && !p->stopped)
		stop(p);
	if (!some || p->stopped)
		return -EBUSY;
	int e = go_on(r, NULL);
	return e == 0 ? -EBUSY : e;
}
