/* halt.h - when to stop early (--halt), and the exit status.  Pure. */
#ifndef RUN_HALT_H
#define RUN_HALT_H

#include "config.h"
#include <prong.h>

struct tally {
	struct halt halt;
	uint64_t failed, succeeded;
	int64_t total;  /* jobs in all; -1: not known yet */
	bool reached;   /* the condition was met */
	int status;     /* exit status that goes with it, if it names one; else -1 */
};

/* A job's status as a shell would tell it: code, or 128 + signal. */
int job_status(const struct prong_result *r);
/* Count a finished job; true if the condition is met by it (once). */
bool tally_add(struct tally *t, const struct prong_result *r);
/* The exit status: 0..100 failed jobs, 101 more, or what --halt says. */
int tally_status(const struct tally *t);

#endif
