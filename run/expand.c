/* expand.c - a compiled template and the values of a job: the command line, its words, its
 * length.  Pure, but for perl expressions whose values are not known yet. */
#include "template-impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

size_t template_lead(const struct template *t)
{
	size_t lead = 0;
	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i].kind > SEG_BREAK)
			return lead;
		lead += t->v[i].kind == SEG_TEXT ? strlen(t->v[i].text) : 1;
	}
	return SIZE_MAX;
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

/* -n0 and -L0: the one value is empty, and not even '' is written for it. */
static bool no_values(const struct config *cfg)
{
	return cfg->max_args == 0 || cfg->max_lines == 0;
}

/* One value after its operation, quoted or not. */
static void put(const struct template *t, const struct segment *s, const char *v, bool raw,
                struct buf *out)
{
	if (use_is_whole(&s->use)) {
		if (raw)
			buf_str(out, v);
		else
			quote_shell(out, v, t->cfg->quoting);
		return;
	}
	if (raw) {
		use_apply(&s->use, v, out);
		return;
	}
	struct buf b = { 0 };
	use_apply(&s->use, v, &b);
	quote_shell(out, b.s ? b.s : "", t->cfg->quoting);
	buf_free(&b);
}

static void put_all(const struct template *t, const struct segment *s, const struct args *a,
                    bool raw, int between, struct buf *out)
{
	if (raw && !between && a->bytes && use_is_whole(&s->use)) {
		buf_add(out, a->v[0], a->bytes - 1); /* so they lie there already */
		return;
	}
	for (size_t i = 0; i < a->n; i++) {
		if (i)
			buf_chr(out, between);
		put(t, s, a->v[i], raw, out);
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

/* The values of an expression: from those asked for beforehand, or asked for now. */
static void put_perl(const struct template *t, const struct segment *s, const struct args *a,
                     const struct job_context *c, bool raw, int between, struct buf *out)
{
	struct perl *p = t->cfg->perl;
	struct perl_values *own = NULL;
	size_t n = s->pos || s->once ? 1 : a->n;
	if (!c->perl) {
		struct perl_job job = { .args = *a, .seq = c->seq, .slot = c->slot };
		own = perl_eval_one(p, s->number, &job, c->total);
	}
	for (size_t i = 0; (own || c->perl) && i < n; i++) {
		bool quote = false;
		const char *v = own ? perl_value(p, own, PERL_MAPPED, i, &quote)
		                    : perl_value(p, c->perl, s->number, c->first + i, &quote);
		if (i)
			buf_chr(out, between);
		if (!v || raw || !quote)
			buf_str(out, v ? v : "");
		else
			quote_shell(out, v, t->cfg->quoting);
	}
	perl_values_free(own);
}

void expand_segment(const struct template *t, const struct segment *s,
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
			put_all(t, s, a, raw || t->raw || no_values(t->cfg), between, out);
		else if ((v = value_at(a, s->pos)))
			put(t, s, v, raw || t->raw || no_values(t->cfg), out);
		break;
	case SEG_PERL:
		put_perl(t, s, a, c, raw || t->raw, between, out);
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

/* One place for all values? */
static bool takes_all(const struct segment *s)
{
	return (s->kind == SEG_VALUE || s->kind == SEG_PERL) && s->pos == 0 && !s->once;
}

/* Something that is put in once, however many values there are? */
static bool placed(const struct segment *s)
{
	return (s->kind == SEG_VALUE || s->kind == SEG_PERL) && !takes_all(s);
}

/* Does the word hold all values, so that it grows with them? */
static bool grows(const struct template *t, size_t i, size_t end)
{
	for (; i < end; i++)
		if (takes_all(&t->v[i]))
			return true;
	return false;
}

/* -X, -N: the word once for each value; positions still count among all of them. */
static void repeat_word(const struct template *t, size_t from, size_t end, const struct args *a,
                        const struct job_context *c, bool raw, int between, struct buf *out)
{
	struct job_context at = *c;
	if (end == from + 1 && t->v[from].kind == SEG_VALUE) { /* nothing else to repeat */
		put_all(t, &t->v[from], a, raw || t->raw, between, out);
		return;
	}
	for (size_t k = 0; k < a->n; k++) {
		struct args one = { .v = a->v + k, .n = 1 };
		at.first = k;
		if (k)
			buf_chr(out, between);
		for (size_t i = from; i < end; i++)
			expand_segment(t, &t->v[i], placed(&t->v[i]) ? a : &one, &at, raw, between, out);
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
void template_words(const struct template *t, const struct args *a, const struct job_context *c,
                    struct buf *words)
{
	buf_reserve(words, 0);
	expand(t, a, c, true, '\0', words);
	buf_chr(words, '\0');
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
			     : t->v[i].kind == SEG_VALUE || t->v[i].kind == SEG_PERL ? 0u
			                                 : NUMBER_MAX;
	}
	return n;
}

static size_t added_by_all(const struct template *t, const char *value)
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
			bool value_here = takes_all(&t->v[k]);
			if (value_here || (t->repeat && !placed(&t->v[k])))
				expand_segment(t, &t->v[k], &a, &c, false, ' ', &b);
			n += value_here && !t->repeat;
		}
		n += b.len + t->repeat;
	}
	return n;
}

/* The usual template: one {} that is a word of its own. */
void expand_prepare(struct template *t)
{
	const struct segment *only = NULL;
	for (size_t i = 0; i < t->n; i++) {
		const struct segment *s = &t->v[i];
		bool alone = (i == 0 || s[-1].gap) && (i + 1 == t->n || s[1].gap);
		if (!takes_all(s))
			continue;
		if (only || !alone || s->kind != SEG_VALUE || !use_is_whole(&s->use))
			return;
		only = s;
	}
	t->only_word = only;
}

size_t template_added(const struct template *t, const char *value)
{
	if (t->only_word)
		return (t->raw ? strlen(value) : quoted_length(value, t->cfg->quoting)) + 1;
	return added_by_all(t, value);
}

bool template_places(const struct template *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (placed(&t->v[i]))
			return true;
	return false;
}

size_t template_placed(const struct template *t, const struct args *a)
{
	static const struct job_context none = { 0 };
	struct buf b = { 0 };
	for (size_t i = 0; i < t->n; i++)
		if (placed(&t->v[i]))
			expand_segment(t, &t->v[i], a, &none, false, ' ', &b);
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
		if ((s->kind == SEG_TEXT && !inert(s->text)) || s->unquotes)
			return NULL;
		/* '' as a word of the command: an empty word for us, none for a shell */
		if (s->kind == SEG_BREAK && (i + 1 == t->n || t->v[i + 1].kind == SEG_BREAK))
			return NULL;
		/* {9} of three values: the same */
		if (s->kind == SEG_VALUE && s->pos != 0 && alone)
			return NULL;
	}
	return no_values(t->cfg) ? NULL : t->v[0].text;
}
