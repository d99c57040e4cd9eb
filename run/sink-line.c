/* sink-line.c - line mode: whole lines of running jobs, unfinished ones kept.
 *
 * Owns what is known of running jobs.  An unfinished line stays in memory up to PART_MAX
 * bytes; what is longer goes to the spool, so that memory does not depend on line length. */
#include "sink-impl.h"

#include <stdlib.h>
#include <string.h>

enum { PART_MAX = 16 << 10, PART_KEEP = 4 << 10 };

struct live *live_find(const struct sink *s, uint64_t seq)
{
	struct live *l = s->live[seq % BUCKETS];
	while (l && l->seq != seq)
		l = l->next;
	return l;
}

static struct live *live_new(struct sink *s, uint64_t seq)
{
	struct live *l = xrealloc(NULL, sizeof *l);
	memset(l, 0, sizeof *l);
	l->seq = seq;
	l->held = l->part[0].spilled = l->part[1].spilled = CHAIN_EMPTY;
	l->next = s->live[seq % BUCKETS];
	s->live[seq % BUCKETS] = l;
	return l;
}

void live_free(struct sink *s, struct live *l)
{
	struct live **p = &s->live[l->seq % BUCKETS];
	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
	buf_free(&l->part[0].mem);
	buf_free(&l->part[1].mem);
	free(l);
}

/* The unfinished line of a stream, up to its end in data, behind the lines held back. */
static int hold(struct sink *s, struct live *l, const char *tag, int i, const char *data,
                size_t len)
{
	struct buf *mem = &l->part[i].mem;
	int e = l->held.first < 0 ? sink_hold_tag(s, &l->held, tag, sink_color(s, l->seq, false)) : 0;
	if (e == 0)
		e = spool_join(s->spool, &l->held, &l->part[i].spilled);
	if (e == 0)
		e = spool_add(s->spool, &l->held, i, mem->s, mem->len);
	if (e == 0)
		e = spool_add(s->spool, &l->held, i, data, len);
	return sink_fail(s, e, true);
}

static int print_spilled(struct sink *s, struct chain *c, int i, struct tagger *t)
{
	struct piece p;
	int64_t at = c->first;
	while (at >= 0) {
		int e = sink_fail(s, spool_read(s->spool, &at, &p), true);
		if (e == 0 && p.mem)
			e = outbuf_lines(&s->out, i, t, p.mem, (size_t)p.len);
		else if (e == 0)
			e = outbuf_file(&s->out, i, t, p.fd, p.off, p.len);
		if (e != 0)
			return sink_fail(s, e, false);
		spool_release(s->spool, &p);
	}
	*c = CHAIN_EMPTY;
	return 0;
}

static int print(struct sink *s, struct live *l, const char *tag, int i, const char *data,
                 size_t len)
{
	struct color color = sink_color(s, l->seq, false);
	struct tagger t = tagger_new(tag, color.on);
	struct buf *mem = &l->part[i].mem;
	int e = print_spilled(s, &l->part[i].spilled, i, &t);
	if (e == 0)
		e = outbuf_lines(&s->out, i, &t, mem->s, mem->len);
	if (e == 0)
		e = outbuf_lines(&s->out, i, &t, data, len);
	if (e == 0)
		e = outbuf_end(&s->out, i, &t);
	return sink_fail(s, e, false);
}

/* Give away what is unfinished together with data, which ends it. */
static int finish(struct sink *s, struct live *l, const char *tag, int i, const char *data,
                  size_t len)
{
	struct buf *mem = &l->part[i].mem;
	if (len == 0 && mem->len == 0 && l->part[i].spilled.first < 0)
		return 0;
	int e = sink_holds(s, l->seq) ? hold(s, l, tag, i, data, len)
	                              : print(s, l, tag, i, data, len);
	if (mem->cap > PART_KEEP)
		buf_free(mem);
	else
		buf_clear(mem);
	return e;
}

static int keep_part(struct sink *s, struct live *l, int i, const char *data, size_t len)
{
	struct buf *mem = &l->part[i].mem;
	int e = 0;
	if (mem->len + len > PART_MAX) {
		e = spool_add(s->spool, &l->part[i].spilled, i, mem->s, mem->len);
		if (e == 0)
			e = spool_add(s->spool, &l->part[i].spilled, i, data, len);
		buf_clear(mem);
	} else if (len > 0) {
		buf_add(mem, data, len);
	}
	return sink_fail(s, e, true);
}

int live_turn(struct sink *s, struct live *l)
{
	int e = l->held.first >= 0 ? sink_print(s, l->held.first) : 0;
	l->held = CHAIN_EMPTY;
	return e;
}

int live_end(struct sink *s, struct live *l, const char *tag)
{
	int e = finish(s, l, tag, 0, NULL, 0);
	return e ? e : finish(s, l, tag, 1, NULL, 0);
}

int sink_data(struct sink *s, uint64_t seq, const char *tag, int stream, const void *data,
              size_t len)
{
	struct live *l = live_find(s, seq);
	const char *p = data, *nl = len ? memrchr(p, '\n', len) : NULL;
	size_t whole = nl ? (size_t)(nl - p) + 1 : 0;
	int e = s->failed;
	if (e != 0)
		return e;
	if (!l)
		l = live_new(s, seq);
	if (whole)
		e = finish(s, l, tag, stream - 1, p, whole);
	if (e == 0)
		e = keep_part(s, l, stream - 1, p + whole, len - whole);
	return e;
}
