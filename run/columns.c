/* columns.c - one record into values: --colsep, --csv, --trim.  Pure. */
#include "columns.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int columns_init(struct columns *c, const struct config *cfg)
{
	*c = (struct columns){ .cfg = cfg };
	if (!cfg->colsep || cfg->csv)
		return 0;
	c->sep = regex_new(cfg->colsep, false, "--colsep");
	return c->sep ? 0 : -1;
}

static enum trim trim_of(const struct config *cfg)
{
	if (cfg->trim != TRIM_AUTO)
		return cfg->trim;
	return cfg->colsep ? TRIM_BOTH : TRIM_NONE;
}

bool columns_needed(const struct config *cfg)
{
	return cfg->colsep || cfg->csv || trim_of(cfg) != TRIM_NONE;
}

void columns_begin(struct columns *c)
{
	buf_clear(&c->text);
	c->n = 0;
}

static void add_value(struct columns *c, const char *s, size_t len)
{
	enum trim trim = trim_of(c->cfg);
	while (trim != TRIM_NONE && trim != TRIM_RIGHT && len && isspace((unsigned char)*s)) {
		s++;
		len--;
	}
	while (trim != TRIM_NONE && trim != TRIM_LEFT && len && isspace((unsigned char)s[len - 1]))
		len--;
	if (c->n == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 16;
		c->at = xrealloc(c->at, c->cap * sizeof *c->at);
		c->v = xrealloc(c->v, (c->cap + 1) * sizeof *c->v);
	}
	c->at[c->n++] = c->text.len;
	buf_add(&c->text, s, len);
	buf_chr(&c->text, '\0');
}

static void add_by_regex(struct columns *c, const char *record)
{
	size_t len = strlen(record), from = 0, at = 0;
	struct span m, g;
	while (at <= len && regex_find(c->sep, record, len, at, &m, &g)) {
		if (m.to == m.from && (m.from == from || m.from == len)) {
			at = m.from + 1; /* nothing is there: as Perl's split, between two bytes only */
			continue;
		}
		add_value(c, record + from, m.from - from);
		at = from = m.to;
	}
	add_value(c, record + from, len - from);
}

/* One field as RFC 4180 writes it, unquoted into b; returns what follows it. */
static const char *csv_field(const char *p, char sep, struct buf *b)
{
	bool quoted = *p == '"';
	for (p += quoted; *p; p++) {
		if (quoted && *p == '"' && *++p != '"')
			quoted = false;
		if (!*p || (!quoted && *p == sep))
			break;
		buf_chr(b, *p);
	}
	return p;
}

/* One byte, or \t for a tab. */
static char separator(const char *colsep)
{
	return colsep[0] == '\\' && colsep[1] == 't' ? '\t' : colsep[0] == '\\' ? colsep[1] : *colsep;
}

static void add_csv(struct columns *c, const char *p)
{
	char sep = c->cfg->colsep ? separator(c->cfg->colsep) : ',';
	struct buf field = { 0 };
	for (;; p++) {
		buf_clear(&field);
		p = csv_field(p, sep, &field);
		if (!*p && field.len && field.s[field.len - 1] == '\r')
			field.len--;
		add_value(c, field.s, field.len);
		if (!*p)
			break;
	}
	buf_free(&field);
}

void columns_add(struct columns *c, const char *record)
{
	if (c->cfg->csv)
		add_csv(c, record);
	else if (c->sep)
		add_by_regex(c, record);
	else
		add_value(c, record, strlen(record));
}

void columns_end(struct columns *c)
{
	for (size_t i = 0; i < c->n; i++)
		c->v[i] = c->text.s + c->at[i];
	if (c->v)
		c->v[c->n] = NULL;
}

void columns_free(struct columns *c)
{
	regex_free(c->sep);
	buf_free(&c->text);
	free(c->at);
	free(c->v);
}
