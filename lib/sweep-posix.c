/* sweep-posix.c - what is left of a job, where only its process group can be asked about.
 *
 * A process that left the group is not found: marks and sessions are not visible.  While
 * the leader's zombie is kept (so that the number stays ours) the group always answers;
 * it counts as empty once it got a SIGKILL, which nothing in it can outlive. */
#include "pool.h"

#include <signal.h>

int pr_sweep(const struct sweep_target *t, int sig)
{
	if (!t->group || t->killed)
		return 0;
	return kill(-t->leader, sig) == 0;
}
