/* order.h - whose turn it is to print: eight bytes per job that has to wait. */
#ifndef RUN_ORDER_H
#define RUN_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ORDER_NOTHING = -2 }; /* finished, and nothing to print */

struct order {
	int64_t *ring; /* by seq: where the output of a finished job is, or -1 */
	size_t cap;    /* a power of two */
	uint64_t next; /* the seq whose turn it is */
};

void order_init(struct order *o);
void order_free(struct order *o);
/* seq has finished; its output is at `at` (or ORDER_NOTHING). seq >= next. */
void order_put(struct order *o, uint64_t seq, int64_t at);
/* If the job whose turn it is has finished: true, *at is where, and it is the next one's
 * turn. */
bool order_take(struct order *o, int64_t *at);

#endif
