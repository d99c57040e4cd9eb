/* utf8.h - bytes as the text of a JSON string, whatever they are.  Pure. */
#ifndef RUN_UTF8_H
#define RUN_UTF8_H

#include "buf.h"
#include <stdbool.h>

/* Between two pieces: the character that is not whole yet. */
struct utf8 {
	unsigned char part[4];
	size_t have, need;
};

/* Append n bytes: control characters and quotes escaped, what is not UTF-8 as U+FFFD. */
void utf8_json(struct utf8 *u, struct buf *out, const char *p, size_t n);
/* The string ends. */
void utf8_json_end(struct utf8 *u, struct buf *out);
/* Is all of it UTF-8 without NUL? */
bool utf8_valid(const char *p, size_t n);

#endif
