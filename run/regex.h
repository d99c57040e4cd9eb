/* regex.h - regular expressions as Perl reads them (PCRE2); bytes, not characters. */
#ifndef RUN_REGEX_H
#define RUN_REGEX_H

#include <stdbool.h>
#include <stddef.h>

struct regex;
struct span {
	size_t from, to;
};

/* lazy: quantifiers match as little as they can.  NULL after warn(), which names `what`. */
struct regex *regex_new(const char *pattern, bool lazy, const char *what);
/* Leftmost match at or after `from`; group is that of the first parentheses, empty if none. */
bool regex_find(const struct regex *re, const char *s, size_t len, size_t from,
                struct span *match, struct span *group);
/* A match at the very beginning: it and its groups go to v[]; returns how many, 0: none. */
size_t regex_groups(const struct regex *re, const char *s, size_t len, struct span *v, size_t max);
/* The same for text that may go on (unless final): 1 found; 0: no match begins in it; -1: more
 * text could change the answer, a match may begin at match->from. */
int regex_scan(const struct regex *re, const char *s, size_t len, size_t from, bool final,
               struct span *match);
/* As regex_new(), but '.' does not match a newline. */
struct regex *regex_lines(const char *pattern, const char *what);
void regex_free(struct regex *re);

#endif
