/* jobs.h - how many at once: -j, and the CPUs this process may really use. */
#ifndef RUN_JOBS_H
#define RUN_JOBS_H

#include "config.h"

/* CPUs: affinity, and the cgroup's quota over the whole chain (v2, v1). At least 1. */
int cpus_usable(void);
/* Of those, how many cores or sockets they are. */
int cpus_counted(enum cpus what);
int cpus_wanted(const struct config *cfg); /* what -j counts by */
/* What -j says (NULL: the CPUs), "-j0" bounded by the file descriptors there are.  0: fewer
 * than one is left (-j-8 of 2), an error as under GNU parallel; -1: it makes no sense. */
int jobs_parse(const char *spec, int cpus);
/* For a run; 0 or -1 after a warning. */
int jobs_count(const struct config *cfg);
bool jobs_is_file(const char *spec);
/* -j FILE: read it again; true if *n is another number than last time. */
bool jobs_changed(const struct config *cfg, int *n);

#endif
