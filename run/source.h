/* source.h - where arguments come from: pulled one record at a time, never read ahead
 * further than one buffer, never blocking. */
#ifndef RUN_SOURCE_H
#define RUN_SOURCE_H

#include "config.h"

/* One record: one value per input source.  A view, valid until the next inputs_next(). */
struct args {
	char *const *v; /* NUL-terminated strings */
	size_t n;
};

struct inputs; /* all sources, combined: product, or linked */

/* Open what cfg->inputs names (standard input if none).  Files are opened now, so that a
 * missing one is told before anything runs: message by warn(), returns -1. */
int inputs_open(struct inputs **in, const struct config *cfg);
/* 1: *a is the next record; 0: no more; -EAGAIN: nothing yet, poll inputs_fd();
 * other -errno: reading failed (inputs_name() says where). */
int inputs_next(struct inputs *in, struct args *a);
int inputs_fd(const struct inputs *in);          /* fd to poll for POLLIN after -EAGAIN */
const char *inputs_name(const struct inputs *in); /* of the source read last, for messages */
bool inputs_use_stdin(const struct inputs *in);  /* fd 0 is one of the sources */
/* Number of records if it is already known without reading (arguments only, or all read),
 * else -1. */
int64_t inputs_total(const struct inputs *in);
void inputs_close(struct inputs *in);

#endif
