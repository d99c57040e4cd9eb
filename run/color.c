/* color.c - a colour for each job.
 *
 * Of the 216 colours of the cube, those that follow each other are far apart: the step is
 * prime to 216 and about 0.618 of it.  The text is white or black, whichever reads better. */
#include "color.h"

#include <stdio.h>

enum { CUBE = 216, STEP = 133, WHITE = 231, BLACK = 16, RED = 196 };

static struct color make(unsigned background, unsigned text)
{
	struct color c;
	snprintf(c.on, sizeof c.on, "\033[48;5;%03u;38;5;%03um\033[K", background & 255, text & 255);
	return c;
}

struct color color_of_job(uint64_t seq)
{
	unsigned n = (unsigned)(seq % CUBE) * STEP % CUBE;
	unsigned red = n / 36, green = n / 6 % 6, blue = n % 6;
	return make(16 + n, 3 * red + 6 * green + blue > 22 ? BLACK : WHITE);
}

struct color color_of_failure(void)
{
	return make(RED, WHITE);
}
