/* cut.c - finds record ends.  A literal separator without -N is looked for from the end
 * backwards, so that a block costs a look at its last bytes; everything else is scanned
 * forward once, with its state kept between the windows. */
#include "cut.h"

#include "regex.h"

#include <stdlib.h>
#include <string.h>

enum kind { BYTES, LITERAL, PATTERN, CSV, GROUP };

struct cutter {
	enum kind kind;
	struct buf sep;      /* LITERAL: recend and recstart in one */
	size_t end_len;      /* how much of it belongs to the record before */
	struct regex *re;    /* PATTERN */
	bool before;         /* the record ends before the match (only --recstart) */
	size_t want, per;    /* -N, 0 none; -L lines are a record */
	size_t at;           /* scanned up to here */
	size_t last;         /* the last place to cut that was seen; 0 none */
	size_t seen, lines;  /* records since the last cut; lines since the last record */
	bool quoted;         /* CSV: within quotes */
	struct key *key;     /* GROUP */
	struct buf group;    /* the key of the line before */
	bool any_line;
	bool local;          /* only the bytes around a cut matter */
};

/* ---- making one ---- */

/* \n \t \r \0 \\ stand for their bytes, as in the shell's printf. */
static void add_unescaped(struct buf *b, const char *s)
{
	static const char letters[] = "ntr0\\", bytes[] = "\n\t\r\0\\";
	for (; s && *s; s++) {
		const char *l = *s == '\\' && s[1] ? strchr(letters, s[1]) : NULL;
		buf_chr(b, l ? bytes[l - letters] : *s);
		s += l != NULL;
	}
}

static bool set_pattern(struct cutter *c, const struct config *cfg)
{
	struct buf p = { 0 };
	if (!cfg->recend) {
		c->before = true;
		buf_str(&p, cfg->recstart);
	} else if (!cfg->recstart) {
		buf_str(&p, cfg->recend);
	} else {
		buf_fmt(&p, "(?:%s)(?=%s)", cfg->recend, cfg->recstart);
	}
	c->kind = PATTERN;
	c->re = regex_new(p.s, false, cfg->recend ? "--recend" : "--recstart");
	buf_free(&p);
	return c->re != NULL;
}

static void set_literal(struct cutter *c, const struct config *cfg)
{
	buf_clear(&c->sep);
	if (!cfg->recend && !cfg->recstart)
		buf_str(&c->sep, "\n");
	add_unescaped(&c->sep, cfg->recend);
	c->end_len = c->sep.len;
	add_unescaped(&c->sep, cfg->recstart);
	c->kind = c->sep.len ? LITERAL : BYTES;
}

static bool set_up(struct cutter *c, const struct config *cfg, const struct buf *header)
{
	static const struct config lines;
	c->want = cfg->max_args > 0 ? (size_t)cfg->max_args : 0;
	c->per = cfg->max_lines > 1 ? (size_t)cfg->max_lines : 1;
	set_literal(c, cfg->max_lines >= 0 ? &lines : cfg);
	if (cfg->group_by) {
		c->kind = GROUP;
		c->key = key_new(cfg, "--group-by", cfg->group_by, header);
		return c->key != NULL;
	}
	if (cfg->csv)
		c->kind = CSV;
	else if (cfg->regexp && cfg->max_lines < 0 && c->kind == LITERAL &&
	         (cfg->recend || cfg->recstart))
		return set_pattern(c, cfg);
	return true;
}

struct cutter *cutter_new(const struct config *cfg, const struct buf *header)
{
	struct cutter *c = memset(xrealloc(NULL, sizeof *c), 0, sizeof *c);
	if (set_up(c, cfg, header)) {
		c->local = (c->kind == LITERAL || c->kind == BYTES) && !c->want && c->per == 1 &&
		           !cfg->rrs;
		return c;
	}
	cutter_free(c);
	return NULL;
}

void cutter_free(struct cutter *c)
{
	if (!c)
		return;
	buf_free(&c->sep);
	buf_free(&c->group);
	regex_free(c->re);
	key_free(c->key);
	free(c);
}

bool cutter_failed(const struct cutter *c)
{
	return c->key && key_failed(c->key);
}

bool cutter_local(const struct cutter *c)
{
	return c->local;
}

/* ---- forward, one record at a time: its end, or 0 ---- */

static size_t next_literal(struct cutter *c, const char *p, size_t len)
{
	size_t n = c->sep.len;
	if (!c->end_len && !c->at)
		c->at = 1; /* the first record begins here: that is no end */
	const char *m = NULL;
	if (len > c->at)
		m = n == 1 ? memchr(p + c->at, *c->sep.s, len - c->at)
		           : memmem(p + c->at, len - c->at, c->sep.s, n);
	if (!m) {
		c->at = len >= n && len - n + 1 > c->at ? len - n + 1 : c->at;
		return 0;
	}
	size_t end = (size_t)(m - p) + c->end_len;
	c->at = c->end_len ? end : end + 1;
	return end;
}

static size_t next_pattern(struct cutter *c, const char *p, size_t len, bool final)
{
	struct span m;
	while (c->at < len) {
		int e = regex_scan(c->re, p, len, c->at, final, &m);
		if (e <= 0) {
			c->at = e < 0 ? m.from : len;
			return 0;
		}
		size_t end = c->before ? m.from : m.to;
		size_t at = m.to > c->at ? m.to : c->at + 1;
		if (end > 0 && (c->before || m.to > c->at) && end <= len) {
			c->at = at;
			return end;
		}
		c->at = at;
	}
	return 0;
}

/* A newline within quotes is part of the record. */
static size_t next_csv(struct cutter *c, const char *p, size_t len)
{
	while (c->at < len) {
		char ch = p[c->at++];
		if (ch == '"')
			c->quoted = !c->quoted;
		else if (ch == '\n' && !c->quoted)
			return c->at;
	}
	return 0;
}

static bool same_group(struct cutter *c, const char *line, size_t len, size_t have)
{
	const char *v;
	size_t n;
	key_get(c->key, line, len, have, &v, &n);
	bool first = !c->any_line;
	c->any_line = true;
	if (!first && n == c->group.len && (!n || !memcmp(v, c->group.s, n)))
		return true;
	buf_clear(&c->group);
	buf_add(&c->group, v, n);
	return first;
}

/* A group ends where a line with another key begins. */
static size_t next_group(struct cutter *c, const char *p, size_t len, bool final)
{
	while (c->at < len) {
		size_t from = c->at;
		const char *nl = memchr(p + from, '\n', len - from);
		if (!nl && !final)
			return 0;
		size_t to = nl ? (size_t)(nl - p) : len;
		c->at = nl ? to + 1 : len;
		if (!same_group(c, p + from, to - from, len - from) && from > 0)
			return from;
	}
	return 0;
}

static size_t next_one(struct cutter *c, const char *p, size_t len, bool final)
{
	switch (c->kind) {
	case BYTES:
		return c->at < len ? ++c->at : 0;
	case LITERAL:
		return next_literal(c, p, len);
	case PATTERN:
		return next_pattern(c, p, len, final);
	case CSV:
		return next_csv(c, p, len);
	case GROUP:
		return next_group(c, p, len, final);
	}
	return 0;
}

/* ---- the last one ---- */

static size_t last_literal(struct cutter *c, const char *p, size_t len)
{
	size_t n = c->sep.len, from = !c->end_len && !c->at ? 1 : c->at;
	const char *end = p + len;
	char tail = c->sep.s[n - 1];
	while ((size_t)(end - p) >= from + n) {
		const char *m = memrchr(p + from + n - 1, tail, (size_t)(end - p) - from - (n - 1));
		if (!m)
			break;
		if (!memcmp(m - (n - 1), c->sep.s, n))
			return (size_t)(m - (n - 1) - p) + c->end_len;
		end = m;
	}
	if (len >= n && len - n + 1 > c->at)
		c->at = len - n + 1;
	return 0;
}

size_t cutter_scan(struct cutter *c, const char *p, size_t len, bool final)
{
	size_t end;
	if (cutter_local(c))
		return c->kind == BYTES ? len : last_literal(c, p, len);
	while ((end = next_one(c, p, len, final))) {
		if (++c->lines < c->per)
			continue;
		c->lines = 0;
		c->last = end;
		if (c->want && ++c->seen == c->want)
			return end;
	}
	return c->want ? 0 : c->last;
}

size_t cutter_late(struct cutter *c, const char *p, size_t len)
{
	size_t end = cutter_scan(c, p, len, false);
	return end ? end : c->last;
}

bool cutter_whole(const struct cutter *c)
{
	return c->per > 1;
}

bool cutter_counts(const struct cutter *c)
{
	return c->want > 0;
}

void cutter_slide(struct cutter *c, size_t n)
{
	c->at = c->at > n ? c->at - n : 0;
	c->last = c->last > n ? c->last - n : 0;
}

void cutter_cut(struct cutter *c, size_t n)
{
	cutter_slide(c, n);
	c->seen = 0;
}

size_t cutter_done_with(const struct cutter *c)
{
	return c->at;
}

int64_t cutter_overlap(const struct cutter *c)
{
	return c->sep.len ? (int64_t)c->sep.len - 1 : 0;
}

size_t cutter_first(struct cutter *c, const char *p, size_t len, size_t from, bool final)
{
	size_t end;
	if (c->kind == BYTES)
		return from > 0 ? from : 1;
	c->at = from;
	c->any_line = c->quoted = false;
	if (c->kind == GROUP) { /* the window begins within a line */
		key_restart(c->key);
		const char *nl = len > from ? memchr(p + from, '\n', len - from) : NULL;
		if (!nl)
			return 0;
		c->at = (size_t)(nl - p) + 1;
	}
	bool starts = c->before || (c->kind == LITERAL && !c->end_len);
	while ((end = next_one(c, p, len, final)))
		if (end > from || (starts && end == from))
			return end;
	return 0;
}

/* ---- --remove-rec-sep ---- */

static void strip_pattern(const struct cutter *c, const char *p, size_t len, struct buf *out)
{
	struct span m;
	size_t at = 0, from = 0;
	while (at < len && regex_scan(c->re, p, len, at, true, &m) > 0) {
		buf_add(out, p + from, m.from - from);
		from = m.to;
		at = m.to > at ? m.to : at + 1;
	}
	buf_add(out, p + from, len - from);
}

static void strip_literal(const struct cutter *c, const char *p, size_t len, struct buf *out)
{
	size_t n = c->sep.len, start_len = n - c->end_len;
	const char *end = p + len, *m;
	if (start_len && len >= start_len && !memcmp(p, c->sep.s + c->end_len, start_len))
		p += start_len;
	for (; (m = memmem(p, (size_t)(end - p), c->sep.s, n)); p = m + n)
		buf_add(out, p, (size_t)(m - p));
	size_t left = (size_t)(end - p), e = c->end_len;
	if (e && left >= e && !memcmp(end - e, c->sep.s, e))
		left -= e;
	buf_add(out, p, left);
}

void cutter_strip(const struct cutter *c, const char *p, size_t len, struct buf *out)
{
	if (c->kind == PATTERN)
		strip_pattern(c, p, len, out);
	else if (c->sep.len)
		strip_literal(c, p, len, out);
	else
		buf_add(out, p, len);
}
