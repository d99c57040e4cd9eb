/* ops.c - {.} {/} {+..} {%.gz} {/from/to}: operations on one value.  Pure. */
#include "ops.h"

#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const repl_standard[REPL_COUNT] = { "", ".", "/", "//", "/.", "#", "%" };

static const char *base_of(const char *v)
{
	const char *slash = strrchr(v, '/');
	return slash ? slash + 1 : v;
}

/* Where the last n extensions of the last component begin; NULL if there are fewer. */
static const char *ext_at(const char *v, int n)
{
	const char *base = base_of(v), *p = v + strlen(v);
	while (n > 0 && p > base)
		n -= *--p == '.';
	return n == 0 ? p : NULL;
}

static void without(struct buf *b, const char *v, int n)
{
	const char *dot = ext_at(v, n);
	buf_add(b, v, dot ? (size_t)(dot - v) : strlen(v));
}

static void extensions(struct buf *b, const char *v, int n)
{
	const char *dot = ext_at(v, n);
	buf_str(b, dot ? dot + 1 : "");
}

#define OP(name) static void name(struct buf *b, const char *v, const struct use *u)

OP(op_whole) { (void)u, buf_str(b, v); }
OP(op_base) { (void)u, buf_str(b, base_of(v)); }
OP(op_noext) { (void)u, without(b, v, 1); }
OP(op_noext2) { (void)u, without(b, v, 2); }
OP(op_noext3) { (void)u, without(b, v, 3); }
OP(op_base_noext) { (void)u, without(b, base_of(v), 1); }
OP(op_base_noext2) { (void)u, without(b, base_of(v), 2); }
OP(op_base_noext3) { (void)u, without(b, base_of(v), 3); }
OP(op_ext) { (void)u, extensions(b, v, 1); }
OP(op_ext2) { (void)u, extensions(b, v, 2); }
OP(op_ext3) { (void)u, extensions(b, v, 3); }

/* As dirname(1): slashes at the end do not count. */
OP(op_dir)
{
	size_t n = strlen(v);
	(void)u;
	while (n > 1 && v[n - 1] == '/')
		n--;
	while (n && v[n - 1] != '/')
		n--;
	while (n > 1 && v[n - 1] == '/')
		n--;
	buf_add(b, n ? v : ".", n ? n : 1);
}

OP(op_updir)
{
	const char *slash = strrchr(v, '/');
	(void)u;
	buf_add(b, v, slash ? (size_t)(slash - v) : 0);
}

OP(op_default)
{
	buf_str(b, *v ? v : u->arg);
}

OP(op_substr)
{
	size_t n = strlen(v);
	size_t from = u->from >= 0 ? (size_t)u->from : (size_t)-u->from > n ? 0 : n - (size_t)-u->from;
	from = from > n ? n : from;
	buf_add(b, v + from, u->len >= 0 && (size_t)u->len < n - from ? (size_t)u->len : n - from);
}

/* What the expression matched goes; with a group (suffixes) the group stays. */
OP(op_remove)
{
	struct span m, g;
	size_t n = strlen(v);
	if (!regex_find(u->re, v, n, 0, &m, &g))
		m = g = (struct span){ n, n };
	buf_add(b, v, m.from);
	buf_add(b, v + g.from, g.to - g.from);
	buf_str(b, v + m.to);
}

static void copy_case(struct buf *b, const char *s, size_t n, int (*to)(int))
{
	for (size_t i = 0; i < n; i++)
		buf_chr(b, to((unsigned char)s[i]));
}

/* Replace the first match, or all, by arg; or change its case. */
static void replace(struct buf *b, const char *v, const struct use *u, bool all, int (*to)(int))
{
	struct span m, g;
	size_t n = strlen(v), done = 0, at = 0;
	while (at <= n && regex_find(u->re, v, n, at, &m, &g)) {
		buf_add(b, v + done, m.from - done);
		if (to)
			copy_case(b, v + m.from, m.to - m.from, to);
		else
			buf_str(b, u->arg);
		done = m.to;
		at = m.to + (m.to == m.from); /* an empty match must not stay where it is */
		if (!all)
			break;
	}
	if (done < n)
		buf_str(b, v + done);
}

OP(op_replace) { replace(b, v, u, false, NULL); }
OP(op_replace_all) { replace(b, v, u, true, NULL); }
OP(op_upper) { replace(b, v, u, false, toupper); }
OP(op_upper_all) { replace(b, v, u, true, toupper); }
OP(op_lower) { replace(b, v, u, false, tolower); }
OP(op_lower_all) { replace(b, v, u, true, tolower); }

/* ---- the table ---- */

enum param { NO_PARAM, TEXT, RANGE, REGEX, REGEX_TEXT };
struct op {
	const char *name; /* whole, or what it begins with if there is a parameter */
	void (*apply)(struct buf *b, const char *value, const struct use *u);
	enum param param;
	bool lazy;
	const char *pattern; /* printf: around the user's expression */
};

/* Longer names before those they begin with. */
static const struct op ops[] = {
	{ "", op_whole, NO_PARAM, false, NULL },
	{ ".", op_noext, NO_PARAM, false, NULL },
	{ "/", op_base, NO_PARAM, false, NULL },
	{ "//", op_dir, NO_PARAM, false, NULL },
	{ "/.", op_base_noext, NO_PARAM, false, NULL },
#define FIRST_PLUS 5
	{ "..", op_noext2, NO_PARAM, false, NULL },
	{ "...", op_noext3, NO_PARAM, false, NULL },
	{ "/..", op_base_noext2, NO_PARAM, false, NULL },
	{ "/...", op_base_noext3, NO_PARAM, false, NULL },
	{ "+/", op_updir, NO_PARAM, false, NULL },
	{ "+.", op_ext, NO_PARAM, false, NULL },
	{ "+..", op_ext2, NO_PARAM, false, NULL },
	{ "+...", op_ext3, NO_PARAM, false, NULL },
	{ ":-", op_default, TEXT, false, NULL },
	{ ":", op_substr, RANGE, false, NULL },
	{ "##", op_remove, REGEX, false, "\\A(?:%s)" },
	{ "#", op_remove, REGEX, true, "\\A(?:%s)" },
	{ "%%", op_remove, REGEX, false, "(?:%s)\\z" },
	{ "%", op_remove, REGEX, false, "\\A(.*)(?:%s)\\z" },
	{ "//", op_replace_all, REGEX_TEXT, false, "%s" },
	{ "/", op_replace, REGEX_TEXT, false, "%s" },
	{ "^^", op_upper_all, REGEX, false, "%s" },
	{ "^", op_upper, REGEX, false, "\\A(?:%s)" },
	{ ",,", op_lower_all, REGEX, false, "%s" },
	{ ",", op_lower, REGEX, false, "\\A(?:%s)" },
};
enum { NOPS = sizeof ops / sizeof *ops };

static char *copy_of(const char *s, size_t len)
{
	struct buf b = { 0 };
	buf_add(&b, s, len);
	return b.s;
}

static bool parse_range(struct use *u, const char *s, size_t len)
{
	char *end, *copy = copy_of(s, len), *p = copy;
	u->len = -1;
	u->from = strtol(p, &end, 10);
	bool ok = end != p;
	if (ok && *end == ':') {
		p = end + 1;
		u->len = strtol(p, &end, 10);
		ok = end != p && u->len >= 0;
	}
	ok = ok && !*end;
	free(copy);
	return ok;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int parse_regex(struct use *u, const char *s, size_t len)
{
	struct buf pattern = { 0 };
	char *text = copy_of(s, len);
	buf_fmt(&pattern, u->op->pattern, text);
	u->re = regex_new(pattern.s, u->op->lazy, "--plus");
	free(text);
	buf_free(&pattern);
	return u->re ? 1 : -1;
}
#pragma GCC diagnostic pop

static int parse_param(struct use *u, const char *s, size_t len)
{
	const char *slash = memchr(s, '/', len);
	switch (u->op->param) {
	case TEXT:
		u->arg = copy_of(s, len);
		return 1;
	case RANGE:
		return parse_range(u, s, len);
	case REGEX:
		return len ? parse_regex(u, s, len) : 0;
	case REGEX_TEXT:
		if (!slash || slash == s)
			return 0;
		u->arg = copy_of(slash + 1, len - (size_t)(slash + 1 - s));
		return parse_regex(u, s, (size_t)(slash - s));
	default:
		return 0;
	}
}

int use_parse(struct use *u, const char *s, size_t len, bool plus)
{
	size_t n = plus ? NOPS : FIRST_PLUS;
	*u = (struct use){ .len = -1 };
	for (size_t i = 0; i < n; i++)
		if (!ops[i].param && strlen(ops[i].name) == len && !memcmp(ops[i].name, s, len)) {
			u->op = &ops[i];
			return 1;
		}
	for (size_t i = FIRST_PLUS; i < n; i++) {
		size_t l = strlen(ops[i].name);
		if (!ops[i].param || l > len || memcmp(ops[i].name, s, l) != 0)
			continue;
		u->op = &ops[i];
		int e = parse_param(u, s + l, len - l);
		if (e > 0)
			return e;
		use_free(u);
		if (e < 0)
			return e;
	}
	return 0;
}

bool use_is_whole(const struct use *u)
{
	return u->op == &ops[0];
}

void use_apply(const struct use *u, const char *value, struct buf *out)
{
	u->op->apply(out, value, u);
}

void use_free(struct use *u)
{
	free(u->arg);
	regex_free(u->re);
	*u = (struct use){ .len = -1 };
}
