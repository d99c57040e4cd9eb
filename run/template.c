/* template.c - compile a command line to segments, expand them per job.  Pure. */
#include "template.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- the operations on a value ---- */

static const char *base_of(const char *v)
{
	const char *slash = strrchr(v, '/');
	return slash ? slash + 1 : v;
}

/* Where the extension begins: the last dot of the last component, or the end. */
static size_t stem_len(const char *v)
{
	const char *base = base_of(v), *dot = strrchr(base, '.');
	return dot ? (size_t)(dot - v) : strlen(v);
}

static void op_whole(struct buf *b, const char *v)
{
	buf_str(b, v);
}

static void op_noext(struct buf *b, const char *v)
{
	buf_add(b, v, stem_len(v));
}

static void op_base(struct buf *b, const char *v)
{
	buf_str(b, base_of(v));
}

static void op_dir(struct buf *b, const char *v)
{
	const char *slash = strrchr(v, '/');
	if (!slash)
		buf_chr(b, '.');
	else
		buf_add(b, v, slash == v ? 1 : (size_t)(slash - v));
}

static void op_base_noext(struct buf *b, const char *v)
{
	const char *base = base_of(v);
	buf_add(b, base, stem_len(base));
}

static const struct op {
	const char *name; /* between the braces, after a position */
	void (*apply)(struct buf *b, const char *value);
} ops[] = {
	{ "", op_whole },  { ".", op_noext },        { "/", op_base },
	{ "//", op_dir },  { "/.", op_base_noext },
};

/* ---- segments ---- */

enum kind { SEG_TEXT, SEG_VALUE, SEG_SEQ, SEG_SLOT, SEG_BREAK };
struct segment {
	enum kind kind;
	char *text;          /* SEG_TEXT */
	const struct op *op; /* SEG_VALUE */
	int pos;             /* 0: all values; n: the n-th; -n: from the end */
};
struct template {
	struct segment *v;
	size_t n;
	bool raw, uses_slot; /* raw: values go in unquoted */
};

static struct segment *add(struct template *t, enum kind kind)
{
	t->v = xrealloc(t->v, (t->n + 1) * sizeof *t->v);
	t->v[t->n] = (struct segment){ .kind = kind };
	return &t->v[t->n++];
}

static void add_text(struct template *t, const char *s, size_t len)
{
	struct buf b = { 0 };
	if (!len)
		return;
	buf_add(&b, s, len);
	add(t, SEG_TEXT)->text = b.s;
}

/* "{", [position], [operation], "}": its length, or 0 if this is something else. */
static size_t parse_braces(const char *s, const struct config *cfg, struct segment *seg)
{
	const char *end = strchr(s, '}'), *p = s + 1;
	char *rest = (char *)(uintptr_t)p;
	if (*s != '{' || !end)
		return 0;
	size_t len = (size_t)(end - s) + 1;
	*seg = (struct segment){ .kind = SEG_VALUE };
	if (len == 3 && (*p == '#' || *p == '%')) {
		seg->kind = *p == '#' ? SEG_SEQ : SEG_SLOT;
		return len;
	}
	if (isdigit((unsigned char)*p) || (*p == '-' && isdigit((unsigned char)p[1])))
		seg->pos = (int)strtol(p, &rest, 10);
	if ((rest != p && (seg->pos == 0 || cfg->repl_changed)) ||
	    (rest == p && p == end && cfg->repl_changed))
		return 0;
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (strlen(ops[i].name) == (size_t)(end - rest) &&
		    !strncmp(ops[i].name, rest, (size_t)(end - rest)))
			seg->op = &ops[i];
	return seg->op ? len : 0;
}

static size_t parse_one(const char *s, const struct config *cfg, struct segment *seg)
{
	size_t n = cfg->repl ? strlen(cfg->repl) : 0;
	if (n && !strncmp(s, cfg->repl, n)) {
		*seg = (struct segment){ .kind = SEG_VALUE, .op = &ops[0] };
		return n;
	}
	return *s == '{' ? parse_braces(s, cfg, seg) : 0;
}

/* True if there was a replacement string in it. */
static bool compile(struct template *t, const char *s, const struct config *cfg)
{
	const char *from = s;
	bool found = false;
	while (*s) {
		struct segment seg;
		size_t n = parse_one(s, cfg, &seg);
		if (!n) {
			s++;
			continue;
		}
		add_text(t, from, (size_t)(s - from));
		*add(t, seg.kind) = seg;
		found = true;
		t->uses_slot |= seg.kind == SEG_SLOT;
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

struct template *template_new(const struct config *cfg)
{
	struct template *t = xrealloc(NULL, sizeof *t);
	bool found = false;
	*t = (struct template){ .raw = cfg->ncommand == 0 };
	for (size_t i = 0; i < cfg->ncommand; i++) {
		if (i)
			add(t, SEG_BREAK);
		size_t from = t->n;
		found |= compile(t, cfg->command[i], cfg);
		if (cfg->quote)
			quote_text(t, from, *cfg->command[i] == '\0');
	}
	if (!found) {
		if (cfg->ncommand)
			add(t, SEG_BREAK);
		*add(t, SEG_VALUE) = (struct segment){ .kind = SEG_VALUE, .op = &ops[0] };
	}
	return t;
}

struct template *template_text(const struct config *cfg, const char *text)
{
	struct template *t = xrealloc(NULL, sizeof *t);
	*t = (struct template){ .raw = true };
	compile(t, text, cfg);
	return t;
}

void template_free(struct template *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].text);
	free(t->v);
	free(t);
}

bool template_uses_slot(const struct template *t)
{
	return t->uses_slot;
}

bool template_uses_total(const struct template *t)
{
	(void)t;
	return false; /* only {##} of --plus would */
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
	struct buf b = { 0 };
	s->op->apply(&b, v);
	if (raw)
		buf_add(out, b.s ? b.s : "", b.len);
	else
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

static void expand_segment(const struct template *t, const struct segment *s,
                           const struct args *a, const struct job_context *c, bool raw,
                           int between, struct buf *out)
{
	const char *v;
	switch (s->kind) {
	case SEG_TEXT:
		buf_str(out, s->text);
		break;
	case SEG_SEQ:
		buf_fmt(out, "%llu", (unsigned long long)c->seq);
		break;
	case SEG_SLOT:
		buf_fmt(out, "%u", c->slot);
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
	}
}

void template_expand(const struct template *t, const struct args *a,
                     const struct job_context *c, struct buf *out)
{
	for (size_t i = 0; i < t->n; i++)
		expand_segment(t, &t->v[i], a, c, false, ' ', out);
}

/* Blanks between words become NULs; several values of one {} become several words, as the
 * blank between them would make the shell do. */
size_t template_words(const struct template *t, const struct args *a,
                      const struct job_context *c, struct buf *words)
{
	size_t n = 1;
	buf_reserve(words, 0);
	for (size_t i = 0; i < t->n; i++) {
		const struct segment *s = &t->v[i];
		expand_segment(t, s, a, c, true, '\0', words);
	}
	for (size_t i = 0; i < words->len; i++)
		n += words->s[i] == '\0';
	buf_chr(words, '\0');
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
	return t->v[0].text;
}
