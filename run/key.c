/* key.c - the value of one column of a line: what --group-by, --shard and --bin look at.
 *
 * An expression is asked of a perl of its own, for many lines at once: the keys of the lines
 * that follow in the window are kept until it is their turn. */
#include "cut.h"

#include "perl.h"
#include "regex.h"

#include <stdlib.h>
#include <string.h>

enum { ASK = 1000 };

struct key {
	size_t column;      /* from 1; 0: the whole line */
	char sep;           /* one byte between columns ... */
	struct regex *re;   /* ... or a regular expression */
	struct perl *perl;  /* NULL: the column itself */
	int number;
	struct perl_values *answers;
	size_t nanswers, at;
	struct buf text;
	char *v[ASK];
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

static void cut_out(const struct key *k, const char *line, size_t len, const char **v, size_t *n)
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

static void add_value(struct key *k, const char *line, size_t len)
{
	const char *v;
	size_t n;
	cut_out(k, line, len, &v, &n);
	buf_add(&k->text, v, n);
	buf_chr(&k->text, '\0');
	k->nanswers++;
}

/* This line, and those behind it that are complete. */
static void ask(struct key *k, const char *p, size_t len, size_t have)
{
	const char *end = p + have, *nl;
	key_restart(k);
	add_value(k, p, len);
	for (p += len + 1; p < end && k->nanswers < ASK && (nl = memchr(p, '\n', (size_t)(end - p)));
	     p = nl + 1)
		add_value(k, p, (size_t)(nl - p));
	char *s = k->text.s;
	for (size_t i = 0; i < k->nanswers; i++, s += strlen(s) + 1)
		k->v[i] = s;
	struct args a = { .v = k->v, .n = k->nanswers };
	k->answers = perl_failed(k->perl) ? NULL : perl_map(k->perl, k->number, &a);
}

void key_get(struct key *k, const char *p, size_t len, size_t have, const char **v, size_t *n)
{
	if (!k->perl) {
		cut_out(k, p, len, v, n);
		return;
	}
	if (k->at >= k->nanswers)
		ask(k, p, len, have);
	*v = k->answers ? perl_value(k->perl, k->answers, PERL_MAPPED, k->at, NULL) : NULL;
	*v = *v ? *v : "";
	*n = strlen(*v);
	k->at++;
}

void key_restart(struct key *k)
{
	perl_values_free(k->answers);
	k->answers = NULL;
	k->nanswers = k->at = 0;
	buf_clear(&k->text);
}

bool key_failed(const struct key *k)
{
	return k->perl && perl_failed(k->perl);
}

static size_t by_name(const struct key *k, const struct buf *header, const char *name, size_t n)
{
	size_t at = 0, len = header->s ? strcspn(header->s, "\r\n") : 0;
	struct span s;
	for (size_t i = 1; len && column(k, header->s, len, &at, &s); i++)
		if (s.to - s.from == n && !memcmp(header->s + s.from, name, n))
			return i;
	return 0;
}

static int no_column(const char *what, const char *expr, const struct buf *header)
{
	if (header->len)
		warn("%s: no column is called '%s'; the header is '%.*s'", what, expr,
		     (int)strcspn(header->s, "\r\n"), header->s);
	else
		warn("%s: '%s' is no number of a column; its name needs '--header :' too", what, expr);
	return -1;
}

static bool is_name(const char *s)
{
	return *s && !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")];
}

/* [COLUMN] [EXPRESSION]; where the expression begins, NULL after a message. */
static const char *find_column(struct key *k, const char *what, const char *expr,
                               const struct buf *header)
{
	size_t word = strcspn(expr, " ");
	if (word && strspn(expr, "0123456789") == word)
		k->column = (size_t)strtoul(expr, NULL, 10);
	else if (!(k->column = by_name(k, header, expr, strlen(expr))))
		k->column = by_name(k, header, expr, word);
	else
		return "";
	if (k->column || (word && strspn(expr, "0123456789") == word))
		return expr + word + strspn(expr + word, " ");
	if (is_name(expr))
		return no_column(what, expr, header) == 0 ? expr : NULL;
	return expr;
}

static bool set_expression(struct key *k, const char *code)
{
	struct buf b = { 0 };
	if (!*code)
		return true;
	k->perl = perl_new();
	buf_str(&b, EXPR_BEGIN);
	buf_str(&b, code);
	k->number = perl_add(k->perl, b.s, 1, false);
	buf_free(&b);
	return k->number >= 0;
}

struct key *key_new(const struct config *cfg, const char *what, const char *expr,
                    const struct buf *header)
{
	struct key *k = memset(xrealloc(NULL, sizeof *k), 0, sizeof *k);
	const char *code = set_separator(k, cfg->colsep) ? find_column(k, what, expr, header) : NULL;
	if (code && set_expression(k, code))
		return k;
	key_free(k);
	return NULL;
}

void key_free(struct key *k)
{
	if (!k)
		return;
	key_restart(k);
	if (k->perl)
		perl_free(k->perl);
	regex_free(k->re);
	buf_free(&k->text);
	free(k);
}
