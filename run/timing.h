/* timing.h - the clock, and the median run time for --timeout N%. */
#ifndef RUN_TIMING_H
#define RUN_TIMING_H

#include <stddef.h>

enum { MEDIAN_MIN = 3, MEDIAN_KEEP = 1023 };

/* The median of the last MEDIAN_KEEP numbers. */
struct median {
	double *v; /* a ring, in order of arrival */
	size_t n, at;
};
void median_add(struct median *m, double x);
double median_get(const struct median *m); /* 0 without numbers */
void median_free(struct median *m);

double timing_now(void); /* seconds, CLOCK_MONOTONIC */

#endif
