/* env.c - the environment of a job: a base, and variables that override it.
 *
 * Done for each job, so it must not cost more than a look at each variable's first letters. */
#include "local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t count(char *const *v)
{
	size_t n = 0;
	while (v && v[n])
		n++;
	return n;
}

static int make_room(struct env *e, size_t vars, size_t names)
{
	if (vars > e->cap) {
		char **v = realloc(e->v, vars * 2 * sizeof *v);
		if (!v)
			return -ENOMEM;
		e->v = v;
		e->cap = vars * 2;
	}
	if (names > e->names_cap) {
		struct env_name *v = realloc(e->names, names * sizeof *v);
		if (!v)
			return -ENOMEM;
		e->names = v;
		e->names_cap = names;
	}
	return 0;
}

/* Most variables are told apart by the first letter already. */
static unsigned letter(const char *name)
{
	return 1u << (*name & 31);
}

static bool overridden(const char *var, const struct env_name *by, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (*var == *by[i].s && !strncmp(var, by[i].s, by[i].len) &&
		    (var[by[i].len] == '=' || !var[by[i].len]))
			return true;
	return false;
}

int pr_env_build(struct env *e, char *const *base, char *const *over)
{
	size_t n = count(over);
	int r = make_room(e, count(base) + n + 1, n);
	if (r != 0)
		return r;
	unsigned letters = 0;
	for (size_t i = 0; i < n; letters |= letter(over[i]), i++)
		e->names[i] = (struct env_name){ over[i], strcspn(over[i], "=") };
	char **out = e->v;
	for (; base && *base; base++) /* clearenv() leaves none */
		if (!(letters & letter(*base)) || !overridden(*base, e->names, n))
			*out++ = *base;
	if (n)
		memcpy(out, over, n * sizeof *out);
	out[n] = NULL;
	return 0;
}

int pr_env_own(struct env *e)
{
	size_t size = 0, n = count(e->v);
	for (size_t i = 0; i < n; i++)
		size += strlen(e->v[i]) + 1;
	if (size > e->text_cap) {
		free(e->text);
		e->text_cap = (e->text = malloc(size * 2)) ? size * 2 : 0;
		if (!e->text)
			return -ENOMEM;
	}
	char *to = e->text;
	for (size_t i = 0; i < n; i++) {
		char *next = stpcpy(to, e->v[i]) + 1;
		e->v[i] = to;
		to = next;
	}
	return 0;
}

void pr_env_free(struct env *e)
{
	free(e->v);
	free(e->names);
	free(e->text);
}
