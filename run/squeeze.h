/* squeeze.h - output compressed by programs while it waits on disk: --compress. */
#ifndef RUN_SQUEEZE_H
#define RUN_SQUEEZE_H

#include "sink.h"
#include "task.h"

struct squeezer; /* of a run: the programs, and the pool they run in */

/* NULL after warn().  room: how many streams may be compressed at once. */
struct squeezer *squeezer_new(const struct config *cfg, const struct host *host, unsigned room,
                              const struct sink_patience *patience);
void squeezer_free(struct squeezer *sq);
struct prong *squeezer_pool(const struct squeezer *sq);

/* One stream of a job.  While it is little, it stays in memory as it is. */
struct squeezed {
	struct buf mem;
	int into;     /* the program writes here; -1: into a file of ours */
	int to;       /* the program reads from this pipe; -1: it does not run */
	bool submitted, started, ended, failed;
	int fd;       /* what it wrote; -1: nothing */
	int64_t len;
};

/* into >= 0: everything is compressed into that file.  All: 0, or -errno after warn(). */
struct squeezed *squeezed_new(int into);
int squeeze_add(struct squeezer *sq, struct squeezed *z, const void *data, size_t len);
int squeeze_end(struct squeezer *sq, struct squeezed *z);
void squeezed_free(struct squeezer *sq, struct squeezed *z);
/* What it was before, piece by piece; give()'s error ends it.  fd is read from its start. */
int squeeze_expand(struct squeezer *sq, int fd, int (*give)(void *arg, const char *p, size_t n),
                   void *arg);
/* The same as a file (in memory or not before): *fd is the caller's. */
int squeeze_plain(struct squeezer *sq, const struct squeezed *z, int *fd, int64_t *len);

#endif
