/* cgroup.c - see cgroup.h. */
#include "cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool names(const char *list, const char *controller)
{
	size_t n = strlen(controller);
	for (const char *p = list; (p = strstr(p, controller)); p += n)
		if ((p == list || p[-1] == ',') && (p[n] == '\0' || p[n] == ','))
			return true;
	return false;
}

static void climb(const char *mount, const char *group, int v2,
                  void (*visit)(const char *dir, int v2, void *arg), void *arg)
{
	char dir[PATH_MAX];
	int n = snprintf(dir, sizeof dir, "%s%s", mount, strcmp(group, "/") ? group : "");
	if (n < 0 || (size_t)n >= sizeof dir)
		return;
	for (;;) {
		visit(dir, v2, arg);
		char *slash = strrchr(dir, '/');
		if (strlen(dir) <= strlen(mount) || !slash)
			return;
		*slash = '\0';
	}
}

void cgroup_visit(const char *controller, void (*visit)(const char *dir, int v2, void *arg),
                  void *arg)
{
	char line[PATH_MAX + 64], mount[PATH_MAX];
	FILE *f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof line, f)) {
		/* "ID:CONTROLLERS:PATH" */
		char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (!*++list) {
			const char *hybrid = "/sys/fs/cgroup/unified";
			climb(access(hybrid, F_OK) == 0 ? hybrid : "/sys/fs/cgroup", group, 1,
			      visit, arg);
		} else if (names(list, controller)) {
			snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
			climb(mount, group, 0, visit, arg);
		}
	}
	if (f)
		fclose(f);
}

double cgroup_number(const char *dir, const char *name, const char *key)
{
	char path[PATH_MAX + 64], word[64];
	double n, found = -1;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	if (!key && fscanf(f, "%lf", &n) == 1)
		found = n;
	while (key && found < 0 && fscanf(f, "%63s %lf", word, &n) == 2)
		if (!strcmp(word, key))
			found = n;
	fclose(f);
	return found;
}
