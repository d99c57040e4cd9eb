/* utf8.c - a decoder of UTF-8 that can be stopped anywhere. */
#include "utf8.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* Bytes of the character that begins with c; 0: none does. */
static size_t length(unsigned char c)
{
	if (c < 0x80)
		return 1;
	return c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
}

/* May c be the second byte after `first`?  (No overlong forms, no surrogates.) */
static bool second(unsigned char first, unsigned char c)
{
	unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	return c >= low && c <= high;
}

static bool continues(const struct utf8 *u, unsigned char c)
{
	return u->have == 1 ? second(u->part[0], c) : (c & 0xc0) == 0x80;
}

static void put_plain(struct buf *out, unsigned char c)
{
	if (c == '"' || c == '\\')
		buf_chr(out, '\\');
	if (c < ' ')
		buf_fmt(out, "\\u%04x", c);
	else
		buf_chr(out, c);
}

static void begin(struct utf8 *u, struct buf *out, unsigned char c)
{
	size_t len = length(c);
	if (len == 1) {
		put_plain(out, c);
	} else if (len == 0) {
		buf_str(out, REPLACEMENT);
	} else {
		u->part[0] = c;
		u->have = 1;
		u->need = len;
	}
}

static void next(struct utf8 *u, struct buf *out, unsigned char c)
{
	if (u->have && !continues(u, c)) {
		buf_str(out, REPLACEMENT);
		u->have = 0;
	}
	if (!u->have) {
		begin(u, out, c);
		return;
	}
	u->part[u->have++] = c;
	if (u->have == u->need) {
		buf_add(out, u->part, u->need);
		u->have = 0;
	}
}

/* How many bytes at p need no look: printable ASCII. */
static size_t easy(const char *p, size_t n)
{
	size_t i = 0;
	while (i < n && (unsigned char)p[i] - 32u < 96u && p[i] != '"' && p[i] != '\\')
		i++;
	return i;
}

void utf8_json(struct utf8 *u, struct buf *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t plain = u->have ? 0 : easy(p + i, n - i);
		buf_add(out, p + i, plain);
		i += plain;
		if (i < n)
			next(u, out, (unsigned char)p[i]);
	}
}

void utf8_json_end(struct utf8 *u, struct buf *out)
{
	if (u->have)
		buf_str(out, REPLACEMENT);
	u->have = 0;
}

bool utf8_valid(const char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)p[i];
		size_t len = length(c);
		if (c == 0 || len == 0 || len > n - i ||
		    (len > 1 && !second(c, (unsigned char)p[i + 1])))
			return false;
		for (size_t k = 2; k < len; k++)
			if (((unsigned char)p[i + k] & 0xc0) != 0x80)
				return false;
		i += len;
	}
	return true;
}
