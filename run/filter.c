/* filter.c - --filter: a condition in Perl with replacement strings.
 *
 * The values do not become code, as they would if they were pasted into it: each replacement
 * string becomes a variable, so that a file name can be compared but not executed. */
#include "template-impl.h"

#include <stdlib.h>
#include <string.h>

/* Follow the quotes of Perl as far as to know whether '...' is open. */
static char quote_after(const char *s, char quote)
{
	for (; *s; s++) {
		if (*s == '\\' && s[1])
			s++;
		else if (quote ? *s == quote : *s == '\'' || *s == '"')
			quote = quote ? 0 : *s;
	}
	return quote;
}

static void add_value(struct buf *code, const struct segment *s, size_t number, char quote)
{
	struct buf v = { 0 };
	if (s->kind == SEG_PERL)
		buf_fmt(&v, "Prong::given(%d)", s->number);
	else
		buf_fmt(&v, "$Arg::put[%zu]", number);
	if (quote == '\'')
		buf_fmt(code, "'.%s.'", v.s);
	else
		buf_fmt(code, "${\\%s}", v.s);
	buf_free(&v);
}

struct template *template_filter(const struct config *cfg, const struct names *names)
{
	struct template *t = template_text(cfg, names, cfg->filter);
	struct buf code = { 0 };
	char quote = 0;
	size_t number = 0;
	buf_clear(&code);
	for (size_t i = 0; t && i < t->n; i++) {
		if (t->v[i].kind == SEG_TEXT) {
			buf_str(&code, t->v[i].text);
			quote = quote_after(t->v[i].text, quote);
		} else {
			add_value(&code, &t->v[i], number, quote);
			number += t->v[i].kind != SEG_PERL;
		}
	}
	if (t && perl_set_filter(cfg->perl, code.s, cfg->filter) != 0) {
		template_free(t);
		t = NULL;
	}
	buf_free(&code);
	return t;
}

size_t template_put(const struct template *t, const struct args *a, const struct job_context *c,
                    struct buf *text)
{
	size_t n = 0;
	buf_clear(text);
	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i].kind == SEG_TEXT || t->v[i].kind == SEG_PERL)
			continue;
		expand_segment(t, &t->v[i], a, c, true, ' ', text);
		buf_chr(text, '\0');
		n++;
	}
	return n;
}
