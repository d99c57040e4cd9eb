/* key.c - the value of one column of a line: what --group-by, --shard and --bin look at. */
#include "cut.h"

#include "regex.h"

#include <stdlib.h>
#include <string.h>

struct key {
	size_t column;      /* from 1; 0: the whole line */
	char sep;           /* one byte between columns ... */
	struct regex *re;   /* ... or a regular expression */
};

static bool set_separator(struct key *k, const char *colsep)
{
	static const char special[] = "\\.[]{}()*+?^$|";
	if (!colsep || !strcmp(colsep, "\\t"))
		k->sep = '\t';
	else if (*colsep && !colsep[1] && !strchr(special, *colsep))
		k->sep = *colsep;
	else
		k->re = regex_new(colsep, false, "--colsep");
	return k->sep || k->re;
}

/* One column: from *at; false: there is none. */
static bool column(const struct key *k, const char *line, size_t len, size_t *at,
                   struct span *s)
{
	struct span m, group;
	if (*at > len)
		return false;
	*s = (struct span){ *at, len };
	if (k->re) {
		if (!regex_find(k->re, line, len, *at, &m, &group) || m.to == *at)
			m = (struct span){ len, len + 1 };
	} else {
		const char *c = *at < len ? memchr(line + *at, k->sep, len - *at) : NULL;
		m.from = c ? (size_t)(c - line) : len;
		m.to = m.from + 1;
	}
	s->to = m.from;
	*at = m.to;
	return true;
}

void key_get(const struct key *k, const char *line, size_t len, const char **v, size_t *n)
{
	struct span s = { 0, len };
	size_t at = 0, i = 0;
	for (; i < k->column && column(k, line, len, &at, &s); i++)
		;
	if (i < k->column)
		s = (struct span){ len, len };
	*v = line + s.from;
	*n = s.to - s.from;
}

static size_t by_name(const struct key *k, const struct buf *header, const char *name)
{
	size_t at = 0, len = header->s ? strcspn(header->s, "\r\n") : 0;
	struct span s;
	for (size_t i = 1; len && column(k, header->s, len, &at, &s); i++)
		if (s.to - s.from == strlen(name) && !memcmp(header->s + s.from, name, s.to - s.from))
			return i;
	return 0;
}

static bool find_column(struct key *k, const char *what, const char *expr,
                        const struct buf *header)
{
	char *end;
	long n = strtol(expr, &end, 10);
	if (end != expr && !*end && n >= 0) {
		k->column = (size_t)n;
		return true;
	}
	k->column = by_name(k, header, expr);
	if (k->column)
		return true;
	if (header->len && !strpbrk(expr, " $_=/"))
		warn("%s: no column is called '%s'; the header is '%.*s'", what, expr,
		     (int)strcspn(header->s, "\r\n"), header->s);
	else
		warn("%s: '%s' is neither the number nor the name of a column (Perl expressions are"
		     " not understood here: add the value as a column with awk or perl first)",
		     what, expr);
	return false;
}

struct key *key_new(const struct config *cfg, const char *what, const char *expr,
                    const struct buf *header)
{
	struct key *k = memset(xrealloc(NULL, sizeof *k), 0, sizeof *k);
	if (set_separator(k, cfg->colsep) && find_column(k, what, expr, header))
		return k;
	key_free(k);
	return NULL;
}

void key_free(struct key *k)
{
	if (!k)
		return;
	regex_free(k->re);
	free(k);
}
