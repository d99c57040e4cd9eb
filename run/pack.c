/* pack.c - collects values until a command line is full.
 *
 * Lengths are summed up value by value (template_added), so that filling a line costs its
 * length once.  As under GNU parallel, the values of the last line are dealt evenly to all
 * slots with -X and -m. */
#include "pack.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_ROW = 8192 }; /* bytes; below it no command is too long */

struct pack {
	const struct config *cfg;
	struct inputs *in;
	const struct template *t;
	unsigned slots;
	struct buf text;        /* collected values, NUL-terminated */
	size_t *at, n, cap;     /* where they begin */
	char **v;
	size_t length, lines;   /* of the command with them; input lines in it */
	size_t from, take;      /* spreading: values handed out, and how many at once */
	struct buf held;        /* a row that did not fit, values NUL-terminated */
	size_t nheld;
	bool joining;           /* the last line goes on (-L) */
	bool places;            /* the command has {1} or the like */
	bool ready, done, over;      /* a line is being handed out; no more input */
	size_t fixed;
};

static void start_line(struct pack *p)
{
	buf_clear(&p->text);
	p->n = p->length = p->lines = p->from = 0;
	p->take = SIZE_MAX;
	p->ready = p->done = p->joining = false;
}

struct pack *pack_new(const struct config *cfg, struct inputs *in, const struct template *t,
                      unsigned slots)
{
	struct pack *p = memset(xrealloc(NULL, sizeof *p), 0, sizeof *p);
	p->cfg = cfg;
	p->in = in;
	p->t = t;
	p->slots = slots;
	p->fixed = template_fixed(t);
	p->places = template_places(t);
	start_line(p);
	return p;
}

static bool one_by_one(const struct config *cfg)
{
	return cfg->pack == PACK_ONE && cfg->max_args < 0 && cfg->max_lines < 0;
}

static size_t max_length(const struct config *cfg)
{
	return cfg->max_chars ? (size_t)cfg->max_chars - 1 : LINE_MAX_DEFAULT;
}

/* How many rows, by -n -N or -L; -n0 and -L0 take one and pass nothing. */
static bool enough(const struct pack *p)
{
	const struct config *cfg = p->cfg;
	if (cfg->max_lines >= 0)
		return p->lines >= (size_t)(cfg->max_lines ? cfg->max_lines : 1);
	if (cfg->max_args >= 0)
		return p->lines >= (size_t)(cfg->max_args ? cfg->max_args : 1);
	return cfg->pack == PACK_ONE;
}

static void add_value(struct pack *p, const char *value)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 256;
		p->at = xrealloc(p->at, p->cap * sizeof *p->at);
		p->v = xrealloc(p->v, p->cap * sizeof *p->v);
	}
	p->at[p->n++] = p->text.len;
	buf_add(&p->text, value, strlen(value) + 1);
}

static void hold(struct pack *p, const struct args *a)
{
	buf_clear(&p->held);
	for (size_t i = 0; i < a->n; i++)
		buf_add(&p->held, a->v[i], strlen(a->v[i]) + 1);
	p->nheld = a->n;
}

static struct args view(struct pack *p, size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++)
		p->v[i] = p->text.s + p->at[i];
	size_t end = from + n < p->n ? p->at[from + n] : p->text.len;
	return (struct args){ .v = p->v + from, .n = n, .bytes = n ? end - p->at[from] : 0 };
}

/* A line that ends in a blank goes on in the next one (-L): they are one value. */
static bool continued(const struct pack *p, const char *line)
{
	size_t n = p->cfg->max_lines >= 0 ? strlen(line) : 0;
	return n && (line[n - 1] == ' ' || line[n - 1] == '\t');
}

static const char *last_value(const struct pack *p)
{
	return p->text.s + p->at[p->n - 1];
}

static void append(struct pack *p, const char *value)
{
	p->length -= template_added(p->t, last_value(p));
	p->text.len--;
	buf_add(&p->text, value, strlen(value) + 1);
	p->length += template_added(p->t, last_value(p));
}

static void add_values(struct pack *p, const struct args *a)
{
	for (size_t i = 0; i < a->n; i++) {
		if (i == 0 && p->joining && p->n) {
			append(p, a->v[i]);
			continue;
		}
		add_value(p, a->v[i]);
		p->length += template_added(p->t, a->v[i]);
	}
	p->joining = p->n && continued(p, last_value(p));
	p->lines += !p->joining;
}

/* Put a row into the line; false if the line is then too long: it is as it was. */
static bool add_row(struct pack *p, const struct args *a)
{
	size_t n = p->n, len = p->text.len, length = p->length, lines = p->lines;
	bool joining = p->joining;
	add_values(p, a);
	size_t total = p->fixed + p->length;
	if (p->places) {
		struct args all = view(p, 0, p->n);
		total += template_placed(p->t, &all);
	}
	total -= p->length > 0; /* no blank after the last one */
	if (total <= max_length(p->cfg))
		return true;
	p->n = n;
	p->text.len = len;
	if (len)
		p->text.s[len - 1] = '\0';
	p->length = length;
	p->lines = lines;
	p->joining = joining;
	return false;
}

static int too_long(const struct pack *p, const char *value)
{
	warn("the command with the value '%.40s%s' (%zu bytes) is longer than the %zu bytes that %s;"
	     " shorten it, or read it from a file or standard input",
	     value, strlen(value) > 40 ? "..." : "", strlen(value), max_length(p->cfg),
	     p->cfg->max_chars ? "-s allows" : "the system takes");
	return -E2BIG;
}

/* The next row: the one held back, or from the input. */
static int next_row(struct pack *p, struct args *a)
{
	static char **v;
	if (!p->nheld)
		return p->over ? 0 : inputs_next(p->in, a);
	v = xrealloc(v, p->nheld * sizeof *v);
	char *s = p->held.s;
	for (size_t i = 0; i < p->nheld; i++, s += strlen(s) + 1)
		v[i] = s;
	*a = (struct args){ .v = v, .n = p->nheld };
	p->nheld = 0;
	return 1;
}

/* 1: the line is full or the input over; else as inputs_next(). */
static int fill_line(struct pack *p)
{
	struct args a;
	while (!enough(p)) {
		int e = next_row(p, &a);
		if (e == 0)
			p->over = true;
		if (e != 1)
			return e < 0 ? e : p->n > 0;
		if (!add_row(p, &a)) {
			if (!p->n || p->cfg->exit_if_long)
				return too_long(p, a.v[0]);
			hold(p, &a);
			return 1;
		}
	}
	return 1;
}

/* The last values, dealt to all slots. */
static void spread(struct pack *p)
{
	if (p->over && !p->nheld && p->cfg->pack == PACK_SPREAD)
		p->take = (p->n + p->slots - 1) / p->slots;
}

/* One row, one command: its length is looked at if it may matter. */
static int next_alone(struct pack *p, struct args *a)
{
	size_t bytes = 0;
	int e = inputs_next(p->in, a);
	for (size_t i = 0; e == 1 && i < a->n; i++)
		bytes += strlen(a->v[i]);
	if (e != 1 || (!p->cfg->max_chars && bytes < LONG_ROW))
		return e;
	start_line(p);
	return add_row(p, a) ? 1 : too_long(p, a->v[0]);
}

static char *const nothing[] = { "" };

int pack_next(struct pack *p, struct args *a)
{
	if (one_by_one(p->cfg))
		return next_alone(p, a);
	if (p->done)
		start_line(p);
	if (!p->ready) {
		int e = fill_line(p); /* goes on where "not yet" left it */
		if (e != 1)
			return e;
		p->ready = true;
		spread(p);
	}
	size_t left = p->n - p->from, n = p->take < left ? p->take : left;
	*a = view(p, p->from, n);
	if (p->cfg->max_args == 0 || p->cfg->max_lines == 0) /* it is there, and it is nothing */
		*a = (struct args){ .v = nothing, .n = 1 };
	p->from += n;
	if (p->from == p->n)
		p->done = true;
	return 1;
}

int64_t pack_total(const struct pack *p)
{
	return one_by_one(p->cfg) ? inputs_total(p->in) : -1;
}

void pack_free(struct pack *p)
{
	if (!p)
		return;
	buf_free(&p->text);
	buf_free(&p->held);
	free(p->at);
	free(p->v);
	free(p);
}
