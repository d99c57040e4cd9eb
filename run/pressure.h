/* pressure.h - how much the machine has left: memory, running processes, swapping.
 * Reads /proc and cgroupfs. */
#ifndef RUN_PRESSURE_H
#define RUN_PRESSURE_H

/* Bytes that can be had without swapping: of the machine, or what the least limit of our
 * control groups leaves, if that is less.  HUGE_VAL if neither can be read. */
double memory_available(void);
/* Processes and threads that run or want to, without this one; 0 if unreadable. */
int processes_running(void);
/* Pages swapped in and out since boot; both 0 if unreadable. */
void pages_swapped(double *in, double *out);

#endif
