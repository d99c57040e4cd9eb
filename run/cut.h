/* cut.h - where records end: --recend, --recstart, --regexp, -L, -N, --csv, --group-by.
 * Works on a window of memory that slides over the input; makes no system calls. */
#ifndef RUN_CUT_H
#define RUN_CUT_H

#include "buf.h"
#include "config.h"

#include <stdint.h>

struct cutter;

/* header: the line that names the columns, for --group-by NAME; may be empty.  NULL after
 * warn(). */
struct cutter *cutter_new(const struct config *cfg, const struct buf *header);
void cutter_free(struct cutter *c);

/* The window is p[0..len); what was seen of it before is not looked at again.  Returns where
 * to cut: with -N behind the N-th record, else behind the last one that is complete; 0: not
 * to be known yet.  final: nothing follows the window. */
size_t cutter_scan(struct cutter *c, const char *p, size_t len, bool final);
/* For --block-timeout: behind the last complete record, whatever -N says. */
size_t cutter_late(struct cutter *c, const char *p, size_t len);
bool cutter_whole(const struct cutter *c); /* -L: a rest that is no record is a block */
bool cutter_counts(const struct cutter *c); /* -N */
/* The first n bytes of the window were cut off (as a block), or only moved on. */
void cutter_cut(struct cutter *c, size_t n);
void cutter_slide(struct cutter *c, size_t n);
/* How much of a scanned window is not needed for further scans. */
size_t cutter_done_with(const struct cutter *c);
int64_t cutter_overlap(const struct cutter *c); /* longest part of a separator */
/* Does the place of a cut depend on nothing but the bytes around it?  Then the window may
 * begin anywhere. */
bool cutter_failed(const struct cutter *c); /* a message was given */
bool cutter_local(const struct cutter *c);
/* The first record end whose separator begins at or after p[from] (for --pipe-part; also
 * without -N); 0: none in the window. */
size_t cutter_first(struct cutter *c, const char *p, size_t len, size_t from, bool final);
/* Append the records without what separates them (--remove-rec-sep). */
void cutter_strip(const struct cutter *c, const char *p, size_t len, struct buf *out);

/* ---- keys: the value of a column (--group-by, --shard, --bin) ---- */
struct key;
struct key *key_new(const struct config *cfg, const char *what, const char *expr,
                    const struct buf *header);
/* The key of the line at p, whose newline or end is at p[len]; the window goes on up to
 * p[have].  A view, valid until the next call.  Lines must come in order. */
void key_get(struct key *k, const char *p, size_t len, size_t have, const char **v, size_t *n);
void key_restart(struct key *k); /* the next line is another one than was to be expected */
bool key_failed(const struct key *k); /* perl gave up, and said so */
void key_free(struct key *k);

#endif
