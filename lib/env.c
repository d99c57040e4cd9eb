/* env.c - the environment of a job: a base, and strings that override it. */
#include "local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t name_len(const char *s)
{
	return strcspn(s, "=");
}

static bool overridden(const char *var, char *const *by)
{
	size_t n = name_len(var);
	for (; by && *by; by++)
		if (!strncmp(var, *by, n + 1) || (name_len(*by) == n && !strncmp(var, *by, n)))
			return true;
	return false;
}

static size_t count(char *const *v)
{
	size_t n = 0;
	while (v && v[n])
		n++;
	return n;
}

int pr_env_build(struct env *env, char *const *base, char *const *extra)
{
	size_t n = count(base) + count(extra) + 1;
	if (n > env->cap) {
		char **v = realloc(env->v, n * 2 * sizeof *v);
		if (!v)
			return -ENOMEM;
		env->v = v;
		env->cap = n * 2;
	}
	char **out = env->v;
	for (; *base; base++)
		if (!overridden(*base, extra))
			*out++ = *base;
	for (; extra && *extra; extra++)
		*out++ = *extra;
	*out = NULL;
	return 0;
}
