/* halt.c - counting jobs for --halt and the exit status, as GNU parallel counts them. */
#include "halt.h"

#include <math.h>

int job_status(const struct prong_result *r)
{
	switch (r->how) {
	case PRONG_EXITED:
		return r->status;
	case PRONG_SIGNALED:
		return 128 + r->status;
	case PRONG_NOTSTARTED:
		return 127;
	case PRONG_LOST: /* status: an errno, of the output that could not be kept */
		return 1;
	default:
		return r->status ? 128 + r->status : 1;
	}
}

static uint64_t counted(const struct tally *t)
{
	switch (t->halt.why) {
	case HALT_FAIL:
		return t->failed;
	case HALT_SUCCESS:
		return t->succeeded;
	case HALT_DONE:
		break;
	}
	return t->failed + t->succeeded;
}

static bool met(const struct tally *t)
{
	double n = (double)counted(t);
	if (t->halt.when == HALT_NEVER || n == 0)
		return false;
	if (!t->halt.limit.percent)
		return n >= t->halt.limit.n;
	return t->total > 0 && n * 100 >= t->halt.limit.n * (double)t->total;
}

/* One job is what the limit asks for, also as a percentage: its own status is the run's. */
static bool by_one_job(const struct tally *t)
{
	double n = t->halt.limit.n;
	return t->halt.limit.percent ? n * (double)t->total == 100 : n == 1;
}

/* A job that ran out of time has no status of its own. */
static int halting_status(const struct prong_result *r)
{
	return r->how == PRONG_TIMEDOUT ? 255 : job_status(r);
}

bool tally_add(struct tally *t, const struct prong_result *r)
{
	int status = job_status(r);
	if (status || r->how != PRONG_EXITED)
		t->failed++;
	else
		t->succeeded++;
	if (t->reached || !met(t))
		return false;
	t->reached = true;
	t->status = t->halt.why == HALT_SUCCESS ? 0 : by_one_job(t) ? halting_status(r) : -1;
	return true;
}

int tally_status(const struct tally *t)
{
	if (t->reached && t->status >= 0)
		return t->status;
	if (t->halt.when != HALT_NEVER && t->halt.limit.percent && t->failed && t->total > 0)
		return (int)ceil((double)t->failed * 100 / (double)t->total);
	return t->failed > 100 ? 101 : (int)t->failed;
}
