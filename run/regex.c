/* regex.c - the only file that knows PCRE2.  Without it every pattern is an error. */
#include "regex.h"

#include "buf.h"

#include <stdlib.h>
#include <string.h>

#ifdef HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct regex {
	pcre2_code *code;
	pcre2_match_data *data;
	const char *what;
	bool *told; /* that it failed */
};

static struct regex *compile(const char *pattern, uint32_t options, const char *what)
{
	int e;
	PCRE2_SIZE at;
	PCRE2_UCHAR text[120];
	struct regex *re = xrealloc(NULL, sizeof *re);
	re->what = what;
	re->told = memset(xrealloc(NULL, sizeof *re->told), 0, sizeof *re->told);
	re->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &e, &at,
	                         NULL);
	if (!re->code) {
		pcre2_get_error_message(e, text, sizeof text);
		warn("%s: '%s' is no regular expression: %s at byte %zu", what, pattern,
		     (char *)text, (size_t)at + 1);
		free(re->told);
		free(re);
		return NULL;
	}
	/* where there is none, it is slower */
	pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
	re->data = pcre2_match_data_create_from_pattern(re->code, NULL);
	return re;
}

struct regex *regex_new(const char *pattern, bool lazy, const char *what)
{
	return compile(pattern, PCRE2_DOTALL | (lazy ? PCRE2_UNGREEDY : 0u), what);
}

struct regex *regex_lines(const char *pattern, const char *what)
{
	return compile(pattern, 0, what);
}

/* The compiled code has a small stack: what needs more goes the slow way.  Another error is not
 * "no match", so it is told. */
static int match_at(const struct regex *re, const char *s, size_t len, size_t from, uint32_t how)
{
	PCRE2_UCHAR text[120];
	int n = pcre2_match(re->code, (PCRE2_SPTR)s, len, from, how, re->data, NULL);
	if (n == PCRE2_ERROR_JIT_STACKLIMIT)
		n = pcre2_match(re->code, (PCRE2_SPTR)s, len, from, how | PCRE2_NO_JIT, re->data,
		                NULL);
	if (n < 0 && n != PCRE2_ERROR_NOMATCH && n != PCRE2_ERROR_PARTIAL && !*re->told) {
		*re->told = true;
		pcre2_get_error_message(n, text, sizeof text);
		warn("%s: the regular expression cannot be tried on %zu bytes, which are taken as "
		     "not matching: %s", re->what, len, (char *)text);
	}
	return n;
}

bool regex_find(const struct regex *re, const char *s, size_t len, size_t from,
                struct span *match, struct span *group)
{
	int n = match_at(re, s, len, from, 0);
	PCRE2_SIZE *v = pcre2_get_ovector_pointer(re->data);
	if (n < 1)
		return false;
	*match = (struct span){ v[0], v[1] };
	*group = n > 1 && v[2] != PCRE2_UNSET ? (struct span){ v[2], v[3] }
	                                      : (struct span){ v[0], v[0] };
	return true;
}

size_t regex_groups(const struct regex *re, const char *s, size_t len, struct span *v, size_t max)
{
	int n = match_at(re, s, len, 0, PCRE2_ANCHORED);
	PCRE2_SIZE *from = pcre2_get_ovector_pointer(re->data);
	size_t i = 0;
	for (; n > 0 && i < (size_t)n && i < max; i++)
		v[i] = from[2 * i] == PCRE2_UNSET ? (struct span){ 0, 0 }
		                                  : (struct span){ from[2 * i], from[2 * i + 1] };
	return i;
}

int regex_scan(const struct regex *re, const char *s, size_t len, size_t from, bool final,
               struct span *match)
{
	int n = match_at(re, s, len, from, final ? 0u : PCRE2_PARTIAL_HARD);
	PCRE2_SIZE *v = pcre2_get_ovector_pointer(re->data);
	if (n < 1 && n != PCRE2_ERROR_PARTIAL)
		return 0;
	*match = (struct span){ v[0], v[1] };
	return n == PCRE2_ERROR_PARTIAL ? -1 : 1;
}

void regex_free(struct regex *re)
{
	if (!re)
		return;
	pcre2_match_data_free(re->data);
	pcre2_code_free(re->code);
	free(re->told);
	free(re);
}

#else

struct regex *regex_new(const char *pattern, bool lazy, const char *what)
{
	(void)lazy;
	warn("%s: '%s': this prong was built without PCRE2; build it with -Dpcre2=enabled", what,
	     pattern);
	return NULL;
}

bool regex_find(const struct regex *re, const char *s, size_t len, size_t from,
                struct span *match, struct span *group)
{
	(void)re, (void)s, (void)len, (void)from, (void)match, (void)group;
	return false;
}

size_t regex_groups(const struct regex *re, const char *s, size_t len, struct span *v, size_t max)
{
	(void)re, (void)s, (void)len, (void)v, (void)max;
	return 0;
}

int regex_scan(const struct regex *re, const char *s, size_t len, size_t from, bool final,
               struct span *match)
{
	(void)re, (void)s, (void)len, (void)from, (void)final, (void)match;
	return 0;
}

struct regex *regex_lines(const char *pattern, const char *what)
{
	return regex_new(pattern, false, what);
}

void regex_free(struct regex *re)
{
	(void)re;
}
#endif
