/* word-reader.h - input cut into words as xargs does: blanks, quotes, backslashes; or at one byte. */
#ifndef RUN_WORD_READER_H
#define RUN_WORD_READER_H

#include "buf.h"
#include <stdbool.h>

struct word_style {
	int delim;        /* the byte that ends a word, taken literally; -1: blanks and quotes */
	bool lines;       /* blanks do not end a word, and none are at its beginning (-I) */
	const char *eof;  /* a word that ends the input; NULL: none */
};

struct word_reader; /* one source */

struct word_reader *word_new(int fd, const char *name, const struct word_style *style);
/* Append the next word and a NUL to `to`; *ends_line: a newline follows it at once.
 * 1: a word, 0: no more, -EAGAIN: nothing yet (what there is of it is kept), -EINVAL: a quote
 * is not closed, other -errno: reading failed; the last two after warn(). */
int word_next(struct word_reader *w, struct buf *to, bool *ends_line);
int word_fd(const struct word_reader *w);
void word_free(struct word_reader *w);

#endif
