/* record.c - what tables and databases say of a job. */
#include "record.h"

#include "copy.h"
#include "outbuf.h"

#include <errno.h>
#include <string.h>

enum { BLOCK = 64 << 10 };

void record_ending(const struct prong_result *r, int *val, int *sig)
{
	*val = *sig = 0;
	switch (r->how) {
	case PRONG_EXITED:
		*val = r->status;
		break;
	case PRONG_SIGNALED:
	case PRONG_CANCELLED:
		*sig = r->status;
		break;
	case PRONG_TIMEDOUT:
		*val = -1;
		*sig = r->status;
		break;
	case PRONG_NOTSTARTED: /* what a shell would have said */
		*val = r->status == ENOENT ? 127 : 126;
		break;
	default:
		*val = -1;
	}
}

/* ---- streams ---- */

/* Whom it goes to, and where in a line we are. */
struct reading {
	int (*give)(void *arg, const char *p, size_t n);
	void *arg;
	const char *tag;
	bool mid;
};

static int give_line(struct reading *r, const char *p, size_t n)
{
	int e = r->mid ? 0 : r->give(r->arg, r->tag, strlen(r->tag));
	if (e == 0 && !r->mid)
		e = r->give(r->arg, "\t", 1);
	r->mid = p[n - 1] != '\n';
	return e ? e : r->give(r->arg, p, n);
}

static int give_block(struct reading *r, const char *p, size_t n)
{
	int e = 0;
	if (!r->tag)
		return n ? r->give(r->arg, p, n) : 0;
	while (e == 0 && n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t len = nl ? (size_t)(nl - p) + 1 : n;
		e = give_line(r, p, len);
		p += len;
		n -= len;
	}
	return e;
}

int record_read(const struct record_stream *s, int (*give)(void *arg, const char *p, size_t n),
                void *arg)
{
	char block[BLOCK];
	struct reading r = { .give = give, .arg = arg, .tag = s->tag };
	int e = s->head ? give_block(&r, s->head, strlen(s->head)) : 0;
	if (e == 0 && s->head)
		e = give_block(&r, "\n", 1);
	for (int64_t at = 0; e == 0 && s->fd >= 0 && at < s->len;) {
		size_t n = s->len - at < BLOCK ? (size_t)(s->len - at) : (size_t)BLOCK;
		e = pread_full(s->fd, block, n, at);
		if (e == 0)
			e = give_block(&r, block, n);
		at += (int64_t)n;
	}
	return e;
}

/* ---- values ---- */

void record_value(struct buf *out, const struct task *t, size_t n, size_t columns)
{
	size_t end = n + 1 == columns ? t->n : n + 1;
	buf_clear(out);
	for (size_t i = n; i < end && i < t->n; i++) {
		if (i > n)
			buf_chr(out, ' ');
		buf_str(out, t->v[i]);
	}
}

void record_column(struct buf *out, const struct names *names, size_t n)
{
	buf_clear(out);
	if (names && n < names->n)
		buf_str(out, names->v[n]);
	else
		buf_fmt(out, "V%zu", n + 1);
}
