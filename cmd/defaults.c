/* defaults.c - reads /etc/parallel/config, ~/.parallel/config, ~/.config/prong/config, a profile,
 * $PARALLEL, and cuts them into words as a shell would. */
#include "defaults.h"

#include "buf.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void words_add(struct words *w, char *word)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 16;
		w->v = xrealloc(w->v, w->cap * sizeof *w->v);
	}
	w->v[w->n++] = word;
}

/* One word at *s: quotes and backslashes as in a shell.  NULL: a quote is not closed. */
static char *next_word(const char **s)
{
	struct buf b = { 0 };
	char quote = 0;
	buf_clear(&b);
	for (; **s && (quote || !strchr(" \t\n", **s)); ++*s) {
		char c = **s;
		if (c == '\\' && quote != '\'' && (*s)[1])
			buf_chr(&b, *++*s);
		else if (quote ? c == quote : c == '\'' || c == '"')
			quote = quote ? 0 : c;
		else
			buf_chr(&b, c);
	}
	if (!quote)
		return b.s;
	buf_free(&b);
	return NULL;
}

int words_split(struct words *w, const char *s, const char *where)
{
	for (;;) {
		s += strspn(s, " \t\n");
		if (*s == '#') {
			s += strcspn(s, "\n");
			continue;
		}
		if (!*s)
			return 0;
		char *word = next_word(&s);
		if (!word) {
			warn("%s: a quote is not closed", where);
			return -1;
		}
		words_add(w, word);
	}
}

static int read_file(struct words *w, const char *path)
{
	char block[4096];
	struct buf b = { 0 };
	FILE *f = fopen(path, "re");
	if (!f)
		return errno == ENOENT || errno == ENOTDIR ? 0 : (warn("cannot read '%s':", path), -1);
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
		buf_add(&b, block, n);
	bool failed = ferror(f);
	if (failed)
		warn("cannot read '%s':", path);
	fclose(f);
	int e = failed ? -1 : b.s ? words_split(w, b.s, path) : 0;
	buf_free(&b);
	return e;
}

/* false: there is no home. */
static bool in_home(const char *dir_var, const char *under, const char *name, char *path)
{
	const char *dir = getenv(dir_var), *home = getenv("HOME");
	if (dir && *dir)
		snprintf(path, PATH_MAX, "%s/%s", dir, name);
	else if (home && *home)
		snprintf(path, PATH_MAX, "%s/%s/%s", home, under, name);
	else
		return false;
	return true;
}

static int read_in_home(struct words *w, const char *dir_var, const char *under, const char *name)
{
	char path[PATH_MAX];
	return in_home(dir_var, under, name, path) ? read_file(w, path) : 0;
}

/* Which names --env _ leaves out: what is in the environment now. */
int defaults_record_env(void)
{
	extern char **environ;
	char path[PATH_MAX];
	if (!in_home("PARALLEL_HOME", ".parallel", "ignored_vars", path))
		return warn("--record-env: $HOME is not set"), -1;
	*strrchr(path, '/') = '\0';
	mkdir(path, 0777);
	path[strlen(path)] = '/';
	FILE *f = fopen(path, "we");
	for (char **e = environ; f && *e; e++)
		if (strncmp(*e, "BASH_FUNC_", 10) != 0)
			fprintf(f, "%.*s\n", (int)strcspn(*e, "="), *e);
		else
			fprintf(f, "%.*s\n", (int)strcspn(*e + 10, "%=("), *e + 10);
	if (!f || (ferror(f) | fclose(f)) != 0)
		return warn("--record-env: cannot write '%s':", path), -1;
	return 0;
}

/* ~/.parallel/NAME; a name with a slash is a path as it is. */
static int read_profile(struct words *w, const char *name)
{
	char path[PATH_MAX];
	if (strchr(name, '/')) {
		if (access(name, F_OK) != 0)
			warn("--profile: no file '%s':", name);
		return read_file(w, name);
	}
	if (in_home("PARALLEL_HOME", ".parallel", name, path) && access(path, F_OK) != 0)
		warn("--profile: no file '%s'; going on without it", path);
	return read_in_home(w, "PARALLEL_HOME", ".parallel", name);
}

int defaults_read(const char *const *profiles, size_t nprofiles, struct words **into, size_t *n)
{
	const char *env = getenv("PARALLEL");
	struct words *w = xrealloc(NULL, (nprofiles + 4) * sizeof *w);
	int e = 0;
	memset(w, 0, (nprofiles + 4) * sizeof *w);
	*into = w;
	for (size_t i = 0; e == 0 && i < nprofiles; i++)
		e = read_profile(w++, profiles[i]);
	if (e == 0 && !nprofiles)
		e = read_file(w++, "/etc/parallel/config");
	if (e == 0 && !nprofiles)
		e = read_in_home(w++, "PARALLEL_HOME", ".parallel", "config");
	if (e == 0 && !nprofiles)
		e = read_in_home(w++, "XDG_CONFIG_HOME", ".config", "prong/config");
	if (e == 0 && env)
		e = words_split(w++, env, "$PARALLEL");
	*n = (size_t)(w - *into);
	return e;
}
