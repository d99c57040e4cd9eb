/* record.h - a finished job as tables and databases have it. */
#ifndef RUN_RECORD_H
#define RUN_RECORD_H

#include "task.h"

/* A stream: text that is printed before it (-v), then len bytes of fd; with a tag before
 * each line. */
struct record_stream {
	const char *head, *tag; /* NULL: none */
	int fd;                 /* -1: nothing */
	int64_t len;
};

struct record {
	const struct task *task;
	const struct prong_result *result;
	const char *command;
	int64_t send, receive;
	struct record_stream stream[2];
};

/* Read a stream piece by piece; give() returns 0 or an error, which ends it. */
int record_read(const struct record_stream *s, int (*give)(void *arg, const char *p, size_t n),
                void *arg);
/* Exitval and Signal, as the job log has them. */
void record_ending(const struct prong_result *r, int *val, int *sig);
/* The n-th value column (from 0) of `columns`: the last one takes what is left over. */
void record_value(struct buf *out, const struct task *t, size_t n, size_t columns);
/* Its name: that of the header, or V1 V2 ... */
void record_column(struct buf *out, const struct names *names, size_t n);

#endif
