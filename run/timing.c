/* timing.c - the clock, and a median over a window. */
#include "timing.h"

#include "buf.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double timing_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void median_add(struct median *m, double x)
{
	if (!m->v)
		m->v = xrealloc(NULL, MEDIAN_KEEP * sizeof *m->v);
	m->v[m->at] = x;
	m->at = (m->at + 1) % MEDIAN_KEEP;
	if (m->n < MEDIAN_KEEP)
		m->n++;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double median_get(const struct median *m)
{
	double sorted[MEDIAN_KEEP];
	if (!m->n)
		return 0;
	memcpy(sorted, m->v, m->n * sizeof *sorted);
	qsort(sorted, m->n, sizeof *sorted, by_value);
	return sorted[m->n / 2];
}

void median_free(struct median *m)
{
	free(m->v);
	m->v = NULL;
}
