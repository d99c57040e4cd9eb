/* spool.c - chains of pieces in one unlinked file, whose end is kept in memory.
 *
 * Owns the file and two buffers of fixed size; uses no memory per piece.  A piece lies
 * either in the file or in the buffer as a whole.  Little that waits briefly (the usual
 * case) never reaches the file: the buffer is simply emptied when all of it was printed. */
#include "spool.h"
#include "buf.h"
#include "copy.h"
#include "dirs.h"
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TAIL = 128 << 10,  /* bytes kept in memory at the end */
	BIG = 32 << 10,    /* from here on a piece goes into the file at once */
	CACHE = 64 << 10,  /* read ahead while printing */
	PUNCH = 1 << 20,   /* printed bytes in a row whose disk space is given back */
};

/* In front of every piece. */
struct record {
	int64_t next, len, kind;
};

struct spool {
	const char *dir;
	int fd;              /* -1: not needed yet */
	int64_t end;         /* length of the file; the tail follows */
	size_t ntail;
	char *tail;
	uint64_t live;       /* pieces not yet printed */
	int64_t dead, ndead; /* printed, not yet given back */
	char *cache;
	int64_t cache_at;
	size_t ncache;
};

struct spool *spool_new(const char *dir)
{
	struct spool *s = xrealloc(NULL, sizeof *s);
	*s = (struct spool){ .dir = dir, .fd = -1 };
	return s;
}

void spool_free(struct spool *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->tail);
	free(s->cache);
	free(s);
}

const char *spool_dir(const struct spool *s)
{
	return s->dir;
}

static int need_file(struct spool *s)
{
	int fd = s->fd >= 0 ? s->fd : dirs_unnamed(s->dir);
	if (fd >= 0)
		s->fd = fd;
	return fd < 0 ? fd : 0;
}

/* ---- writing ---- */

static int flush_tail(struct spool *s)
{
	int e = need_file(s);
	if (e == 0)
		e = pwrite_full(s->fd, s->tail, s->ntail, s->end);
	if (e == 0) {
		s->end += (int64_t)s->ntail;
		s->ntail = 0;
	}
	return e;
}

static int set_next(struct spool *s, int64_t at, int64_t next)
{
	size_t field = offsetof(struct record, next);
	if (at >= s->end) {
		memcpy(s->tail + (at - s->end) + field, &next, sizeof next);
		return 0;
	}
	s->ncache = 0;
	return pwrite_full(s->fd, &next, sizeof next, at + (int64_t)field);
}

static int link_to(struct spool *s, struct chain *c, int64_t first, int64_t last)
{
	int e = c->first >= 0 ? set_next(s, c->last, first) : 0;
	if (c->first < 0)
		c->first = first;
	c->last = last;
	return e;
}

/* Begin a piece of len bytes in the tail; *p is where the bytes go. */
static int begin(struct spool *s, struct chain *c, int kind, size_t len, char **p)
{
	struct record r = { .next = -1, .len = (int64_t)len, .kind = kind };
	int e = 0;
	if (!s->tail)
		s->tail = xrealloc(NULL, TAIL);
	if (s->ntail + sizeof r + len > TAIL && (e = flush_tail(s)) != 0)
		return e;
	int64_t at = s->end + (int64_t)s->ntail;
	memcpy(s->tail + s->ntail, &r, sizeof r);
	*p = s->tail + s->ntail + sizeof r;
	s->ntail += sizeof r + len;
	s->live++;
	return link_to(s, c, at, at);
}

int spool_add(struct spool *s, struct chain *c, int kind, const void *data, size_t len)
{
	const char *from = data;
	int e = 0;
	while (len > 0 && e == 0) {
		size_t n = len < BIG ? len : (size_t)BIG;
		char *p;
		e = begin(s, c, kind, n, &p);
		if (e == 0)
			memcpy(p, from, n);
		from += n;
		len -= n;
	}
	return e;
}

static int add_big(struct spool *s, struct chain *c, int kind, int fd, int64_t len)
{
	struct record r = { .next = -1, .len = len, .kind = kind };
	int e = flush_tail(s);
	int64_t at = s->end, data = at + (int64_t)sizeof r;
	if (e == 0)
		e = pwrite_full(s->fd, &r, sizeof r, at);
	if (e == 0 && lseek(s->fd, (off_t)data, SEEK_SET) < 0)
		e = -errno;
	if (e == 0)
		e = copy_range(fd, 0, len, s->fd);
	if (e != 0)
		return e;
	s->end = data + len;
	s->live++;
	return link_to(s, c, at, at);
}

int spool_add_file(struct spool *s, struct chain *c, int kind, int fd, int64_t len)
{
	char *p;
	if (len <= 0)
		return 0;
	if (len > BIG) {
		if (!s->tail)
			s->tail = xrealloc(NULL, TAIL);
		return add_big(s, c, kind, fd, len);
	}
	int e = begin(s, c, kind, (size_t)len, &p);
	return e ? e : pread_full(fd, p, (size_t)len, 0);
}

int spool_join(struct spool *s, struct chain *a, struct chain *b)
{
	int e = b->first >= 0 ? link_to(s, a, b->first, b->last) : 0;
	*b = CHAIN_EMPTY;
	return e;
}

/* ---- reading ---- */

/* Have len bytes at `at` of the file in the cache, if it can hold them. */
static int cache_fill(struct spool *s, int64_t at, size_t len)
{
	if (at >= s->cache_at && at + (int64_t)len <= s->cache_at + (int64_t)s->ncache)
		return 0;
	if (!s->cache)
		s->cache = xrealloc(NULL, CACHE);
	int64_t n = s->end - at < CACHE ? s->end - at : CACHE;
	s->ncache = 0;
	int e = pread_full(s->fd, s->cache, (size_t)n, at);
	if (e == 0) {
		s->cache_at = at;
		s->ncache = (size_t)n;
	}
	return e;
}

static int bytes_at(struct spool *s, int64_t at, size_t len, const char **p)
{
	int e = at >= s->end ? 0 : cache_fill(s, at, len);
	if (e == 0)
		*p = at >= s->end ? s->tail + (at - s->end) : s->cache + (at - s->cache_at);
	return e;
}

int spool_read(struct spool *s, int64_t *at, struct piece *p)
{
	struct record r;
	const char *m;
	int e = bytes_at(s, *at, sizeof r, &m);
	if (e != 0)
		return e;
	memcpy(&r, m, sizeof r);
	*p = (struct piece){ .kind = (int)r.kind, .len = r.len, .at = *at, .fd = s->fd,
		             .off = *at + (int64_t)sizeof r };
	*at = r.next;
	return r.len <= BIG ? bytes_at(s, p->off, (size_t)r.len, &p->mem) : 0;
}

static void empty(struct spool *s)
{
	if (s->end > 0 && ftruncate(s->fd, 0) != 0) {
		/* Nothing is lost: it only stays longer than need be. */
		return;
	}
	s->end = s->dead = s->ndead = 0;
	s->ntail = s->ncache = 0;
}

void spool_release(struct spool *s, const struct piece *p)
{
	int64_t len = p->len + (int64_t)sizeof(struct record);
	if (--s->live == 0) {
		empty(s);
		return;
	}
	if (p->at >= s->end)
		return;
	if (p->at != s->dead + s->ndead) {
		s->dead = p->at;
		s->ndead = 0;
	}
	s->ndead += len;
	if (s->ndead < PUNCH)
		return;
	(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)s->dead,
	                (off_t)s->ndead);
	s->dead += s->ndead;
	s->ndead = 0;
}
