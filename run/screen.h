/* screen.h - text for a terminal: how wide it is, and nothing in it that is obeyed. */
#ifndef RUN_SCREEN_H
#define RUN_SCREEN_H

#include "buf.h"

/* Append s, but no more than `columns` columns of it.  Control characters become a blank
 * each (or an escape like \n, if `escape`); bytes that are no text in the user's locale
 * become '?'.  Returns the columns used. */
int screen_text(struct buf *b, const char *s, int columns, int escape);
/* The same; what was cut is marked by "...". */
void screen_cut(struct buf *b, const char *s, int columns);

#endif
