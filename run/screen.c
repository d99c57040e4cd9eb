/* screen.c - cuts text to columns and defuses control characters.
 *
 * Uses the user's character set for the call only: the program's locale stays as it is. */
#include "screen.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

struct glyph {
	char text[24];
	size_t bytes; /* of the input */
	int columns;
};

static void plain(struct glyph *g, const char *text)
{
	g->columns = snprintf(g->text, sizeof g->text, "%s", text);
}

static void control(struct glyph *g, unsigned char c, int escape)
{
	static const char names[] = "abtnvfr"; /* \a is 7 */
	if (!escape)
		plain(g, " ");
	else if (c >= 7 && c <= 13)
		g->columns = snprintf(g->text, sizeof g->text, "\\%c", names[c - 7]);
	else
		g->columns = snprintf(g->text, sizeof g->text, "\\x%02x", c);
}

static void next_glyph(struct glyph *g, const char *s, size_t len, int escape)
{
	mbstate_t state;
	wchar_t wc;
	unsigned char c = (unsigned char)*s;
	g->bytes = 1;
	if (c < ' ' || c == 0x7f) {
		control(g, c, escape);
		return;
	}
	memset(&state, 0, sizeof state);
	size_t n = c < 0x80 ? 0 : mbrtowc(&wc, s, len, &state);
	int w = n - 1 < 16 ? wcwidth(wc) : -1;
	if (w < 0) { /* ASCII, or what is no printable character here */
		if (n - 1 < 16)
			g->bytes = n;
		plain(g, c < 0x80 ? (char[]){ (char)c, '\0' } : "?");
		return;
	}
	memcpy(g->text, s, n);
	g->text[n] = '\0';
	g->bytes = n;
	g->columns = w;
}

/* Without UTF-8 in the environment everything above ASCII is '?'. */
static locale_t enter(locale_t *mine)
{
	*mine = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	return *mine ? uselocale(*mine) : (locale_t)0;
}

static void leave(locale_t mine, locale_t before)
{
	if (!mine)
		return;
	uselocale(before);
	freelocale(mine);
}

int screen_text(struct buf *b, const char *s, int columns, int escape)
{
	locale_t mine, before = enter(&mine);
	size_t len = strlen(s);
	int used = 0;
	while (len > 0) {
		struct glyph g;
		next_glyph(&g, s, len, escape);
		if (used + g.columns > columns)
			break;
		buf_str(b, g.text);
		used += g.columns;
		s += g.bytes;
		len -= g.bytes;
	}
	leave(mine, before);
	return used;
}

void screen_cut(struct buf *b, const char *s, int columns)
{
	size_t at = b->len;
	int whole = screen_text(b, s, columns + 1, 1);
	if (whole <= columns)
		return;
	b->len = at;
	screen_text(b, s, columns - 3, 1);
	buf_str(b, "...");
}
