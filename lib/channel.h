/* channel.h - what a host and one standing worker share: a few words, and cells.
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

/* A request, and when the task is done its reply: a line of the cache, so that it changes
 * sides twice and no more. */
struct cell {
	_Alignas(64) union {
		int (*work)(struct prong_task *task);
		int64_t status; /* of the reply */
	};
	void *arg;
	int64_t id;
	uint64_t off, len; /* the payload, in the host's file; the result, in the worker's */
	uint32_t attempt, slot;
	int64_t start, end; /* CLOCK_MONOTONIC */
};

enum { AWAKE, NAPS /* on the word itself, for a moment */, SLEEPS /* until there is a byte */ };

struct channel {
	_Alignas(64) _Atomic uint64_t gate;
	/* The worker's: */
	_Alignas(64) _Atomic uint32_t done; /* tasks finished */
	_Atomic uint32_t ready;    /* worker_init went well */
	_Atomic uint32_t grown;    /* over recycle_rss */
	_Atomic int32_t init;      /* what worker_init returned */
	volatile int report[2];    /* the step that failed before it, and errno */
	_Atomic int64_t since;     /* start of the task that runs; set before it is taken */
	/* Seldom changed: */
	_Alignas(64) _Atomic uint32_t asleep;     /* enum: how the worker sleeps, if it does */
	_Atomic uint32_t wants_room;              /* it waits until results are consumed */
	_Atomic uint32_t armed;                   /* the host waits for a byte */
	_Atomic uint32_t quit;                    /* end, when there is nothing to do */
	uint32_t cells;            /* a power of two; task n is in cell n % cells */
	/* The host's: */
	_Alignas(64) _Atomic uint32_t freed;      /* results consumed */
	struct cell cell[];
};

static inline struct cell *pr_cell(struct channel *ch, uint32_t n)
{
	return &ch->cell[n & (ch->cells - 1)];
}

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

/* Both sides look a little longer before they sleep, for about as long as a sleep and the call
 * that ends it take on a virtual machine.  When looking was of no use they look less often. */
struct patience {
	bool none;     /* there is one CPU */
	unsigned tired, lull;
};

static inline void pr_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

static inline bool pr_patient(struct patience *pa)
{
	if (pa->none || pa->lull) {
		pa->lull -= pa->lull > 0;
		return false;
	}
	return true;
}

/* Until there are news. */
static inline bool pr_watch(struct patience *pa, bool (*news)(void *), void *of)
{
	enum { WATCH_NS = 100000, GLANCES = 32 /* between looks at the clock */ };
	bool found = false;
	if (!pr_patient(pa))
		return false;
	int64_t until = pr_now() + WATCH_NS;
	do
		for (int i = 0; i < GLANCES && !found; i++) {
			pr_pause();
			found = news(of);
		}
	while (!found && pr_now() < until);
	pa->tired = found ? 0 : pa->tired < 6 ? pa->tired + 1 : 6;
	pa->lull = found ? 0 : (1u << pa->tired) / 4;
	return found;
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
static inline size_t pr_round16(size_t n) /* the size of a block */
{
	return (n + 15) & ~(size_t)15;
}
/* Where a block of n bytes goes, or -1: not before some are freed (or the region grows). */
int64_t pr_fifo_place(const struct fifo *q, size_t n);
/* With nothing in it it begins at 0 again: where pr_fifo_place() puts the next block. */
static inline void pr_fifo_restart(struct fifo *q)
{
	if (q->head == q->tail)
		q->head = q->tail = 0;
}
int pr_channel_new(struct channel **ch, unsigned window);
void pr_channel_free(struct channel *ch);

/* The worker's side; all it knows when it is forked. */
struct desk {
	struct channel *ch;
	struct fifo out;
	struct region in;
	int sock;
	pid_t host;
	struct patience patience;
	uint64_t seed;
	size_t rss_limit;
	char seed_env[PR_SEED_ENV];
	int (*init)(void *arg);
	void (*leave)(void *arg);
	void *arg;
};
int pr_worker_main(void *desk, int unused); /* in the child: its whole life */

#endif
