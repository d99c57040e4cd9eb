/* gate.h - --memfree, --memsuspend, --load, --noswap, --limit: may another job start, and what to do
 * with those that run when memory gets short. */
#ifndef RUN_GATE_H
#define RUN_GATE_H

#include <stdbool.h>

struct run;
struct limit;

struct gate {
	bool used;           /* one of the five was given */
	struct limit *limit; /* --limit */
	bool shut;           /* at the last look */
	double mem, mem_at;  /* the last reading, and when */
	double acted;        /* when jobs were last ended, suspended or resumed */
	double swap_in, swap_out, swap_at;
	bool swapping, sampled;
	double shut_since;   /* with nothing running; 0: not so */
	bool told;
};

int gate_init(struct run *r); /* -1 after warn() */
void gate_free(struct run *r);
/* May another job start now? */
bool gate_open(struct run *r);
/* What goes by the clock; seconds until the next look, < 0: no need. */
double gate_tick(struct run *r, double now);
/* After all jobs were continued (SIGCONT): suspend again those that were. */
void gate_suspend_again(struct run *r);

#endif
