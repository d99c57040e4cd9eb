/* source.h - where arguments come from: pulled one record at a time, never read ahead
 * further than one buffer, never blocking. */
#ifndef RUN_SOURCE_H
#define RUN_SOURCE_H

#include "config.h"

/* The values of one job.  A view, valid until the next call that gives one. */
struct args {
	char *const *v; /* NUL-terminated strings */
	size_t n;
	size_t bytes;   /* 0, or: they lie one behind the other, so many with their NULs */
};

/* Column names of --header, in order of position. */
struct names {
	char **v;
	size_t n;
};

struct inputs; /* all sources, combined: product, or linked */

/* Open what cfg->inputs names (standard input if none).  Files are opened now, so that a
 * missing one is told before anything runs; with --header its first record is read now.
 * Message by warn(), returns -1. */
int inputs_open(struct inputs **in, const struct config *cfg);
/* 1: *a is the next record; 0: no more; -EAGAIN: nothing yet, poll inputs_fd();
 * other -errno: reading failed (inputs_name() says where). */
int inputs_next(struct inputs *in, struct args *a);
int inputs_fd(const struct inputs *in);          /* fd to poll for POLLIN after -EAGAIN */
const char *inputs_name(const struct inputs *in); /* of the source read last, for messages */
const struct names *inputs_header(const struct inputs *in);
bool inputs_use_stdin(const struct inputs *in);  /* fd 0 is one of the sources */
/* Number of records if it is already known without reading (arguments only, or all read),
 * else -1. */
int64_t inputs_total(const struct inputs *in);
void inputs_close(struct inputs *in);

/* ---- one source (source.c) ---- */

struct source;
/* spec NULL: standard input.  NULL after warn(). */
struct source *source_open(const struct input_spec *spec, const struct config *cfg);
/* The next record, as inputs_next(); *r is a view until the next call. */
int source_next(struct source *s, char **r);
/* As source_next(), but waits. */
int source_wait(struct source *s, char **r);
int source_fd(const struct source *s); /* -1: arguments */
const char *source_name(const struct source *s);
int64_t source_count(const struct source *s); /* records, if known beforehand; else -1 */
void source_close(struct source *s);

#endif
