/* quote.c - one value as one shell word.  Pure. */
#include "template.h"

#include <ctype.h>
#include <string.h>

/* Bytes that no shell looks at, wherever they stand. */
static bool plain(unsigned char c)
{
	return isalnum(c) || c == '_' || c == '-' || c == '.' || c == '/' || c == '+';
}

/* As GNU parallel spells it: no empty '' before or behind a single quote. */
void quote_shell(struct buf *out, const char *value)
{
	const char *p = value;
	while (*p && plain((unsigned char)*p))
		p++;
	if (*value && !*p) {
		buf_str(out, value);
		return;
	}
	bool open = *value != '\'';
	if (open)
		buf_chr(out, '\'');
	for (p = value; *p; p++) {
		if (*p != '\'') {
			buf_chr(out, *p);
			continue;
		}
		buf_str(out, open ? "'\"'\"" : "\"'\"");
		open = p[1] != '\0';
		if (open)
			buf_chr(out, '\'');
	}
	if (open)
		buf_chr(out, '\'');
}
