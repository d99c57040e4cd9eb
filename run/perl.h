/* perl.h - {= perl =}: one perl beside the run, started when the first expression is added.
 *
 * All calls wait for perl's answer; a round trip costs some 40 microseconds, so ask for many
 * at once.  Errors are said by warn(). */
#ifndef RUN_PERL_H
#define RUN_PERL_H

#include "source.h"

struct perl;
struct perl_values; /* what all expressions gave for one job */

struct perl_job {
	struct args args;
	struct args put; /* for --filter: the values of its replacement strings, in order */
	uint64_t seq;
	unsigned slot;
};

/* What stands before this is ours: messages show what follows it. */
#define EXPR_BEGIN "#line 1\n"

struct perl *perl_new(void); /* starts nothing yet */
void perl_quoting(struct perl *p, enum quoting how); /* of Q(); before it is started */
void perl_free(struct perl *p);

/* Add an expression; returns its number, from 0 (that of the same one if it is there already),
 * or -1 (no perl, or it does not compile).
 * pos: of the value it gets as $_; 0: each value in turn, or all of them as one if `once`. */
int perl_add(struct perl *p, const char *code, int pos, bool once);
/* The condition of --filter, as Perl code that finds its values in @put; text is what
 * the user wrote.  -1 on error. */
int perl_set_filter(struct perl *p, const char *code, const char *text);
bool perl_used(const struct perl *p);        /* was anything added? */
bool perl_wants_slot(const struct perl *p);  /* then a job is asked for when it starts */
bool perl_wants_total(const struct perl *p); /* then all input must have been read */
bool perl_failed(const struct perl *p);      /* a message was given; nothing works any more */

bool perl_skips(const struct perl_values *v); /* that job is not to be run */

/* All expressions for n jobs: values[i] is yours.
 * total -1: not known.  -1 after a message. */
int perl_eval(struct perl *p, const struct perl_job *jobs, size_t n, int64_t total,
              unsigned slots, struct perl_values **values);
/* The i-th value that an expression gave; *quote: not for uq().  NULL: there is none. */
const char *perl_value(const struct perl *p, const struct perl_values *v, int number, size_t i,
                       bool *quote);
void perl_values_free(struct perl_values *v);

/* One expression for one job, now.  NULL after a message. */
struct perl_values *perl_eval_one(struct perl *p, int number, const struct perl_job *job,
                                  int64_t total);
/* One expression on n plain values, each as $_: --group-by, --shard, --bin.  The i-th result
 * is perl_value(p, v, PERL_MAPPED, i, NULL).  NULL after a message. */
enum { PERL_MAPPED = -1 };
struct perl_values *perl_map(struct perl *p, int number, const struct args *values);

#endif
