/* oom.c - how often the kernel killed in our cgroup for lack of memory; reads, never writes. */
#include "progress.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "oom_kill N" in a file of "name value" lines; -1: no such file or line. */
static int64_t oom_kill_in(const char *root, const char *cgroup, const char *file)
{
	char path[PATH_MAX], name[64];
	long long n;
	int64_t found = -1;
	int len = snprintf(path, sizeof path, "%s%s/%s", root, cgroup, file);
	FILE *f = len > 0 && (size_t)len < sizeof path ? fopen(path, "re") : NULL;
	if (!f)
		return -1;
	while (found < 0 && fscanf(f, "%63s %lld", name, &n) == 2)
		if (!strcmp(name, "oom_kill"))
			found = n;
	fclose(f);
	return found;
}

/* In a container the path may not be visible: its top directory is then our own cgroup. */
static int64_t count_of(const char *root, const char *cgroup, const char *file)
{
	int64_t n = oom_kill_in(root, cgroup, file);
	return n >= 0 ? n : oom_kill_in(root, "", file);
}

static int64_t count_of_line(const char *controllers, const char *cgroup)
{
	int64_t n;
	if (!strcmp(controllers, "memory"))
		return count_of("/sys/fs/cgroup/memory", cgroup, "memory.oom_control");
	if (*controllers)
		return -1;
	n = count_of("/sys/fs/cgroup", cgroup, "memory.events");
	return n >= 0 ? n : count_of("/sys/fs/cgroup/unified", cgroup, "memory.events");
}

int64_t oom_count(void)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char *line = NULL;
	size_t cap = 0;
	int64_t n = -1;
	while (f && n < 0 && getline(&line, &cap, f) > 0) {
		/* "ID:CONTROLLERS:PATH" */
		char *ctl = strchr(line, ':'), *path = ctl ? strchr(ctl + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		n = count_of_line(ctl + 1, strcmp(path, "/") ? path : "");
	}
	free(line);
	if (f)
		fclose(f);
	return n;
}
