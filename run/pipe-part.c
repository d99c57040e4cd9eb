/* pipe-part.c - blocks of a seekable file: only the bytes around a border are read, the jobs
 * get ranges. */
#include "pipe-impl.h"

#include "copy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK = 64 << 10 };

bool pipe_by_range(const struct pipe *p)
{
	const struct config *cfg = p->cfg;
	const struct data *d = &p->v[p->cur];
	if (!d->regular || cfg->rrs || cfg->no_run_if_empty || p->streaming)
		return false;
	return cfg->pipe_part ? !cfg->csv : cutter_local(p->cutter);
}

int64_t pipe_part_block(const struct pipe *p, unsigned jobs)
{
	const struct data *d = &p->v[p->cur];
	double per = p->cfg->block < 0 ? -p->cfg->block : 10;
	int64_t size = d->end - d->at + (int64_t)pipe_have(p);
	if (p->cfg->block > 0)
		return (int64_t)p->cfg->block;
	return (int64_t)((double)size / (per * jobs)) + 1; /* as GNU parallel cuts it */
}

/* The file may have been appended to. */
static void look_at_end(struct data *d)
{
	struct stat st;
	if (fstat(d->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > d->end)
		d->end = st.st_size;
}

static int fetch(struct pipe *p, int64_t at, size_t n)
{
	struct data *d = pipe_data(p);
	buf_clear(&p->strip);
	buf_reserve(&p->strip, n);
	int e = pread_full(d->fd, p->strip.s, n, at);
	if (e == 0)
		p->strip.len = n;
	return e;
}

/* The last record end in [from, to), the end of the file is not there; 0: none. */
static int last_within(struct pipe *p, int64_t from, int64_t to, int64_t *cut)
{
	size_t look = LOOK;
	*cut = 0;
	for (;;) {
		bool whole = to - from <= (int64_t)look;
		int64_t at = whole ? from : to - (int64_t)look;
		int e = fetch(p, at, (size_t)(to - at));
		if (e != 0)
			return e;
		cutter_cut(p->cutter, SIZE_MAX);
		size_t end = cutter_scan(p->cutter, p->strip.s, p->strip.len, false);
		cutter_cut(p->cutter, SIZE_MAX);
		if (end || whole) {
			*cut = end ? at + (int64_t)end : 0;
			return 0;
		}
		look *= 4;
	}
}

/* As pipe_next() cuts what it cannot seek in: the last record end in the last window before
 * the border, else in the first window after it that has one. */
static int cut_block(struct run *r, int64_t from, int64_t *to)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	int64_t border = from + p->block, begin = border, cut = 0;
	while (border <= d->end) {
		if (begin == border)
			begin = p->block > PIPE_WINDOW ? border - PIPE_EDGE : from;
		int e = last_within(p, begin, border, &cut);
		if (e != 0 || cut) {
			*to = cut;
			return e;
		}
		if (p->block <= PIPE_WINDOW) {
			pipe_grow(r);
			begin = border = from + p->block;
		} else {
			begin = border - cutter_overlap(p->cutter);
			border = begin + PIPE_EDGE;
		}
	}
	*to = d->end;
	return 0;
}

/* --pipe-part: the first record end behind the border. */
static int cut_part(struct pipe *p, int64_t from, int64_t *to)
{
	struct data *d = pipe_data(p);
	int64_t border = from + p->block;
	/* a record's start is not looked for in the window's first byte */
	for (size_t look = LOOK; border < d->end; look *= 4) {
		int64_t begin = border - 1;
		bool final = d->end - begin <= (int64_t)look;
		int e = fetch(p, begin, final ? (size_t)(d->end - begin) : look);
		if (e != 0)
			return e;
		size_t end = cutter_first(p->cutter, p->strip.s, p->strip.len, !p->cfg->group_by, final);
		if (end || final) {
			*to = end ? begin + (int64_t)end : d->end;
			return 0;
		}
		if (look > (size_t)PIPE_WINDOW * 64) {
			border += (int64_t)look - LOOK;
			look = LOOK;
		}
	}
	*to = d->end;
	return 0;
}

int pipe_range(struct run *r, int64_t *from, int64_t *to)
{
	struct pipe *p = r->pipe;
	struct data *d = pipe_data(p);
	d->at -= (int64_t)pipe_have(p); /* what the header left in the window */
	pipe_took(p, pipe_have(p));
	*from = *to = d->at;
	if (d->at + p->block >= d->end)
		look_at_end(d);
	if (d->at >= d->end)
		return 0;
	int e = p->cfg->pipe_part ? cut_part(p, *from, to) : cut_block(r, *from, to);
	if (e == -ENODATA)
		*to = d->end, e = 0;
	if (e == 0)
		d->at = *to;
	return e;
}
