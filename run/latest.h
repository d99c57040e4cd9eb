/* latest.h - --latest-line: one line for each job, the newest of its output. */
#ifndef RUN_LATEST_H
#define RUN_LATEST_H

#include "color.h"
#include "config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct latest;

struct latest *latest_new(const struct config *cfg, int fd);
void latest_free(struct latest *l);
/* Is fd a terminal, where lines change while jobs run? */
bool latest_lives(const struct latest *l);
/* Something else is about to be written below the rows: they stay as they are, and jobs get
 * others, further down, when they write again. */
void latest_break(struct latest *l);
/* More output of a job. 0 or -errno. */
int latest_data(struct latest *l, uint64_t job, const char *tag, const char *data, size_t len);
/* It ended.  *line (and *len): its newest line, with a newline, if fd is no terminal; valid
 * until the next call. */
int latest_end(struct latest *l, uint64_t job, const char *tag, const char **line, size_t *len);

#endif
