/* jobs.c - job slots from -j, CPUs from affinity and cgroup.  Reads /proc and cgroupfs. */
#include "jobs.h"

#include "buf.h"
#include "cgroup.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FDS_PER_JOB = 4, FDS_OURS = 32, JOBS_MAX = 16384 };

static int affinity(void)
{
	for (int max = 1024; max <= 1 << 20; max *= 4) {
		cpu_set_t *set = CPU_ALLOC((size_t)max);
		size_t size = CPU_ALLOC_SIZE((size_t)max);
		int n = set && sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
		CPU_FREE(set);
		if (n > 0)
			return n;
	}
	return 1;
}

/* The least quota from our cgroup up to the root of its hierarchy. */
static void least_quota(const char *dir, int v2, void *arg)
{
	char path[PATH_MAX + 32];
	double *least = arg, quota = -1, period = 0;
	snprintf(path, sizeof path, "%s/cpu.max", dir);
	FILE *f = v2 ? fopen(path, "re") : NULL;
	if (f) {
		if (fscanf(f, "%lf %lf", &quota, &period) != 2)
			quota = -1; /* "max" */
		fclose(f);
	} else if (!v2) {
		quota = cgroup_number(dir, "cpu.cfs_quota_us", NULL);
		period = cgroup_number(dir, "cpu.cfs_period_us", NULL);
	}
	if (quota > 0 && period > 0 && (*least < 0 || quota / period < *least))
		*least = quota / period;
}

static double cgroup_quota(void)
{
	double least = -1;
	cgroup_visit("cpu", least_quota, &least);
	return least;
}

int cpus_usable(void)
{
	int n = affinity();
	double quota = cgroup_quota();
	if (quota > 0 && quota < n)
		n = (int)quota + (quota > (int)quota);
	return n > 0 ? n : 1;
}

/* What cpu N belongs to; -1 if the system does not say. */
static int topology(int cpu, const char *name)
{
	char dir[96];
	snprintf(dir, sizeof dir, "/sys/devices/system/cpu/cpu%d/topology", cpu);
	return (int)cgroup_number(dir, name, NULL);
}

/* Different cores or sockets among the CPUs we may run on. */
static int distinct(enum cpus what)
{
	enum { MAX = 4096 };
	static int seen[MAX][2];
	int n = 0;
	cpu_set_t *set = CPU_ALLOC(MAX);
	size_t size = CPU_ALLOC_SIZE(MAX);
	if (!set || sched_getaffinity(0, size, set) != 0)
		n = MAX;
	for (int cpu = 0; cpu < MAX && n < MAX; cpu++) {
		if (!CPU_ISSET_S((size_t)cpu, size, set))
			continue;
		int socket = topology(cpu, "physical_package_id"), i = 0;
		int core = what == CPU_CORES ? topology(cpu, "core_id") : 0;
		if (what == CPU_CORES && (socket < 0 || core < 0))
			core = cpu; /* unknown: each for itself */
		while (i < n && (seen[i][0] != socket || seen[i][1] != core))
			i++;
		seen[i][0] = socket;
		seen[i][1] = core;
		n += i == n;
	}
	CPU_FREE(set);
	return n;
}

int cpus_counted(enum cpus what)
{
	int usable = cpus_usable(), n = what == CPU_THREADS ? usable : distinct(what);
	return n < 1 ? 1 : n < usable ? n : usable;
}

int cpus_wanted(const struct config *cfg)
{
	return cpus_counted(cfg->cpus);
}

/* -j0: as many as the file descriptors allow. */
static int most(void)
{
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur == RLIM_INFINITY)
		return JOBS_MAX;
	rlim_t n = rl.rlim_cur > FDS_OURS ? (rl.rlim_cur - FDS_OURS) / FDS_PER_JOB : 1;
	return n < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : (int)n;
}

static int at_most(double n)
{
	int max = most();
	return n > max ? max : (int)n;
}

bool jobs_is_file(const char *spec)
{
	return spec && !strchr("+-0123456789", *spec) && access(spec, R_OK) == 0;
}

static int from_file(const char *path, int cpus)
{
	char line[64] = "";
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	bool ok = fgets(line, sizeof line, f) != NULL;
	fclose(f);
	line[strcspn(line, " \t\r\n")] = '\0';
	return ok && strchr("+-0123456789", *line) ? jobs_parse(line, cpus) : -1;
}

int jobs_parse(const char *spec, int cpus)
{
	char *end;
	if (!spec)
		return cpus;
	if (jobs_is_file(spec))
		return from_file(spec, cpus);
	double n = strtod(spec, &end);
	if (end == spec || !*spec)
		return -1;
	if (*end == '%' && !end[1])
		n = cpus * n / 100 < 1 ? 1 : cpus * n / 100;
	else if (*end)
		return -1;
	else if (*spec == '+' || *spec == '-')
		return n + cpus < 1 ? 0 : at_most(n + cpus);
	else if (n == 0)
		return most();
	return n < 1 ? 1 : at_most(n);
}

int jobs_count(const struct config *cfg)
{
	int n = cfg->tty && !cfg->jobs ? 1 : jobs_parse(cfg->jobs, cpus_wanted(cfg));
	if (n == 0)
		warn("-j: '%s' of %d CPUs leaves none; write how many jobs you want: -j1", cfg->jobs,
		     cpus_wanted(cfg));
	if (n < 0)
		warn("-j: '%s' is not a number of jobs; write N, N%%, +N, -N, 0, or the name of"
		     " a file that holds one of these",
		     cfg->jobs);
	return n;
}

bool jobs_changed(const struct config *cfg, int *n)
{
	static int last;
	int now = from_file(cfg->jobs, cpus_wanted(cfg));
	bool changed = now > 0 && now != last;
	if (changed)
		*n = last = now;
	return changed;
}
