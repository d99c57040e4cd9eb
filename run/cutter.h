/* cutter.h - input cut into words as xargs does: blanks, quotes, backslashes; or at one byte. */
#ifndef RUN_CUTTER_H
#define RUN_CUTTER_H

#include "buf.h"
#include <stdbool.h>

struct cutter_style {
	int delim;        /* the byte that ends a word, taken literally; -1: blanks and quotes */
	bool lines;       /* blanks do not end a word, and none are at its beginning (-I) */
	const char *eof;  /* a word that ends the input; NULL: none */
};

struct cutter; /* one source */

struct cutter *cutter_new(int fd, const char *name, const struct cutter_style *style);
/* Append the next word and a NUL to `to`; *ends_line: a newline follows it at once.
 * 1: a word, 0: no more, -EAGAIN: nothing yet (what there is of it is kept), -EINVAL: a quote
 * is not closed, other -errno: reading failed; the last two after warn(). */
int cutter_next(struct cutter *w, struct buf *to, bool *ends_line);
int cutter_fd(const struct cutter *w);
void cutter_free(struct cutter *w);

#endif
