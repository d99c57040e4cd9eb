/* buf.h - a growing string of bytes; always NUL-terminated one past len. */
#ifndef RUN_BUF_H
#define RUN_BUF_H

#include <stddef.h>

struct buf {
	char *s; /* NULL until something was added */
	size_t len, cap;
};

/* All of these exit with 255 and one line on stderr when memory is out: the command has
 * nothing better to do, and the guardian cleans up. */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_chr(struct buf *b, int c);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_reserve(struct buf *b, size_t extra);
void buf_clear(struct buf *b); /* len = 0, memory stays; b->s becomes "" */
void buf_free(struct buf *b);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);

/* One line on stderr: "prong: " and the text; a text ending in ':' gets strerror(errno).
 * warn() returns, die() exits with 255. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
