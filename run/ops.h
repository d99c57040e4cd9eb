/* ops.h - what a replacement string does to a value: the table of operations.  Pure. */
#ifndef RUN_OPS_H
#define RUN_OPS_H

#include "buf.h"
#include "regex.h"

struct op;

/* An operation with its parameters, as written between the braces. */
struct use {
	const struct op *op;
	char *arg;         /* text parameter, or NULL */
	struct regex *re;
	long from, len;    /* {:from:len}; len < 0: to the end */
};

/* Recognise `len` bytes at s ("", ".", "/", "%.gz", ...).  1: found, *u filled in; 0: no
 * operation; -1 after warn(): one with a bad parameter.  plus: those of --plus too. */
int use_parse(struct use *u, const char *s, size_t len, bool plus);
void use_apply(const struct use *u, const char *value, struct buf *out);
bool use_is_whole(const struct use *u); /* the value as it is */
void use_free(struct use *u);

#endif
