/* latest.c - one line for each job on the terminal, updated in place.
 *
 * Owns the newest line of each running job, and knows in which row it stands.  The cursor
 * rests below the last row.  A row that has been scrolled out is left alone; its job gets
 * another one when it ends.  No terminal: only the last line of each job is of interest. */
#include "latest.h"

#include "buf.h"
#include "copy.h"
#include "screen.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LINE_MAX_KEPT = 4096, BUCKETS = 256 };

struct line {
	struct line *next;
	uint64_t job, row; /* row: from 1; 0: none yet */
	bool fresh;        /* the line is complete: the next byte begins another one */
	bool behind;       /* what stands in the row is not the newest */
	struct buf text;
};

struct latest {
	int fd;
	bool tty, color;
	uint64_t rows;
	struct line *v[BUCKETS];
	struct buf out, last;
};

struct latest *latest_new(const struct config *cfg, int fd)
{
	struct latest *l = xrealloc(NULL, sizeof *l);
	*l = (struct latest){ .fd = fd, .tty = isatty(fd), .color = cfg->color };
	return l;
}

static void line_free(struct line *p)
{
	buf_free(&p->text);
	free(p);
}

void latest_free(struct latest *l)
{
	for (size_t i = 0; l && i < BUCKETS; i++)
		for (struct line *p; (p = l->v[i]); line_free(p))
			l->v[i] = p->next;
	if (!l)
		return;
	buf_free(&l->out);
	buf_free(&l->last);
	free(l);
}

bool latest_lives(const struct latest *l)
{
	return l->tty;
}

static struct line **find(struct latest *l, uint64_t job)
{
	struct line **p = &l->v[job % BUCKETS];
	while (*p && (*p)->job != job)
		p = &(*p)->next;
	return p;
}

static struct line *have(struct latest *l, uint64_t job)
{
	struct line **p = find(l, job);
	if (!*p) {
		*p = xrealloc(NULL, sizeof **p);
		**p = (struct line){ .job = job };
		buf_clear(&(*p)->text);
	}
	return *p;
}

/* ---- the text ---- */

/* An empty line does not hide the one before it; CR begins a line too. */
static void take(struct line *p, const char *data, size_t len)
{
	while (len > 0) {
		size_t n = 0;
		while (n < len && data[n] != '\n' && data[n] != '\r')
			n++;
		if (n > 0 && p->fresh)
			buf_clear(&p->text);
		if (n > 0)
			p->fresh = false;
		size_t room = LINE_MAX_KEPT > p->text.len ? LINE_MAX_KEPT - p->text.len : 0;
		buf_add(&p->text, data, n < room ? n : room);
		p->fresh |= n < len;
		n += n < len;
		data += n;
		len -= n;
	}
}

static void size_of(const struct latest *l, int *columns, uint64_t *height)
{
	struct winsize w = { 0 };
	bool known = ioctl(l->fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 && w.ws_row > 1;
	*columns = known ? w.ws_col - 1 : 79;
	*height = known ? w.ws_row : 24u;
}

static void put_text(struct latest *l, const struct line *p, const char *tag, int columns)
{
	struct buf text = { 0 };
	if (tag)
		buf_fmt(&text, "%s        ", tag);
	buf_add(&text, p->text.s, p->text.len);
	if (l->color)
		buf_str(&l->out, color_of_job(p->job).on);
	(void)screen_text(&l->out, text.s ? text.s : "", columns, 0);
	buf_str(&l->out, l->color ? COLOR_OFF "\033[K" : "\033[K");
	buf_free(&text);
}

/* ---- the terminal ---- */

static int show(struct latest *l, struct line *p, const char *tag, bool last)
{
	struct target t = { .fd = l->fd };
	int columns;
	uint64_t height, up = p->row ? l->rows - p->row + 1 : 0;
	size_of(l, &columns, &height);
	buf_clear(&l->out);
	p->behind = up >= height;
	if (p->behind && !last)
		return 0;
	if (up > 0 && up < height) {
		buf_fmt(&l->out, "\033[%lluA\r", (unsigned long long)up);
		put_text(l, p, tag, columns);
		buf_fmt(&l->out, "\033[%lluB\r", (unsigned long long)up);
	} else {
		put_text(l, p, tag, columns);
		buf_str(&l->out, "\r\n");
		p->row = ++l->rows;
	}
	return write_full(&t, l->out.s, l->out.len);
}

void latest_break(struct latest *l)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct line *p = l->v[i]; p; p = p->next)
			p->row = 0;
}

int latest_data(struct latest *l, uint64_t job, const char *tag, const char *data, size_t len)
{
	struct line *p = have(l, job);
	take(p, data, len);
	return l->tty && p->text.len ? show(l, p, tag, false) : 0;
}

int latest_end(struct latest *l, uint64_t job, const char *tag, const char **line, size_t *len)
{
	struct line **at = find(l, job), *p = *at;
	int e = 0;
	*line = NULL;
	*len = 0;
	if (!p)
		return 0;
	if (l->tty && p->behind)
		e = show(l, p, tag, true);
	if (!l->tty && p->text.len) {
		buf_clear(&l->last);
		buf_add(&l->last, p->text.s, p->text.len);
		buf_chr(&l->last, '\n');
		*line = l->last.s;
		*len = l->last.len;
	}
	*at = p->next;
	line_free(p);
	return e;
}
