/* color.h - a colour for each job, as terminals take it.  Pure. */
#ifndef RUN_COLOR_H
#define RUN_COLOR_H

#include <stdint.h>

#define COLOR_OFF "\033[m"

/* What stands before each line of a job; "" for none. */
struct color {
	char on[40];
};

struct color color_of_job(uint64_t seq);
struct color color_of_failure(void); /* white on red */

#endif
