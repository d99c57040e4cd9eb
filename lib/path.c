/* path.c - $PATH searched once per command name.  Owns the table; reads the environment. */
#include "path.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUCKETS = 64, ENTRIES_MAX = 1024 };

struct entry {
	struct entry *next;
	char *file;
	char name[];
};
struct paths {
	struct entry *bucket[BUCKETS];
	unsigned n;
};

static unsigned hash(const char *s)
{
	unsigned h = 5381;
	for (; *s; s++)
		h = h * 33 + (unsigned char)*s;
	return h % BUCKETS;
}

static bool executable(const char *file, int *error)
{
	struct stat st;
	if (stat(file, &st) != 0) {
		if (errno == EACCES)
			*error = EACCES;
		return false;
	}
	if (S_ISREG(st.st_mode) && access(file, X_OK) == 0)
		return true;
	*error = EACCES;
	return false;
}

static char *search(const char *name, int *error)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];
	*error = ENOENT;
	for (const char *p = path ? path : "/usr/local/bin:/bin:/usr/bin";; p++) {
		size_t len = strcspn(p, ":");
		int n = len ? snprintf(file, sizeof file, "%.*s/%s", (int)len, p, name)
		            : snprintf(file, sizeof file, "./%s", name);
		if (n > 0 && (size_t)n < sizeof file && executable(file, error)) {
			*error = ENOMEM; /* if there is none */
			return strdup(file);
		}
		p += len;
		if (!*p)
			return NULL;
	}
}

static const char *remember(struct paths *t, const char *name, char *file)
{
	size_t len = strlen(name) + 1;
	struct entry *e = malloc(sizeof *e + len);
	if (!e) {
		free(file);
		return NULL;
	}
	memcpy(e->name, name, len);
	e->file = file;
	struct entry **b = &t->bucket[hash(name)];
	e->next = *b;
	*b = e;
	t->n++;
	return file;
}

const char *pr_paths_find(struct paths **table, const char *name, int *error)
{
	if (strchr(name, '/'))
		return name;
	if (*table && (*table)->n >= ENTRIES_MAX)
		pr_paths_forget(table);
	if (!*table && !(*table = calloc(1, sizeof **table))) {
		*error = ENOMEM;
		return NULL;
	}
	for (struct entry *e = (*table)->bucket[hash(name)]; e; e = e->next)
		if (!strcmp(e->name, name))
			return e->file;
	char *file = *name ? search(name, error) : (*error = ENOENT, NULL);
	if (!file)
		return NULL;
	*error = ENOMEM;
	return remember(*table, name, file);
}

void pr_paths_forget(struct paths **table)
{
	for (unsigned i = 0; *table && i < BUCKETS; i++) {
		for (struct entry *e = (*table)->bucket[i], *next; e; e = next) {
			next = e->next;
			free(e->file);
			free(e);
		}
		(*table)->bucket[i] = NULL;
	}
	if (*table)
		(*table)->n = 0;
}

void pr_paths_free(struct paths **table)
{
	pr_paths_forget(table);
	free(*table);
	*table = NULL;
}
