/* channel.h - what a host and one standing worker share: a page of words, requests, replies.
 * Private.
 *
 * Nothing here can block or deadlock: payloads and results lie in two files that grow, and
 * the socket between the two carries single bytes that say "look again".
 *
 * Which task runs is never in doubt, since one word holds it: `gate` is bound << 32 | next.
 * The worker takes task number `next` by adding one to it; the host hands out by raising
 * `bound`, and takes back what was not begun by lowering it to `next`.  Both do so with one
 * compare and swap.  When a worker is dead, tasks up to `done` are done, with results in
 * place; the one task between done and next was running; the rest was never begun. */
#ifndef LIB_CHANNEL_H
#define LIB_CHANNEL_H

#include "pool.h"

#include <stdatomic.h>

struct request {
	int (*work)(struct prong_task *task);
	void *arg;
	int64_t id;
	uint64_t off, len; /* the payload, in the host's file */
	uint32_t attempt, slot;
};

struct reply {
	uint64_t off, len; /* the result, in the worker's file */
	int64_t start, end; /* CLOCK_MONOTONIC */
	int32_t status;
};

struct channel {
	_Alignas(64) _Atomic uint64_t gate;
	/* The worker's: */
	_Alignas(64) _Atomic uint32_t done; /* tasks finished */
	_Atomic uint32_t ready;    /* worker_init went well */
	_Atomic uint32_t grown;    /* over recycle_rss */
	_Atomic int32_t init;      /* what worker_init returned */
	_Atomic int64_t since;     /* start of the task that runs; set before it is taken */
	_Alignas(64) _Atomic uint32_t asleep;     /* the worker waits for a byte */
	_Atomic uint32_t wants_room;              /* it waits until results are consumed */
	/* The host's: */
	_Alignas(64) _Atomic uint32_t armed;      /* the host waits for a byte */
	_Atomic uint32_t freed;                   /* results consumed */
	_Atomic uint32_t quit;                    /* end, when there is nothing to do */
	uint32_t cells;            /* a power of two; task n is in cell n % cells */
	struct request *req;
	struct reply *rep;
};

static inline uint32_t pr_gate_next(uint64_t gate)
{
	return (uint32_t)gate;
}

static inline uint32_t pr_gate_bound(uint64_t gate)
{
	return (uint32_t)(gate >> 32);
}

static inline uint64_t pr_gate(uint32_t bound, uint32_t next)
{
	return (uint64_t)bound << 32 | next;
}

/* A shared file, as far as this process has mapped it. */
struct region {
	int fd;
	char *base;
	size_t size;
};
int pr_region_new(struct region *r, const char *tmpdir, size_t size); /* 0 or -errno */
int pr_region_grow(struct region *r, size_t size);  /* make the file larger, map it */
int pr_region_see(struct region *r, uint64_t end);  /* the other side may have grown it */
void pr_region_trim(struct region *r);              /* give back the memory of an empty one */
void pr_region_free(struct region *r);

/* Blocks in a region, allocated and freed in the same order; a block is contiguous. */
struct fifo {
	struct region r;
	size_t head, tail; /* equal: all is free */
};
/* Where a block of n bytes goes, or -1: not before some are freed (or the region grows). */
int64_t pr_fifo_place(const struct fifo *q, size_t n);
int pr_channel_new(struct channel **ch, unsigned window);
void pr_channel_free(struct channel *ch);

/* The worker's side; all it knows when it is forked. */
struct desk {
	struct channel *ch;
	struct fifo out;
	struct region in;
	int sock;
	pid_t host;
	uint64_t seed;
	size_t rss_limit;
	char seed_env[PR_SEED_ENV];
	int (*init)(void *arg);
	void (*leave)(void *arg);
	void *arg;
};
int pr_worker_main(void *desk, int unused); /* in the child: its whole life */

#endif
