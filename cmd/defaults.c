/* defaults.c - reads ~/.parallel/config, ~/.config/prong/config, a profile, $PARALLEL, and
 * cuts them into words as a shell would. */
#include "defaults.h"

#include "buf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int split(struct words *w, const char *s, const char *where)
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
	fclose(f);
	int e = b.s ? split(w, b.s, path) : 0;
	buf_free(&b);
	return e;
}

static int read_in_home(struct words *w, const char *dir_var, const char *under, const char *name)
{
	char path[PATH_MAX];
	const char *dir = getenv(dir_var), *home = getenv("HOME");
	if (dir && *dir)
		snprintf(path, sizeof path, "%s/%s", dir, name);
	else if (home && *home)
		snprintf(path, sizeof path, "%s/%s/%s", home, under, name);
	else
		return 0;
	return read_file(w, path);
}

int defaults_read(const char *profile, struct words into[3])
{
	const char *env = getenv("PARALLEL");
	int e = profile && strchr(profile, '/')
	                ? read_file(&into[0], profile)
	                : read_in_home(&into[0], "PARALLEL_HOME", ".parallel",
	                               profile ? profile : "config");
	if (e == 0 && !profile)
		e = read_in_home(&into[1], "XDG_CONFIG_HOME", ".config", "prong/config");
	if (e == 0 && env)
		e = split(&into[2], env, "$PARALLEL");
	return e;
}
