/* expr.c - {= =} and --rpl: from their spelling to code and position.  Pure. */
#include "expr.h"

#include "perl.h"
#include "regex.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_MAX = 10 };

static char *piece(const char *s, size_t n)
{
	struct buf b = { 0 };
	buf_clear(&b);
	buf_add(&b, s, n);
	return b.s;
}

/* "1 CODE": once for the job. */
static const char *leading_one(const char *code, bool *once)
{
	const char *p = code + strspn(code, " \t\n");
	*once = p[0] == '1' && isspace((unsigned char)p[1]);
	if (!*once)
		return code;
	p += 1 + strspn(p + 1, " \t\n");
	*once = isalpha((unsigned char)*p) || *p == '$' || *p == '@' || *p == ':';
	return *once ? p : code;
}

/* A number or a --header name at s; its length, 0 if there is none. */
static size_t position(const struct names *names, const char *s, int *pos)
{
	char *rest;
	size_t best = 0;
	*pos = 0;
	for (size_t i = 0; names && i < names->n; i++) {
		size_t n = strlen(names->v[i]);
		if (n > best && !strncmp(s, names->v[i], n)) {
			best = n;
			*pos = (int)i + 1;
		}
	}
	if (best || !(isdigit((unsigned char)*s) || (*s == '-' && isdigit((unsigned char)s[1]))))
		return best;
	*pos = (int)strtol(s, &rest, 10);
	return *pos ? (size_t)(rest - s) : 0;
}

/* ---- {= =} ---- */

/* --parens: the first half of it and the second. */
static size_t parens(const struct config *cfg, const char **open, const char **close)
{
	*open = cfg->parens ? cfg->parens : "{==}";
	size_t n = strlen(*open) / 2;
	*close = *open + n;
	return n;
}

static const char *expr_end(const struct config *cfg, const char *s, size_t *n)
{
	const char *open, *close;
	*n = parens(cfg, &open, &close);
	return strncmp(s, open, *n) == 0 ? strstr(s + *n, close) : NULL;
}

bool expr_parse(const struct config *cfg, const struct names *names, const char *s,
                struct expr *e)
{
	size_t n;
	const char *end = expr_end(cfg, s, &n);
	if (!end)
		return false;
	*e = (struct expr){ .len = (size_t)(end - s) + n };
	s += n;
	size_t skip = position(names, s, &e->pos);
	if (s + skip > end || (skip && !isspace((unsigned char)s[skip]) && s + skip != end))
		skip = 0, e->pos = 0;
	char *all = piece(s + skip, (size_t)(end - s) - skip);
	e->code = xstrdup(leading_one(all, &e->once));
	free(all);
	return true;
}

/* Where an expression begins in s that does not end there; NULL: none does. */
static const char *unfinished(const struct config *cfg, const char *s)
{
	const char *open, *close, *end;
	size_t n, half = parens(cfg, &open, &close);
	char *first = piece(open, half);
	for (s = strstr(s, first); s && (end = expr_end(cfg, s, &n)); s = strstr(end + half, first))
		;
	free(first);
	return s;
}

size_t expr_words(const struct config *cfg, char ***words)
{
	size_t n = 0;
	*words = xrealloc(NULL, (cfg->ncommand + 1) * sizeof **words);
	for (size_t i = 0; i < cfg->ncommand; i++) {
		struct buf b = { 0 };
		buf_clear(&b);
		buf_str(&b, cfg->command[i]);
		while (i + 1 < cfg->ncommand && unfinished(cfg, b.s)) {
			buf_chr(&b, ' ');
			buf_str(&b, cfg->command[++i]);
		}
		(*words)[n++] = b.s;
	}
	(*words)[n] = NULL;
	return n;
}

void expr_words_free(char **words)
{
	for (char **w = words; *w; w++)
		free(*w);
	free(words);
}

/* ---- --rpl ---- */

struct rpl {
	char *tag;
	const char *code;
	bool once;
	struct regex *re; /* of a tag with parentheses */
};
struct rpls {
	const struct names *names;
	struct rpl *v;
	size_t n;
};

static void add_literal(struct buf *b, char c)
{
	if (!isalnum((unsigned char)c))
		buf_chr(b, '\\');
	buf_chr(b, c);
}

static void add_position(struct buf *b, const struct names *names)
{
	buf_str(b, "(-?\\d+");
	for (size_t i = 0; names && i < names->n; i++) {
		buf_chr(b, '|');
		for (const char *p = names->v[i]; *p; p++)
			add_literal(b, *p);
	}
	buf_str(b, ")?");
}

/* What is outside of parentheses stands for itself. */
static void add_tag(struct buf *b, const char *tag)
{
	int depth = 0;
	for (; *tag; tag++) {
		if (depth && *tag == '\\' && tag[1])
			buf_chr(b, *tag++);
		else
			depth += *tag == '(' ? 1 : *tag == ')' ? -1 : 0;
		if (depth || *tag == ')')
			buf_chr(b, *tag);
		else
			add_literal(b, *tag);
	}
}

static struct regex *compile_tag(const char *tag, const struct names *names)
{
	struct buf b = { 0 };
	buf_str(&b, "\\A");
	if (*tag == '{') {
		add_literal(&b, *tag++);
		add_position(&b, names);
	} else {
		buf_str(&b, "()");
	}
	add_tag(&b, tag);
	struct regex *re = regex_new(b.s, false, "--rpl");
	buf_free(&b);
	return re;
}

static int add_rpl(struct rpls *r, const char *spec)
{
	size_t n = strcspn(spec, " \t\n");
	struct rpl *new = &r->v[r->n];
	if (!n) {
		warn("--rpl: '%s' is not understood; write 'TAG PERL-EXPRESSION', for example"
		     " '{nogz} s/\\.gz$//'", spec);
		return -1;
	}
	*new = (struct rpl){ .tag = piece(spec, n) };
	r->n++;
	new->code = leading_one(spec + n + (spec[n] != '\0'), &new->once);
	if (!strchr(new->tag, '('))
		return 0;
	new->re = compile_tag(new->tag, r->names);
	return new->re ? 0 : -1;
}

struct rpls *rpls_new(const struct config *cfg, const struct names *names)
{
	struct rpls *r = xrealloc(NULL, sizeof *r);
	*r = (struct rpls){ .names = names };
	r->v = xrealloc(NULL, (cfg->nrpl + 1) * sizeof *r->v);
	for (size_t i = 0; i < cfg->nrpl; i++)
		if (add_rpl(r, cfg->rpl[i]) != 0) {
			rpls_free(r);
			return NULL;
		}
	return r;
}

void rpls_free(struct rpls *r)
{
	for (size_t i = 0; r && i < r->n; i++) {
		free(r->v[i].tag);
		regex_free(r->v[i].re);
	}
	free(r ? r->v : NULL);
	free(r);
}

/* The length of a plain tag at s, also with a position: {2tag}. */
static size_t match_plain(const struct rpls *r, const struct rpl *rpl, const char *s, int *pos)
{
	size_t n = strlen(rpl->tag), skip;
	*pos = 0;
	if (!strncmp(s, rpl->tag, n))
		return n;
	if (*rpl->tag != '{' || *s != '{' || !(skip = position(r->names, s + 1, pos)))
		return 0;
	return strncmp(s + 1 + skip, rpl->tag + 1, n - 1) ? 0 : n + skip;
}

/* What the n-th parentheses matched, as a variable: it is data, not code. */
static void add_variable(struct buf *b, size_t n, const char *s, struct span group)
{
	buf_fmt(b, "my $prong_%zu='", n);
	for (size_t i = group.from; i < group.to; i++) {
		if (s[i] == '\'' || s[i] == '\\')
			buf_chr(b, '\\');
		buf_chr(b, s[i]);
	}
	buf_str(b, "';");
}

/* $$1 in the code is that variable. */
static char *filled_in(const char *code, const char *s, const struct span *groups, size_t n)
{
	struct buf b = { 0 };
	for (size_t i = 2; i < n; i++)
		add_variable(&b, i - 1, s, groups[i]);
	buf_str(&b, "\n" EXPR_BEGIN);
	for (; *code; code++) {
		if (code[0] == '$' && code[1] == '$' && isdigit((unsigned char)code[2]) && code[2] != '0') {
			buf_fmt(&b, "${prong_%c}", code[2]);
			code += 2;
		} else {
			buf_chr(&b, *code);
		}
	}
	return b.s;
}

/* A longer one was found. */
static void expr_set(struct expr *e, const struct rpl *rpl, size_t len, int pos, char *code)
{
	free(e->code);
	e->code = code;
	e->len = len;
	e->pos = pos;
	e->once = rpl->once;
}

static void match_dynamic(const struct rpls *r, const struct rpl *rpl, const char *s,
                          struct expr *e)
{
	struct span g[GROUPS_MAX + 2];
	size_t n = regex_groups(rpl->re, s, strlen(s), g, GROUPS_MAX + 2);
	if (!n || g[0].to == 0 || g[0].to <= e->len)
		return;
	int pos = 0;
	if (n > 1 && g[1].to > g[1].from)
		position(r->names, s + g[1].from, &pos);
	expr_set(e, rpl, g[0].to, pos, filled_in(rpl->code, s, g, n));
}

bool rpls_parse(const struct rpls *r, const char *s, struct expr *e)
{
	*e = (struct expr){ 0 };
	for (size_t i = 0; r && i < r->n; i++) {
		const struct rpl *rpl = &r->v[i];
		int pos;
		if (rpl->re) {
			match_dynamic(r, rpl, s, e);
			continue;
		}
		size_t n = match_plain(r, rpl, s, &pos);
		if (n <= e->len)
			continue;
		expr_set(e, rpl, n, pos, xstrdup(rpl->code));
	}
	return e->len > 0;
}
