/* unquote.h - words of a command line as a POSIX shell cuts them, for text without anything that
 * a shell expands: written apart from the quoting it is to check. */
#ifndef TESTS_UNQUOTE_H
#define TESTS_UNQUOTE_H

#include "buf.h"
#include <string.h>

/* Words NUL-terminated into *words; how many, or -1: a quote is open or something is special. */
static inline int unquote(const char *s, struct buf *words)
{
	int n = 0;
	for (;;) {
		s += strspn(s, " \t\n");
		if (!*s)
			return n;
		n++;
		for (; *s && !strchr(" \t\n", *s); s++) {
			if (*s == '\'' || *s == '"') {
				const char *end = strchr(s + 1, *s);
				if (!end || (*s == '"' && strcspn(s + 1, "$`\\\"") < (size_t)(end - s - 1)))
					return -1;
				buf_add(words, s + 1, (size_t)(end - s - 1));
				s = end;
			} else if (*s == '\\' && s[1] && s[1] != '\n') {
				buf_chr(words, *++s);
			} else if (strchr("\\$`;&|<>()*?[#~", *s)) {
				return -1;
			} else {
				buf_chr(words, *s);
			}
		}
		buf_add(words, "", 1);
	}
}

#endif
