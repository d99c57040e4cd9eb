/* copy.h - whole reads and writes: partial ones, EINTR and full pipes are dealt with here. */
#ifndef RUN_COPY_H
#define RUN_COPY_H

#include "sink.h"
#include <stddef.h>
#include <stdint.h>

/* Where bytes go, and what may interrupt waiting for a slow reader. */
struct target {
	int fd;
	const struct sink_patience *patience; /* NULL: simply block */
};

/* 0 or -errno; -EINTR only if the patience of the target ended. */
int write_full(const struct target *t, const void *data, size_t len);
/* 0 or -errno; -ENODATA: the file ends before. */
int pread_full(int fd, void *data, size_t len, int64_t off);
int pwrite_full(int fd, const void *data, size_t len, int64_t off);
/* copy_range() of sink.h with patience. */
int copy_to(int from, int64_t off, int64_t len, const struct target *t);

#endif
