/* pressure.c - see pressure.h. */
#include "pressure.h"

#include "cgroup.h"

#include <math.h>
#include <stdio.h>

static void group_leaves(const char *dir, int v2, void *arg)
{
	static const char *const max[] = { "memory.limit_in_bytes", "memory.max" };
	static const char *const used[] = { "memory.usage_in_bytes", "memory.current" };
	static const char *const cache[] = { "total_inactive_file", "inactive_file" };
	double *least = arg, limit = cgroup_number(dir, max[v2], NULL); /* -1 also for "max" */
	double now = cgroup_number(dir, used[v2], NULL);
	if (limit < 0 || limit > 0x1p62 || now < 0)
		return;
	double freed = cgroup_number(dir, "memory.stat", cache[v2]); /* by writing it back */
	double left = limit - now + (freed > 0 ? freed : 0);
	if (left < *least)
		*least = left < 0 ? 0 : left;
}

static double machine_has(void)
{
	char line[256];
	double kib = -1;
	FILE *f = fopen("/proc/meminfo", "re");
	while (f && kib < 0 && fgets(line, sizeof line, f))
		if (sscanf(line, "MemAvailable: %lf", &kib) != 1)
			kib = -1;
	if (f)
		fclose(f);
	return kib < 0 ? HUGE_VAL : kib * 1024;
}

double memory_available(void)
{
	double least = machine_has();
	cgroup_visit("memory", group_leaves, &least);
	return least;
}

int processes_running(void)
{
	int n = 0;
	FILE *f = fopen("/proc/loadavg", "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*s %*s %*s %d/", &n) != 1)
		n = 0;
	fclose(f);
	return n > 0 ? n - 1 : 0;
}

void pages_swapped(double *in, double *out)
{
	double i = cgroup_number("/proc", "vmstat", "pswpin");
	double o = cgroup_number("/proc", "vmstat", "pswpout");
	*in = i < 0 ? 0 : i;
	*out = o < 0 ? 0 : o;
}
