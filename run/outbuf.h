/* outbuf.h - the two output streams, gathered and tagged. */
#ifndef RUN_OUTBUF_H
#define RUN_OUTBUF_H

#include "copy.h"

enum { OUTBUF_SIZE = 64 << 10 };

/* One buffer for both streams: it holds bytes of one of them at a time, so that what was
 * given first is also written first. */
struct outbuf {
	struct target to[2];
	int cur;      /* stream (0 or 1) the bytes belong to */
	int bad;      /* stream that failed */
	size_t n;
	char *b;
	char *block;  /* for what is read to be tagged; made when first needed */
};

/* What goes in front of every line.  One per stream of a job. */
struct tagger {
	const char *tag;   /* NULL: none */
	const char *color; /* switches it on; NULL: none */
	size_t len;
	bool mid;        /* the last byte was not a newline */
};

void outbuf_init(struct outbuf *o, int out_fd, int err_fd);
void outbuf_free(struct outbuf *o);
struct tagger tagger_new(const char *tag, const char *color); /* color may be "" */

/* All: stream 0 or 1; 0 or -errno. */
int outbuf_put(struct outbuf *o, int stream, const void *data, size_t len);
int outbuf_lines(struct outbuf *o, int stream, struct tagger *t, const char *data, size_t len);
int outbuf_file(struct outbuf *o, int stream, struct tagger *t, int fd, int64_t off, int64_t len);
/* A stream of a job ended: its colour too, if the last line had no newline. */
int outbuf_end(struct outbuf *o, int stream, struct tagger *t);
int outbuf_flush(struct outbuf *o);

#endif
