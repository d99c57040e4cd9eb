/* pipe-live.c - blocks that are longer than the window: never in memory, whatever their size.
 *
 * Only the end of such a block is looked at.  Its job is started as soon as the block is known
 * to be long, and what follows goes from pipe to pipe unseen; if the job is slower than the
 * input, through pipes of our own, and when these are full into an unlinked file. */
#include "pipe-impl.h"

#include "perl.h"

#include <errno.h>

/* May its job run while the block is still being read? */
static bool early(const struct config *cfg)
{
	return cfg->retries == 1 && cfg->timeout.n <= 0 && !cfg->dry_run && !cfg->cat &&
	       !cfg->fifo && cfg->memfree <= 0 && !perl_used(cfg->perl);
}

static int push(struct pipe *p, size_t n)
{
	const char *data = pipe_window(p);
	size_t len = n;
	if (p->cfg->rrs) {
		buf_clear(&p->strip);
		cutter_strip(p->cutter, data, n, &p->strip);
		data = p->strip.s;
		len = p->strip.len;
	}
	int e = load_push(p->live, p->dir, data, len);
	pipe_took(p, n);
	cutter_slide(p->cutter, n);
	return e;
}

void pipe_live(struct pipe *p, struct load *l)
{
	p->live = l;
	l->open = l->held = true;
	l->spares = &p->spares;
	p->front = p->block > PIPE_WINDOW && !cutter_counts(p->cutter) ? p->block - PIPE_EDGE : 0;
}

void pipe_live_begin(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	struct load *l = load_new();
	pipe_head(p, l);
	pipe_live(p, l);
	p->waiting = pipe_task(r, l);
	if (early(r->cfg)) {
		*t = p->waiting;
		p->waiting = NULL;
	}
}

/* The block ends with the first n bytes of the window. */
static void live_end(struct run *r, size_t n, struct task **t)
{
	struct pipe *p = r->pipe;
	struct load *l = p->live;
	if (p->streaming) {
		push(p, n);
		cutter_cut(p->cutter, 0);
		p->live = NULL;
		return;
	}
	p->live = NULL;
	pipe_give(p, &l->tail, n);
	cutter_cut(p->cutter, n);
	l->open = false;
	*t = p->waiting;
	p->waiting = NULL;
	l->held = false;
	if (l->jobless)
		load_free(l);
	else
		load_feed(l);
}

/* Bytes long before the border. */
static int live_front(struct run *r)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	size_t left = p->front < PIPE_WINDOW ? (size_t)p->front : PIPE_WINDOW;
	if (!pipe_have(p) && d->fifo && cutter_local(p->cutter)) {
		int64_t n = load_splice(p->live, p->dir, d->fd, left, !prong_room(r->pool));
		if (n == -ENOBUFS)
			return -EBUSY;
		d->eof |= n == 0;
		p->front -= n > 0 ? n : p->front * (n == 0);
		return n < 0 ? (int)n : 1;
	}
	int e = pipe_have(p) && cutter_local(p->cutter) ? 1 : pipe_read(p, PIPE_EDGE);
	if (e < 0)
		return e;
	size_t n = pipe_have(p);
	if (!cutter_local(p->cutter)) {
		cutter_scan(p->cutter, pipe_window(p), n, d->eof);
		n = n < PIPE_EDGE && !d->eof ? 0 : cutter_done_with(p->cutter);
	}
	n = n < left ? n : left;
	if (!n) /* it would have to be all, or more must come */
		n = pipe_have(p) >= PIPE_EDGE || d->eof ? pipe_have(p) / 2 : 0;
	p->front = d->eof ? 0 : p->front - (int64_t)n;
	return d->eof || !n ? 1 : push(p, n) == 0 ? 1 : -ENOSPC;
}

/* 1: go on, else -errno; p->live is NULL when the block is complete. */
static int live_step(struct run *r, struct task **t)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	if (p->front > 0)
		return live_front(r);
	if (load_pending(p->live) > 2 * PIPE_WINDOW && p->live->wfd >= 0 && p->slide)
		return -EBUSY; /* it is longer than it should be: keep it out of the file */
	int e = pipe_read(p, PIPE_EDGE);
	if (e < 0)
		return e;
	size_t have = pipe_have(p), cut = 0;
	if (have && (d->eof || have >= PIPE_EDGE || cutter_counts(p->cutter)))
		cut = cutter_scan(p->cutter, pipe_window(p), have, d->eof);
	if (d->eof && !(cut && cutter_counts(p->cutter)))
		cut = have;
	if (cut || d->eof) {
		live_end(r, cut, t);
	} else if (have >= PIPE_EDGE) {
		size_t n = cutter_done_with(p->cutter);
		p->slide = true;
		return push(p, n > have / 2 ? n : have / 2) == 0 ? 1 : -ENOSPC;
	}
	if (!p->live)
		p->slide = false;
	return 1;
}

/* Go on with the block that is under way: 1 when there is none any more. */
int pipe_live_on(struct run *r, struct task **t)
{
	int e = 1;
	while (e == 1 && r->pipe->live)
		e = live_step(r, t);
	if (e == -ENOSPC || e == -EDQUOT || e == -EFBIG) {
		run_fail(r, "no room left for a long block where temporary files are kept; free some,"
		            " or name another place with --tmpdir");
		return -ECANCELED;
	}
	return e;
}
