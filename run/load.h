/* load.h - what one job gets on its standard input under --pipe, and how it gets there.
 *
 * A load is bytes in memory (head), then pages that wait in pipes of ours, then a range of a
 * file, then bytes in memory (tail).  It may be `open`: still growing while its job runs.  The
 * job reads a pipe; we write without blocking, when prong_watch() says that there is room. */
#ifndef RUN_LOAD_H
#define RUN_LOAD_H

#include "buf.h"

#include <prong.h>
#include <stdbool.h>
#include <stdint.h>

/* Pipes of ours in which pages wait: shared by all loads, so that there is a bound. */
enum { SPARES = 16 };
struct spares {
	struct spare {
		int rfd, wfd;
		int64_t n; /* bytes in it */
	} v[SPARES];
	unsigned n, made; /* in v; in all */
};
void spares_free(struct spares *s);

struct load {
	struct buf head, tail;
	struct spares *spares; /* NULL: none to be had */
	struct spare chain[SPARES]; /* behind head */
	unsigned nchain;
	int64_t chained;     /* bytes in it */
	int fd;              /* of the range; -1: none */
	bool own;            /* ours to close */
	int64_t from, len;   /* the range */
	size_t head_at, tail_at; /* given to the job so far */
	int64_t range_at;
	int64_t given;       /* in all */
	bool open;           /* more may come */
	bool dead;           /* nobody reads it any more */
	bool watched;
	bool held;           /* also used by somebody else, who frees it if it is jobless */
	bool jobless;
	bool spent;          /* what was given is gone: not to be had once more */
	int rfd, wfd;        /* the pipe; rfd until the job has it */
	struct prong *pool;
	const char *error;   /* why it could not be given whole; NULL: no such thing */
};

struct load *load_new(void);
void load_free(struct load *l);
void load_release(struct load *l); /* its job is over: load_free(), unless it is held */

/* Give the job a pipe, filled as far as it goes: l->rfd is its standard input. 0 or -errno. */
int load_attach(struct load *l, struct prong *pool);
void load_started(struct load *l); /* the job has its end */
void load_feed(struct load *l);    /* write what the pipe takes now */
void load_drop(struct load *l);    /* the job ended: nothing more is given */
bool load_rewind(struct load *l);  /* for another try; false: not possible */
int64_t load_pending(const struct load *l); /* bytes not given yet */
int64_t load_size(const struct load *l);    /* bytes given and pending */

/* More for an open load: to the pipe if it takes it at once, else into an unlinked file in
 * dir. 0 or -errno (the file). */
int load_push(struct load *l, const char *dir, const void *data, size_t n);
/* The same straight from a pipe: up to n bytes without copying them.  Bytes moved, 0: end of
 * input, -EAGAIN: nothing to read, -ENOBUFS: the job's pipe is full (only with wait). */
int64_t load_splice(struct load *l, const char *dir, int from, size_t n, bool wait);
/* Write it all to fd instead (--cat). 0 or -errno. */
int load_write(const struct load *l, int fd);

#endif
