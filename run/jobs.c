/* jobs.c - job slots from -j, CPUs from affinity and cgroup.  Reads /proc and cgroupfs. */
#include "jobs.h"

#include "buf.h"

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

/* Two numbers of one file, or of two; false: no limit there. */
static bool quota_at(const char *dir, double *cpus)
{
	char path[PATH_MAX + 32];
	double quota = -1, period = 0;
	snprintf(path, sizeof path, "%s/cpu.max", dir);
	FILE *f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%lf %lf", &quota, &period) != 2)
			quota = -1; /* "max" */
		fclose(f);
	} else {
		snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
		if ((f = fopen(path, "re"))) {
			if (fscanf(f, "%lf", &quota) != 1)
				quota = -1;
			fclose(f);
		}
		snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
		if ((f = fopen(path, "re"))) {
			if (fscanf(f, "%lf", &period) != 1)
				period = 0;
			fclose(f);
		}
	}
	*cpus = period > 0 ? quota / period : -1;
	return *cpus > 0;
}

/* The least quota from the cgroup up to the root of its hierarchy. */
static double chain_quota(const char *mount, const char *group)
{
	char dir[PATH_MAX];
	double least = -1, here;
	int n = snprintf(dir, sizeof dir, "%s%s", mount, group);
	if (n < 0 || (size_t)n >= sizeof dir)
		return -1;
	for (;;) {
		if (quota_at(dir, &here) && (least < 0 || here < least))
			least = here;
		char *slash = strrchr(dir, '/');
		if (strlen(dir) <= strlen(mount) || !slash)
			return least;
		*slash = '\0';
	}
}

static double cgroup_quota(void)
{
	char line[PATH_MAX];
	double least = -1;
	FILE *f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof line, f)) {
		char *ctl = strchr(line, ':'), *group = ctl ? strchr(ctl + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		const char *mount = ctl[1] == '\0'         ? "/sys/fs/cgroup"
		                    : strstr(ctl, "cpuset") ? NULL
		                    : strstr(ctl, "cpu")    ? "/sys/fs/cgroup/cpu"
		                                            : NULL;
		double q = mount ? chain_quota(mount, group) : -1;
		if (q > 0 && (least < 0 || q < least))
			least = q;
	}
	if (f)
		fclose(f);
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
	int n = cfg->tty && !cfg->jobs ? 1 : jobs_parse(cfg->jobs, cpus_usable());
	if (n == 0)
		warn("-j: '%s' of %d CPUs leaves none; write how many jobs you want: -j1", cfg->jobs,
		     cpus_usable());
	if (n < 0)
		warn("-j: '%s' is not a number of jobs; write N, N%%, +N, -N, 0, or the name of"
		     " a file that holds one of these",
		     cfg->jobs);
	return n;
}

bool jobs_changed(const char *spec, int *n)
{
	static int last;
	int now = from_file(spec, cpus_usable());
	bool changed = now > 0 && now != last;
	if (changed)
		*n = last = now;
	return changed;
}
