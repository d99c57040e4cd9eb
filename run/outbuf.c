/* outbuf.c - gathers small outputs into few writes, and puts tags in front of lines.
 *
 * Owns one buffer, and one block to read what is to be tagged.  Never reorders: bytes of
 * one stream are written before bytes of the other are taken. */
#include "outbuf.h"
#include "color.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void outbuf_init(struct outbuf *o, int out_fd, int err_fd)
{
	*o = (struct outbuf){ .to = { { .fd = out_fd }, { .fd = err_fd } } };
	o->b = xrealloc(NULL, OUTBUF_SIZE);
}

void outbuf_free(struct outbuf *o)
{
	free(o->b);
	free(o->block);
}

struct tagger tagger_new(const char *tag, const char *color)
{
	return (struct tagger){ .tag = tag, .len = tag ? strlen(tag) : 0,
		                .color = color && *color ? color : NULL };
}

/* A closed standard error is a way to say that nobody wants it. */
static int checked(struct outbuf *o, int stream, int e)
{
	if (e == -EBADF && stream == 1)
		return 0;
	if (e != 0)
		o->bad = stream;
	return e;
}

int outbuf_flush(struct outbuf *o)
{
	size_t n = o->n;
	o->n = 0;
	return n ? checked(o, o->cur, write_full(&o->to[o->cur], o->b, n)) : 0;
}

/* Make room for len bytes of a stream. */
static int room(struct outbuf *o, int stream, size_t len)
{
	int e = 0;
	if (o->cur != stream || o->n + len > OUTBUF_SIZE)
		e = outbuf_flush(o);
	o->cur = stream;
	return e;
}

int outbuf_put(struct outbuf *o, int stream, const void *data, size_t len)
{
	int e = len ? room(o, stream, len) : 0;
	if (e != 0 || len == 0)
		return e;
	if (len > OUTBUF_SIZE)
		return checked(o, stream, write_full(&o->to[stream], data, len));
	memcpy(o->b + o->n, data, len);
	o->n += len;
	return 0;
}

static int put_text(struct outbuf *o, int stream, const char *s)
{
	return outbuf_put(o, stream, s, strlen(s));
}

static int put_lead(struct outbuf *o, int stream, const struct tagger *t)
{
	int e = t->color ? put_text(o, stream, t->color) : 0;
	if (e != 0 || !t->tag)
		return e;
	e = outbuf_put(o, stream, t->tag, t->len);
	return e ? e : outbuf_put(o, stream, "\t", 1);
}

/* One line, or what there is of it. */
static int put_line(struct outbuf *o, int stream, struct tagger *t, const char *data, size_t n,
                    bool whole)
{
	int e = t->mid ? 0 : put_lead(o, stream, t);
	if (e == 0)
		e = outbuf_put(o, stream, data, n - (whole && t->color));
	if (e == 0 && whole && t->color)
		e = put_text(o, stream, COLOR_OFF "\n");
	t->mid = !whole;
	return e;
}

int outbuf_lines(struct outbuf *o, int stream, struct tagger *t, const char *data, size_t len)
{
	int e = 0;
	if (!t->tag && !t->color)
		return outbuf_put(o, stream, data, len);
	while (len > 0 && e == 0) {
		const char *nl = memchr(data, '\n', len);
		size_t n = nl ? (size_t)(nl - data) + 1 : len;
		e = put_line(o, stream, t, data, n, nl != NULL);
		data += n;
		len -= n;
	}
	return e;
}

int outbuf_end(struct outbuf *o, int stream, struct tagger *t)
{
	bool on = t->color && t->mid;
	t->mid = false;
	return on ? put_text(o, stream, COLOR_OFF) : 0;
}

static int raw_file(struct outbuf *o, int stream, int fd, int64_t off, int64_t len)
{
	int e;
	if (len > OUTBUF_SIZE) {
		e = outbuf_flush(o);
		return e ? e : checked(o, stream, copy_to(fd, off, len, &o->to[stream]));
	}
	e = room(o, stream, (size_t)len);
	if (e == 0)
		e = pread_full(fd, o->b + o->n, (size_t)len, off);
	if (e == 0)
		o->n += (size_t)len;
	return e;
}

int outbuf_file(struct outbuf *o, int stream, struct tagger *t, int fd, int64_t off, int64_t len)
{
	int e = 0;
	if (len <= 0)
		return 0;
	if (!t->tag && !t->color)
		return raw_file(o, stream, fd, off, len);
	if (!o->block)
		o->block = xrealloc(NULL, OUTBUF_SIZE);
	while (len > 0 && e == 0) {
		size_t n = len < OUTBUF_SIZE ? (size_t)len : (size_t)OUTBUF_SIZE;
		e = pread_full(fd, o->block, n, off);
		if (e == 0)
			e = outbuf_lines(o, stream, t, o->block, n);
		off += (int64_t)n;
		len -= (int64_t)n;
	}
	return e;
}
