/* template-impl.h - what a compiled template is; for template.c, expand.c and filter.c only. */
#ifndef RUN_TEMPLATE_IMPL_H
#define RUN_TEMPLATE_IMPL_H

#include "ops.h"
#include "template.h"

enum kind { SEG_TEXT, SEG_BREAK, SEG_VALUE, SEG_SEQ, SEG_SLOT, SEG_TOTAL, SEG_SEQ0, SEG_SLOT0,
	    SEG_PERL };
struct segment {
	enum kind kind;
	bool gap;       /* a blank between words: no word with {} reaches over it */
	char *text;     /* SEG_TEXT */
	struct use use; /* SEG_VALUE */
	int pos;        /* 0: all values; n: the n-th; -n: from the end */
	int number;     /* SEG_PERL: of the expression */
	bool once;      /* SEG_PERL: once for the job, not for each value */
	bool unquotes;  /* SEG_PERL: may call uq() */
};
struct template {
	struct segment *v;
	size_t n;
	bool raw;           /* values go in unquoted */
	bool repeat;        /* -X, -N: a word with {} is repeated for every value */
	bool uniq, choose;  /* {uniq}, {choose_k} */
	bool bad;           /* a message was given */
	const struct config *cfg;
	const struct names *names;
	const struct segment *only_word; /* the one {}, if it is a word of its own; else NULL */
	struct rpls *rpls;  /* --rpl */
};

/* Set only_word; the segments are complete. */
void expand_prepare(struct template *t);
/* One segment; the values are a, of which the first is number c->first of the job. */
void expand_segment(const struct template *t, const struct segment *s, const struct args *a,
                    const struct job_context *c, bool raw, int between, struct buf *out);

#endif
