/* oom.c - how often the kernel killed in our cgroup for lack of memory. */
#include "cgroup.h"
#include "progress.h"

/* The innermost group that can be read. */
static void first_count(const char *dir, int v2, void *arg)
{
	double *n = arg;
	if (*n < 0)
		*n = cgroup_number(dir, v2 ? "memory.events" : "memory.oom_control", "oom_kill");
}

int64_t oom_count(void)
{
	double n = -1;
	cgroup_visit("memory", first_count, &n);
	return (int64_t)n;
}
