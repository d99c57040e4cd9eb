/* quote.c - one value as one shell word.  Pure. */
#include "template.h"

#include <string.h>

/* Bytes that no shell looks at, wherever they stand. */
static const bool plain_bytes[256] = {
	['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
	['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1,
	['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1,
	['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1,
	['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1,
	['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1,
	['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1,
	['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['_'] = 1, ['-'] = 1,
	['.'] = 1, ['/'] = 1, ['+'] = 1,
};

/* The first byte that is not plain, or the end. */
static const char *after_plain(const char *p)
{
	while (plain_bytes[(unsigned char)*p])
		p++;
	return p;
}

/* csh: no quotes, since '!' is special within them; a newline needs both. */
static const char *csh_escape(char c)
{
	if (c == '\n')
		return "\"\\\n\"";
	return strchr("\t !\"#$&'()*;<=>?[\\]^`{|}~", c) ? "\\" : NULL;
}

size_t quoted_length(const char *value, enum quoting how)
{
	const char *p = after_plain(value);
	size_t quotes = 0;
	if (*value && !*p)
		return (size_t)(p - value);
	for (; *p; p++)
		quotes += *p == '\'' || how != QUOTE_POSIX;
	return (size_t)(p - value) + 2 + 4 * quotes;
}

static void quote_csh(struct buf *out, const char *value)
{
	for (; *value; value++) {
		const char *escape = csh_escape(*value);
		if (escape)
			buf_str(out, escape);
		if (*value != '\n')
			buf_chr(out, *value);
	}
}

/* As GNU parallel spells it: no empty '' before or behind a single quote.  In fish a backslash
 * is special between quotes, too. */
static void quote_posix(struct buf *out, const char *value, bool fish)
{
	bool open = *value != '\'';
	if (open)
		buf_chr(out, '\'');
	for (const char *p = value; *p; p++) {
		if (*p != '\'') {
			if (fish && *p == '\\')
				buf_chr(out, '\\');
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

void quote_shell(struct buf *out, const char *value, enum quoting how)
{
	const char *p = after_plain(value);
	if (*value && !*p)
		buf_add(out, value, (size_t)(p - value));
	else if (*value && how == QUOTE_CSH)
		quote_csh(out, value);
	else
		quote_posix(out, value, how == QUOTE_FISH);
}
