/* order.c - keep-order: a ring of the finished jobs that wait for an earlier one.
 *
 * Owns the ring; it grows to the distance between the slowest job and the newest one.
 * Pure: knows nothing of the output itself but a number saying where it is. */
#include "order.h"
#include "buf.h"

#include <stdlib.h>

enum { RING_MIN = 64 };

void order_init(struct order *o)
{
	*o = (struct order){ .next = 1 };
}

void order_free(struct order *o)
{
	free(o->ring);
}

static void grow(struct order *o, uint64_t need)
{
	size_t cap = o->cap ? o->cap : RING_MIN;
	while (cap < need)
		cap *= 2;
	int64_t *ring = xrealloc(NULL, cap * sizeof *ring);
	for (size_t i = 0; i < cap; i++)
		ring[i] = -1;
	for (uint64_t s = o->next; s < o->next + o->cap; s++)
		ring[s & (cap - 1)] = o->ring[s & (o->cap - 1)];
	free(o->ring);
	o->ring = ring;
	o->cap = cap;
}

void order_put(struct order *o, uint64_t seq, int64_t at)
{
	if (seq - o->next >= o->cap)
		grow(o, seq - o->next + 1);
	o->ring[seq & (o->cap - 1)] = at;
}

bool order_take(struct order *o, int64_t *at)
{
	if (o->cap == 0)
		return false;
	int64_t *slot = &o->ring[o->next & (o->cap - 1)];
	if (*slot == -1)
		return false;
	*at = *slot;
	*slot = -1;
	o->next++;
	return true;
}
