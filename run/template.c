/* template.c - compile a command line to segments; expand.c does the rest. */
#include "template-impl.h"

#include "expr.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- compiling ---- */

static struct segment *add(struct template *t, enum kind kind)
{
	t->v = xrealloc(t->v, (t->n + 1) * sizeof *t->v);
	t->v[t->n] = (struct segment){ .kind = kind, .gap = kind == SEG_BREAK };
	return &t->v[t->n++];
}

static void add_piece(struct template *t, const char *s, size_t len, bool gap)
{
	struct buf b = { 0 };
	buf_add(&b, s, len);
	struct segment *seg = add(t, SEG_TEXT);
	seg->text = b.s;
	seg->gap = gap;
}

/* Where words are repeated, blanks stand alone, so that words can be told apart. */
static void add_text(struct template *t, const char *s, size_t len)
{
	bool split = t->repeat && !t->cfg->quote;
	while (len) {
		size_t blank = 0, n = len;
		if (split) {
			while (blank < len && strchr(" \t\n", s[blank]))
				blank++;
			for (n = blank; !blank && n < len && !strchr(" \t\n", s[n]);)
				n++;
		}
		add_piece(t, s, n, blank > 0);
		s += n;
		len -= n;
	}
}

/* Strings without a value, by their text between the braces. */
static const struct {
	const char *name;
	enum kind kind;
	bool plus;
} specials[] = {
	{ "#", SEG_SEQ, false },   { "%", SEG_SLOT, false },  { "##", SEG_TOTAL, true },
	{ "0#", SEG_SEQ0, true },  { "0%", SEG_SLOT0, true }, { "slot", SEG_SLOT, true },
};

/* A --header name at s: its position, and *len becomes its length. */
static int named(const struct names *names, const char *s, size_t max, size_t *len)
{
	int pos = 0;
	*len = 0;
	for (size_t i = 0; names && i < names->n; i++) {
		size_t l = strlen(names->v[i]);
		if (l > *len && l <= max && !memcmp(names->v[i], s, l)) {
			*len = l;
			pos = (int)i + 1;
		}
	}
	return pos;
}

/* {host} and the like: there is one machine. */
static const char *machine(const struct template *t, const char *s, size_t len)
{
	static const struct { const char *name, *value; } all[] = {
		{ "host", ":" }, { "sshlogin", ":" }, { "agrp", "" }, { "hgrp", "" },
	};
	for (size_t i = 0; t->cfg->plus && i < sizeof all / sizeof *all; i++)
		if (strlen(all[i].name) == len && !memcmp(all[i].name, s, len))
			return all[i].value;
	return NULL;
}

/* {choose_k} {uniq} are all values, {2choose_k} {2uniq} the second. */
static bool combination(struct template *t, const char *s, size_t len, struct segment *seg)
{
	char *end;
	int pos = isdigit((unsigned char)*s) ? (int)strtol(s, &end, 10) : (end = (char *)(uintptr_t)s, 0);
	len -= (size_t)(end - s);
	s = end;
	bool choose = len == 8 && !memcmp(s, "choose_k", 8);
	if (!t->cfg->plus || (!choose && !(len == 4 && !memcmp(s, "uniq", 4))))
		return false;
	t->choose |= choose;
	t->uniq |= !choose;
	*seg = (struct segment){ .kind = SEG_VALUE, .pos = pos };
	return use_parse(&seg->use, "", 0, false) == 1;
}

/* The number of a value; of what cannot be one, one that there is not. */
static int position(const char *s, char **rest)
{
	long n = strtol(s, rest, 10);
	return n > INT_MAX ? INT_MAX : n < -INT_MAX ? -INT_MAX : (int)n;
}

/* The text between braces; true if it is a replacement string. */
static bool parse_inside(struct template *t, const char *s, size_t len, struct segment *seg)
{
	char *rest = (char *)(uintptr_t)s;
	size_t name;
	*seg = (struct segment){ .kind = SEG_VALUE };
	for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
		if (strlen(specials[i].name) == len && !memcmp(specials[i].name, s, len) &&
		    (!specials[i].plus || t->cfg->plus)) {
			seg->kind = specials[i].kind;
			return true;
		}
	const char *here = machine(t, s, len);
	if (here)
		*seg = (struct segment){ .kind = SEG_TEXT, .text = xstrdup(here) };
	if (here || combination(t, s, len, seg))
		return true;
	seg->pos = named(t->names, s, len, &name);
	if (seg->pos)
		rest += name;
	else if (isdigit((unsigned char)*s) || (*s == '-' && isdigit((unsigned char)s[1])))
		seg->pos = position(s, &rest);
	if (rest != s && seg->pos == 0)
		return false;
	int e = use_parse(&seg->use, rest, len - (size_t)(rest - s), t->cfg->plus);
	t->bad |= e < 0;
	return e == 1;
}

/* Is what stands in the braces one that --er or the like renamed?  Then it is plain text. */
static bool renamed(const struct template *t, const char *s, size_t len)
{
	while (len && (isdigit((unsigned char)*s) || *s == '-')) {
		s++;
		len--;
	}
	for (int i = 0; i < REPL_COUNT; i++)
		if (t->cfg->repl[i] && strlen(repl_standard[i]) == len &&
		    !memcmp(repl_standard[i], s, len))
			return true;
	return false;
}

/* One of the user's own strings (-I, --er ...), also "{N" + its inside, if it has braces. */
static size_t parse_own(struct template *t, const char *s, struct segment *seg)
{
	size_t best = 0;
	for (int i = 0; i < REPL_COUNT; i++) {
		const char *own = t->cfg->repl[i];
		size_t n = own ? strlen(own) : 0;
		int pos = 0;
		if (!n || n <= best)
			continue;
		if (strncmp(s, own, n) != 0) {
			char *rest;
			if (*s != '{' || *own != '{' || own[n - 1] != '}')
				continue;
			pos = position(s + 1, &rest);
			if (!pos || strncmp(rest, own + 1, n - 1) != 0)
				continue;
			n += (size_t)(rest - s) - 1;
		}
		struct segment got;
		if (parse_inside(t, repl_standard[i], strlen(repl_standard[i]), &got)) {
			use_free(&seg->use);
			*seg = got;
			seg->pos = pos;
			best = n;
		}
	}
	return best;
}

/* A perl expression becomes a number; one without code is the value as it is. */
static void use_perl(struct template *t, struct expr *e, struct segment *seg)
{
	*seg = (struct segment){ .kind = SEG_VALUE, .pos = e->pos };
	if (!e->code[strspn(e->code, " \t\n")]) {
		use_parse(&seg->use, "", 0, false);
	} else {
		seg->kind = SEG_PERL;
		seg->once = e->once && !e->pos;
		seg->unquotes = strstr(e->code, "uq") || strstr(e->code, "::");
		seg->number = t->cfg->perl ? perl_add(t->cfg->perl, e->code, e->pos, seg->once) : -1;
		t->bad |= seg->number < 0;
	}
	free(e->code);
}

static size_t parse_one(struct template *t, const char *s, struct segment *seg)
{
	struct expr e;
	*seg = (struct segment){ 0 };
	if (rpls_parse(t->rpls, s, &e) || expr_parse(t->cfg, t->names, s, &e)) {
		use_perl(t, &e, seg);
		return e.len;
	}
	size_t n = parse_own(t, s, seg);
	const char *end = n || *s != '{' ? NULL : strchr(s, '}');
	if (!end)
		return n;
	size_t len = (size_t)(end - s) - 1;
	if (renamed(t, s + 1, len) || !parse_inside(t, s + 1, len, seg))
		return 0;
	return len + 2;
}

/* True if there was a replacement string in it. */
static bool compile(struct template *t, const char *s)
{
	const char *from = s;
	bool found = false;
	while (*s) {
		struct segment seg;
		size_t n = parse_one(t, s, &seg);
		if (!n) {
			s++;
			continue;
		}
		add_text(t, from, (size_t)(s - from));
		*add(t, seg.kind) = seg;
		found = true;
		from = s += n;
	}
	add_text(t, from, (size_t)(s - from));
	return found;
}

/* -q: what was typed is one word, whatever a shell might see in it. */
static void quote_text(struct template *t, size_t from, bool empty)
{
	if (empty)
		add(t, SEG_TEXT)->text = xstrdup("''");
	for (; from < t->n && !empty; from++) {
		struct buf q = { 0 };
		if (t->v[from].kind != SEG_TEXT)
			continue;
		quote_shell(&q, t->v[from].text, t->cfg->quoting);
		free(t->v[from].text);
		t->v[from].text = q.s;
	}
}

static void add_whole(struct template *t)
{
	struct segment *seg = add(t, SEG_VALUE);
	use_parse(&seg->use, "", 0, false);
}

/* A command whose first word holds a value is a value: nothing in it is quoted. */
static bool begins_with_value(const struct template *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i].kind != SEG_TEXT)
			return t->v[i].kind != SEG_BREAK;
		if (strpbrk(t->v[i].text, " \t\n="))
			return false;
	}
	return false;
}

static struct template *blank(const struct config *cfg, const struct names *names)
{
	struct template *t = xrealloc(NULL, sizeof *t);
	*t = (struct template){ .cfg = cfg, .names = names };
	t->rpls = rpls_new(cfg, names);
	t->bad = !t->rpls;
	return t;
}

static void drop_if_bad(struct template **t)
{
	if (!(*t)->bad)
		return;
	template_free(*t);
	*t = NULL;
}

struct template *template_new(const struct config *cfg, const struct names *names)
{
	struct template *t = blank(cfg, names);
	bool found = false;
	t->repeat = cfg->repeat;
	char **words;
	size_t n = expr_words(cfg, &words);
	for (size_t i = 0; i < n; i++) {
		if (i)
			add(t, SEG_BREAK);
		size_t from = t->n;
		found |= compile(t, words[i]);
		if (cfg->quote)
			quote_text(t, from, *words[i] == '\0');
	}
	expr_words_free(words);
	t->raw = !cfg->quote && (!cfg->ncommand || begins_with_value(t));
	if (!found && !cfg->pipe) {
		if (cfg->ncommand)
			add(t, SEG_BREAK);
		add_whole(t);
	}
	expand_prepare(t);
	drop_if_bad(&t);
	return t;
}

struct template *template_text(const struct config *cfg, const struct names *names,
                               const char *text)
{
	struct template *t = blank(cfg, names);
	t->raw = true;
	compile(t, text);
	drop_if_bad(&t);
	return t;
}

void template_free(struct template *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free(t->v[i].text);
		use_free(&t->v[i].use);
	}
	rpls_free(t->rpls);
	free(t->v);
	free(t);
}
