/* resume.h - what a job log or a tree of results says was done before. */
#ifndef RUN_RESUME_H
#define RUN_RESUME_H

#include "config.h"

struct resume;

/* cfg->resume: read the job log, if there is one; --retry-failed: the commands it names
 * become the input.  0, or -1 after warn(). */
int resume_prepare(struct config *cfg);
/* Need job seq not run again?  (NULL: no log.) */
bool resume_done(const struct resume *r, uint64_t seq);
/* --retry-failed: the number that the n-th command (from 1) has in the log. */
uint64_t resume_number(const struct resume *r, uint64_t n);

#endif
