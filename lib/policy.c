/* policy.c - what follows a finished try.  Pure: no state, no calls. */
#include "pool.h"

bool pr_result_ok(const struct prong_result *r)
{
	return r->how == PRONG_EXITED && r->status == 0;
}

enum verdict pr_policy(unsigned tries, const struct prong_result *r)
{
	if (r->attempt >= tries || pr_result_ok(r) || r->how == PRONG_CANCELLED)
		return VERDICT_DONE;
	return VERDICT_RETRY;
}

void pr_result_lost(struct prong_result *r, int error)
{
	r->how = PRONG_LOST;
	r->status = error;
}
