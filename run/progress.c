/* progress.c - the status line: --bar, --progress, --eta.
 *
 * Owns the last line of the terminal while it is shown.  Never waits for a terminal that
 * is not ours at the moment, and never draws more than ten times a second. */
#include "progress.h"
#include "copy.h"
#include "screen.h"

#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_DEFAULT = 80 };

static const double draw_every = 0.1, line_every = 1;

struct progress {
	const struct config *cfg;
	struct target to;
	pid_t owner;
	bool terminal;    /* else plain lines */
	bool dumb;        /* it knows carriage return, and nothing else */
	bool colour;
	int columns;
	bool shown;
	int shown_columns;
	bool begun;
	double first, drawn; /* times: of the first state, of the last drawing */
	bool dirty;          /* something happened since */
	uint64_t done, started;
	char *arg;           /* copied: the last_arg drawn or to be drawn */
	struct buf text, out;
};

static bool is_set(const char *name)
{
	const char *v = getenv(name);
	return v && *v;
}

void progress_resize(struct progress *p)
{
	struct winsize ws;
	const char *env = getenv("COLUMNS");
	int n = env ? atoi(env) : 0;
	if (ioctl(p->to.fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		n = ws.ws_col;
	p->columns = n > 1 && n < 4096 ? n : COLUMNS_DEFAULT;
	if (p->terminal)
		p->drawn = -HUGE_VAL;
	p->dirty = true;
}

struct progress *progress_new(const struct config *cfg, int fd, pid_t owner_pgrp)
{
	const char *term = getenv("TERM");
	if (!cfg->bar && !cfg->progress && !cfg->eta)
		return NULL;
	struct progress *p = xrealloc(NULL, sizeof *p);
	memset(p, 0, sizeof *p);
	p->cfg = cfg;
	p->to.fd = fd;
	p->owner = owner_pgrp;
	p->terminal = isatty(fd);
	p->dumb = !term || !*term || !strcmp(term, "dumb");
	p->colour = p->terminal && !p->dumb && !is_set("NO_COLOR");
	progress_resize(p);
	return p;
}

/* Is the terminal ours now?  One that is not our controlling terminal is nobody's. */
static bool in_foreground(const struct progress *p)
{
	pid_t pgrp = tcgetpgrp(p->to.fd);
	return pgrp < 0 || pgrp == p->owner;
}

/* ---- words ---- */

static void add_time(struct buf *b, double seconds)
{
	long long s = seconds < 1e15 ? llround(seconds) : 0;
	if (s < 60)
		buf_fmt(b, "%llds", s);
	else if (s < 3600)
		buf_fmt(b, "%lldm%02llds", s / 60, s % 60);
	else
		buf_fmt(b, "%lldh%02lldm", s / 3600, s / 60 % 60);
}

static double per_job(const struct progress *p, const struct progress_state *s)
{
	return s->done ? (s->now - p->first) / (double)s->done : 0;
}

static int64_t left(const struct progress_state *s)
{
	int64_t n = s->total - (int64_t)s->done;
	return s->total < 0 || n < 0 ? 0 : n;
}

/* "66% 2:1=0s last", as GNU parallel shows it. */
static void bar_words(struct buf *b, const struct progress *p, const struct progress_state *s)
{
	if (s->total < 0) {
		buf_fmt(b, "%" PRIu64 " done, %u running", s->done, s->running);
	} else {
		uint64_t percent = s->total ? s->done * 100 / (uint64_t)s->total : 100;
		buf_fmt(b, "%" PRIu64 "%% %" PRIu64 ":%" PRId64 "=", percent, s->done, left(s));
		if (s->done || s->total == 0)
			add_time(b, per_job(p, s) * (double)left(s));
		else
			buf_chr(b, '?');
	}
	if (p->arg)
		buf_fmt(b, " %s", p->arg);
}

static void status_words(struct buf *b, const struct progress *p,
                         const struct progress_state *s)
{
	buf_fmt(b, "%u running, %" PRIu64, s->running, s->done);
	if (s->total >= 0)
		buf_fmt(b, " of %" PRId64, s->total);
	buf_fmt(b, " done, %" PRIu64 " failed", s->failed);
	if (s->done)
		buf_fmt(b, ", %.2g s/job", per_job(p, s));
	if (p->cfg->eta && s->total >= 0 && s->done) {
		buf_str(b, ", ETA ");
		add_time(b, per_job(p, s) * (double)left(s));
	}
}

static void compose(struct progress *p, const struct progress_state *s)
{
	buf_clear(&p->text);
	if (p->cfg->bar)
		bar_words(&p->text, p, s);
	else
		status_words(&p->text, p, s);
}

/* ---- drawing ---- */

static void put(struct progress *p)
{
	struct pollfd out = { .fd = p->to.fd, .events = POLLOUT };
	/* A stopped terminal must not stop the run; a lost status line is no error. */
	if (poll(&out, 1, 0) == 1)
		(void)write_full(&p->to, p->out.s, p->out.len);
}

static void pad(struct buf *b, int n)
{
	while (n-- > 0)
		buf_chr(b, ' ');
}

/* A dumb terminal is wiped by blanks. */
static void wipe_rest(struct progress *p, int columns)
{
	if (!p->dumb)
		buf_str(&p->out, "\033[K");
	else
		pad(&p->out, p->shown_columns - columns);
}

/* How many of `width` columns are done. */
static int done_columns(const struct progress_state *s, int width)
{
	if (s->total <= 0 || left(s) == 0)
		return s->total < 0 ? 0 : width;
	return (int)((double)s->done / (double)s->total * width);
}

/* The words over the full width, as much of it as is done in reverse video. */
static void add_bar(struct progress *p, const struct progress_state *s, int width)
{
	struct buf clean = { 0 };
	buf_clear(&clean);
	pad(&clean, width - screen_text(&clean, p->text.s, width, 0));
	buf_str(&p->out, "\033[7m");
	size_t at = p->out.len;
	screen_text(&p->out, clean.s, done_columns(s, width), 0);
	size_t bytes = p->out.len - at; /* clean text is copied as it is */
	buf_str(&p->out, "\033[0m");
	buf_str(&p->out, clean.s + bytes);
	buf_free(&clean);
}

static void draw(struct progress *p, const struct progress_state *s)
{
	int width = p->columns - 1; /* the last column would make some terminals wrap */
	int used = width;
	compose(p, s);
	buf_clear(&p->out);
	buf_chr(&p->out, '\r');
	if (p->cfg->bar && p->colour)
		add_bar(p, s, width);
	else
		used = screen_text(&p->out, p->text.s, width, 0);
	wipe_rest(p, used);
	put(p);
	p->shown = true;
	p->shown_columns = used;
}

static void draw_line(struct progress *p, const struct progress_state *s)
{
	compose(p, s);
	buf_clear(&p->out);
	screen_text(&p->out, p->text.s, 4096, 0);
	buf_chr(&p->out, '\n');
	put(p);
}

void progress_hide(struct progress *p)
{
	if (!p->shown)
		return;
	buf_clear(&p->out);
	buf_chr(&p->out, '\r');
	wipe_rest(p, 0);
	if (p->dumb)
		buf_chr(&p->out, '\r');
	put(p);
	p->shown = false;
	p->shown_columns = 0;
}

/* ---- when ---- */

static void look_at(struct progress *p, const struct progress_state *s)
{
	if (!p->begun) {
		p->begun = true;
		p->first = s->now;
		p->drawn = p->terminal ? -HUGE_VAL : s->now; /* no line before a second is over */
	}
	if (s->done != p->done || s->started != p->started)
		p->dirty = true;
	p->done = s->done;
	p->started = s->started;
	if (s->last_arg && (!p->arg || strcmp(p->arg, s->last_arg) != 0)) {
		free(p->arg);
		p->arg = xstrdup(s->last_arg);
	}
}

static double pause_of(const struct progress *p)
{
	return p->terminal && (p->dirty || !p->shown) ? draw_every : line_every;
}

void progress_update(struct progress *p, const struct progress_state *s)
{
	look_at(p, s);
	if (s->now - p->drawn < pause_of(p) || (!p->terminal && !p->dirty))
		return;
	p->drawn = s->now;
	if (p->terminal && !in_foreground(p)) {
		p->shown = false; /* somebody else wrote there since */
		return;
	}
	if (p->terminal)
		draw(p, s);
	else
		draw_line(p, s);
	p->dirty = false;
}

double progress_next(const struct progress *p, double now)
{
	if (!p->terminal && !p->dirty)
		return -1;
	double wait = p->drawn + pause_of(p) - now;
	return wait > 0 ? wait : 0;
}

void progress_end(struct progress *p, const struct progress_state *s)
{
	look_at(p, s);
	if (!p->terminal) {
		draw_line(p, s);
	} else if (in_foreground(p)) {
		struct target t = p->to;
		draw(p, s);
		(void)write_full(&t, "\n", 1);
	}
	free(p->arg);
	buf_free(&p->text);
	buf_free(&p->out);
	free(p);
}
