/* Templates of any bytes with any values: compiled, measured, expanded, cut into words. */
#include "fuzz.h"
#include "template.h"
#include "unquote.h"

#include <unistd.h>

enum { WORDS = 6, VALUES = 6 };

static size_t total(const struct template *t, const struct args *a)
{
	size_t n = template_fixed(t);
	for (size_t i = 0; i < a->n; i++)
		n += template_added(t, a->v[i]);
	return n + template_placed(t, a);
}

/* Where all text means itself, the words without a shell are those of a shell. */
static void compare_words(const struct template *t, const struct args *a,
                          const struct job_context *c, const struct buf *text)
{
	struct buf direct = { 0 }, shell = { 0 };
	buf_clear(&direct);
	buf_clear(&shell);
	int n = unquote(text->s, &shell);
	if (n >= 0) {
		int got = 0;
		template_words(t, a, c, &direct);
		for (size_t i = 0; i < direct.len; i++)
			got += !direct.s[i];
		if (got != n || direct.len != shell.len || memcmp(direct.s, shell.s, shell.len)) {
			fprintf(stderr, "a shell makes %d words of it, not %d: %s\n", n, got, text->s);
			abort();
		}
	}
	buf_free(&direct);
	buf_free(&shell);
}

static void expand(const struct template *t, const struct args *a, unsigned flags)
{
	struct job_context c = { .seq = flags + 1u, .slot = 2, .slots = 12,
		                 .total = template_uses_total(t) ? 345 : -1 };
	struct buf once = { 0 }, twice = { 0 };
	buf_clear(&once);
	buf_clear(&twice);
	template_expand(t, a, &c, &once);
	template_expand(t, a, &c, &twice);
	CHECK(once.len == strlen(once.s) && !strcmp(once.s, twice.s));
	total(t, a);
	template_skips(t, a);
	if (template_inert_command(t))
		compare_words(t, a, &c, &once);
	buf_free(&once);
	buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cut c = cut_new(data, size);
	unsigned flags = cut_byte(&c), nwords = cut_byte(&c) % WORDS, nvalues = cut_byte(&c) % VALUES;
	char *words[WORDS + 1] = { NULL }, *values[VALUES + 1] = { "" }, *column[] = { "col", "c2" };
	struct names names = { column, flags & 1 ? 2 : 0 };
	struct config cfg = { .delim = "\n", .delim_len = 1, .plus = flags & 2, .quote = flags & 4,
		              .repeat = flags & 8, .pack = flags & 16 ? PACK_XARGS : PACK_ONE,
		              .max_args = nvalues ? -1 : 0, .max_lines = -1, .command = words };
	for (size_t i = 0; i < nwords; i++)
		words[i] = cut_string(&c);
	cfg.ncommand = nwords;
	if (flags & 32)
		cfg.repl[REPL_VALUE] = cut_string(&c);
	for (size_t i = 0; i < nvalues; i++)
		values[i] = cut_string(&c);
	/* a perl for each try would be slow, and is not what is tried here */
	bool perl = false;
	for (size_t i = 0; i < nwords; i++)
		perl |= strstr(words[i], "{=") != NULL;
	struct args a = { .v = values, .n = nvalues };
	struct template *t = perl ? NULL : template_new(&cfg, &names);
	if (t)
		expand(t, &a, flags);
	if (t)
		template_free(t);
	t = perl || !nwords ? NULL : template_text(&cfg, &names, words[0]);
	if (t)
		expand(t, &a, flags);
	if (t)
		template_free(t);
	cut_free(&c);
	return 0;
}
