/* quote.c - one value as one shell word.  Pure. */
#include "template.h"

#include <ctype.h>
#include <string.h>

/* Bytes that no shell looks at, wherever they stand. */
static bool plain(unsigned char c)
{
	return isalnum(c) || strchr("_-./:@%+,", c) != NULL;
}

void quote_shell(struct buf *out, const char *value)
{
	const char *p = value;
	while (*p && plain((unsigned char)*p))
		p++;
	if (*value && !*p) {
		buf_str(out, value);
		return;
	}
	buf_chr(out, '\'');
	for (p = value; *p; p++) {
		if (*p == '\'')
			buf_str(out, "'\"'\"'");
		else
			buf_chr(out, *p);
	}
	buf_chr(out, '\'');
}
