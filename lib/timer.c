/* timer.c - the clock and a binary heap of deadlines.  Owns the heap array, never the timers. */
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

int64_t pr_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void place(struct timers *ts, size_t i, struct timer *t)
{
	ts->heap[i - 1] = t;
	t->pos = i;
}

static void sift_up(struct timers *ts, struct timer *t)
{
	size_t i = t->pos;
	for (; i > 1 && ts->heap[i / 2 - 1]->at > t->at; i /= 2)
		place(ts, i, ts->heap[i / 2 - 1]);
	place(ts, i, t);
}

static void sift_down(struct timers *ts, struct timer *t)
{
	size_t i = t->pos;
	for (;;) {
		size_t c = 2 * i;
		if (c > ts->n)
			break;
		if (c < ts->n && ts->heap[c]->at < ts->heap[c - 1]->at)
			c++;
		if (ts->heap[c - 1]->at >= t->at)
			break;
		place(ts, i, ts->heap[c - 1]);
		i = c;
	}
	place(ts, i, t);
}

int pr_timer_set(struct timers *ts, struct timer *t, int64_t at)
{
	if (!t->pos && ts->n == ts->cap) {
		size_t cap = ts->cap ? ts->cap * 2 : 16;
		struct timer **h = realloc(ts->heap, cap * sizeof *h);
		if (!h)
			return -ENOMEM;
		ts->heap = h;
		ts->cap = cap;
	}
	t->at = at;
	if (!t->pos)
		place(ts, ++ts->n, t);
	sift_up(ts, t);
	sift_down(ts, t);
	return 0;
}

void pr_timer_cancel(struct timers *ts, struct timer *t)
{
	if (!t->pos)
		return;
	struct timer *last = ts->heap[--ts->n];
	size_t hole = t->pos;
	t->pos = 0;
	if (last == t)
		return;
	place(ts, hole, last);
	sift_up(ts, last);
	sift_down(ts, last);
}

int64_t pr_timer_next(const struct timers *ts)
{
	return ts->n ? ts->heap[0]->at : PR_NEVER;
}
