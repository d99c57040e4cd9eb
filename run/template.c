/* template.c - compile a command line to segments, expand them per job.  Pure. */
#include "template.h"

#include "ops.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum kind { SEG_TEXT, SEG_BREAK, SEG_VALUE, SEG_SEQ, SEG_SLOT, SEG_TOTAL, SEG_SEQ0, SEG_SLOT0 };
struct segment {
	enum kind kind;
	bool gap;       /* a blank between words: no word with {} reaches over it */
	char *text;     /* SEG_TEXT */
	struct use use; /* SEG_VALUE */
	int pos;        /* 0: all values; n: the n-th; -n: from the end */
};
struct template {
	struct segment *v;
	size_t n;
	bool raw;           /* values go in unquoted */
	bool repeat;        /* -X, -N: a word with {} is repeated for every value */
	bool uniq, choose;  /* {uniq}, {choose_k} */
	bool bad;           /* a message was given */
	const struct config *cfg;
	const struct names *names;
};

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

static bool combination(struct template *t, const char *s, size_t len, struct segment *seg)
{
	bool choose = len == 8 && !memcmp(s, "choose_k", 8);
	if (!t->cfg->plus || (!choose && !(len == 4 && !memcmp(s, "uniq", 4))))
		return false;
	t->choose |= choose;
	t->uniq |= !choose;
	*seg = (struct segment){ .kind = SEG_VALUE };
	return use_parse(&seg->use, "", 0, false) == 1;
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
	if (combination(t, s, len, seg))
		return true;
	seg->pos = named(t->names, s, len, &name);
	if (seg->pos)
		rest += name;
	else if (isdigit((unsigned char)*s) || (*s == '-' && isdigit((unsigned char)s[1])))
		seg->pos = (int)strtol(s, &rest, 10);
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
			pos = (int)strtol(s + 1, &rest, 10);
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

static size_t parse_one(struct template *t, const char *s, struct segment *seg)
{
	*seg = (struct segment){ 0 };
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
		quote_shell(&q, t->v[from].text);
		free(t->v[from].text);
		t->v[from].text = q.s;
	}
}

static void add_whole(struct template *t)
{
	struct segment *seg = add(t, SEG_VALUE);
	use_parse(&seg->use, "", 0, false);
}

/* "{}" alone: the value is the command, not a word of it. */
static bool only_value(const struct config *cfg)
{
	const char *own = cfg->repl[REPL_VALUE] ? cfg->repl[REPL_VALUE] : "{}";
	return cfg->ncommand == 0 || (cfg->ncommand == 1 && !strcmp(cfg->command[0], own));
}

static struct template *blank(const struct config *cfg, const struct names *names)
{
	struct template *t = xrealloc(NULL, sizeof *t);
	*t = (struct template){ .cfg = cfg, .names = names };
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
	t->raw = only_value(cfg) && !cfg->quote;
	t->repeat = cfg->repeat;
	for (size_t i = 0; i < cfg->ncommand; i++) {
		if (i)
			add(t, SEG_BREAK);
		size_t from = t->n;
		found |= compile(t, cfg->command[i]);
		if (cfg->quote)
			quote_text(t, from, *cfg->command[i] == '\0');
	}
	if (!found && !cfg->pipe) {
		if (cfg->ncommand)
			add(t, SEG_BREAK);
		add_whole(t);
	}
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
	free(t->v);
	free(t);
}

bool template_uses_total(const struct template *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].kind == SEG_TOTAL || t->v[i].kind == SEG_SEQ0)
			return true;
	return false;
}

bool template_skips(const struct template *t, const struct args *a)
{
	for (size_t i = 0; t->choose && i + 1 < a->n; i++)
		if (strcmp(a->v[i], a->v[i + 1]) >= 0)
			return true;
	for (size_t i = 0; t->uniq && i < a->n; i++)
		for (size_t k = i + 1; k < a->n; k++)
			if (!strcmp(a->v[i], a->v[k]))
				return true;
	return false;
}

/* ---- expansion ---- */

static const char *value_at(const struct args *a, int pos)
{
	size_t i = pos > 0 ? (size_t)pos - 1 : a->n - (size_t)-pos;
	return i < a->n ? a->v[i] : NULL;
}

/* One value after its operation, quoted or not. */
static void put(const struct segment *s, const char *v, bool raw, struct buf *out)
{
	if (raw) {
		use_apply(&s->use, v, out);
		return;
	}
	struct buf b = { 0 };
	use_apply(&s->use, v, &b);
	quote_shell(out, b.s ? b.s : "");
	buf_free(&b);
}

static void put_all(const struct segment *s, const struct args *a, bool raw, int between,
                    struct buf *out)
{
	for (size_t i = 0; i < a->n; i++) {
		if (i)
			buf_chr(out, between);
		put(s, a->v[i], raw, out);
	}
}

static int digits(uint64_t n)
{
	int d = 1;
	while (n >= 10) {
		n /= 10;
		d++;
	}
	return d;
}

static void put_number(const struct segment *s, const struct job_context *c, struct buf *out)
{
	int width = s->kind == SEG_SEQ0    ? digits(c->total > 0 ? (uint64_t)c->total : 0)
	            : s->kind == SEG_SLOT0 ? digits(c->slots)
	                                   : 1;
	uint64_t n = s->kind == SEG_TOTAL                           ? (uint64_t)c->total
	             : s->kind == SEG_SEQ || s->kind == SEG_SEQ0 ? c->seq
	                                                         : c->slot;
	buf_fmt(out, "%0*llu", width, (unsigned long long)n);
}

static void expand_segment(const struct template *t, const struct segment *s,
                           const struct args *a, const struct job_context *c, bool raw,
                           int between, struct buf *out)
{
	const char *v;
	switch (s->kind) {
	case SEG_TEXT:
		buf_str(out, s->text);
		break;
	case SEG_BREAK:
		buf_chr(out, between);
		break;
	case SEG_VALUE:
		if (s->pos == 0)
			put_all(s, a, raw || t->raw, between, out);
		else if ((v = value_at(a, s->pos)))
			put(s, v, raw || t->raw, out);
		break;
	default:
		put_number(s, c, out);
		break;
	}
}

/* The end of the word that begins at segment i. */
static size_t word_end(const struct template *t, size_t i)
{
	if (t->v[i].gap)
		return i + 1;
	while (i < t->n && !t->v[i].gap)
		i++;
	return i;
}

/* Does the word hold all values, so that it grows with them? */
static bool grows(const struct template *t, size_t i, size_t end)
{
	for (; i < end; i++)
		if (t->v[i].kind == SEG_VALUE && t->v[i].pos == 0)
			return true;
	return false;
}

/* -X, -N: the word once for each value; positions still count among all of them. */
static void repeat_word(const struct template *t, size_t from, size_t end, const struct args *a,
                        const struct job_context *c, bool raw, int between, struct buf *out)
{
	for (size_t k = 0; k < a->n; k++) {
		struct args one = { .v = a->v + k, .n = 1 };
		if (k)
			buf_chr(out, between);
		for (size_t i = from; i < end; i++)
			expand_segment(t, &t->v[i], t->v[i].pos ? a : &one, c, raw, between, out);
	}
}

static void expand(const struct template *t, const struct args *a, const struct job_context *c,
                   bool raw, int between, struct buf *out)
{
	for (size_t i = 0, end; i < t->n; i = end) {
		end = word_end(t, i);
		if (t->repeat && a->n > 1 && grows(t, i, end))
			repeat_word(t, i, end, a, c, raw, between, out);
		else
			for (size_t k = i; k < end; k++)
				expand_segment(t, &t->v[k], a, c, raw, between, out);
	}
}

void template_expand(const struct template *t, const struct args *a,
                     const struct job_context *c, struct buf *out)
{
	expand(t, a, c, false, ' ', out);
}

/* Blanks between words become NULs; several values of one {} become several words, as the
 * blank between them would make the shell do. */
size_t template_words(const struct template *t, const struct args *a,
                      const struct job_context *c, struct buf *words)
{
	size_t n = 1;
	buf_reserve(words, 0);
	expand(t, a, c, true, '\0', words);
	for (const char *p = words->s, *end = p + words->len; (p = memchr(p, 0, (size_t)(end - p)));
	     p++)
		n++;
	buf_chr(words, '\0');
	return n;
}

/* ---- lengths, for packing ---- */

enum { NUMBER_MAX = 20 };

size_t template_fixed(const struct template *t)
{
	size_t n = 0;
	for (size_t i = 0, end; i < t->n; i = end) {
		end = word_end(t, i);
		if (t->repeat && grows(t, i, end))
			continue;
		for (; i < end; i++)
			n += t->v[i].kind == SEG_TEXT    ? strlen(t->v[i].text)
			     : t->v[i].kind == SEG_BREAK ? 1u
			     : t->v[i].kind == SEG_VALUE ? 0u
			                                 : NUMBER_MAX;
	}
	return n;
}

size_t template_added(const struct template *t, const char *value)
{
	static struct buf b; /* only its length is of interest */
	static const struct job_context c = { 0 };
	char *one = (char *)(uintptr_t)value;
	struct args a = { .v = &one, .n = 1 };
	size_t n = 0;
	for (size_t i = 0, end; i < t->n; i = end) {
		end = word_end(t, i);
		if (!grows(t, i, end))
			continue;
		buf_clear(&b);
		for (size_t k = i; k < end; k++) {
			bool value_here = t->v[k].kind == SEG_VALUE && t->v[k].pos == 0;
			if (value_here || (t->repeat && t->v[k].kind != SEG_VALUE))
				expand_segment(t, &t->v[k], &a, &c, false, ' ', &b);
			n += value_here && !t->repeat;
		}
		n += b.len + t->repeat;
	}
	return n;
}

bool template_places(const struct template *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].kind == SEG_VALUE && t->v[i].pos != 0)
			return true;
	return false;
}

size_t template_placed(const struct template *t, const struct args *a)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].kind == SEG_VALUE && t->v[i].pos != 0)
			expand_segment(t, &t->v[i], a, NULL, false, ' ', &b);
	size_t n = b.len;
	buf_free(&b);
	return n;
}

/* ---- is the shell needed? (the other half is in direct.c) ---- */

static bool inert(const char *s)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_-./:@%+,", *s))
			return false;
	return true;
}

/* The first word if it is literal and every literal of t means itself to any shell. */
const char *template_inert_command(const struct template *t)
{
	if (t->raw || t->n < 1 || t->v[0].kind != SEG_TEXT ||
	    (t->n > 1 && t->v[1].kind != SEG_BREAK))
		return NULL;
	for (size_t i = 0; i < t->n; i++) {
		const struct segment *s = &t->v[i];
		bool alone = (i == 0 || t->v[i - 1].kind == SEG_BREAK) &&
		             (i + 1 == t->n || t->v[i + 1].kind == SEG_BREAK);
		if (s->kind == SEG_TEXT && !inert(s->text))
			return NULL;
		/* {9} of three values: an empty word for us, no word for a shell */
		if (s->kind == SEG_VALUE && s->pos != 0 && alone)
			return NULL;
	}
	return t->cfg->max_args == 0 ? NULL : t->v[0].text; /* -n0: {} is no word at all */
}
