/* buf.c - a growing string, and the two ways to speak to the user. */
#include "buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A message stays one line and does nothing to the terminal, whatever names are in it. */
static size_t put_visible(char *to, const char *s)
{
	char *at = to;
	for (; *s; s++)
		if ((unsigned char)*s >= ' ' && *s != 127)
			*at++ = *s;
		else if (*s == '\n' || *s == '\t')
			at += sprintf(at, *s == '\n' ? "\\n" : "\\t");
		else
			at += sprintf(at, "\\x%02x", (unsigned char)*s);
	return (size_t)(at - to);
}

static void say(const char *fmt, va_list ap)
{
	enum { TEXT = 1800 };
	char text[TEXT], line[4 * TEXT + 256] = "prong: ";
	int err = errno;
	size_t n = 7;
	int len = vsnprintf(text, sizeof text, fmt, ap);
	n += put_visible(line + n, len < 0 ? "" : text);
	if (line[n - 1] == ':')
		n += (size_t)snprintf(line + n, 200, " %s", strerror(err));
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nobody listens */
}

void warn(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	exit(255);
}

void *xrealloc(void *p, size_t n)
{
	void *q = realloc(p, n ? n : 1);
	if (!q)
		die("out of memory");
	return q;
}

char *xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;
	return memcpy(xrealloc(NULL, n), s, n);
}

void buf_reserve(struct buf *b, size_t extra)
{
	size_t need = b->len + extra + 1;
	if (need <= b->cap)
		return;
	b->cap = need * 2 > 64 ? need * 2 : 64;
	b->s = xrealloc(b->s, b->cap);
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	buf_reserve(b, len);
	if (len)
		memcpy(b->s + b->len, data, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_chr(struct buf *b, int c)
{
	char ch = (char)c;
	buf_add(b, &ch, 1);
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	for (;;) {
		buf_reserve(b, 64);
		va_start(ap, fmt);
		int n = vsnprintf(b->s + b->len, b->cap - b->len, fmt, ap);
		va_end(ap);
		if (n < 0)
			return;
		if ((size_t)n < b->cap - b->len) {
			b->len += (size_t)n;
			return;
		}
		buf_reserve(b, (size_t)n + 1);
	}
}

void buf_clear(struct buf *b)
{
	buf_reserve(b, 0);
	b->len = 0;
	b->s[0] = '\0';
}

void buf_free(struct buf *b)
{
	free(b->s);
	*b = (struct buf){ 0 };
}
